/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of a ring, whichever its format: see split.h and packed.h. */
#pragma once

#include "vhost/packed.h"
#include "vhost/split.h"

/*
 * Each is one test of a flag that never changes while the ring runs, which the
 * processor guesses right.  The contracts are those of the formats.  The ring's
 * owner only.
 */
static inline int ring_locate(struct ring *r, const struct ring_addr *a)
{
	r->hint = (struct memmap_hint){0};
	return r->is_packed ? packed_locate(r, a) : split_locate(r, a);
}

static inline int ring_restore(struct ring *r, int64_t base,
			       const struct inflight_part *part)
{
	return r->is_packed ? packed_restore(r, base, part)
			    : split_restore(r, base, part);
}

static inline uint32_t ring_base(const struct ring *r)
{
	return r->is_packed ? packed_base(r) : split_base(r);
}

static inline bool ring_is_fresh(const struct ring *r)
{
	return r->is_packed ? packed_is_fresh(r) : split_is_fresh(r);
}

static inline int ring_pop(struct ring *r, struct chain *c)
{
	return r->is_packed ? packed_pop(r, c) : split_pop(r, c);
}

static inline void ring_unpop(struct ring *r, const struct chain *c)
{
	if (r->is_packed)
		packed_unpop(r, c);
	else
		split_unpop(r, c);
}

static inline void ring_push(struct ring *r, const struct chain *c,
			     uint32_t len)
{
	if (r->is_packed)
		packed_push(r, c, len);
	else
		split_push(r, c, len);
}

static inline bool ring_publish(struct ring *r)
{
	return r->is_packed ? packed_publish(r) : split_publish(r);
}

static inline bool ring_arm(struct ring *r)
{
	return r->is_packed ? packed_arm(r) : split_arm(r);
}

static inline void ring_disarm(struct ring *r)
{
	if (r->is_packed)
		packed_disarm(r);
	else
		split_disarm(r);
}

static inline bool ring_has_work(const struct ring *r)
{
	return inflight_has_found(&r->inflight) ||
	       (r->is_packed ? packed_has_work(r) : split_has_work(r));
}

static inline unsigned ring_pending(const struct ring *r)
{
	return r->is_packed ? packed_pending(r) : split_pending(r);
}
