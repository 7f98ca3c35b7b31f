/* SPDX-License-Identifier: BSD-2-Clause */
/* The split ring of virtio: pop, push, publish, arm, restore. */
#include "vhost/split.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/iov.h"
#include "base/util.h"

/*
 * Theory of operation: walking a chain
 *
 * The driver may write to any byte of the ring and of indirect tables at any
 * moment.  So each descriptor is copied into our memory once, the copy is
 * checked, and only the copy is used.  Of the indices, which we count
 * ourselves, the driver's value is taken once and compared.
 *
 * All loops are bounded by what we know, not by what the driver wrote: a chain
 * in the ring by the ring's size, an indirect table by its length, which is at
 * most RING_CHAIN_MAX descriptors.  A walk of more steps has met a loop.
 *
 * A head must not come again before it was given back: each request would
 * otherwise own the same buffers, and more could be in flight than the ring
 * has entries.
 */
#define WORD_BITS 64
#define SIZE_MAX_SPLIT 32768

/* One descriptor, as copied, in our byte order. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* An indirect table. */
struct table {
	uint64_t addr;
	unsigned nr;
	const struct vring_desc *host;	/* NULL when it crosses regions */
};

/* A chain in the making. */
struct walk {
	struct ring *r;
	struct chain *c;
	uint64_t len;		/* bytes in all */
	unsigned max;		/* iovecs there is room for */
};

