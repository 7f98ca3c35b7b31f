/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in flight of a split ring. */
#pragma once

#include "base/crash.h"
#include "vhost/inflight.h"

/*
 * Theory of operation: the part of a split ring
 *
 * Entry i is about the chain with head i, and says whether that is in flight,
 * and its counter, by which chains are put in the order in which they were
 * taken.  Answers are given in batches: the used index announces several at
 * once, so no store can both announce one and clear its mark.  For that the
 * entries of the last batch are linked before it is announced.  A successor
 * sees by the used index of the ring and the one in the part how many of the
 * last batch were announced: all or none.
 *
 *	take:	   counter, in flight
 *	used:	   entry's next = last batch head, last batch head = entry
 *		   (the ring's used index is stored here)
 *	published: not in flight, for each of the batch; used index
 *
 * A request that was taken is in flight, so as many entries of the available
 * ring were taken as are used and in flight.  That is where a successor goes on
 * (whatever SET_VRING_BASE says, which front-ends can but guess).
 */

/*
 * Use the part for a ring whose used index is @used and whose available index
 * is @avail.  What was found in flight is in @f then.
 *
 * Returns 1 when the part was resumed, so that the next entry to take is at
 * @used plus what was found; 0 when it was initialised, with nothing found; or
 * -EPROTO with why in @f->why, or -ENOMEM.  @f was given to inflight_init().
 */
int inflight_split_start(struct inflight *f, const struct inflight_part *p,
			 uint16_t used, uint16_t avail);

/* A chain was taken from the ring; and put back at once.  The owner only. */
static inline void inflight_split_take(struct inflight *f, uint16_t head)
{
	struct vhost_user_inflight_split_desc *d = &f->split->desc[head];

	inflight_store(&d->counter, f->counter++);
	CRASH_POINT(FETCH_COUNTED);
	inflight_store(&d->inflight, 1);
	CRASH_POINT(FETCH_MARKED);
}

static inline void inflight_split_untake(struct inflight *f, uint16_t head)
{
	inflight_store(&f->split->desc[head].inflight, 0);
}

/*
 * A chain was answered, which the driver cannot see yet.  It is one that was
 * taken and was not answered since, so no more than the ring has.  The owner
 * only.
 */
static inline void inflight_split_used(struct inflight *f, uint16_t head)
{
	inflight_store(&f->split->desc[head].next, f->last_batch_head);
	CRASH_POINT(COMPLETE_LINKED);
	inflight_store(&f->split->last_batch_head, head);
	CRASH_POINT(COMPLETE_LISTED);
	f->last_batch_head = head;
	f->batch[f->nr_batch++] = head;
}

/* All of them were announced by used index @used.  The owner only. */
static inline void inflight_split_published(struct inflight *f, uint16_t used)
{
	for (unsigned i = 0; i < f->nr_batch; i++) {
		inflight_store(&f->split->desc[f->batch[i]].inflight, 0);
		CRASH_POINT(PUBLISH_CLEARED);
	}
	inflight_store(&f->split->used_idx, used);
	CRASH_POINT(PUBLISH_OVER);
	f->nr_batch = 0;
}
