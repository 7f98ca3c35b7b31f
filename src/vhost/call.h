/* SPDX-License-Identifier: BSD-2-Clause */
/* Call a guest or its VMM through a descriptor, without ever blocking. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "run/worker.h"

/*
 * Theory of operation: calls
 *
 * A call is a write of 1 to an eventfd (or pipe) that the VMM made.  It can
 * make that write block, by filling it and taking O_NONBLOCK away, so we never
 * write ourselves: the write is an entry of the worker's ring, submitted with
 * the turn's I/O.  It is over when the VMM has room.
 *
 * There is one write under way at most.  It may have been done before what is
 * to be announced now, so a call wanted meanwhile is sent after it.
 */
struct call {
	/* constant */
	int fd;

	/* may be set before the first call */
	const void *message;	/* what to write instead of a 1, and stays */
	uint32_t message_len;
	const char *tag;	/* for the log, when the fd is no good */
	const char *lost;	/* and what is not done then: "called" */
	uint64_t *made;		/* counts them */

	/* worker only */
	struct uring_op write;
	struct uring_op cancel;
	struct worker *worker;
	unsigned pending;	/* entries under way */
	bool is_writing;
	bool is_wanted;		/* one more */
	bool is_broken;		/* the descriptor does not take it */
	bool is_stopping;
	void (*stopped)(void *ctx);
	void *ctx;
};

/*
 * Make a call that owns @fd; without one (-1) *@out is NULL.  Returns 0, or
 * -ENOMEM with @fd left to the caller.  Any thread, as call_free().
 */
int call_new(struct call **out, int fd);

/* Closes the descriptor.  Nothing is under way.  Accepts NULL. */
void call_free(struct call *c);

/* Call, in this turn or when the one before is over.  Worker only. */
void call_send(struct call *c, struct worker *w);

/* Is a write under way?  Worker only.  Accepts NULL. */
bool call_is_busy(const struct call *c);

/*
 * Cancel what is under way and free the call.  Returns false when that is done
 * at once; true when stopped(@ctx) will tell, which comes even with a VMM that
 * never makes room.  Worker only.  Accepts NULL.
 */
bool call_stop(struct call *c, void (*stopped)(void *ctx), void *ctx);
