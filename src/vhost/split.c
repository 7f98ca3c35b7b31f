/* SPDX-License-Identifier: BSD-2-Clause */
/* The split ring of virtio: pop, push, publish, arm, restore. */
#include "vhost/split.h"

#include <errno.h>
#include <string.h>

#include "base/crash.h"
#include "base/util.h"
#include "vhost/chain.h"
#include "vhost/inflight_split.h"

#define SIZE_MAX_SPLIT 32768

static __virtio16 *used_event(const struct ring *r)
{
	return &r->split.avail->ring[r->size];
}

/* Behind the last used entry. */
static __virtio16 *avail_event(const struct ring *r)
{
	return (__virtio16 *)(void *)&r->split.used->ring[r->size];
}

/* Where entry @i of the available or used ring lies: the size is 2^n. */
static unsigned entry(const struct ring *r, uint16_t i)
{
	return i & (r->size - 1);
}

int split_locate(struct ring *r, const struct ring_addr *a)
{
	uint64_t event = r->event_idx ? sizeof(__virtio16) : 0;
	uint64_t size = r->size;

	r->split.desc = NULL;
	r->split.avail = NULL;
	r->split.used = NULL;
	if (!is_power_of_two(size) || size > SIZE_MAX_SPLIT) {
		ring_refuse(r, "size of a split ring: %u", r->size);
		return -EINVAL;
	}

	void *desc = memmap_uva(r->map, a->desc, size * sizeof(*r->split.desc));
	void *avail =
		memmap_uva(r->map, a->avail,
			   sizeof(*r->split.avail) +
				   size * sizeof(r->split.avail->ring[0]) +
				   event);
	void *used = memmap_uva(r->map, a->used,
				sizeof(*r->split.used) +
					size * sizeof(r->split.used->ring[0]) +
					event);

	if (!desc || !avail || !used) {
		ring_refuse(r, "%s is not in guest memory",
			    !desc    ? "descriptor table"
			    : !avail ? "available ring"
				     : "used ring");
		return -EFAULT;
	}
	if (!is_aligned((uintptr_t)desc, VRING_DESC_ALIGN_SIZE) ||
	    !is_aligned((uintptr_t)avail, VRING_AVAIL_ALIGN_SIZE) ||
	    !is_aligned((uintptr_t)used, VRING_USED_ALIGN_SIZE)) {
		ring_refuse(r, "ring is not aligned");
		return -EINVAL;
	}
	r->split.desc = desc;
	r->split.avail = avail;
	r->split.used = used;
	return 0;
}

/* What a predecessor took was not given back, so it cannot be taken anew. */
static void set_found_taken(struct ring *r)
{
	const struct inflight *f = &r->inflight;

	ring_set_all_free(r);
	for (unsigned i = 0; i < f->nr_found; i++)
		ring_set_taken(r, f->found[i].index);
}

int split_restore(struct ring *r, int64_t base,
		  const struct inflight_part *part)
{
	/* Whoever served the ring before us announced what he had used. */
	uint16_t used = ring_load(&r->split.used->idx, memory_order_acquire);
	uint16_t avail = ring_load(&r->split.avail->idx, memory_order_acquire);
	int ret;

	if (base > UINT16_MAX) {
		ring_refuse(r, "0x%llx is no index into a split ring",
			    (unsigned long long)base);
		return -EINVAL;
	}
	ret = inflight_split_start(&r->inflight, part, used, avail);
	if (ret < 0) {
		ring_refuse(r, "%s", r->inflight.why);
		return ret;
	}
	r->split.last_used = used;
	r->split.published = used;
	r->split.last_avail = base < 0 ? used : base;
	if (ret)
		r->split.last_avail = used + r->inflight.nr_found;
	r->split.seen_avail = r->split.last_avail;
	r->why[0] = '\0';
	set_found_taken(r);
	return 0;
}

uint32_t split_base(const struct ring *r)
{
	return r->split.last_avail;
}

bool split_is_fresh(const struct ring *r)
{
	return !r->split.published;
}

/* A walk of more steps than the ring has descriptors has met a loop. */
static int walk(struct chain_walk *w, unsigned i)
{
	struct ring *r = w->r;

	for (unsigned steps = 0; steps < r->size; steps++) {
		struct desc d = desc_of_split(&r->split.desc[i]);
		int err = chain_add(w, &d);

		if (err || d.flags & VRING_DESC_F_INDIRECT ||
		    !(d.flags & VRING_DESC_F_NEXT))
			return err;
		i = d.next;
		if (i >= r->size)
			return ring_refuse(r, "descriptor %u in a ring of %u",
					   i, r->size);
	}
	return ring_refuse(r, "chain is longer than the ring of %u", r->size);
}

/* How many entries are there to take?  Breaks the rules: negative. */
static int look(struct ring *r)
{
	uint16_t n;

	if (r->split.seen_avail == r->split.last_avail) {
		/*
		 * Entries and descriptors come after the index that announces
		 * them.  Pairs with the driver's write barrier before it
		 * stores the index (virtio, "Updating idx").
		 */
		r->split.seen_avail =
			ring_load(&r->split.avail->idx, memory_order_acquire);
	}
	n = r->split.seen_avail - r->split.last_avail;
	if (n <= r->size)
		return n;

	/* Look again if we are asked again, though that will not help. */
	uint16_t idx = r->split.seen_avail;

	r->split.seen_avail = r->split.last_avail;
	return ring_refuse(r, "available index %u after %u in a ring of %u",
			   idx, r->split.last_avail, r->size);
}

