/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a virtqueue, as a guest kernel would run it. */
#include "guestring.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define INDIRECT_DEFAULT 16
#define SIZE_MAX_SPLIT	 32768
#define CACHE_LINE	 64

static int alloc_notes(struct guestring *r, unsigned size)
{
	r->bufs = calloc(size, sizeof(*r->bufs));
	r->link = calloc(size, sizeof(*r->link));
	return r->bufs && r->link ? 0 : -ENOMEM;
}

static int alloc_memory(struct guestring *r, unsigned size)
{
	/* Each ring has one more u16, for the event index. */
	size_t avail = sizeof(struct vring_avail) + 2 * (size + 1);
	size_t used = sizeof(struct vring_used) +
		      size * sizeof(struct vring_used_elem) + 2;
	size_t table = r->indirect_max * sizeof(struct vring_desc);

	r->vring.num = size;
	r->vring.desc = guestmem_alloc(r->mem, size * sizeof(struct vring_desc),
				       CACHE_LINE);
	r->vring.avail = guestmem_alloc(r->mem, avail, CACHE_LINE);
	r->vring.used = guestmem_alloc(r->mem, used, CACHE_LINE);
	if (!r->vring.desc || !r->vring.avail || !r->vring.used)
		return -ENOMEM;
	if (!r->indirect)
		return 0;
	r->tables = guestmem_alloc(r->mem, size * table, CACHE_LINE);
	return r->tables ? 0 : -ENOMEM;
}

int guestring_init(struct guestring *r, struct guestmem *mem,
		   const struct guestring_params *p)
{
	int ret;

	memset(r, 0, sizeof(*r));
	if (!is_power_of_two(p->size) || p->size > SIZE_MAX_SPLIT)
		return -EINVAL;
	r->mem = mem;
	r->indirect = p->indirect;
	r->event_idx = p->event_idx;
	r->indirect_max = p->indirect_max ? p->indirect_max : INDIRECT_DEFAULT;
	ret = alloc_memory(r, p->size);
	if (!ret)
		ret = alloc_notes(r, p->size);
	if (ret) {
		guestring_fini(r);
		return ret;
	}
	for (unsigned i = 0; i < p->size; i++)
		r->link[i] = (uint16_t)(i + 1);
	r->nr_free = p->size;
	guestring_reset(r);
	return 0;
}

void guestring_fini(struct guestring *r)
{
	free(r->bufs);
	free(r->link);
	r->bufs = NULL;
	r->link = NULL;
}

void guestring_reset(struct guestring *r)
{
	size_t elems = r->vring.num * sizeof(struct vring_used_elem);

	r->avail_idx = 0;
	r->published_idx = 0;
	r->used_idx = 0;
	r->in_flight = 0;
	memset(r->vring.avail, 0, sizeof(*r->vring.avail));
	memset(r->vring.used, 0, sizeof(*r->vring.used) + elems + 2);
	vring_used_event(&r->vring) = 0;
	for (unsigned i = 0; i < r->vring.num; i++) {
		struct guestring_buf *b = &r->bufs[i];

		if (b->posted && b->once)
			guestring_release(r, i);
		b->posted = false;
	}
}

int guestring_prepare(struct guestring *r, unsigned nr_segs)
{
	unsigned need = r->indirect && nr_segs > 1 ? 1 : nr_segs;
	unsigned head = r->free_head;
	unsigned last = head;

	if (r->indirect && nr_segs > r->indirect_max)
		return -E2BIG;
	if (!need || need > r->nr_free)
		return -ENOSPC;
	for (unsigned i = 1; i < need; i++)
		last = r->link[last];
	r->free_head = r->link[last];
	r->nr_free -= need;
	r->bufs[head] = (struct guestring_buf){
		.capacity = (uint16_t)need,
		.owned = true,
	};
	return (int)head;
}

static void set_desc(struct vring_desc *d, const struct guestring_seg *s)
{
	d->addr = htole64(s->gpa);
	d->len = htole32(s->len);
	d->flags = htole16(s->device_writes ? VRING_DESC_F_WRITE : 0);
	d->next = 0;
}

static void chain_to(struct vring_desc *d, unsigned next)
{
	d->flags |= htole16(VRING_DESC_F_NEXT);
	d->next = htole16((uint16_t)next);
}

static void fill_table(struct guestring *r, unsigned id,
		       const struct guestring_seg *segs, unsigned nr_segs)
{
	struct vring_desc *table = &r->tables[id * r->indirect_max];
	struct vring_desc *d = &r->vring.desc[id];

	for (unsigned i = 0; i < nr_segs; i++) {
		set_desc(&table[i], &segs[i]);
		if (i + 1 < nr_segs)
			chain_to(&table[i], i + 1);
	}
	d->addr = htole64(guestmem_gpa(r->mem, table));
	d->len = htole32((uint32_t)(nr_segs * sizeof(*table)));
	d->flags = htole16(VRING_DESC_F_INDIRECT);
	d->next = 0;
}

