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
#define RING_SIZE_MAX	 32768
#define CACHE_LINE	 64

#define BIT_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define BIT_USED  (1u << VRING_PACKED_DESC_F_USED)

/* Tables of both formats are as long. */
_Static_assert(sizeof(struct vring_desc) == sizeof(struct vring_packed_desc),
	       "descriptors");

static _Atomic uint16_t *shared(void *p)
{
	return p;
}

/* -- making --------------------------------------------------------------- */

static int alloc_notes(struct guestring *r)
{
	r->bufs = calloc(r->size, sizeof(*r->bufs));
	r->link = calloc(r->size, sizeof(*r->link));
	if (r->packed)
		r->shadow = calloc(r->size, sizeof(*r->shadow));
	return r->bufs && r->link && (r->shadow || !r->packed) ? 0 : -ENOMEM;
}

static int alloc_split(struct guestring *r)
{
	unsigned size = r->size;
	/* Each ring has one more u16, for the event index. */
	size_t avail = sizeof(struct vring_avail) + 2 * (size + 1);
	size_t used = sizeof(struct vring_used) +
		      size * sizeof(struct vring_used_elem) + 2;

	r->vring.num = size;
	r->vring.desc = guestmem_alloc(r->mem, size * sizeof(struct vring_desc),
				       CACHE_LINE);
	r->vring.avail = guestmem_alloc(r->mem, avail, CACHE_LINE);
	r->vring.used = guestmem_alloc(r->mem, used, CACHE_LINE);
	return r->vring.desc && r->vring.avail && r->vring.used ? 0 : -ENOMEM;
}

static int alloc_packed(struct guestring *r)
{
	size_t event = sizeof(struct vring_packed_desc_event);

	r->pvring.desc =
		guestmem_alloc(r->mem,
			       r->size * sizeof(struct vring_packed_desc),
			       CACHE_LINE);
	r->pvring.driver_event = guestmem_alloc(r->mem, event, CACHE_LINE);
	r->pvring.device_event = guestmem_alloc(r->mem, event, CACHE_LINE);
	return r->pvring.desc && r->pvring.driver_event &&
			       r->pvring.device_event
		       ? 0
		       : -ENOMEM;
}

static size_t table_size(const struct guestring *r)
{
	return r->indirect_max * sizeof(struct vring_desc);
}

static int alloc_memory(struct guestring *r)
{
	int ret = r->packed ? alloc_packed(r) : alloc_split(r);

	if (ret || !r->indirect)
		return ret;
	r->tables = guestmem_alloc(r->mem, r->size * table_size(r), CACHE_LINE);
	return r->tables ? 0 : -ENOMEM;
}

int guestring_init(struct guestring *r, struct guestmem *mem,
		   const struct guestring_params *p)
{
	int ret;

	memset(r, 0, sizeof(*r));
	if (!p->size || p->size > RING_SIZE_MAX ||
	    (!p->packed && !is_power_of_two(p->size)))
		return -EINVAL;
	r->mem = mem;
	r->size = p->size;
	r->packed = p->packed;
	r->indirect = p->indirect;
	r->event_idx = p->event_idx;
	r->indirect_max = p->indirect_max ? p->indirect_max : INDIRECT_DEFAULT;
	ret = alloc_memory(r);
	if (!ret)
		ret = alloc_notes(r);
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
	free(r->shadow);
	r->bufs = NULL;
	r->link = NULL;
	r->shadow = NULL;
}

static void reset_split(struct guestring *r)
{
	size_t elems = r->size * sizeof(struct vring_used_elem);

	r->avail_idx = 0;
	r->published_idx = 0;
	r->used_idx = 0;
	memset(r->vring.avail, 0, sizeof(*r->vring.avail));
	memset(r->vring.used, 0, sizeof(*r->vring.used) + elems + 2);
	vring_used_event(&r->vring) = 0;
}

static void reset_packed(struct guestring *r)
{
	r->next_avail = (struct guestring_pos){.wrap = true};
	r->next_used = (struct guestring_pos){.wrap = true};
	r->nr_unpublished = 0;
	memset(r->pvring.desc, 0, r->size * sizeof(*r->pvring.desc));
	memset(r->pvring.driver_event, 0, sizeof(*r->pvring.driver_event));
	memset(r->pvring.device_event, 0, sizeof(*r->pvring.device_event));
}

void guestring_reset(struct guestring *r)
{
	if (r->packed)
		reset_packed(r);
	else
		reset_split(r);
	r->in_flight = 0;
	for (unsigned i = 0; i < r->size; i++) {
		struct guestring_buf *b = &r->bufs[i];

		if (b->posted && b->once)
			guestring_release(r, i);
		b->posted = false;
	}
}

uint32_t guestring_base(const struct guestring *r)
{
	uint32_t pos = r->next_used.idx | (uint32_t)r->next_used.wrap << 15;

	return r->packed ? pos | pos << 16 : r->used_idx;
}