static int take(struct ring *r, struct chain *c, unsigned head)
{
	struct chain_walk w;
	int err;

	chain_begin(&w, r, c);
	c->id = head;
	err = walk(&w, head);
	if (!err)
		chain_end(&w);
	return err;
}

/* Once more what a predecessor took. */
static int pop_found(struct ring *r, struct chain *c)
{
	struct inflight *f = &r->inflight;
	int err = take(r, c, inflight_take_found(f)->index);

	c->again = true;
	if (err)
		inflight_untake_found(f);
	return err ? err : 1;
}

/* The first descriptor of the chain that comes @ahead of the next one. */
static const struct vring_desc *coming_desc(const struct ring *r,
					    uint16_t ahead)
{
	unsigned i = entry(r, r->split.last_avail + ahead);
	unsigned head =
		ring_load(&r->split.avail->ring[i], memory_order_relaxed);

	return &r->split.desc[entry(r, head)];
}

/* Of @n chains that are there, have the next ones on their way to us. */
static void prefetch(const struct ring *r, int n)
{
	if (n > 2)
		__builtin_prefetch(coming_desc(r, 2));
	if (n > 1)
		chain_prefetch(r, coming_desc(r, 1)->addr);
}

int split_pop(struct ring *r, struct chain *c)
{
	int n;

	if (unlikely(inflight_has_found(&r->inflight)))
		return pop_found(r, c);
	n = look(r);
	if (n <= 0)
		return n;

	unsigned head =
		ring_load(&r->split.avail->ring[entry(r, r->split.last_avail)],
			  memory_order_relaxed);

	if (head >= r->size)
		return ring_refuse(r, "head %u in a ring of %u", head, r->size);
	if (ring_is_taken(r, head))
		return ring_refuse(r, "head %u is in flight already", head);

	prefetch(r, n);
	n = take(r, c, head);
	if (n)
		return n;
	ring_set_taken(r, head);
	r->split.last_avail++;
	inflight_split_take(&r->inflight, head);
	return 1;
}

void split_unpop(struct ring *r, const struct chain *c)
{
	if (c->again) {
		inflight_untake_found(&r->inflight);
		return;
	}
	ring_set_free(r, c->id);
	r->split.last_avail--;
	inflight_split_untake(&r->inflight, c->id);
}

void split_push(struct ring *r, const struct chain *c, uint32_t len)
{
	struct vring_used_elem *e =
		&r->split.used->ring[entry(r, r->split.last_used++)];

	e->id = htole32(c->id);
	e->len = htole32(len);
	inflight_split_used(&r->inflight, c->id);
}

/* Does the driver want a call for used entries @old to @new? */
static bool wants_call(const struct ring *r, uint16_t old, uint16_t new)
{
	if (r->event_idx)
		return vring_need_event(ring_load(used_event(r),
						  memory_order_seq_cst),
					new, old);
	return !(ring_load(&r->split.avail->flags, memory_order_seq_cst) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

/* Only now the driver may make their heads available again. */
static void set_batch_free(struct ring *r)
{
	const struct inflight *f = &r->inflight;

	for (unsigned i = 0; i < f->nr_batch; i++)
		ring_set_free(r, f->batch[i]);
}

bool split_publish(struct ring *r)
{
	uint16_t old = r->split.published;
	uint16_t new = r->split.last_used;

	if (old == new)
		return false;
	CRASH_POINT(PUBLISH_BEFORE);
	/*
	 * Used entries and the data they announce come before the index.
	 * Pairs with the driver's read barrier after it loads the index
	 * (virtio, "Receiving Used Buffers From The Device").
	 *
	 * And the index is out before wants_call() looks, so both are seq_cst:
	 * pairs with the driver's full barrier between asking for calls and
	 * looking at the index once more.  One of us sees the other.
	 */
	ring_store(&r->split.used->idx, new, memory_order_seq_cst);
	CRASH_POINT(PUBLISH_SHOWN);
	set_batch_free(r);
	inflight_split_published(&r->inflight, new);
	r->split.published = new;
	return wants_call(r, old, new);
}

bool split_arm(struct ring *r)
{
	/*
	 * The wish is out before we look once more, so both are seq_cst: pairs
	 * with the driver's full barrier between storing the available index
	 * and reading the wish.  One of us sees the other.
	 */
	if (r->event_idx)
		ring_store(avail_event(r), r->split.last_avail,
			   memory_order_seq_cst);
	else
		ring_store(&r->split.used->flags, 0, memory_order_seq_cst);
	return ring_load(&r->split.avail->idx, memory_order_seq_cst) !=
	       r->split.last_avail;
}

void split_disarm(struct ring *r)
{
	/*
	 * With event indices the wish is for one that the driver has passed: it
	 * kicks when it passes that again, a wrap later.
	 */
	if (r->event_idx)
		ring_store(avail_event(r), r->split.last_avail - 1,
			   memory_order_relaxed);
	else
		ring_store(&r->split.used->flags, VRING_USED_F_NO_NOTIFY,
			   memory_order_relaxed);
}

bool split_has_work(const struct ring *r)
{
	return ring_load(&r->split.avail->idx, memory_order_relaxed) !=
	       r->split.last_avail;
}

unsigned split_pending(const struct ring *r)
{
	return (uint16_t)(ring_load(&r->split.avail->idx,
				    memory_order_relaxed) -
			  r->split.last_avail);
}
