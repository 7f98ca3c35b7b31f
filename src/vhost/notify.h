/* SPDX-License-Identifier: BSD-2-Clause */
/* How a queue and its driver wake each other: kick, call and error. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "run/worker.h"
#include "vhost/call.h"

/* Embedded in a queue, whose owner it belongs to. */
struct notify {
	/* set by notify_init() */
	void (*kicked)(struct notify *n);
	void (*polled)(struct notify *n);
	void (*stopped)(struct notify *n);
	const char *tag;	/* whose, for the log */

	/* the owner's */
	struct worker *worker;
	struct wake kick;	/* its fd is -1 without one */
	struct alarm poll;	/* set then */
	struct call *call;	/* NULL without one, as err */
	struct call *err;
	bool was_called;	/* or would have been, with a descriptor */
	uint64_t *calls;	/* counts those made */
	unsigned nr_stopping;	/* calls that are being cancelled */
};

/*
 * Nothing is there.  On the worker kicked(@n) is called after a kick, or
 * polled(@n) every millisecond where there is none, and stopped(@n) when a call
 * that was cancelled is over.  Home only.
 */
void notify_init(struct notify *n, const char *tag,
		 void (*kicked)(struct notify *n),
		 void (*polled)(struct notify *n),
		 void (*stopped)(struct notify *n));

/*
 * Take the descriptors of a queue that @w is to have, -1 where there is none;
 * @calls counts the calls made.  Returns 0, or -ENOMEM with them left to the
 * caller; notify_unset() leaves them to it, too.  Home only.
 */
int notify_set(struct notify *n, struct worker *w, int kick, int call, int err,
	       uint64_t *calls);
void notify_unset(struct notify *n);

/*
 * From now on @fd, or a timer with -1, tells when to look; and no longer, @fd
 * is closed.  Returns 0, or why it cannot be waited for: then it was closed.
 * Worker only, as all that follow.
 */
const char *notify_watch(struct notify *n, int fd);
void notify_unwatch(struct notify *n);

/* Call the driver, or tell the front-end of an error, if it can be. */
void notify_call(struct notify *n);
void notify_err(struct notify *n);

/*
 * Use @c, which may be NULL, instead.  If the driver was ever called, it is
 * called once more: one too many does no harm, but a call on the old descriptor
 * may be under way, or may have led nowhere.  QEMU starts its rings with one
 * that it never reads, and brings the guest's when they run.
 */
void notify_change_call(struct notify *n, struct call *c);
void notify_change_err(struct notify *n, struct call *c);

/* Is a call under way? */
bool notify_is_busy(const struct notify *n);

/*
 * Cancel what is under way.  Returns whether all is over; if not, stopped()
 * comes, also with a VMM that never makes room: then ask again.
 */
bool notify_stop(struct notify *n);
