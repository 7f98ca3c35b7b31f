/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a chain from the descriptors of a ring, of either format. */
#include "vhost/chain.h"

#include <assert.h>
#include <errno.h>

#include "base/iov.h"
#include "base/util.h"

#define DESC_SIZE sizeof(struct vring_desc)
static_assert(DESC_SIZE == sizeof(struct vring_packed_desc),
	      "a table has as many descriptors in both formats");

/* An indirect table. */
struct table {
	uint64_t addr;
	unsigned nr;
	const unsigned char *host; /* NULL when it crosses regions */
};

/* From here on only the last writable byte is kept. */
static void give_up(struct chain_walk *w)
{
	struct chain *c = w->c;

	c->too_long = true;
	c->nr_readable = MIN(c->nr_readable, w->max - 1);
	if (c->nr_writable) {
		struct iovec *last =
			&c->iov[c->nr_readable + c->nr_writable - 1];
		unsigned char *end = last->iov_base;

		c->iov[c->nr_readable] =
			(struct iovec){end + last->iov_len - 1, 1};
		c->nr_writable = 1;
	}
}

/* The buffer of a chain that is too long anyhow. */
static int keep_last_byte(struct chain_walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	uint64_t last;

	if (!(d->flags & VRING_DESC_F_WRITE))
		return 0;
	if (__builtin_add_overflow(d->addr, d->len - 1, &last) ||
	    memmap_iov(w->r->map, &w->r->hint, last, 1,
		       &c->iov[c->nr_readable], 1) != 1)
		return -EFAULT;
	c->nr_writable = 1;
	return 0;
}

/* Go on in the large array when the slot's own is full. */
static bool take_spare(struct chain_walk *w)
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

/* The iovecs of a buffer, behind those that are there; returns their number. */
static int put_iovecs(struct chain_walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	unsigned nr = c->nr_readable + c->nr_writable;
	void *near = memmap_near(&w->r->hint, d->addr, d->len);
	int n;

	if (likely(near && nr < w->max)) {
		c->iov[nr] = (struct iovec){near, d->len};
		return 1;
	}
	do {
		n = memmap_iov(w->r->map, &w->r->hint, d->addr, d->len,
			       &c->iov[nr], w->max - nr);
	} while (n == -E2BIG && take_spare(w));
	return n;
}

