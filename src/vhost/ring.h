/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two ring formats share: the ring, and a chain taken from it. */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

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

	/* the ring's */
	uint16_t id;		/* split: head; packed: buffer id */
	uint16_t nr_desc;	/* ring entries that the chain takes up */

	/* the queue's: space in iov, and a larger array should that not do */
	unsigned max_iov;
	struct iovec *spare;	/* RING_CHAIN_MAX iovecs, or NULL */

	void *room;		/* the device's own bytes, see queue_user */
};

/*
 * One ring, of either format.  All but @map and the pointers is private to the
 * format's functions.
 */
struct ring {
	/* constant while the ring runs, but for a change of memory */
	unsigned size;		/* descriptors */
	bool event_idx;
	bool indirect;
	const struct memmap *map;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	/* the owner's */
	uint16_t last_avail;	/* next entry to take */
	uint16_t seen_avail;	/* avail idx when last looked at */
	uint16_t last_used;	/* next entry to fill */
	uint16_t published;	/* used idx that the driver can see */
	uint64_t *taken;	/* bitmap of heads in flight */

	/* of the last -EPROTO: what the driver did, for the log */
	char why[96];
};
