/* SPDX-License-Identifier: BSD-2-Clause */
/* The split ring of virtio: pop, push, publish, arm, restore. */
#pragma once

#include "vhost/ring.h"

/*
 * Find a ring of @r->size descriptors at @a in @r->map and fix the pointers.
 * Returns 0, -EINVAL (size no power of two or above 32768, alignment) or
 * -EFAULT (any byte of it outside one region); why is in @r->why.  Used again
 * after the map changed.  The owner only, as all here.
 */
int split_locate(struct ring *r, const struct ring_addr *a);

/*
 * Begin at available entry @base; with @base negative at the used index, as
 * for a front-end that never said.  What is in flight is noted in @part; if
 * that is to be resumed it decides where to begin, and what it has is popped
 * first.  Returns 0, -EINVAL when @base is no index of 16 bits, or what
 * inflight_split_start() failed with; why is in @r->why.
 */
int split_restore(struct ring *r, int64_t base,
		  const struct inflight_part *part);

/* Where the ring would go on: the next available entry. */
uint32_t split_base(const struct ring *r);

/* Was no entry ever used, as for a driver that begins? */
bool split_is_fresh(const struct ring *r);

/*
 * Take the next chain.  Returns 1 and fills @c, 0 when the ring is empty, or
 * -EPROTO when the driver broke the rules, with the reason in @r->why.  Each
 * descriptor is copied once, then checked; addresses are checked to their end.
 */
int split_pop(struct ring *r, struct chain *c);

/*
 * Undo the last split_pop(), which gave @c: it will be popped once more, and
 * before anything else.
 */
void split_unpop(struct ring *r, const struct chain *c);

/*
 * Give the chain back with @len bytes written to its writable part.  The
 * driver sees it after split_publish(), which makes all pushed visible at
 * once and says whether the driver wants a call.
 */
void split_push(struct ring *r, const struct chain *c, uint32_t len);
bool split_publish(struct ring *r);

/*
 * Ask for kicks.  Returns true when entries were added meanwhile: their kick
 * may never come, so look again.  split_disarm() says that none are needed.
 */
bool split_arm(struct ring *r);
void split_disarm(struct ring *r);

/* One relaxed load: may there be something to take?  For polling. */
bool split_has_work(const struct ring *r);

/* How many entries that may be, as the driver says. */
unsigned split_pending(const struct ring *r);
