/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two ring formats share: the ring, and a chain taken from it. */
#pragma once

#include <endian.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "vhost/inflight.h"
#include "vhost/memmap.h"

/* Descriptors that a chain may have altogether; Windows makes 515. */
#define RING_CHAIN_MAX 1024

/* Where a ring lies, as addresses in the VMM. */
struct ring_addr {
	uint64_t desc;
	uint64_t avail;
	uint64_t used;
};

/*
 * One buffer chain.  The iovecs point into guest memory, whose content may
 * change at any moment: copy what matters, then check the copy.
 *
 * The device may change the iovecs in place (take off a header, say); the
 * chain stays its own until queue_push().
 */
struct chain {
	struct iovec *iov;	/* readable ones first, then writable ones */
	unsigned nr_readable;
	unsigned nr_writable;
	uint32_t readable_len;	/* bytes in the readable iovecs */
	uint32_t writable_len;

	/*
	 * More than RING_CHAIN_MAX segments, or 4 GiB: iov holds the first
	 * ones of the readable part, and of the writable part the very last
	 * byte alone.  Only good for answering with an error.
	 */
	bool too_long;

	/*
	 * It was taken by a predecessor that died, who may have run it, once
	 * or in part; the device knows whether it may be run again.
	 */
	bool again;

	/* the ring's */
	uint16_t id;		/* split: head; packed: buffer id */
	uint16_t nr_desc;	/* ring entries that the chain takes up */
	uint16_t entry;		/* packed: in the record of what is in flight */

	/* the queue's: space in iov, and a larger array should that not do */
	unsigned max_iov;
	struct iovec *spare;	/* RING_CHAIN_MAX iovecs, or NULL */

	void *room;		/* the device's own bytes, see queue_user */
};

/* A place in a packed ring, whose counter changes each time it wraps. */
struct ring_pos {
	uint16_t idx;
	bool wrap;
};

struct ring_split {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	/* the owner's */
	uint16_t last_avail;	/* next entry to take */
	uint16_t seen_avail;	/* avail idx when last looked at */
	uint16_t last_used;	/* next entry to fill */
	uint16_t published;	/* used idx that the driver can see */
};

struct ring_packed {
	struct vring_packed_desc *desc;
	const struct vring_packed_desc_event *driver;
	struct vring_packed_desc_event *device;

	/* the owner's */
	struct ring_pos avail;	   /* next descriptor to take */
	struct ring_pos used;	   /* next descriptor to fill */
	struct ring_pos published; /* first one that the driver cannot see */
	uint16_t first_flags;	   /* which that one gets when it can */
	uint16_t nr_held;	   /* descriptors taken and not given back */
	uint16_t nr_pushed;	   /* given back and not published */
};

/*
 * One ring, of either format.  All but @map is private to the format's
 * functions.
 */
struct ring {
	/* constant while the ring runs, but for a change of memory */
	unsigned size;		/* descriptors */
	bool is_packed;
	bool event_idx;
	bool indirect;
	const struct memmap *map;

	union {
		struct ring_split split;
		struct ring_packed packed;
	};
	struct memmap_hint hint;	/* of @map */
	uint64_t *taken;	/* bitmap of heads, or ids, in flight */
	struct inflight inflight;

	/* of the last -EPROTO: what the driver did, for the log */
	char why[96];
};

/*
 * Make what a ring of @r->size and @r->is_packed needs.  Returns 0 or -ENOMEM.
 * ring_fini() accepts half of it, zeroes and a second call.  The owner only.
 */
int ring_init(struct ring *r);
void ring_fini(struct ring *r);

/* Note what the driver did wrong, and return -EPROTO.  The owner only. */
__attribute__((format(printf, 2, 3))) int ring_refuse(struct ring *r,
						      const char *fmt, ...);

/* Words that the driver may change, or looks at. */
static inline uint16_t ring_load(const __virtio16 *word, memory_order order)
{
	return le16toh(__atomic_load_n(word, order));
}

static inline void ring_store(__virtio16 *word, uint16_t value,
			      memory_order order)
{
	__atomic_store_n(word, htole16(value), order);
}

/*
 * Heads or ids in flight.  One must not come again before it was given back:
 * each request would otherwise own the same buffers, and more could be in
 * flight than the ring has entries.
 */
#define RING_WORD_BITS 64

static inline bool ring_is_taken(const struct ring *r, unsigned id)
{
	return r->taken[id / RING_WORD_BITS] & (1ULL << id % RING_WORD_BITS);
}

static inline void ring_set_taken(struct ring *r, unsigned id)
{
	r->taken[id / RING_WORD_BITS] |= 1ULL << id % RING_WORD_BITS;
}

static inline void ring_set_free(struct ring *r, unsigned id)
{
	r->taken[id / RING_WORD_BITS] &= ~(1ULL << id % RING_WORD_BITS);
}

static inline void ring_set_all_free(struct ring *r)
{
	memset(r->taken, 0,
	       align_up(r->size, RING_WORD_BITS) / RING_WORD_BITS *
		       sizeof(*r->taken));
}
