/* SPDX-License-Identifier: BSD-2-Clause */
/* The packed ring of virtio: pop, push, publish, arm, restore. */
#include "vhost/packed.h"

#include <errno.h>
#include <string.h>

#include "base/crash.h"
#include "base/util.h"
#include "vhost/chain.h"
#include "vhost/inflight_packed.h"
#include "vhost/packed_flags.h"

#define SIZE_MAX_PACKED 32768

/* An index with its wrap counter, as in event areas and SET_VRING_BASE. */
#define WRAP_BIT (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

static uint16_t pack_pos(struct ring_pos pos)
{
	return pos.idx | (pos.wrap ? WRAP_BIT : 0);
}

static struct ring_pos unpack_pos(uint16_t word)
{
	return (struct ring_pos){.idx = word & (WRAP_BIT - 1),
				 .wrap = word & WRAP_BIT};
}

/* The place @n further, which is at most the ring's size. */
static struct ring_pos after(const struct ring *r, struct ring_pos pos,
			     unsigned n)
{
	unsigned idx = pos.idx + n;

	if (idx >= r->size) {
		idx -= r->size;
		pos.wrap = !pos.wrap;
	}
	pos.idx = idx;
	return pos;
}

static struct ring_pos before(const struct ring *r, struct ring_pos pos,
			      unsigned n)
{
	pos = after(r, pos, r->size - n);
	pos.wrap = !pos.wrap;
	return pos;
}

static uint16_t load_flags(const struct ring *r, struct ring_pos at,
			   memory_order order)
{
	return ring_load(&r->packed.desc[at.idx].flags, order);
}

int packed_locate(struct ring *r, const struct ring_addr *a)
{
	struct ring_packed *p = &r->packed;

	p->desc = NULL;
	p->driver = NULL;
	p->device = NULL;
	if (!r->size || r->size > SIZE_MAX_PACKED) {
		ring_refuse(r, "size of a packed ring: %u", r->size);
		return -EINVAL;
	}

	void *desc = memmap_uva(r->map, a->desc, r->size * sizeof(*p->desc));
	void *driver = memmap_uva(r->map, a->avail, sizeof(*p->driver));
	void *device = memmap_uva(r->map, a->used, sizeof(*p->device));

	if (!desc || !driver || !device) {
		ring_refuse(r, "%s is not in guest memory",
			    !desc     ? "descriptor ring"
			    : !driver ? "driver event area"
				      : "device event area");
		return -EFAULT;
	}
	if (!is_aligned((uintptr_t)desc, sizeof(*p->desc)) ||
	    !is_aligned((uintptr_t)driver, sizeof(*p->driver)) ||
	    !is_aligned((uintptr_t)device, sizeof(*p->device))) {
		ring_refuse(r, "ring is not aligned");
		return -EINVAL;
	}
	p->desc = desc;
	p->driver = driver;
	p->device = device;
	return 0;
}

/* The buffer's id is in the last descriptor. */
static const struct inflight_desc *last_desc(const struct inflight *f,
					     const struct inflight_found *found)
{
	return &f->descs[found->first + f->links[found->index].num - 1];
}

/* What a predecessor took was not given back, so it cannot be taken anew. */
static void set_found_taken(struct ring *r)
{
	const struct inflight *f = &r->inflight;

	ring_set_all_free(r);
	for (unsigned i = 0; i < f->nr_found; i++)
		ring_set_taken(r, last_desc(f, &f->found[i])->id);
}

int packed_restore(struct ring *r, int64_t base,
		   const struct inflight_part *part)
{
	struct ring_packed *p = &r->packed;
	struct inflight *f = &r->inflight;
	struct ring_pos at = unpack_pos(base < 0 ? WRAP_BIT : (uint16_t)base);
	int ret;

	if (at.idx >= r->size) {
		ring_refuse(r, "begins at descriptor %u in a ring of %u",
			    at.idx, r->size);
		return -EINVAL;
	}
	ret = inflight_packed_start(f, part, p->desc, at.idx, at.wrap);
	if (ret < 0) {
		ring_refuse(r, "%s", f->why);
		return ret;
	}
	p->used = (struct ring_pos){.idx = f->used_idx, .wrap = f->used_wrap};
	p->published = p->used;
	p->nr_held = r->size - f->nr_free;
	p->avail = after(r, p->used, p->nr_held);
	p->nr_pushed = 0;
	r->why[0] = '\0';
	set_found_taken(r);
	return 0;
}

