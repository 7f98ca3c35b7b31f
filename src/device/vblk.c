/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: request header -> io, result -> status byte. */
#include "device/vblk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/crash.h"
#include "base/iov.h"
#include "base/log.h"

/*
 * Theory of operation: a request
 *
 * A chain is a header of 16 readable bytes, data, and a status byte, which is
 * the last writable one.  How these are cut into descriptors is the driver's
 * affair: the header is copied off the front of the readable part, the status
 * byte is cut off the end of the writable part, and the data is what remains.
 *
 * Whatever is wrong with a request, it is answered with a status; only a chain
 * without room for a status breaks the queue.  An answer that needs no storage
 * goes through TURN_DONE, like one from a backend that needs no kernel, so
 * queue_push() is never called from within request().
 *
 * Writes are stable on completion (IO_FUA) unless the driver has accepted a
 * write cache and not turned it off.  Once off, the cache stays so until it is
 * turned on or the session ends: virtio allows either position after a reset,
 * and who resets the device need not be the driver, or tell it.
 *
 * A request that a predecessor may have run before it died is run again where
 * that is harmless, as it is for every operation here: each writes the same
 * bytes to the same place.  One that is not known to be so is answered with an
 * error: the driver finds out what became of it, and we cannot.
 */
#define SECTOR_SHIFT 9

/* Segments cannot say more than 32 bits of sectors. */
#define MAX_SEG_SECTORS (UINT32_MAX >> 1)

struct vblk {
	struct device device;
	struct virtio_blk_config config; /* little endian, as the guest reads */
	uint64_t accepted;		 /* features, 0 before accept() */
	bool cache_off;			 /* a driver's wish, see above */
	bool read_only;
	char serial[VIRTIO_BLK_ID_BYTES]; /* NUL padded, maybe not ended */

	/*
	 * Written by the home while workers read them.  The driver learns that
	 * one changed only after the store, by a message from us, so relaxed
	 * is enough.
	 */
	_Atomic bool write_through; /* writes are stable when they complete */
	_Atomic uint64_t nr_sectors;
};

/* A request: the room of its chain. */
struct vblk_request {
	struct io io;
	struct device_queue *dq;
	struct queue *queue;
	struct chain *chain;
	struct turn_item answer;
	uint64_t began_us;
	uint8_t *status;
	uint8_t result;		/* the status to give */
	uint32_t written;	/* data bytes, for the used length */
	uint64_t sector;
	uint64_t bytes;		/* of storage, for the counters */
	struct virtio_blk_discard_write_zeroes seg[VBLK_MAX_SEG];
	unsigned nr_seg;
	unsigned next_seg;
};

static struct vblk *to_vblk(struct device *d)
{
	return container_of(d, struct vblk, device);
}

static struct vblk *vblk_of(const struct vblk_request *r)
{
	return to_vblk(r->dq->device);
}

/* Answering */

static uint64_t now_us(const struct vblk_request *r)
{
	return worker_now_us(r->dq->port->worker);
}

static void finish(struct vblk_request *r)
{
	if (r->result != VIRTIO_BLK_S_OK)
		r->written = 0;
	if (r->result == VIRTIO_BLK_S_IOERR)
		counters_add(&r->dq->counters->errors, 1);
	else if (r->result == VIRTIO_BLK_S_UNSUPP)
		counters_add(&r->dq->counters->unsupported, 1);
	*r->status = r->result;
	CRASH_POINT(COMPLETE_STATUS);
	device_end(r->dq, now_us(r));
	queue_push(r->queue, r->chain, r->written + 1);
}

static void run_answer(struct turn_item *item)
{
	finish(container_of(item, struct vblk_request, answer));
}

static void answer(struct vblk_request *r, uint8_t result)
{
	r->result = result;
	turn_item_init(&r->answer, run_answer);
	worker_add(r->dq->port->worker, TURN_DONE, &r->answer);
}

