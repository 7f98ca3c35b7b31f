/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's virtio-blk driver: requests in any layout. */
#pragma once

#include <linux/virtio_blk.h>
#include <stdint.h>

#include "frontend.h"

/*
 * A request is two runs of bytes: what the device reads (header, then data to
 * be written) and what it writes (data that was read, then the status).  Both
 * lie in guest memory in one piece, so a layout is only a matter of where the
 * runs are cut into descriptors.
 */
struct guestblk_req {
	struct virtio_blk_outhdr *hdr;
	uint8_t *data; /* in whichever run it belongs */
	uint8_t *status;
	uint32_t data_len;
	uint32_t out_len;  /* of the run that begins with @hdr */
	uint32_t in_len;   /* of the run that ends with @status */
	uint32_t used_len; /* after guestblk_run(): what the device said */
};

/*
 * Lengths of the first pieces of each run, ended by a 0; what is left is the
 * last piece.  NULL: header, data and status are a piece each.
 */
struct guestblk_layout {
	const uint32_t *out_cuts;
	const uint32_t *in_cuts;
};

#define GUESTBLK_SEGS_MAX 1024

/* What a status byte holds before the device writes it. */
#define GUESTBLK_NO_STATUS 0xff

/*
 * Makes a request of @type (VIRTIO_BLK_T_*) in @mem, with room for @data_len
 * bytes in the direction that the type has.  Returns 0 or -ENOMEM.  Nothing is
 * to be freed.
 */
int guestblk_init(struct guestblk_req *req, struct guestmem *mem, uint32_t type,
		  uint64_t sector, uint32_t data_len);

/*
 * Cuts the request into at most @max segments.  Returns their number, or
 * -E2BIG.
 */
int guestblk_segs(const struct guestblk_req *req, const struct guestmem *mem,
		  const struct guestblk_layout *layout,
		  struct guestring_seg *segs, unsigned max);

/*
 * Submits the request and waits for it.  Returns the status byte,
 * GUESTBLK_NO_STATUS if the device wrote none, or -errno.  The request may be
 * run again.
 */
int guestblk_run(struct frontend_queue *q, struct guestblk_req *req,
		 const struct guestblk_layout *layout, int timeout_ms);

/*
 * One request from beginning to end, with data from or to @buf.  Takes guest
 * memory that is not given back.  Returns the status byte or -errno.
 */
int guestblk_read(struct frontend_queue *q, uint64_t sector, void *buf,
		  uint32_t len);
int guestblk_write(struct frontend_queue *q, uint64_t sector, const void *buf,
		   uint32_t len);
int guestblk_flush(struct frontend_queue *q);
