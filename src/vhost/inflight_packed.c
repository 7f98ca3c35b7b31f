/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in flight of a packed ring: how its part is begun and resumed. */
#include "vhost/inflight_packed.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "vhost/packed_flags.h"

/* What is in the part, copied, as it may change at any moment. */
struct copy {
	unsigned nr_desc;
	struct vhost_user_inflight_packed_desc *desc;
	bool *seen;    /* entries of the free list, and of chains */
	uint64_t *ids; /* buffers in flight, as bits */
	/* The last field, as it ends with an array of no length. */
	struct vhost_user_inflight_packed head;
};

static void init_part(struct inflight *f, unsigned nr_desc)
{
	struct vhost_user_inflight_packed *p = f->packed;

	/* Who dies in here leaves what nobody has used yet. */
	inflight_store(&p->free.word, 0);
	atomic_signal_fence(memory_order_seq_cst);
	memset(p->desc, 0, nr_desc * sizeof(*p->desc));
	for (unsigned i = 0; i < f->size; i++) {
		f->links[i].next = (uint16_t)(i + 1);
		inflight_store(&p->desc[i].next, (uint16_t)(i + 1));
	}
	f->nr_free = f->size;
	f->free_head = 0;
	f->old_free_head = 0;
	inflight_store(&p->features, 0);
	inflight_packed_store_used(f);
	inflight_packed_store_free(f);
}

static int copy_part(struct copy *c, const struct inflight *f, unsigned nr_desc)
{
	size_t size = nr_desc * sizeof(*c->desc);

	c->nr_desc = nr_desc;
	c->desc = malloc(size);
	c->seen = calloc(f->size, sizeof(*c->seen));
	c->ids = calloc(f->size / 64 + 1, sizeof(*c->ids));
	if (!c->desc || !c->seen || !c->ids)
		return -ENOMEM;
	memcpy(&c->head, f->packed, sizeof(c->head));
	memcpy(c->desc, f->packed->desc, size);
	/* The compiler must not read the original in place of the copy. */
	atomic_signal_fence(memory_order_seq_cst);
	return 0;
}

static void free_copy(struct copy *c)
{
	free(c->desc);
	free(c->seen);
	free(c->ids);
}

static bool is_anything_marked(const struct copy *c)
{
	for (unsigned i = 0; i < c->nr_desc; i++)
		if (c->desc[i].inflight)
			return true;
	return false;
}

static int check_head(struct inflight *f, const struct copy *c)
{
	const union vhost_user_inflight_free *h = &c->head.free;
	const union vhost_user_inflight_used *u = &c->head.used;

	if (h->desc_num != f->size)
		return inflight_refuse(f,
				       "in-flight region is of a ring of %u, "
				       "not of %u",
				       h->desc_num, f->size);
	if (h->free_head > f->size || h->old_free_head > f->size)
		return inflight_refuse(f,
				       "in-flight region has free entries at "
				       "%u and %u",
				       h->free_head, h->old_free_head);
	if (u->used_idx >= f->size || u->old_used_idx >= f->size ||
	    u->used_wrap_counter > 1 || u->old_used_wrap_counter > 1)
		return inflight_refuse(f,
				       "in-flight region has used index %u.%u, "
				       "before %u.%u",
				       u->used_idx, u->used_wrap_counter,
				       u->old_used_idx,
				       u->old_used_wrap_counter);
	return 0;
}

static uint16_t load_flags(const struct vring_packed_desc *d)
{
	return le16toh(__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE));
}

/*
 * A batch was under way.  Was it announced?  Its new position must not be more
 * than a ring ahead.
 */
static int decide_batch(struct inflight *f, const struct copy *c,
			const struct vring_packed_desc *ring)
{
	const union vhost_user_inflight_used *u = &c->head.used;
	bool wrapped = u->used_wrap_counter != u->old_used_wrap_counter;

	if (wrapped == (u->used_idx > u->old_used_idx))
		return inflight_refuse(f,
				       "in-flight region has used index %u.%u, "
				       "before %u.%u",
				       u->used_idx, u->used_wrap_counter,
				       u->old_used_idx,
				       u->old_used_wrap_counter);
	return !packed_flags_available(load_flags(&ring[u->old_used_idx]),
				       u->old_used_wrap_counter);
}

/* Which of the old and the new ones hold.  Returns 0 or -EPROTO. */
static int choose(struct inflight *f, const struct copy *c,
		  const struct vring_packed_desc *ring)
{
	const union vhost_user_inflight_free *h = &c->head.free;
	const union vhost_user_inflight_used *u = &c->head.used;
	int announced = 0;

	if (u->used_idx != u->old_used_idx ||
	    u->used_wrap_counter != u->old_used_wrap_counter)
		announced = decide_batch(f, c, ring);
	if (announced < 0)
		return announced;
	f->free_head = announced ? h->free_head : h->old_free_head;
	f->used_idx = announced ? u->used_idx : u->old_used_idx;
	f->used_wrap =
		announced ? u->used_wrap_counter : u->old_used_wrap_counter;
	f->old_free_head = f->free_head;
	f->old_used_idx = f->used_idx;
	f->old_used_wrap = f->used_wrap;
	return 0;
}

/* Note entry @i, which comes once: free, or of one chain. */
static int see(struct inflight *f, struct copy *c, unsigned i)
{
	if (i >= f->size)
		return inflight_refuse(f, "in-flight region has entry %u of %u",
				       i, f->size);
	if (c->seen[i])
		return inflight_refuse(f, "in-flight region has entry %u twice",
				       i);
	c->seen[i] = true;
	f->links[i].next = c->desc[i].next;
	return 0;
}