static void fill_chain(struct guestring *r, unsigned id,
		       const struct guestring_seg *segs, unsigned nr_segs)
{
	for (unsigned i = 0; i < nr_segs; i++) {
		set_desc(&r->vring.desc[id], &segs[i]);
		if (i + 1 < nr_segs)
			chain_to(&r->vring.desc[id], r->link[id]);
		id = r->link[id];
	}
}

int guestring_fill(struct guestring *r, unsigned id,
		   const struct guestring_seg *segs, unsigned nr_segs)
{
	assert(r->bufs[id].owned && !r->bufs[id].posted);
	if (!nr_segs)
		return -EINVAL;
	if (r->indirect && nr_segs > 1) {
		if (nr_segs > r->indirect_max)
			return -E2BIG;
		fill_table(r, id, segs, nr_segs);
		return 0;
	}
	if (nr_segs > r->bufs[id].capacity)
		return -E2BIG;
	fill_chain(r, id, segs, nr_segs);
	return 0;
}

void guestring_post_raw(struct guestring *r, uint16_t head)
{
	r->vring.avail->ring[r->avail_idx & (r->vring.num - 1)] = htole16(head);
	r->avail_idx++;
}

void guestring_post(struct guestring *r, unsigned id, void *token)
{
	struct guestring_buf *b = &r->bufs[id];

	b->token = token;
	b->posted = true;
	r->in_flight++;
	guestring_post_raw(r, (uint16_t)id);
}

void guestring_release(struct guestring *r, unsigned id)
{
	struct guestring_buf *b = &r->bufs[id];
	unsigned last = id;

	for (unsigned i = 1; i < b->capacity; i++)
		last = r->link[last];
	r->link[last] = r->free_head;
	r->free_head = (uint16_t)id;
	r->nr_free += b->capacity;
	b->owned = false;
	b->once = false;
}

int guestring_add(struct guestring *r, const struct guestring_seg *segs,
		  unsigned nr_segs, void *token)
{
	int id = guestring_prepare(r, nr_segs);

	if (id < 0)
		return id;
	guestring_fill(r, (unsigned)id, segs, nr_segs);
	r->bufs[id].once = true;
	guestring_post(r, (unsigned)id, token);
	return id;
}

static _Atomic uint16_t *shared(__virtio16 *p)
{
	return (_Atomic uint16_t *)p;
}

bool guestring_publish(struct guestring *r)
{
	uint16_t old = r->published_idx;
	uint16_t new = r->avail_idx;
	uint16_t event;

	if (old == new)
		return false;
	/* What was posted must be seen before the index that announces it. */
	atomic_store_explicit(shared(&r->vring.avail->idx), htole16(new),
			      memory_order_release);
	r->published_idx = new;
	/*
	 * The index must be out before we look whether a kick is wanted: the
	 * device asks for kicks, then looks at the index again.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (!r->event_idx)
		return !(le16toh(r->vring.used->flags) &
			 VRING_USED_F_NO_NOTIFY);
	event = le16toh(
		atomic_load_explicit(shared(&vring_avail_event(&r->vring)),
				     memory_order_relaxed));
	return vring_need_event(event, new, old);
}

static bool has_used(const struct guestring *r)
{
	/* Pairs with the device's release store of the index. */
	return le16toh(atomic_load_explicit(shared(&r->vring.used->idx),
					    memory_order_acquire)) !=
	       r->used_idx;
}

int guestring_pop(struct guestring *r, struct guestring_used *u)
{
	const struct vring_used_elem *e;
	struct guestring_buf *b;

	if (!has_used(r))
		return 0;
	e = &r->vring.used->ring[r->used_idx & (r->vring.num - 1)];
	u->id = le32toh(e->id);
	u->len = le32toh(e->len);
	if (u->id >= r->vring.num || !r->bufs[u->id].posted)
		return -EPROTO;
	b = &r->bufs[u->id];
	u->token = b->token;
	b->posted = false;
	r->used_idx++;
	r->in_flight--;
	if (b->once)
		guestring_release(r, u->id);
	return 1;
}

bool guestring_arm(struct guestring *r)
{
	if (r->event_idx)
		vring_used_event(&r->vring) = htole16(r->used_idx);
	r->vring.avail->flags = 0;
	/* The wish must be out before the last look at the used index. */
	atomic_thread_fence(memory_order_seq_cst);
	return has_used(r);
}

void guestring_disarm(struct guestring *r)
{
	/* With an event index the flag must stay 0: name one long past. */
	if (r->event_idx)
		vring_used_event(&r->vring) = htole16(r->used_idx - 1);
	else
		r->vring.avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
}
