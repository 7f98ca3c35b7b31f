/* SPDX-License-Identifier: BSD-2-Clause */
/* What must be had before a target's queues are lent: claim and ports. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/counters.h"
#include "device/device.h"
#include "run/worker.h"

/*
 * Theory of operation: loans
 *
 * A queue that its VMM made ready is not served at once.  The backend must be
 * claimed first, by an offload thread, which proves that a predecessor's I/O is
 * over; and the worker that is to have the queue must have attached the
 * backend.  Each queue has a loan that goes through these steps:
 *
 *	NONE --claim held--> ATTACHING --> ATTACHED, lent
 *	ATTACHED --not wanted--> DETACHING --> NONE
 *
 * Whatever happens, only "wanted" is changed from outside, and settle() takes
 * the next step that is due.  When no loan is left the claim is dropped:
 * another host, or another program, may then have the storage.
 *
 * A worker on which the attaching fails spoils the queues that it was to have,
 * and no other; they are tried again when they are wanted anew.
 */
struct loans;

/* Two plain functions, as what is lent belongs to modules above. */
struct loans_params {
	const char *tag;		/* outlives the loans */
	unsigned nr_queues;
	struct worker **workers;	/* queues are dealt to them in turn */
	unsigned nr_workers;		/* the first one is the home */
	struct device *device;		/* whose queues they are */
	struct limits *limits;		/* of all queues; they outlive us */
	bool fixed;			/* have guest memory in fixed buffers */

	/* All is had for queue @index: lend it to @w. */
	void (*lend)(void *ctx, unsigned index, struct worker *w,
		     const struct queue_user *user);
	/* Nothing is wanted, attached or claimed any more. */
	void (*idle)(void *ctx);
	void *ctx;
};

/*
 * Make the loans of a target, for as long as it is open.  Returns 0 or -ENOMEM.
 * loans_free() accepts NULL; they are idle.  Control only.
 */
int loans_new(struct loans **out, const struct loans_params *p);
void loans_free(struct loans *l);

/* Sum of the counters of all queues since the start.  Any thread. */
void loans_counters(const struct loans *l, struct counters *sum);

/*
 * A guest comes, to whom nothing was lent: the backend is checked before it is
 * claimed, see backend_check().  Home only, as all that follow.
 */
void loans_begin(struct loans *l);

/*
 * The queue is ready, and is to be lent; or it is no longer, and no request of
 * it is in flight.
 */
void loans_want(struct loans *l, unsigned index);
void loans_forget(struct loans *l, unsigned index);
void loans_forget_all(struct loans *l);

bool loans_are_idle(const struct loans *l);

enum loans_claim {
	LOANS_CLAIM_NONE,
	LOANS_CLAIM_WAITING,
	LOANS_CLAIM_HELD,
};

/* Have we the backend?  @why gets what we wait for. */
enum loans_claim loans_claim(const struct loans *l, char *why, size_t len);