uint32_t packed_base(const struct ring *r)
{
	return pack_pos(r->packed.avail) | (uint32_t)pack_pos(r->packed.used)
						   << 16;
}

/* A driver that is at it writes the flags of a chain's head last of all. */
#define MAX_UNFINISHED 1

bool packed_has_answers(const struct vring_packed_desc *desc, unsigned size)
{
	unsigned nr_unfinished = 0;

	for (unsigned i = 0; i < size; i++) {
		uint16_t flags =
			ring_load(&desc[i].flags, memory_order_relaxed);

		if (flags & PACKED_USED)
			return true;
		nr_unfinished += !(flags & PACKED_AVAIL) &&
				 (desc[i].addr || desc[i].len || desc[i].id);
	}
	return nr_unfinished > MAX_UNFINISHED;
}

bool packed_is_fresh(const struct ring *r)
{
	return pack_pos(r->packed.published) == WRAP_BIT;
}

/* Used ones will overwrite it. */
static bool note(struct ring *r, const struct desc *d)
{
	const struct inflight_desc copy = {
		.addr = d->addr,
		.len = d->len,
		.id = d->id,
		.flags = d->flags,
	};

	return inflight_packed_add(&r->inflight, &copy);
}

/*
 * The descriptors behind the first are available when that one is.  Those in
 * flight still have their places, so that a chain can take up no more than the
 * rest of the ring.
 */
static int walk(struct chain_walk *w)
{
	struct ring *r = w->r;
	struct chain *c = w->c;
	struct ring_pos at = r->packed.avail;
	struct desc d;
	int err;

	do {
		d = desc_of_packed(&r->packed.desc[at.idx]);
		if (!note(r, &d))
			return ring_refuse(r,
					   "chain is longer than what is free "
					   "in a ring of %u",
					   r->size);
		err = chain_add(w, &d);
		if (err)
			return err;
		at = after(r, at, 1);
	} while (d.flags & VRING_DESC_F_NEXT);

	if (d.id >= r->size)
		return ring_refuse(r, "buffer id %u in a ring of %u", d.id,
				   r->size);
	if (ring_is_taken(r, d.id))
		return ring_refuse(r, "buffer id %u is in flight already",
				   d.id);
	c->id = d.id;
	return 0;
}

/* Once more what a predecessor took, wherever its descriptors stood. */
static int pop_found(struct ring *r, struct chain *c)
{
	struct inflight *f = &r->inflight;
	const struct inflight_found *found = inflight_take_found(f);
	const struct inflight_desc *d = &f->descs[found->first];
	const struct inflight_desc *last = last_desc(f, found);
	struct chain_walk w;
	int err = 0;

	chain_begin(&w, r, c);
	c->again = true;
	c->entry = found->index;
	c->id = last->id;
	for (; !err && d <= last; d++)
		err = chain_add(&w, &(struct desc){.addr = d->addr,
						   .len = d->len,
						   .id = d->id,
						   .flags = d->flags});
	if (err) {
		inflight_untake_found(f);
		return err;
	}
	chain_end(&w);
	return 1;
}

int packed_pop(struct ring *r, struct chain *c)
{
	struct ring_packed *p = &r->packed;
	struct chain_walk w;
	int err;

	if (unlikely(inflight_has_found(&r->inflight)))
		return pop_found(r, c);
	/*
	 * The rest of the chain was written before the flags of its first
	 * descriptor.  Pairs with the driver's write barrier before it stores
	 * them (virtio, "Implementation Example").
	 */
	if (!packed_flags_available(load_flags(r, p->avail,
					       memory_order_acquire),
				    p->avail.wrap))
		return 0;
	chain_begin(&w, r, c);
	inflight_packed_begin(&r->inflight);
	err = walk(&w);
	if (err)
		return err;
	chain_end(&w);
	ring_set_taken(r, c->id);
	p->avail = after(r, p->avail, c->nr_desc);
	p->nr_held += c->nr_desc;
	c->entry = inflight_packed_commit(&r->inflight);
	/* Perhaps it is none yet, but to look costs more than to be wrong. */
	chain_prefetch(r, p->desc[p->avail.idx].addr);
	return 1;
}

void packed_unpop(struct ring *r, const struct chain *c)
{
	if (c->again) {
		inflight_untake_found(&r->inflight);
		return;
	}
	inflight_packed_untake(&r->inflight, c->entry);
	ring_set_free(r, c->id);
	r->packed.avail = before(r, r->packed.avail, c->nr_desc);
	r->packed.nr_held -= c->nr_desc;
}