static uint8_t status_of(int res)
{
	if (res == 0)
		return VIRTIO_BLK_S_OK;
	return res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* Where the counters of an operation are. */
static const struct {
	size_t requests;
	size_t us;
	size_t latency;
	size_t bytes; /* 0: none */
} op_counters[] = {
#define OP(requests, name)                      \
	offsetof(struct counters, requests),    \
		offsetof(struct counters, name##_us), \
		offsetof(struct counters, name##_latency)
#define BYTES(name) offsetof(struct counters, name)
	[IO_READ] = {OP(reads, read), BYTES(read_bytes)},
	[IO_WRITE] = {OP(writes, write), BYTES(written_bytes)},
	[IO_FLUSH] = {OP(flushes, flush), 0},
	[IO_DISCARD] = {OP(discards, discard), BYTES(discarded_bytes)},
	[IO_WRITE_ZEROES] = {OP(write_zeroes, write_zeroes),
			     BYTES(zeroed_bytes)},
#undef OP
#undef BYTES
};
static_assert(ARRAY_SIZE(op_counters) == IO_NR_OPS, "a row for each operation");

static void count(const struct vblk_request *r)
{
	char *counters = (char *)r->dq->counters;
	uint64_t us = now_us(r) - r->began_us;

#define FIELD(name) ((void *)(counters + op_counters[r->io.op].name))
	counters_add(FIELD(requests), 1);
	counters_add(FIELD(us), us);
	counters_add_latency(FIELD(latency), us);
	if (r->bytes)
		counters_add(FIELD(bytes), r->bytes);
#undef FIELD
}

/* Between two lines about storage that fails. */
#define FAILURE_PAUSE_US 10000000

/* Storage that fails once mostly fails for each request: we say it rarely. */
static void say_failure(const struct vblk_request *r, int err)
{
	static const char *const ops[] = {"read", "write", "flush", "discard",
					  "write_zeroes"};
	struct device_load *l = r->dq->load;
	uint64_t now = now_us(r);

	static_assert(ARRAY_SIZE(ops) == IO_NR_OPS, "a word for each");
	/* A VMM that takes memory away does that, and its queue breaks. */
	if (err == -EFAULT)
		return;
	if (l->said_us && now - l->said_us < FAILURE_PAUSE_US)
		return;
	l->said_us = now;
	log_event(LOG_STORAGE_FAILED, queue_tag(r->queue),
		  "storage failed op=%s: %s", ops[r->io.op], strerror(-err));
}

static void io_done(struct io *io, int res)
{
	struct vblk_request *r = container_of(io, struct vblk_request, io);

	CRASH_POINT(COMPLETE_DONE);
	r->result = status_of(res);
	if (res == 0)
		count(r);
	else if (r->result == VIRTIO_BLK_S_IOERR)
		say_failure(r, res);
	finish(r);
}

/* Checks */

/* Is a range inside the disk, and made of whole blocks? */
static bool is_valid_range(const struct vblk *v, uint64_t sector,
			   uint64_t length)
{
	uint64_t nr = length >> SECTOR_SHIFT;
	uint64_t all =
		atomic_load_explicit(&v->nr_sectors, memory_order_relaxed);
	unsigned block = v->device.backend->info.block_size;

	return nr <= all && sector <= all - nr && is_aligned(length, block) &&
	       is_aligned(sector << SECTOR_SHIFT, block);
}

static unsigned write_flags(struct vblk *v)
{
	return atomic_load_explicit(&v->write_through, memory_order_relaxed)
		       ? IO_FUA
		       : 0;
}

/* Operations: each leads to one answer, unless it is not admitted */

/* May it be begun now?  If not, it is no longer ours, and comes again. */
static bool admit(struct vblk_request *r, enum limits_kind kind, uint64_t bytes)
{
	if (queue_admit(r->queue, r->chain, kind, bytes))
		return true;
	device_end(r->dq, r->began_us);
	return false;
}

static void transfer(struct vblk_request *r, enum io_op op, struct iovec *iov,
		     unsigned nr_iov, uint32_t length)
{
	struct vblk *v = vblk_of(r);

	if (!is_valid_range(v, r->sector, length)) {
		answer(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (length == 0) {
		answer(r, VIRTIO_BLK_S_OK);
		return;
	}
	if (!admit(r, op == IO_READ ? LIMITS_READ : LIMITS_WRITE, length))
		return;
	r->bytes = length;
	r->io.op = op;
	r->io.flags = op == IO_WRITE ? write_flags(v) : 0;
	r->io.offset = r->sector << SECTOR_SHIFT;
	r->io.length = length;
	r->io.iov = iov;
	r->io.nr_iov = nr_iov;
	r->io.buffer =
		r->dq->has_fixed ? queue_buffer(r->queue, iov, nr_iov) : -1;
	r->io.done = io_done;
	if (v->device.backend->info.copies)
		queue_copied(r->queue, length);
	port_submit(r->dq->port, &r->io);
}

static void request_in(struct vblk_request *r)
{
	struct chain *c = r->chain;

	r->written = c->writable_len;
	transfer(r, IO_READ, c->iov + c->nr_readable, c->nr_writable,
		 c->writable_len);
}

static void request_out(struct vblk_request *r)
{
	struct chain *c = r->chain;

	if (vblk_of(r)->read_only) {
		answer(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	transfer(r, IO_WRITE, c->iov, c->nr_readable, c->readable_len);
}

static void request_flush(struct vblk_request *r)
{
	r->bytes = 0;
	r->io.op = IO_FLUSH;
	r->io.flags = 0;
	r->io.offset = 0;
	r->io.length = 0;
	r->io.nr_iov = 0;
	r->io.done = io_done;
	port_submit(r->dq->port, &r->io);
}

static void request_get_id(struct vblk_request *r)
{
	struct vblk *v = vblk_of(r);
	struct chain *c = r->chain;

	if (c->writable_len < sizeof(v->serial)) {
		answer(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->written = iov_copy_in(c->iov + c->nr_readable, c->nr_writable, 0,
				 v->serial, sizeof(v->serial));
	answer(r, VIRTIO_BLK_S_OK);
}

/* Discard and write zeroes: one io for each segment, one after the other */

static void seg_done(struct io *io, int res);

/* What is left of a request of segments once they were checked. */
static void submit_seg(struct vblk_request *r)
{
	const struct virtio_blk_discard_write_zeroes *s;

	s = &r->seg[r->next_seg++];
	r->io.offset = le64toh(s->sector) << SECTOR_SHIFT;
	r->io.length = (uint64_t)le32toh(s->num_sectors) << SECTOR_SHIFT;
	r->io.flags = 0;
	if (r->io.op == IO_WRITE_ZEROES) {
		r->io.flags = write_flags(vblk_of(r));
		if (le32toh(s->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
			r->io.flags |= IO_UNMAP;
	}
	r->io.nr_iov = 0;
	r->io.done = seg_done;
	port_submit(r->dq->port, &r->io);
}

/* Skips what has nothing to do; false when no segment is left. */
static bool has_seg(struct vblk_request *r)
{
	while (r->next_seg < r->nr_seg && !r->seg[r->next_seg].num_sectors)
		r->next_seg++;
	return r->next_seg < r->nr_seg;
}

static void seg_done(struct io *io, int res)
{
	struct vblk_request *r = container_of(io, struct vblk_request, io);

	if (res == 0 && has_seg(r))
		submit_seg(r);
	else
		io_done(io, res);
}

static uint8_t check_seg(const struct vblk *v, enum io_op op,
			 const struct virtio_blk_discard_write_zeroes *s)
{
	uint32_t flags = le32toh(s->flags);
	uint32_t allowed = op == IO_WRITE_ZEROES
				   ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
				   : 0;
	uint32_t max = op == IO_WRITE_ZEROES
			       ? v->config.max_write_zeroes_sectors
			       : v->config.max_discard_sectors;

	if (flags & ~allowed)
		return VIRTIO_BLK_S_UNSUPP;
	if (le32toh(s->num_sectors) > le32toh(max) ||
	    !is_valid_range(v, le64toh(s->sector),
			    (uint64_t)le32toh(s->num_sectors) << SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* Copies the segments, then checks them all before any is acted on. */
static uint8_t take_segs(struct vblk_request *r, enum io_op op)
{
	struct chain *c = r->chain;
	unsigned nr = c->readable_len / sizeof(r->seg[0]);
	uint8_t result = VIRTIO_BLK_S_OK;

	if (nr == 0 || nr > VBLK_MAX_SEG ||
	    c->readable_len % sizeof(r->seg[0]) != 0)
		return VIRTIO_BLK_S_IOERR;
	iov_copy_out(c->iov, c->nr_readable, 0, r->seg, c->readable_len);
	r->bytes = 0;
	for (unsigned i = 0; i < nr && result == VIRTIO_BLK_S_OK; i++) {
		result = check_seg(vblk_of(r), op, &r->seg[i]);
		r->bytes += (uint64_t)le32toh(r->seg[i].num_sectors)
			    << SECTOR_SHIFT;
	}
	r->nr_seg = nr;
	r->next_seg = 0;
	return result;
}

static void request_segs(struct vblk_request *r, enum io_op op, unsigned bit)
{
	struct vblk *v = vblk_of(r);
	uint8_t result = VIRTIO_BLK_S_UNSUPP;

	if (v->read_only)
		result = VIRTIO_BLK_S_IOERR;
	else if (v->accepted & (1ULL << bit))
		result = take_segs(r, op);
	if (result != VIRTIO_BLK_S_OK || !has_seg(r)) {
		answer(r, result);
		return;
	}
	/* They move no data. */
	if (!admit(r, LIMITS_WRITE, 0))
		return;
	r->io.op = op;
	submit_seg(r);
}

static void request_discard(struct vblk_request *r)
{
	request_segs(r, IO_DISCARD, VIRTIO_BLK_F_DISCARD);
}

static void request_write_zeroes(struct vblk_request *r)
{
	request_segs(r, IO_WRITE_ZEROES, VIRTIO_BLK_F_WRITE_ZEROES);
}

static void request_unknown(struct vblk_request *r)
{
	answer(r, VIRTIO_BLK_S_UNSUPP);
}

/* What a driver can ask for, and whether it may be run twice. */
struct request_type {
	void (*run)(struct vblk_request *r);
	bool may_run_again;
};

static const struct request_type *find_type(uint32_t type)
{
	static const struct request_type unknown = {request_unknown, false};
	static const struct request_type types[] = {
		[VIRTIO_BLK_T_IN] = {request_in, true},
		[VIRTIO_BLK_T_OUT] = {request_out, true},
		[VIRTIO_BLK_T_FLUSH] = {request_flush, true},
		[VIRTIO_BLK_T_GET_ID] = {request_get_id, true},
		[VIRTIO_BLK_T_DISCARD] = {request_discard, true},
		[VIRTIO_BLK_T_WRITE_ZEROES] = {request_write_zeroes, true},
	};

	return type < ARRAY_SIZE(types) && types[type].run ? &types[type]
							    : &unknown;
}

static void start(struct vblk_request *r, uint32_t type)
{
	const struct request_type *t = find_type(type);

	if (unlikely(r->chain->again && !t->may_run_again))
		answer(r, VIRTIO_BLK_S_IOERR);
	else
		t->run(r);
}

/* Cuts the status off; false when there is none, and the queue is broken. */
static bool begin(struct vblk_request *r, struct device_queue *dq,
		  struct queue *q, struct chain *c)
{
	if (c->nr_writable == 0) {
		queue_break(q, c, "a request without room for its status");
		return false;
	}
	r->dq = dq;
	r->queue = q;
	r->chain = c;
	r->written = 0;
	r->began_us = now_us(r);
	device_begin(r->dq, r->began_us);
	r->status = iov_chop(c->iov + c->nr_readable, &c->nr_writable, 1);
	c->writable_len--;
	return true;
}

static void vblk_request(void *device_queue, struct queue *q, struct chain *c)
{
	struct vblk_request *r = c->room;
	struct virtio_blk_outhdr hdr;

	if (!begin(r, device_queue, q, c))
		return;
	if (c->too_long || c->readable_len < sizeof(hdr)) {
		answer(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	iov_pull(&c->iov, &c->nr_readable, &hdr, sizeof(hdr));
	c->readable_len -= sizeof(hdr);
	r->sector = le64toh(hdr.sector);
	start(r, le32toh(hdr.type));
}

static void vblk_refuse(void *device_queue, struct queue *q, struct chain *c)
{
	if (begin(c->room, device_queue, q, c))
		answer(c->room, VIRTIO_BLK_S_IOERR);
}

/* Features and configuration */

static uint64_t vblk_features(const struct device *d)
{
	const struct vblk *v = container_of_const(d, struct vblk, device);
	uint64_t f = 1ULL << VIRTIO_BLK_F_SEG_MAX |
		     1ULL << VIRTIO_BLK_F_BLK_SIZE |
		     1ULL << VIRTIO_BLK_F_FLUSH |
		     1ULL << VIRTIO_BLK_F_TOPOLOGY |
		     1ULL << VIRTIO_BLK_F_CONFIG_WCE |
		     1ULL << VIRTIO_BLK_F_MQ;

	if (v->read_only)
		return f | 1ULL << VIRTIO_BLK_F_RO;
	f |= 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	if (d->backend->info.can_discard)
		f |= 1ULL << VIRTIO_BLK_F_DISCARD;
	return f;
}

/*
 * With a switch for the cache its position decides, without one a driver that
 * sends flushes has a cache, and one that cannot must not need them.
 */
static void decide_write_through(struct vblk *v)
{
	bool cache = v->accepted & (1ULL << VIRTIO_BLK_F_FLUSH);

	if (v->accepted & (1ULL << VIRTIO_BLK_F_CONFIG_WCE))
		cache = v->config.wce;
	atomic_store_explicit(&v->write_through, !cache, memory_order_relaxed);
}

/* Where the switch of the write cache is before a driver moves it. */
static void place_switch(struct vblk *v)
{
	bool has_cache = !v->accepted ||
			 v->accepted & (1ULL << VIRTIO_BLK_F_FLUSH);

	v->config.wce = has_cache && !v->cache_off;
	decide_write_through(v);
}

static int vblk_accept(struct device *d, uint64_t features)
{
	struct vblk *v = to_vblk(d);

	features &= vblk_features(d);
	if (features == v->accepted)
		return 0;
	v->accepted = features;
	place_switch(v);
	return 0;
}

static void vblk_config_get(const struct device *d, void *buf, size_t off,
			    size_t len)
{
	const struct vblk *v = container_of_const(d, struct vblk, device);

	memset(buf, 0, len);
	if (off < sizeof(v->config))
		memcpy(buf, (const char *)&v->config + off,
		       MIN(len, sizeof(v->config) - off));
}

/* The one byte a driver may write is the switch of the write cache. */
static int vblk_config_set(struct device *d, const void *buf, size_t off,
			   size_t len)
{
	struct vblk *v = to_vblk(d);
	uint8_t wce;

	if (off != offsetof(struct virtio_blk_config, wce) || len != 1 ||
	    !(v->accepted & (1ULL << VIRTIO_BLK_F_CONFIG_WCE)))
		return -EINVAL;
	memcpy(&wce, buf, 1);
	if (wce > 1)
		return -EINVAL;
	v->config.wce = wce;
	v->cache_off = !wce;
	decide_write_through(v);
	return 0;
}

static void set_size(struct vblk *v, uint64_t size)
{
	uint64_t nr_sectors = size >> SECTOR_SHIFT;

	atomic_store_explicit(&v->nr_sectors, nr_sectors, memory_order_relaxed);
	v->config.capacity = htole64(nr_sectors);
}

static unsigned log2_of(unsigned n)
{
	return n > 1 ? 31 - (unsigned)__builtin_clz(n) : 0;
}

/* Sizes in the topology are counted in logical blocks. */
static void fill_topology(struct vblk *v)
{
	const struct backend_info *i = &v->device.backend->info;
	unsigned block = i->block_size;
	unsigned per_physical = MAX(i->physical_block_size, block) / block;
	unsigned lowest = (i->alignment_offset / block) % per_physical;

	v->config.blk_size = htole32(block);
	v->config.physical_block_exp = log2_of(per_physical);
	v->config.alignment_offset = MIN(lowest, 255u);
	v->config.min_io_size =
		htole16(MIN(i->min_io_size / block, (unsigned)UINT16_MAX));
	v->config.opt_io_size = htole32(i->opt_io_size / block);
}

static uint32_t max_sectors(uint64_t bytes, unsigned block)
{
	uint64_t limit = (uint64_t)MAX_SEG_SECTORS << SECTOR_SHIFT;

	return htole32(align_down(MIN(bytes, limit), block) >> SECTOR_SHIFT);
}

static void fill_segs(struct vblk *v)
{
	const struct backend_info *i = &v->device.backend->info;
	uint64_t align = MAX(i->discard_align, (uint64_t)i->block_size);

	if (v->read_only)
		return;
	v->config.max_write_zeroes_sectors =
		max_sectors(i->max_write_zeroes, i->block_size);
	v->config.max_write_zeroes_seg = htole32(VBLK_MAX_SEG);
	v->config.write_zeroes_may_unmap = i->can_unmap;
	if (!i->can_discard)
		return;
	v->config.max_discard_sectors =
		max_sectors(i->max_discard, i->block_size);
	v->config.max_discard_seg = htole32(VBLK_MAX_SEG);
	v->config.discard_sector_alignment = htole32(align >> SECTOR_SHIFT);
}

static void vblk_reset(struct device *d)
{
	struct vblk *v = to_vblk(d);

	v->accepted = 0;
	place_switch(v);
}

static void vblk_power_on(struct device *d)
{
	to_vblk(d)->cache_off = false;
	vblk_reset(d);
}

static int vblk_open(struct device **out, const struct device_params *p)
{
	struct vblk *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->device.ops = &vblk_device;
	v->device.backend = p->backend;
	v->read_only = p->read_only || p->backend->info.read_only;
	memcpy(v->serial, p->serial, strnlen(p->serial, sizeof(v->serial)));
	v->config.seg_max = htole32(p->seg_max);
	v->config.num_queues = htole16(p->nr_queues);
	set_size(v, p->backend->info.size);
	fill_topology(v);
	fill_segs(v);
	vblk_power_on(&v->device);
	*out = &v->device;
	return 0;
}

static void vblk_close(struct device *d)
{
	if (d)
		free(to_vblk(d));
}

static void vblk_grow(struct device *d, uint64_t size)
{
	set_size(to_vblk(d), size);
}

/* State that the front-end does not know: the position of the cache switch */

struct vblk_state {
	uint8_t version;
	uint8_t wce;
};

static_assert(sizeof(struct vblk_state) <= STATE_DEVICE_MAX, "it fits");

static size_t vblk_save(const struct device *d, void *buf)
{
	const struct vblk *v = container_of_const(d, struct vblk, device);
	const struct vblk_state s = {.version = 1, .wce = !v->cache_off};

	memcpy(buf, &s, sizeof(s));
	return sizeof(s);
}

static int vblk_load(struct device *d, const void *buf, size_t len)
{
	struct vblk *v = to_vblk(d);
	struct vblk_state s;

	if (len != sizeof(s))
		return -EINVAL;
	memcpy(&s, buf, sizeof(s));
	if (s.version != 1 || s.wce > 1)
		return -EINVAL;
	v->cache_off = !s.wce;
	place_switch(v);
	return 0;
}

const struct device_ops vblk_device = {
	.name = "blk",
	.room = sizeof(struct vblk_request),
	.open = vblk_open,
	.close = vblk_close,
	.features = vblk_features,
	.accept = vblk_accept,
	.config_get = vblk_config_get,
	.config_set = vblk_config_set,
	.request = vblk_request,
	.refuse = vblk_refuse,
	.power_on = vblk_power_on,
	.reset = vblk_reset,
	.save = vblk_save,
	.load = vblk_load,
	.grow = vblk_grow,
};