void guestring_areas(const struct guestring *r, const void **desc,
		     const void **device, const void **driver)
{
	*desc = r->packed ? (void *)r->pvring.desc : r->vring.desc;
	*device = r->packed ? (void *)r->pvring.device_event : r->vring.used;
	*driver = r->packed ? (void *)r->pvring.driver_event : r->vring.avail;
}

/* -- buffers -------------------------------------------------------------- */

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

static void fill_split_table(struct vring_desc *table,
			     const struct guestring_seg *segs, unsigned nr_segs)
{
	for (unsigned i = 0; i < nr_segs; i++) {
		set_desc(&table[i], &segs[i]);
		if (i + 1 < nr_segs)
			chain_to(&table[i], i + 1);
	}
}

/* Here the order is the chain. */
static void fill_packed_table(struct vring_packed_desc *table,
			      const struct guestring_seg *segs,
			      unsigned nr_segs)
{
	for (unsigned i = 0; i < nr_segs; i++)
		table[i] = (struct vring_packed_desc){
			.addr = htole64(segs[i].gpa),
			.len = htole32(segs[i].len),
			.flags = htole16(
				segs[i].device_writes ? VRING_DESC_F_WRITE : 0),
		};
}

static void fill_table(struct guestring *r, unsigned id, struct vring_desc *d,
		       const struct guestring_seg *segs, unsigned nr_segs)
{
	void *table = r->tables + id * table_size(r);

	if (r->packed)
		fill_packed_table(table, segs, nr_segs);
	else
		fill_split_table(table, segs, nr_segs);
	d->addr = htole64(guestmem_gpa(r->mem, table));
	d->len = htole32((uint32_t)(nr_segs * sizeof(*d)));
	d->flags = htole16(VRING_DESC_F_INDIRECT);
	d->next = 0;
}

