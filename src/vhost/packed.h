/* SPDX-License-Identifier: BSD-2-Clause */
/* The packed ring of virtio: pop, push, publish, arm, restore. */
#pragma once

#include "vhost/ring.h"

/*
 * Theory of operation: one ring, written by both
 *
 * The driver writes a descriptor to make it available, and we write one in the
 * same ring to say that a buffer was used.  Whether a descriptor is the one or
 * the other two bits tell, AVAIL and USED, compared with a counter that changes
 * each time its owner comes past the end of the ring.
 *
 *	AVAIL == wrap, USED != wrap	available to us
 *	AVAIL == wrap, USED == wrap	used
 *
 * A buffer may have several descriptors, one after the other, and its id stands
 * in the last one.  When it was used a single descriptor is written, at the
 * place that comes after the used one before, as if the buffer still stood
 * there; the places behind it up to the number of the buffer's descriptors are
 * skipped.  So what is used overwrites what was available, in the order of
 * answers, and a place is never written before the descriptor in it was taken.
 *
 * Used descriptors become visible all at once: the flags of the first are
 * written last, and the driver looks at no other before that one.
 */

/*
 * Find a ring of @r->size descriptors at @a in @r->map and fix the pointers:
 * avail is where the driver's event area is, used is where ours is.  Returns
 * 0, -EINVAL (size 0 or above 32768, alignment) or -EFAULT (any byte of it
 * outside one region); why is in @r->why.  Used again after the map changed.
 * The owner only, as all here.
 */
int packed_locate(struct ring *r, const struct ring_addr *a);

/*
 * Begin at @base, which is as in SET_VRING_BASE: bits 0 to 14 are the next
 * descriptor to take, bit 15 is its wrap counter.  What was taken was also
 * given back, so the same is the next one to fill, whatever the bits above say.
 * Negative: at the first one, as a driver begins.  What is in flight is noted
 * in @part; if that is to be resumed it decides where to begin, and what it has
 * is popped first.  Returns 0, -EINVAL when the ring has no such descriptor, or
 * what inflight_packed_start() failed with; why is in @r->why.
 */
int packed_restore(struct ring *r, int64_t base,
		   const struct inflight_part *part);

/*
 * Where the ring would go on: bits 0 to 15 as for packed_restore(), 16 to 31
 * the same of what is to be filled next.
 */
uint32_t packed_base(const struct ring *r);

/* At the place where a driver begins? */
bool packed_is_fresh(const struct ring *r);

/*
 * Has the driver of a ring of @size had answers, as far as it shows?  In the
 * first lap what it made available has the one bit and the rest is empty; any
 * other bit, or what is neither, was written later.  Only when all places are
 * available, in the third lap or the fifth, it looks like the first.
 */
bool packed_has_answers(const struct vring_packed_desc *desc, unsigned size);

/*
 * Take the next chain.  Returns 1 and fills @c, 0 when the ring is empty, or
 * -EPROTO when the driver broke the rules, with the reason in @r->why.  Each
 * descriptor is copied once, then checked; addresses are checked to their end.
 */
int packed_pop(struct ring *r, struct chain *c);

/* Undo the last packed_pop(), which gave @c: it will be popped once more. */
void packed_unpop(struct ring *r, const struct chain *c);

/*
 * Give the chain back with @len bytes written to its writable part.  The
 * driver sees it after packed_publish(), which makes all pushed visible at
 * once and says whether the driver wants a call.
 */
void packed_push(struct ring *r, const struct chain *c, uint32_t len);
bool packed_publish(struct ring *r);

/*
 * Ask for kicks.  Returns true when descriptors were added meanwhile: their
 * kick may never come, so look again.  packed_disarm() says that none are
 * needed.
 */
bool packed_arm(struct ring *r);
void packed_disarm(struct ring *r);

/* One relaxed load: may there be something to take?  For polling. */
bool packed_has_work(const struct ring *r);

/* How many descriptors that may be, as the driver says. */
unsigned packed_pending(const struct ring *r);