static uint16_t used_flags(bool wrap, uint32_t len)
{
	return (wrap ? PACKED_AVAIL | PACKED_USED : 0) |
	       (len ? VRING_DESC_F_WRITE : 0);
}

void packed_push(struct ring *r, const struct chain *c, uint32_t len)
{
	struct ring_packed *p = &r->packed;
	struct vring_packed_desc *d = &p->desc[p->used.idx];
	uint16_t flags = used_flags(p->used.wrap, len);

	d->id = htole16(c->id);
	d->len = htole32(len);
	/* The driver reads the others after the first, which comes last. */
	if (p->nr_pushed)
		ring_store(&d->flags, flags, memory_order_relaxed);
	else
		p->first_flags = flags;
	p->used = after(r, p->used, c->nr_desc);
	p->nr_pushed += c->nr_desc;
	p->nr_held -= c->nr_desc;
	ring_set_free(r, c->id);
	inflight_packed_used(&r->inflight, c->entry);
}

/* Has the place that the driver waits for come among the last @nr? */
static bool has_passed(const struct ring *r, struct ring_pos event, unsigned nr)
{
	struct ring_pos now = r->packed.used;
	uint16_t at = event.idx;

	/* It counts from where we are, in which it may lie before the wrap. */
	if (event.wrap != now.wrap)
		at -= r->size;
	return vring_need_event(at, now.idx, now.idx - nr);
}

static bool wants_call(const struct ring *r, unsigned nr)
{
	const struct vring_packed_desc_event *e = r->packed.driver;
	uint16_t flags = ring_load(&e->flags, memory_order_seq_cst);

	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return true;
	/* Comes before the flags.  Pairs with the driver's barrier there. */
	return has_passed(r,
			  unpack_pos(ring_load(&e->off_wrap,
					       memory_order_relaxed)),
			  nr);
}

bool packed_publish(struct ring *r)
{
	struct ring_packed *p = &r->packed;
	unsigned nr = p->nr_pushed;

	if (!nr)
		return false;
	CRASH_POINT(PUBLISH_BEFORE);
	inflight_packed_publish(&r->inflight, p->used.idx, p->used.wrap);
	/*
	 * The other used descriptors and the data come before these flags.
	 * Pairs with the driver's read barrier after it loads them.
	 *
	 * And they are out before wants_call() looks, so both are seq_cst:
	 * pairs with the driver's full barrier between asking for calls and
	 * looking at the ring once more.  One of us sees the other.
	 */
	ring_store(&p->desc[p->published.idx].flags, p->first_flags,
		   memory_order_seq_cst);
	CRASH_POINT(PUBLISH_SHOWN);
	inflight_packed_published(&r->inflight);
	p->published = p->used;
	p->nr_pushed = 0;
	return wants_call(r, nr);
}

bool packed_arm(struct ring *r)
{
	struct ring_packed *p = &r->packed;
	uint16_t flags = VRING_PACKED_EVENT_FLAG_ENABLE;

	if (r->event_idx) {
		ring_store(&p->device->off_wrap, pack_pos(p->avail),
			   memory_order_relaxed);
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	}
	/*
	 * The wish is out before we look once more, so both are seq_cst: pairs
	 * with the driver's full barrier between making a descriptor available
	 * and reading the wish.  One of us sees the other.
	 */
	ring_store(&p->device->flags, flags, memory_order_seq_cst);
	return packed_flags_available(load_flags(r, p->avail,
						 memory_order_seq_cst),
				      p->avail.wrap);
}

void packed_disarm(struct ring *r)
{
	ring_store(&r->packed.device->flags, VRING_PACKED_EVENT_FLAG_DISABLE,
		   memory_order_relaxed);
}

bool packed_has_work(const struct ring *r)
{
	return packed_flags_available(load_flags(r, r->packed.avail,
						 memory_order_relaxed),
				      r->packed.avail.wrap);
}

unsigned packed_pending(const struct ring *r)
{
	struct ring_pos at = r->packed.avail;
	unsigned max = r->size - r->packed.nr_held;
	unsigned n = 0;

	while (n < max &&
	       packed_flags_available(load_flags(r, at, memory_order_relaxed),
				      at.wrap)) {
		at = after(r, at, 1);
		n++;
	}
	return n;
}
