/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a chain from the descriptors of a ring, of either format. */
#pragma once

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

#include "vhost/ring.h"

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
 */

/* One descriptor, as copied, in our byte order. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	union {
		uint16_t next; /* split */
		uint16_t id;   /* packed: of the buffer */
	};
};

/* A chain in the making. */
struct chain_walk {
	struct ring *r;
	struct chain *c;
	uint64_t len; /* bytes in all */
	unsigned max; /* iovecs there is room for */
};

/*
 * Copy a descriptor that may change meanwhile.  The fence keeps the compiler
 * from reading the original again in place of the copy.  Any thread.
 */
static inline struct desc desc_of_split(const void *from)
{
	struct vring_desc d;

	memcpy(&d, from, sizeof(d));
	atomic_signal_fence(memory_order_seq_cst);
	return (struct desc){.addr = le64toh(d.addr),
			     .len = le32toh(d.len),
			     .flags = le16toh(d.flags),
			     .next = le16toh(d.next)};
}

static inline struct desc desc_of_packed(const void *from)
{
	struct vring_packed_desc d;

	memcpy(&d, from, sizeof(d));
	atomic_signal_fence(memory_order_seq_cst);
	return (struct desc){.addr = le64toh(d.addr),
			     .len = le32toh(d.len),
			     .flags = le16toh(d.flags),
			     .id = le16toh(d.id)};
}

/*
 * A chain comes soon whose first descriptor says @addr: have what is there on
 * its way to us, a table or a header that another CPU just wrote.  Nothing is
 * believed: who takes the chain reads and checks all anew.
 */
static inline void chain_prefetch(const struct ring *r, __virtio64 addr)
{
	const void *p = memmap_near(&r->hint, le64toh(addr), 1);

	if (p)
		__builtin_prefetch(p);
}

/*
 * Begin with an empty chain @c, whose iov, max_iov and spare are set; add what
 * descriptors say, one after the other; end when all are there.  A descriptor
 * with INDIRECT stands for those of its table, and is the last one.
 *
 * chain_add() returns 0, or -EPROTO with the reason in @r->why.  The ring's
 * owner only.
 */
void chain_begin(struct chain_walk *w, struct ring *r, struct chain *c);
int chain_add(struct chain_walk *w, const struct desc *d);
void chain_end(struct chain_walk *w);