__attribute__((format(printf, 2, 3))) static int broken(struct ring *r,
							const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/* A word that the driver may change. */
static uint16_t load(const __virtio16 *word, memory_order order)
{
	return le16toh(__atomic_load_n(word, order));
}

static void store(__virtio16 *word, uint16_t value, memory_order order)
{
	__atomic_store_n(word, htole16(value), order);
}

static __virtio16 *used_event(const struct ring *r)
{
	return &r->avail->ring[r->size];
}

/* Behind the last used entry. */
static __virtio16 *avail_event(const struct ring *r)
{
	return (__virtio16 *)(void *)&r->used->ring[r->size];
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

	r->desc = NULL;
	r->avail = NULL;
	r->used = NULL;
	if (!is_power_of_two(size) || size > SIZE_MAX_SPLIT) {
		broken(r, "size of a split ring: %u", r->size);
		return -EINVAL;
	}

	void *desc = memmap_uva(r->map, a->desc, size * sizeof(*r->desc));
	void *avail = memmap_uva(r->map, a->avail,
				 sizeof(*r->avail) +
					 size * sizeof(r->avail->ring[0]) +
					 event);
	void *used = memmap_uva(r->map, a->used,
				sizeof(*r->used) +
					size * sizeof(r->used->ring[0]) +
					event);

	if (!desc || !avail || !used) {
		broken(r, "%s is not in guest memory",
		       !desc ? "descriptor table" :
		       !avail ? "available ring" : "used ring");
		return -EFAULT;
	}
	if (!is_aligned((uintptr_t)desc, VRING_DESC_ALIGN_SIZE) ||
	    !is_aligned((uintptr_t)avail, VRING_AVAIL_ALIGN_SIZE) ||
	    !is_aligned((uintptr_t)used, VRING_USED_ALIGN_SIZE)) {
		broken(r, "ring is not aligned");
		return -EINVAL;
	}
	r->desc = desc;
	r->avail = avail;
	r->used = used;
	return 0;
}

void split_restore(struct ring *r, int base)
{
	/* Whoever served the ring before us announced what he had used. */
	uint16_t used = load(&r->used->idx, memory_order_acquire);

	r->last_used = used;
	r->published = used;
	r->last_avail = base < 0 ? used : base;
	r->seen_avail = r->last_avail;
	r->why[0] = '\0';
	memset(r->taken, 0, align_up(r->size, WORD_BITS) / 8);
}

/*
 * Copy a descriptor that may change meanwhile.  The fence keeps the compiler
 * from reading the original again in place of the copy.
 */
static struct desc copy_desc(const void *from)
{
	struct vring_desc d;

	memcpy(&d, from, sizeof(d));
	atomic_signal_fence(memory_order_seq_cst);
	return (struct desc){ le64toh(d.addr), le32toh(d.len),
			      le16toh(d.flags), le16toh(d.next) };
}

/* From here on only the last writable byte is kept. */
static void give_up(struct walk *w)
{
	struct chain *c = w->c;

	c->too_long = true;
	c->nr_readable = MIN(c->nr_readable, w->max - 1);
	if (c->nr_writable) {
		struct iovec *last =
			&c->iov[c->nr_readable + c->nr_writable - 1];
		unsigned char *end = last->iov_base;

		c->iov[c->nr_readable] =
			(struct iovec){ end + last->iov_len - 1, 1 };
		c->nr_writable = 1;
	}
}

/* The buffer of a chain that is too long anyhow. */
static int keep_last_byte(struct walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	uint64_t last;

	if (!(d->flags & VRING_DESC_F_WRITE))
		return 0;
	if (__builtin_add_overflow(d->addr, d->len - 1, &last) ||
	    memmap_iov(w->r->map, last, 1, &c->iov[c->nr_readable], 1) != 1)
		return -EFAULT;
	c->nr_writable = 1;
	return 0;
}

/* Go on in the large array when the slot's own is full. */
static bool take_spare(struct walk *w)
{
	struct chain *c = w->c;

	if (!c->spare || c->iov == c->spare)
		return false;
	memcpy(c->spare, c->iov,
	       (c->nr_readable + c->nr_writable) * sizeof(*c->iov));
	c->iov = c->spare;
	w->max = RING_CHAIN_MAX;
	return true;
}

static int add_iovecs(struct walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	int n;

	do {
		unsigned nr = c->nr_readable + c->nr_writable;

		n = memmap_iov(w->r->map, d->addr, d->len, &c->iov[nr],
			       w->max - nr);
	} while (n == -E2BIG && take_spare(w));

	if (n == -E2BIG) {
		give_up(w);
		return keep_last_byte(w, d);
	}
	if (n < 0)
		return n;
	if (d->flags & VRING_DESC_F_WRITE)
		c->nr_writable += n;
	else
		c->nr_readable += n;
	return 0;
}

/* A buffer of the chain, whose descriptor was copied. */
static int add_buffer(struct walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	int err;

	if (!d->len)
		return 0;
	if (c->nr_writable && !(d->flags & VRING_DESC_F_WRITE))
		return broken(w->r, "readable descriptor after a writable one");

	w->len += d->len;
	if (w->len > UINT32_MAX && !c->too_long)
		give_up(w);
	err = c->too_long ? keep_last_byte(w, d) : add_iovecs(w, d);
	if (err)
		return broken(w->r,
			      "address 0x%llx length %u not in guest memory",
			      (unsigned long long)d->addr, d->len);
	return 0;
}

static int check_indirect(struct ring *r, const struct desc *d)
{
	uint64_t end;

	if (!r->indirect)
		return broken(r, "indirect descriptor, but not negotiated");
	if (d->flags & VRING_DESC_F_NEXT)
		return broken(r, "indirect descriptor with a next one");
	if (!d->len || d->len % sizeof(struct vring_desc) ||
	    d->len > RING_CHAIN_MAX * sizeof(struct vring_desc))
		return broken(r, "indirect table of %u bytes", d->len);
	if (__builtin_add_overflow(d->addr, d->len, &end))
		return broken(r, "indirect table at 0x%llx",
			      (unsigned long long)d->addr);
	return 0;
}

/*
 * Find the table in our memory, whole.  It lies anywhere, and may cross from
 * one region into the next at any byte; only then is it not contiguous here.
 */
static int find_table(struct walk *w, const struct desc *d, struct table *t)
{
	struct iovec iov;
	int n = memmap_iov(w->r->map, d->addr, d->len, &iov, 1);

	t->addr = d->addr;
	t->nr = d->len / sizeof(struct vring_desc);
	t->host = n == 1 ? iov.iov_base : NULL;
	if (n == 1 || n == -E2BIG)
		return 0;
	return broken(w->r, "indirect table at 0x%llx not in memory",
		      (unsigned long long)d->addr);
}

/* Copy descriptor @i of a table that is not contiguous. */
static int copy_crossing(const struct ring *r, const struct table *t,
			 unsigned i, struct desc *d)
{
	unsigned char raw[sizeof(struct vring_desc)];
	struct iovec iov[sizeof(raw)];
	int n = memmap_iov(r->map, t->addr + i * sizeof(raw), sizeof(raw), iov,
			   ARRAY_SIZE(iov));

	if (n < 0)
		return n;
	iov_copy_out(iov, n, 0, raw, sizeof(raw));
	*d = copy_desc(raw);
	return 0;
}

/* One descriptor of a table: its buffer, and which comes next. */
static int add_indirect(struct walk *w, const struct table *t, unsigned *i)
{
	struct desc d;

	if (t->host)
		d = copy_desc(&t->host[*i]);
	else if (copy_crossing(w->r, t, *i, &d))
		return broken(w->r, "indirect table at 0x%llx not in memory",
			      (unsigned long long)t->addr);
	if (d.flags & VRING_DESC_F_INDIRECT)
		return broken(w->r, "indirect table inside another");

	int err = add_buffer(w, &d);

	if (err || !(d.flags & VRING_DESC_F_NEXT))
		return err;
	*i = d.next;
	if (*i >= t->nr)
		return broken(w->r, "descriptor %u in an indirect table of %u",
			      *i, t->nr);
	return 1;
}

static int walk_indirect(struct walk *w, const struct desc *d)
{
	struct table t;
	unsigned i = 0;
	int more = check_indirect(w->r, d);

	if (!more)
		more = find_table(w, d, &t);
	if (more)
		return more;
	for (unsigned steps = 0; steps < t.nr; steps++) {
		more = add_indirect(w, &t, &i);
		if (more <= 0)
			return more;
	}
	return broken(w->r, "indirect table of %u loops", t.nr);
}

static int walk(struct walk *w, unsigned i)
{
	struct ring *r = w->r;
	int err;

	for (;;) {
		struct desc d = copy_desc(&r->desc[i]);

		if (w->c->nr_desc++ == r->size)
			return broken(r, "chain is longer than the ring of %u",
				      r->size);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return walk_indirect(w, &d);
		err = add_buffer(w, &d);
		if (err || !(d.flags & VRING_DESC_F_NEXT))
			return err;
		i = d.next;
		if (i >= r->size)
			return broken(r, "descriptor %u in a ring of %u", i,
				      r->size);
	}
}

/* The lengths of the two parts, which fit: see add_buffer(). */
static void measure(struct chain *c)
{
	unsigned i = 0;

	c->readable_len = 0;
	c->writable_len = 0;
	for (; i < c->nr_readable; i++)
		c->readable_len += c->iov[i].iov_len;
	for (; i < c->nr_readable + c->nr_writable; i++)
		c->writable_len += c->iov[i].iov_len;
}

/* How many entries are there to take?  Breaks the rules: negative. */
static int look(struct ring *r)
{
	uint16_t n;

	if (r->seen_avail == r->last_avail) {
		/*
		 * Entries and descriptors come after the index that announces
		 * them.  Pairs with the driver's write barrier before it
		 * stores the index (virtio, "Updating idx").
		 */
		r->seen_avail = load(&r->avail->idx, memory_order_acquire);
	}
	n = r->seen_avail - r->last_avail;
	if (n <= r->size)
		return n;

	/* Look again if we are asked again, though that will not help. */
	uint16_t idx = r->seen_avail;

	r->seen_avail = r->last_avail;
	return broken(r, "available index %u after %u in a ring of %u", idx,
		      r->last_avail, r->size);
}

static bool is_taken(const struct ring *r, unsigned head)
{
	return r->taken[head / WORD_BITS] & (1ULL << head % WORD_BITS);
}

int split_pop(struct ring *r, struct chain *c)
{
	int n = look(r);

	if (n <= 0)
		return n;

	unsigned head = load(&r->avail->ring[entry(r, r->last_avail)],
			     memory_order_relaxed);

	if (head >= r->size)
		return broken(r, "head %u in a ring of %u", head, r->size);
	if (is_taken(r, head))
		return broken(r, "head %u is in flight already", head);

	struct walk w = { .r = r, .c = c, .max = c->max_iov };

	c->nr_readable = 0;
	c->nr_writable = 0;
	c->nr_desc = 0;
	c->too_long = false;
	c->id = head;
	n = walk(&w, head);
	if (n)
		return n;
	measure(c);
	r->taken[head / WORD_BITS] |= 1ULL << head % WORD_BITS;
	r->last_avail++;
	return 1;
}

static void set_free(struct ring *r, const struct chain *c)
{
	r->taken[c->id / WORD_BITS] &= ~(1ULL << c->id % WORD_BITS);
}

void split_unpop(struct ring *r, const struct chain *c)
{
	set_free(r, c);
	r->last_avail--;
}

void split_push(struct ring *r, const struct chain *c, uint32_t len)
{
	struct vring_used_elem *e = &r->used->ring[entry(r, r->last_used++)];

	e->id = htole32(c->id);
	e->len = htole32(len);
	set_free(r, c);
}

/* Does the driver want a call for used entries @old to @new? */
static bool wants_call(const struct ring *r, uint16_t old, uint16_t new)
{
	if (r->event_idx)
		return vring_need_event(load(used_event(r),
					     memory_order_seq_cst),
					new, old);
	return !(load(&r->avail->flags, memory_order_seq_cst) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

bool split_publish(struct ring *r)
{
	uint16_t old = r->published;
	uint16_t new = r->last_used;

	if (old == new)
		return false;
	/*
	 * Used entries and the data they announce come before the index.
	 * Pairs with the driver's read barrier after it loads the index
	 * (virtio, "Receiving Used Buffers From The Device").
	 *
	 * And the index is out before wants_call() looks, so both are seq_cst:
	 * pairs with the driver's full barrier between asking for calls and
	 * looking at the index once more.  One of us sees the other.
	 */
	store(&r->used->idx, new, memory_order_seq_cst);
	r->published = new;
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
		store(avail_event(r), r->last_avail, memory_order_seq_cst);
	else
		store(&r->used->flags, 0, memory_order_seq_cst);
	return load(&r->avail->idx, memory_order_seq_cst) != r->last_avail;
}

void split_disarm(struct ring *r)
{
	/*
	 * With event indices the old wish does it: the driver passed it, and
	 * kicks only when it passes it again, a wrap later.
	 */
	if (!r->event_idx)
		store(&r->used->flags, VRING_USED_F_NO_NOTIFY,
		      memory_order_relaxed);
}

bool split_has_work(const struct ring *r)
{
	return load(&r->avail->idx, memory_order_relaxed) != r->last_avail;
}

unsigned split_pending(const struct ring *r)
{
	return (uint16_t)(load(&r->avail->idx, memory_order_relaxed) -
			  r->last_avail);
}