int guestring_fill(struct guestring *r, unsigned id,
		   const struct guestring_seg *segs, unsigned nr_segs)
{
	struct vring_desc *descs = r->packed ? r->shadow : r->vring.desc;
	bool table = r->indirect && nr_segs > 1;

	assert(r->bufs[id].owned && !r->bufs[id].posted);
	if (!nr_segs)
		return -EINVAL;
	if (nr_segs > (table ? r->indirect_max : r->bufs[id].capacity))
		return -E2BIG;
	if (table) {
		fill_table(r, id, &descs[id], segs, nr_segs);
		return 0;
	}
	for (unsigned i = 0; i < nr_segs; i++) {
		set_desc(&descs[id], &segs[i]);
		if (i + 1 < nr_segs)
			chain_to(&descs[id], r->link[id]);
		id = r->link[id];
	}
	return 0;
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

/* -- the split ring ------------------------------------------------------- */

void guestring_post_raw(struct guestring *r, uint16_t head)
{
	r->vring.avail->ring[r->avail_idx & (r->size - 1)] = htole16(head);
	r->avail_idx++;
}

static bool publish_split(struct guestring *r)
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

static bool has_used_split(const struct guestring *r)
{
	/* Pairs with the device's release store of the index. */
	return le16toh(atomic_load_explicit(shared(&r->vring.used->idx),
					    memory_order_acquire)) !=
	       r->used_idx;
}

static void arm_split(struct guestring *r)
{
	if (r->event_idx)
		vring_used_event(&r->vring) = htole16(r->used_idx);
	r->vring.avail->flags = 0;
}

static void disarm_split(struct guestring *r)
{
	/* With an event index the flag must stay 0: name one long past. */
	if (r->event_idx)
		vring_used_event(&r->vring) = htole16(r->used_idx - 1);
	else
		r->vring.avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
}

/* -- the packed ring ------------------------------------------------------ */

static void advance(const struct guestring *r, struct guestring_pos *pos,
		    unsigned n)
{
	unsigned idx = pos->idx + n;

	if (idx >= r->size) {
		idx -= r->size;
		pos->wrap = !pos->wrap;
	}
	pos->idx = (uint16_t)idx;
}

/*
 * Writes the next descriptor.  The flags of the first one since the last
 * publish are held back, which hides all that follow.
 */
static void put_packed(struct guestring *r,
		       const struct vring_packed_desc *from)
{
	struct vring_packed_desc *d = &r->pvring.desc[r->next_avail.idx];
	uint16_t flags = le16toh(from->flags) & ~(BIT_AVAIL | BIT_USED);

	flags |= r->next_avail.wrap ? BIT_AVAIL : BIT_USED;
	d->addr = from->addr;
	d->len = from->len;
	d->id = from->id;
	if (r->nr_unpublished++) {
		d->flags = htole16(flags);
	} else {
		r->first_unpublished = r->next_avail.idx;
		r->first_flags = flags;
	}
	advance(r, &r->next_avail, 1);
}

void guestring_post_raw_packed(struct guestring *r,
			       const struct vring_packed_desc *descs,
			       unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_packed(r, &descs[i]);
}

static void post_packed(struct guestring *r, unsigned id)
{
	const struct vring_desc *d = &r->shadow[id];
	unsigned n = 1;

	for (;; n++) {
		put_packed(r, &(struct vring_packed_desc){
				      .addr = d->addr,
				      .len = d->len,
				      .id = htole16((uint16_t)id),
				      .flags = d->flags,
			      });
		if (!(le16toh(d->flags) & VRING_DESC_F_NEXT))
			break;
		d = &r->shadow[le16toh(d->next)];
	}
	r->bufs[id].posted_descs = (uint16_t)n;
}

static bool publish_packed(struct guestring *r)
{
	uint16_t new = r->next_avail.idx;
	uint16_t old = new - r->nr_unpublished;
	uint16_t flags, off_wrap, event;

	if (!r->nr_unpublished)
		return false;
	/* All that was posted must be seen before this makes it available. */
	atomic_store_explicit(
		shared(&r->pvring.desc[r->first_unpublished].flags),
		htole16(r->first_flags), memory_order_release);
	r->nr_unpublished = 0;
	/* As in the split ring: first out, then look whether it is wanted. */
	atomic_thread_fence(memory_order_seq_cst);
	flags = le16toh(
		atomic_load_explicit(shared(&r->pvring.device_event->flags),
				     memory_order_relaxed));
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	off_wrap = le16toh(
		atomic_load_explicit(shared(&r->pvring.device_event->off_wrap),
				     memory_order_relaxed));
	event = off_wrap & 0x7fff;
	/* An event of the round before lies a whole ring behind. */
	if (off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR != r->next_avail.wrap)
		event -= r->size;
	return vring_need_event(event, new, old);
}

static bool has_used_packed(const struct guestring *r)
{
	/* Pairs with the device's release store of the flags. */
	uint16_t flags = le16toh(atomic_load_explicit(
		shared(&r->pvring.desc[r->next_used.idx].flags),
		memory_order_acquire));

	return !!(flags & BIT_AVAIL) == r->next_used.wrap &&
	       !!(flags & BIT_USED) == r->next_used.wrap;
}

static void arm_packed(struct guestring *r)
{
	struct vring_packed_desc_event *e = r->pvring.driver_event;
	uint16_t wrap = r->next_used.wrap ? 0x8000 : 0;

	if (!r->event_idx) {
		e->flags = htole16(VRING_PACKED_EVENT_FLAG_ENABLE);
		return;
	}
	e->off_wrap = htole16(r->next_used.idx | wrap);
	/* The place must be there before the flag that refers to it. */
	atomic_store_explicit(shared(&e->flags),
			      htole16(VRING_PACKED_EVENT_FLAG_DESC),
			      memory_order_release);
}

/* -- either ring ---------------------------------------------------------- */

void guestring_post(struct guestring *r, unsigned id, void *token)
{
	struct guestring_buf *b = &r->bufs[id];

	b->token = token;
	b->posted = true;
	r->in_flight++;
	if (r->packed)
		post_packed(r, id);
	else
		guestring_post_raw(r, (uint16_t)id);
}

bool guestring_publish(struct guestring *r)
{
	return r->packed ? publish_packed(r) : publish_split(r);
}

static bool has_used(const struct guestring *r)
{
	return r->packed ? has_used_packed(r) : has_used_split(r);
}

/* Reads what the device gave back, which may be anything. */
static void read_used(const struct guestring *r, struct guestring_used *u)
{
	if (r->packed) {
		const struct vring_packed_desc *d =
			&r->pvring.desc[r->next_used.idx];

		u->id = le16toh(d->id);
		u->len = le32toh(d->len);
	} else {
		const struct vring_used_elem *e =
			&r->vring.used->ring[r->used_idx & (r->size - 1)];

		u->id = le32toh(e->id);
		u->len = le32toh(e->len);
	}
}

int guestring_pop(struct guestring *r, struct guestring_used *u)
{
	struct guestring_buf *b;

	if (!has_used(r))
		return 0;
	read_used(r, u);
	if (u->id >= r->size || !r->bufs[u->id].posted)
		return -EPROTO;
	b = &r->bufs[u->id];
	if (r->packed)
		advance(r, &r->next_used, b->posted_descs);
	else
		r->used_idx++;
	u->token = b->token;
	b->posted = false;
	r->in_flight--;
	if (b->once)
		guestring_release(r, u->id);
	return 1;
}

bool guestring_arm(struct guestring *r)
{
	if (r->packed)
		arm_packed(r);
	else
		arm_split(r);
	/* The wish must be out before the last look at the ring. */
	atomic_thread_fence(memory_order_seq_cst);
	return has_used(r);
}

void guestring_disarm(struct guestring *r)
{
	if (r->packed)
		r->pvring.driver_event->flags =
			htole16(VRING_PACKED_EVENT_FLAG_DISABLE);
	else
		disarm_split(r);
}