/* Whatever is free is not in flight. */
static int walk_free(struct inflight *f, struct copy *c)
{
	unsigned at = f->free_head;

	while (at != f->size) {
		int err = see(f, c, at);

		if (err)
			return err;
		c->desc[at].inflight = 0;
		f->nr_free++;
		at = c->desc[at].next;
	}
	return 0;
}

static int note_id(struct inflight *f, struct copy *c, unsigned id)
{
	if (id >= f->size || c->ids[id / 64] & 1ull << id % 64)
		return inflight_refuse(f,
				       "in-flight region has buffer id %u, %s",
				       id,
				       id < f->size ? "twice" : "too large");
	c->ids[id / 64] |= 1ull << id % 64;
	return 0;
}

/* Keep the descriptors of the chain in entry @first, behind the @nr there are.
 */
static int walk_chain(struct inflight *f, struct copy *c, unsigned first,
		      unsigned nr)
{
	const struct vhost_user_inflight_packed_desc *head = &c->desc[first];
	const struct vhost_user_inflight_packed_desc *e = head;
	unsigned at = first;

	for (unsigned i = 0; i < head->num; i++) {
		int err = see(f, c, at);

		if (err)
			return err;
		e = &c->desc[at];
		f->descs[nr + i] = (struct inflight_desc){
			.addr = e->addr,
			.len = e->len,
			.id = e->id,
			.flags = e->flags,
		};
		if (!(e->flags & VRING_DESC_F_NEXT) != (i + 1 == head->num))
			return inflight_refuse(f,
					       "in-flight region has a chain "
					       "that ends in entry %u",
					       at);
		at = e->next;
	}
	if (!head->num || e != &c->desc[head->last % f->size] ||
	    head->last >= f->size || head->inflight > 1)
		return inflight_refuse(f,
				       "in-flight region has a chain of %u in "
				       "entry %u",
				       head->num, first);
	f->links[first].last = head->last;
	f->links[first].num = head->num;
	return note_id(f, c, e->id);
}

/* What is in flight, with what is free, is all there is. */
static int collect(struct inflight *f, struct copy *c)
{
	unsigned nr = 0;

	f->found = calloc(f->size, sizeof(*f->found));
	f->descs = calloc(f->size, sizeof(*f->descs));
	if (!f->found || !f->descs)
		return -ENOMEM;
	for (unsigned i = 0; i < c->nr_desc; i++) {
		if (!c->desc[i].inflight)
			continue;

		int err = i < f->size ? walk_chain(f, c, i, nr) : see(f, c, i);

		if (err)
			return err;
		f->found[f->nr_found++] = (struct inflight_found){
			.counter = c->desc[i].counter,
			.index = (uint16_t)i,
			.first = (uint16_t)nr,
		};
		nr += f->links[i].num;
	}
	if (nr + f->nr_free != f->size)
		return inflight_refuse(f,
				       "in-flight region has %u entries in "
				       "flight and %u free",
				       nr, f->nr_free);
	inflight_sort(f);
	return 0;
}

/*
 * The driver must not take for an answer what was never announced: see the
 * theory.
 */
static void hide_used(const struct inflight *f, struct vring_packed_desc *ring)
{
	unsigned at = f->used_idx;
	bool wrap = f->used_wrap;

	for (unsigned n = f->size - f->nr_free; n; n--) {
		uint16_t flags = load_flags(&ring[at]);

		if (packed_flags_used(flags, wrap)) {
			inflight_store(&ring[at].flags,
				       htole16(flags ^ PACKED_USED));
			CRASH_POINT(RECOVER_HIDDEN);
		}
		if (++at == f->size) {
			at = 0;
			wrap = !wrap;
		}
	}
}

/* What was found true becomes so in the part, too. */
static void tidy_up(struct inflight *f)
{
	for (unsigned i = f->free_head; i != f->size; i = f->links[i].next)
		inflight_store(&f->packed->desc[i].inflight, 0);
	CRASH_POINT(RECOVER_CLEARED);
	inflight_packed_store_free(f);
	CRASH_POINT(RECOVER_FREED);
	inflight_packed_store_used(f);
	CRASH_POINT(RECOVER_OVER);
}

static int recover(struct inflight *f, struct copy *c,
		   struct vring_packed_desc *ring)
{
	int err = check_head(f, c);

	if (!err)
		err = choose(f, c, ring);
	if (!err)
		err = walk_free(f, c);
	if (!err)
		err = collect(f, c);
	if (err)
		return err;
	hide_used(f, ring);
	tidy_up(f);
	return 0;
}

static void forget(struct inflight *f, uint16_t base, bool wrap)
{
	f->why[0] = '\0';
	f->nr_found = 0;
	f->used_idx = base;
	f->used_wrap = wrap;
	f->old_used_idx = base;
	f->old_used_wrap = wrap;
}

static int resume(struct inflight *f, unsigned nr_desc,
		  struct vring_packed_desc *ring, bool *can_forget)
{
	struct copy c = {0};
	int err = copy_part(&c, f, nr_desc);

	if (!err) {
		/* Nothing to be lost, but it is not of this ring? */
		*can_forget = !is_anything_marked(&c);
		err = recover(f, &c, ring);
	}
	free_copy(&c);
	f->is_resumed = !err;
	return err ? err : 1;
}

int inflight_packed_start(struct inflight *f, const struct inflight_part *p,
			  struct vring_packed_desc *ring, uint16_t base,
			  bool wrap)
{
	bool can_forget = true;
	int ret = inflight_begin(f, p);

	f->packed = p->host;
	if (ret < 0)
		return ret;
	if (ret > 0) {
		ret = resume(f, p->nr_desc, ring, &can_forget);
		if (ret != -EPROTO || !can_forget)
			return ret;
	}
	forget(f, base, wrap);
	init_part(f, p->nr_desc);
	return 0;
}