static int add_iovecs(struct chain_walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	int n = put_iovecs(w, d);

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
static int add_buffer(struct chain_walk *w, const struct desc *d)
{
	struct chain *c = w->c;
	int err;

	if (!d->len)
		return 0;
	if (c->nr_writable && !(d->flags & VRING_DESC_F_WRITE))
		return ring_refuse(w->r,
				   "readable descriptor after a writable one");

	w->len += d->len;
	if (w->len > UINT32_MAX && !c->too_long)
		give_up(w);
	err = c->too_long ? keep_last_byte(w, d) : add_iovecs(w, d);
	if (err)
		return ring_refuse(
			w->r, "address 0x%llx length %u not in guest memory",
			(unsigned long long)d->addr, d->len);
	return 0;
}

static int check_indirect(struct ring *r, const struct desc *d)
{
	uint64_t end;

	if (!r->indirect)
		return ring_refuse(r,
				   "indirect descriptor, but not negotiated");
	if (d->flags & VRING_DESC_F_NEXT)
		return ring_refuse(r, "indirect descriptor with a next one");
	if (!d->len || d->len % DESC_SIZE ||
	    d->len > RING_CHAIN_MAX * DESC_SIZE)
		return ring_refuse(r, "indirect table of %u bytes", d->len);
	if (__builtin_add_overflow(d->addr, d->len, &end))
		return ring_refuse(r, "indirect table at 0x%llx",
				   (unsigned long long)d->addr);
	return 0;
}

/*
 * Find the table in our memory, whole.  It lies anywhere, and may cross from
 * one region into the next at any byte; only then is it not contiguous here.
 */
static int find_table(struct chain_walk *w, const struct desc *d,
		      struct table *t)
{
	struct iovec iov;
	int n;

	t->addr = d->addr;
	t->nr = d->len / DESC_SIZE;
	t->host = memmap_near(&w->r->hint, d->addr, d->len);
	if (likely(t->host))
		return 0;
	n = memmap_iov(w->r->map, &w->r->hint, d->addr, d->len, &iov, 1);
	t->host = n == 1 ? iov.iov_base : NULL;
	if (n == 1 || n == -E2BIG)
		return 0;
	return ring_refuse(w->r, "indirect table at 0x%llx not in memory",
			   (unsigned long long)d->addr);
}

static struct desc copy_desc(const struct ring *r, const void *from)
{
	return r->is_packed ? desc_of_packed(from) : desc_of_split(from);
}

/* Copy descriptor @i of a table that is not contiguous. */
static int copy_crossing(struct ring *r, const struct table *t,
			 unsigned i, struct desc *d)
{
	unsigned char raw[DESC_SIZE];
	struct iovec iov[sizeof(raw)];
	int n = memmap_iov(r->map, &r->hint, t->addr + i * sizeof(raw),
			   sizeof(raw), iov, ARRAY_SIZE(iov));

	if (n < 0)
		return n;
	iov_copy_out(iov, n, 0, raw, sizeof(raw));
	*d = copy_desc(r, raw);
	return 0;
}

/*
 * Where the descriptor after number @i stands, which said @d.  Returns 1, 0 at
 * the end, or -EPROTO.  In a table of a packed ring the order is that of the
 * places, and no flag but WRITE has a meaning.
 */
static int find_next(struct ring *r, const struct table *t,
		     const struct desc *d, unsigned *i)
{
	if (r->is_packed)
		return ++*i < t->nr;
	if (d->flags & VRING_DESC_F_INDIRECT)
		return ring_refuse(r, "indirect table inside another");
	if (!(d->flags & VRING_DESC_F_NEXT))
		return 0;
	*i = d->next;
	if (*i >= t->nr)
		return ring_refuse(r,
				   "descriptor %u in an indirect table of %u",
				   *i, t->nr);
	return 1;
}

/* One descriptor of a table: its buffer, and which comes next. */
static int add_entry(struct chain_walk *w, const struct table *t, unsigned *i)
{
	struct ring *r = w->r;
	struct desc d;
	int more;

	if (t->host)
		d = copy_desc(r, t->host + *i * DESC_SIZE);
	else if (copy_crossing(r, t, *i, &d))
		return ring_refuse(r, "indirect table at 0x%llx not in memory",
				   (unsigned long long)t->addr);
	more = find_next(r, t, &d, i);
	return more < 0 ? more : add_buffer(w, &d) ? -EPROTO : more;
}

static int add_table(struct chain_walk *w, const struct desc *d)
{
	struct table t;
	unsigned i = 0;
	int more = check_indirect(w->r, d);

	if (!more)
		more = find_table(w, d, &t);
	if (more)
		return more;
	for (unsigned steps = 0; steps < t.nr; steps++) {
		more = add_entry(w, &t, &i);
		if (more <= 0)
			return more;
	}
	return ring_refuse(w->r, "indirect table of %u loops", t.nr);
}

void chain_begin(struct chain_walk *w, struct ring *r, struct chain *c)
{
	*w = (struct chain_walk){.r = r, .c = c, .max = c->max_iov};
	c->nr_readable = 0;
	c->nr_writable = 0;
	c->nr_desc = 0;
	c->too_long = false;
	c->again = false;
}

int chain_add(struct chain_walk *w, const struct desc *d)
{
	w->c->nr_desc++;
	if (d->flags & VRING_DESC_F_INDIRECT)
		return add_table(w, d);
	return add_buffer(w, d);
}

/* The lengths of the two parts, which fit: see add_buffer(). */
void chain_end(struct chain_walk *w)
{
	struct chain *c = w->c;
	unsigned i = 0;

	c->readable_len = 0;
	c->writable_len = 0;
	for (; i < c->nr_readable; i++)
		c->readable_len += c->iov[i].iov_len;
	for (; i < c->nr_readable + c->nr_writable; i++)
		c->writable_len += c->iov[i].iov_len;
}
