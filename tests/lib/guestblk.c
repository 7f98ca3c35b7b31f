/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's virtio-blk driver: requests in any layout. */
#include "guestblk.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REQ_ALIGN 512

static bool device_writes_data(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

int guestblk_init(struct guestblk_req *req, struct guestmem *mem, uint32_t type,
		  uint64_t sector, uint32_t data_len)
{
	bool in = device_writes_data(type);
	uint32_t out_len = (uint32_t)sizeof(*req->hdr) + (in ? 0 : data_len);
	uint32_t in_len = 1 + (in ? data_len : 0);
	uint8_t *out = guestmem_alloc(mem, out_len, REQ_ALIGN);
	uint8_t *back = guestmem_alloc(mem, in_len, REQ_ALIGN);

	if (!out || !back)
		return -ENOMEM;
	*req = (struct guestblk_req){
		.hdr = (void *)out,
		.data = in ? back : out + sizeof(*req->hdr),
		.status = back + in_len - 1,
		.data_len = data_len,
		.out_len = out_len,
		.in_len = in_len,
	};
	*req->hdr = (struct virtio_blk_outhdr){
		.type = htole32(type),
		.sector = htole64(sector),
	};
	*req->status = GUESTBLK_NO_STATUS;
	return 0;
}

struct cutter {
	struct guestring_seg *segs;
	unsigned nr;
	unsigned max;
};

static int cut_run(struct cutter *c, uint64_t gpa, uint32_t len,
		   const uint32_t *cuts, bool device_writes)
{
	while (len) {
		uint32_t piece = *cuts && *cuts < len ? *cuts++ : len;

		if (c->nr == c->max)
			return -E2BIG;
		c->segs[c->nr++] = (struct guestring_seg){
			.gpa = gpa,
			.len = piece,
			.device_writes = device_writes,
		};
		gpa += piece;
		len -= piece;
	}
	return 0;
}

int guestblk_segs(const struct guestblk_req *req, const struct guestmem *mem,
		  const struct guestblk_layout *layout,
		  struct guestring_seg *segs, unsigned max)
{
	const uint32_t out_cuts[] = {sizeof(*req->hdr), 0};
	const uint32_t in_cuts[] = {req->in_len - 1, 0};
	struct cutter c = {.segs = segs, .max = max};
	uint64_t back = guestmem_gpa(mem, req->status - (req->in_len - 1));
	int ret;

	ret = cut_run(&c, guestmem_gpa(mem, req->hdr), req->out_len,
		      layout && layout->out_cuts ? layout->out_cuts : out_cuts,
		      false);
	if (!ret)
		ret = cut_run(&c, back, req->in_len,
			      layout && layout->in_cuts ? layout->in_cuts
							: in_cuts,
			      true);
	return ret ? ret : (int)c.nr;
}

int guestblk_run(struct frontend_queue *q, struct guestblk_req *req,
		 const struct guestblk_layout *layout, int timeout_ms)
{
	struct guestring_seg *segs = calloc(GUESTBLK_SEGS_MAX, sizeof(*segs));
	struct guestring_used u;
	int ret;

	if (!segs)
		return -ENOMEM;
	*req->status = GUESTBLK_NO_STATUS;
	ret = guestblk_segs(req, q->ring.mem, layout, segs, GUESTBLK_SEGS_MAX);
	if (ret > 0)
		ret = frontend_submit(q, segs, (unsigned)ret, req);
	free(segs);
	if (ret < 0)
		return ret;
	ret = frontend_wait(q, &u, timeout_ms);
	if (ret)
		return ret;
	if (u.token != req)
		return -EPROTO;
	req->used_len = u.len;
	return *req->status;
}

int guestblk_read(struct frontend_queue *q, uint64_t sector, void *buf,
		  uint32_t len)
{
	struct guestblk_req req;
	int ret =
		guestblk_init(&req, q->ring.mem, VIRTIO_BLK_T_IN, sector, len);

	if (!ret)
		ret = guestblk_run(q, &req, NULL, FRONTEND_TIMEOUT_MS);
	if (!ret)
		memcpy(buf, req.data, len);
	return ret;
}

int guestblk_write(struct frontend_queue *q, uint64_t sector, const void *buf,
		   uint32_t len)
{
	struct guestblk_req req;
	int ret =
		guestblk_init(&req, q->ring.mem, VIRTIO_BLK_T_OUT, sector, len);

	if (ret)
		return ret;
	memcpy(req.data, buf, len);
	return guestblk_run(q, &req, NULL, FRONTEND_TIMEOUT_MS);
}

int guestblk_flush(struct frontend_queue *q)
{
	struct guestblk_req req;
	int ret = guestblk_init(&req, q->ring.mem, VIRTIO_BLK_T_FLUSH, 0, 0);

	return ret ? ret : guestblk_run(q, &req, NULL, FRONTEND_TIMEOUT_MS);
}
