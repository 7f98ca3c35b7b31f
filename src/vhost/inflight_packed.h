/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in flight of a packed ring. */
#pragma once

#include <assert.h>

#include "base/crash.h"
#include "vhost/inflight.h"

/*
 * Theory of operation: the part of a packed ring
 *
 * What the device writes into a packed ring overwrites descriptors of requests
 * that are still in flight, so the part has a copy of each descriptor in
 * flight.  Its entries form lists: the free ones, from free_head on, and those
 * of each chain.  A chain's first entry tells how many they are, which is the
 * last, whether the chain is in flight, and its counter, by which chains are
 * put in the order in which they were taken.  The free list ends with an index
 * that is the number of entries.
 *
 *	add:	   a descriptor into the next free entry
 *	commit:	   first entry's num, last, counter, in flight; free_head
 *	publish:   for each of the batch: last entry's next = free_head,
 *		   free_head = first entry; used index and its wrap counter
 *		   (the ring's first used descriptor gets its flags here)
 *	published: not in flight, for each of the batch;
 *		   old_free_head, then old_used_idx and its wrap counter
 *
 * As long as the old ones differ from the new ones a batch is under way.  The
 * flags in the ring at old_used_idx tell which ones hold: one descriptor's
 * flags announce the whole batch, so it is all of it or nothing.  A batch may
 * cover the ring, so indices are equal only with equal wrap counters.  Both
 * free_heads are one word here, with both used indices in another: single ones
 * would leave states that could mean either thing.
 *
 * A chain becomes in flight when its mark is set and free_head has passed it:
 * marks of entries in the free list are void.
 *
 * The next descriptor to take is as many behind the used index as there are in
 * flight.  Between them the ring may have used descriptors of a batch that was
 * not announced.  The driver must never see those, so they are made available
 * again.
 */

/*
 * Use the part for a ring with descriptors @ring.  What was found in flight is
 * in @f then, and where the ring goes on: used_idx and used_wrap, which are
 * @base and @wrap when the part was initialised; and f->size - f->nr_free
 * descriptors behind them is the next one to take.
 *
 * Returns 1 when the part was resumed, 0 when it was initialised, -EPROTO with
 * why in @f->why, or -ENOMEM.  @f was given to inflight_init().
 */
struct vring_packed_desc;
int inflight_packed_start(struct inflight *f, const struct inflight_part *p,
			  struct vring_packed_desc *ring, uint16_t base,
			  bool wrap);

/* One word for both free_heads; one for both used indices. */
static inline void inflight_packed_store_free(const struct inflight *f)
{
	const union vhost_user_inflight_free word = {
		.version = VHOST_USER_INFLIGHT_VERSION,
		.desc_num = (uint16_t)f->size,
		.free_head = f->free_head,
		.old_free_head = f->old_free_head,
	};

	inflight_store(&f->packed->free.word, word.word);
}

static inline void inflight_packed_store_used(const struct inflight *f)
{
	const union vhost_user_inflight_used word = {
		.used_idx = f->used_idx,
		.old_used_idx = f->old_used_idx,
		.used_wrap_counter = f->used_wrap,
		.old_used_wrap_counter = f->old_used_wrap,
	};

	inflight_store(&f->packed->used.word, word.word);
}

/* A chain is walked from here on: forget what was added of another. */
static inline void inflight_packed_begin(struct inflight *f)
{
	f->walk = f->free_head;
	f->walk_num = 0;
}

/*
 * Add the next descriptor of the chain that is walked.  Returns false when no
 * entry is free: the driver made more available than the ring has.  The owner
 * only.
 */
static inline bool inflight_packed_add(struct inflight *f,
				       const struct inflight_desc *d)
{
	struct vhost_user_inflight_packed_desc *e;

	if (f->walk_num == f->nr_free)
		return false;
	e = &f->packed->desc[f->walk];
	inflight_store(&e->id, d->id);
	inflight_store(&e->flags, d->flags);
	inflight_store(&e->len, d->len);
	inflight_store(&e->addr, d->addr);
	CRASH_POINT(FETCH_ADDED);
	f->walk_last = f->walk;
	f->walk = f->links[f->walk].next;
	f->walk_num++;
	return true;
}

/*
 * All of the chain was added, and it is good: it is in flight from now on.
 * Nothing is published at the moment.  Returns its entry.  The owner only.
 */
static inline uint16_t inflight_packed_commit(struct inflight *f)
{
	uint16_t entry = f->free_head;
	struct vhost_user_inflight_packed_desc *e = &f->packed->desc[entry];

	assert(f->walk_num);
	f->links[entry].num = f->walk_num;
	f->links[entry].last = f->walk_last;
	inflight_store(&e->num, f->walk_num);
	inflight_store(&e->last, f->walk_last);
	inflight_store(&e->counter, f->counter++);
	CRASH_POINT(FETCH_COUNTED);
	inflight_store(&e->inflight, 1);
	CRASH_POINT(FETCH_MARKED);
	f->free_head = f->walk;
	f->old_free_head = f->walk;
	f->nr_free -= f->walk_num;
	inflight_packed_store_free(f);
	CRASH_POINT(FETCH_COMMITTED);
	return entry;
}

/* The chain that was just committed is put back.  The owner only. */
static inline void inflight_packed_untake(struct inflight *f, uint16_t entry)
{
	assert(f->links[f->links[entry].last].next == f->free_head);
	f->free_head = entry;
	f->old_free_head = entry;
	f->nr_free += f->links[entry].num;
	inflight_packed_store_free(f);
	inflight_store(&f->packed->desc[entry].inflight, 0);
}

/*
 * A chain was answered, which the driver cannot see yet.  It is one that was
 * taken and was not answered since.  The owner only.
 */
static inline void inflight_packed_used(struct inflight *f, uint16_t entry)
{
	f->batch[f->nr_batch++] = entry;
}

/*
 * All that were answered will now be announced, by the flags of one descriptor.
 * The next one to use is at @idx with @wrap then.  The owner only.
 */
static inline void inflight_packed_publish(struct inflight *f, uint16_t idx,
					   bool wrap)
{
	for (unsigned i = 0; i < f->nr_batch; i++) {
		uint16_t entry = f->batch[i];
		uint16_t last = f->links[entry].last;

		f->links[last].next = f->free_head;
		inflight_store(&f->packed->desc[last].next, f->free_head);
		CRASH_POINT(PUBLISH_LINKED);
		f->free_head = entry;
		f->nr_free += f->links[entry].num;
	}
	f->used_idx = idx;
	f->used_wrap = wrap;
	inflight_packed_store_free(f);
	CRASH_POINT(PUBLISH_FREED);
	inflight_packed_store_used(f);
	CRASH_POINT(PUBLISH_NOTED);
}

/* They were.  The owner only. */
static inline void inflight_packed_published(struct inflight *f)
{
	for (unsigned i = 0; i < f->nr_batch; i++) {
		inflight_store(&f->packed->desc[f->batch[i]].inflight, 0);
		CRASH_POINT(PUBLISH_CLEARED);
	}
	f->nr_batch = 0;
	f->old_free_head = f->free_head;
	f->old_used_idx = f->used_idx;
	f->old_used_wrap = f->used_wrap;
	inflight_packed_store_free(f);
	CRASH_POINT(PUBLISH_KEPT);
	inflight_packed_store_used(f);
	CRASH_POINT(PUBLISH_OVER);
}
