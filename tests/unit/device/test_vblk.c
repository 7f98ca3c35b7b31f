/* SPDX-License-Identifier: BSD-2-Clause */
/* device/vblk: what a virtio-blk driver can ask, and what it is answered. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "device/models.h"
#include "device/vblk.h"
#include "iotest.h"
#include "ringmem.h"
#include "run/offload.h"
#include "testtarget.h"

#define BIT(n) (1ULL << (n))

#define FLUSH	     BIT(VIRTIO_BLK_F_FLUSH)
#define CONFIG_WCE   BIT(VIRTIO_BLK_F_CONFIG_WCE)
#define DISCARD	     BIT(VIRTIO_BLK_F_DISCARD)
#define WRITE_ZEROES BIT(VIRTIO_BLK_F_WRITE_ZEROES)

#define NR_SECTORS 2048 /* of testtarget's 1 MiB */

static struct testtarget target;
static struct testguest guest;

static void begin(unsigned nr, uint64_t features)
{
	testtarget_start(&target);
	testguest_start(&guest, &target, nr, features);
}

static void end(void)
{
	testguest_stop(&guest);
	testtarget_stop(&target);
}

static int run_type(uint32_t type, uint64_t sector, uint32_t len)
{
	struct guestblk_req r;

	cr_assert_eq(guestblk_init(&r, &guest.mem, type, sector, len), 0);
	return guestblk_run(&guest.q[0], &r, NULL, 5000);
}

/* A discard or write zeroes request with @nr segments in @seg. */
static int run_segs(uint32_t type,
		    const struct virtio_blk_discard_write_zeroes *seg,
		    uint32_t len)
{
	struct guestblk_req r;

	cr_assert_eq(guestblk_init(&r, &guest.mem, type, 0, len), 0);
	memcpy(r.data, seg, len);
	return guestblk_run(&guest.q[0], &r, NULL, 5000);
}

Test(vblk, reads_what_was_written)
{
	char out[8192], in[8192];

	testtarget_init(&target);
	begin(1, FLUSH);
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7 + i / 512);
	cr_assert_eq(guestblk_write(&guest.q[0], 5, out, sizeof(out)), 0);
	cr_assert_eq(guestblk_flush(&guest.q[0]), 0);
	cr_assert_eq(guestblk_read(&guest.q[0], 5, in, sizeof(in)), 0);
	cr_assert_arr_eq(in, out, sizeof(in));
	end();
}

Test(vblk, takes_a_request_in_any_pieces)
{
	struct guestblk_req w, r;

	testtarget_init(&target);
	begin(1, 0);
	cr_assert_eq(guestblk_init(&w, &guest.mem, VIRTIO_BLK_T_OUT, 1, 512),
		     0);
	cr_assert_eq(guestblk_init(&r, &guest.mem, VIRTIO_BLK_T_IN, 1, 512), 0);
	for (uint32_t cut = 1; cut < 16 + 512; cut++) {
		uint32_t cuts[] = {cut, 0}, in_cuts[] = {MIN(cut, 512u), 0};
		struct guestblk_layout l = {cut < 528 ? cuts : NULL, in_cuts};

		memset(w.data, (int)cut, 512);
		memset(r.data, 0, 512);
		l.in_cuts = NULL;
		cr_assert_eq(guestblk_run(&guest.q[0], &w, &l, 5000), 0);
		l.out_cuts = cut < 16 ? cuts : NULL;
		l.in_cuts = in_cuts;
		cr_assert_eq(guestblk_run(&guest.q[0], &r, &l, 5000), 0);
		cr_assert_eq(r.used_len, 513);
		cr_assert_arr_eq(r.data, w.data, 512, "cut at %u", cut);
	}
	end();
}

Test(vblk, answers_every_type_it_does_not_know)
{
	static const uint32_t types[] = {2,  3,	 5,  6,	 7,  9,	 10,	    12,
					 14, 15, 16, 18, 26, 99, 0x80000000};

	testtarget_init(&target);
	begin(1, FLUSH | DISCARD | WRITE_ZEROES);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(run_type(types[i], 0, 0), VIRTIO_BLK_S_UNSUPP,
			     "type %u", types[i]);
	end();
}

Test(vblk, stays_inside_the_disk)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		int status;
	} cases[] = {
		{NR_SECTORS - 1, 512, 0},
		{NR_SECTORS - 1, 1024, 1},
		{NR_SECTORS, 512, 1},
		{UINT64_MAX, 512, 1},
		{UINT64_MAX >> 9, 512, 1},
		{BIT(55), 512, 1},
		{0, 511, 1},
		{0, 513, 1},
	};
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

	testtarget_init(&target);
	begin(1, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned t = 0; t < 2; t++)
			cr_assert_eq(run_type(types[t], cases[i].sector,
					      cases[i].len),
				     cases[i].status, "case %u type %u", i, t);
	end();
}

Test(vblk, wants_whole_blocks_of_4096)
{
	testtarget_init(&target);
	target.config.backend.block_size = 4096;
	begin(1, 0);
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 8, 4096), 0);
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 1, 4096), 1);
	cr_assert_eq(run_type(VIRTIO_BLK_T_IN, 8, 512), 1);
	end();
}

Test(vblk, tells_its_serial_padded_with_nul)
{
	struct guestblk_req r;
	static const char want[20] = "SERIAL";

	testtarget_init(&target);
	begin(1, 0);
	cr_assert_eq(guestblk_init(&r, &guest.mem, VIRTIO_BLK_T_GET_ID, 0, 20),
		     0);
	memset(r.data, 0xaa, 20);
	cr_assert_eq(guestblk_run(&guest.q[0], &r, NULL, 5000), 0);
	cr_assert_arr_eq(r.data, want, 20);
	cr_assert_eq(r.used_len, 21);
	cr_assert_eq(guestblk_init(&r, &guest.mem, VIRTIO_BLK_T_GET_ID, 0, 19),
		     0);
	cr_assert_eq(guestblk_run(&guest.q[0], &r, NULL, 5000),
		     VIRTIO_BLK_S_IOERR);
	end();
}

Test(vblk, zeroes_and_discards_every_segment)
{
	struct virtio_blk_discard_write_zeroes seg[] = {
		{.sector = 1, .num_sectors = 2},
		{.sector = 9, .num_sectors = 0},
		{.sector = 5, .num_sectors = 1, .flags = 1},
	};
	static char out[8 * 512], in[8 * 512];

	testtarget_init(&target);
	begin(1, DISCARD | WRITE_ZEROES);
	memset(out, 0x5a, sizeof(out));
	cr_assert_eq(guestblk_write(&guest.q[0], 0, out, sizeof(out)), 0);
	cr_assert_eq(run_segs(VIRTIO_BLK_T_WRITE_ZEROES, seg, sizeof(seg)), 0);
	memset(out + 512, 0, 1024);
	memset(out + 5 * 512, 0, 512);
	cr_assert_eq(guestblk_read(&guest.q[0], 0, in, sizeof(in)), 0);
	cr_assert_arr_eq(in, out, sizeof(in));
	seg[2].flags = 0;
	cr_assert_eq(run_segs(VIRTIO_BLK_T_DISCARD, seg, sizeof(seg)), 0);
	cr_assert_eq(guestblk_read(&guest.q[0], 0, in, 512), 0);
	cr_assert_arr_eq(in, out, 512);
	end();
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void zero_or_discard(uint32_t type, uint32_t nr_sectors)
{
	const struct virtio_blk_discard_write_zeroes seg = {
		.num_sectors = nr_sectors};

	cr_assert_eq(run_segs(type, &seg, sizeof(seg)), 0);
}

Test(vblk, is_charged_for_each_change_of_the_disk)
{
	double began;

	testtarget_init(&target);
	target.config.limits.write_iops = 4;
	target.config.limits.burst_us = 1000;
	begin(1, FLUSH | DISCARD | WRITE_ZEROES);
	began = now_s();
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 0, 512), 0);
	zero_or_discard(VIRTIO_BLK_T_WRITE_ZEROES, 8);
	zero_or_discard(VIRTIO_BLK_T_DISCARD, 8);
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 0, 4096), 0);
	cr_assert_geq(now_s() - began, 0.74, "three of them had to wait");
	end();
}

Test(vblk, is_charged_for_the_bytes_that_are_moved)
{
	double began;

	testtarget_init(&target);
	target.config.limits.bandwidth = 1 << 20;
	target.config.limits.burst_us = 1000;
	begin(1, DISCARD | WRITE_ZEROES);
	began = now_s();
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 0, 256 << 10), 0);
	cr_assert_eq(run_type(VIRTIO_BLK_T_IN, 0, 512 << 10), 0);
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 0, 512), 0);
	cr_assert_geq(now_s() - began, 0.74);
	/* These move none, and would take 40 seconds. */
	began = now_s();
	for (unsigned i = 0; i < 20; i++) {
		zero_or_discard(VIRTIO_BLK_T_WRITE_ZEROES, NR_SECTORS);
		zero_or_discard(VIRTIO_BLK_T_DISCARD, NR_SECTORS);
	}
	cr_assert_leq(now_s() - began, 20);
	end();
}

Test(vblk, is_not_charged_for_what_does_nothing_to_the_disk)
{
	double began;

	testtarget_init(&target);
	target.config.limits.iops = 1;
	target.config.limits.bandwidth = 4096;
	target.config.limits.burst_us = 1000;
	begin(1, FLUSH | DISCARD | WRITE_ZEROES);
	began = now_s();
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(guestblk_flush(&guest.q[0]), 0);
		cr_assert_eq(run_type(VIRTIO_BLK_T_GET_ID, 0, 20), 0);
		cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, NR_SECTORS, 512), 1);
		cr_assert_eq(run_type(VIRTIO_BLK_T_IN, 0, 0), 0);
		cr_assert_eq(run_type(99, 0, 0), VIRTIO_BLK_S_UNSUPP);
		zero_or_discard(VIRTIO_BLK_T_DISCARD, 0);
		if (i == 0)
			cr_assert_eq(run_type(VIRTIO_BLK_T_IN, 0, 512), 0);
	}
	cr_assert_leq(now_s() - began, 10, "at one a second");
	end();
}

Test(vblk, has_nothing_in_flight_while_it_waits_for_limits)
{
	struct guestblk_req r;
	struct counters sum;

	testtarget_init(&target);
	target.config.limits.read_bandwidth = 4096;
	target.config.limits.burst_us = 1000;
	begin(1, 0);
	/* A debt of two minutes. */
	cr_assert_eq(run_type(VIRTIO_BLK_T_IN, 0, 512 << 10), 0);
	cr_assert_eq(guestblk_init(&r, &guest.mem, VIRTIO_BLK_T_IN, 0, 512), 0);
	cr_assert_eq(guestblk_run(&guest.q[0], &r, NULL, 100), -ETIMEDOUT);
	memset(&sum, 0, sizeof(sum));
	target_counters(target.target, &sum);
	cr_assert_eq(sum.inflight, 0);
	cr_assert_eq(sum.reads, 1);
	/* And nothing has to be waited for when it ends. */
	end();
}

Test(vblk, refuses_wrong_segments_and_touches_nothing)
{
	static const struct {
		uint32_t type;
		uint32_t len;
		struct virtio_blk_discard_write_zeroes seg;
		int status;
	} cases[] = {
		{VIRTIO_BLK_T_DISCARD, 15, {0, 1, 0}, 1},
		{VIRTIO_BLK_T_DISCARD, 0, {0, 1, 0}, 1},
		{VIRTIO_BLK_T_DISCARD, 16, {0, 1, 1}, 2},
		{VIRTIO_BLK_T_DISCARD, 16, {0, 1, 2}, 2},
		{VIRTIO_BLK_T_DISCARD, 16, {0, 0xffffffff, 0}, 1},
		{VIRTIO_BLK_T_WRITE_ZEROES, 16, {0, 1, 2}, 2},
		{VIRTIO_BLK_T_WRITE_ZEROES, 16, {0, 1, 0x80000000}, 2},
		{VIRTIO_BLK_T_WRITE_ZEROES, 16, {NR_SECTORS, 1, 0}, 1},
		{VIRTIO_BLK_T_WRITE_ZEROES, 16, {UINT64_MAX, 2, 0}, 1},
	};
	static struct virtio_blk_discard_write_zeroes
		many[VBLK_MAX_SEG + 1];
	static char out[512], in[512];

	testtarget_init(&target);
	begin(1, DISCARD | WRITE_ZEROES);
	memset(out, 0x5a, sizeof(out));
	cr_assert_eq(guestblk_write(&guest.q[0], 0, out, sizeof(out)), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		many[0].num_sectors = 1;
		many[1] = cases[i].seg;
		cr_assert_eq(run_segs(cases[i].type,
				      cases[i].len == 16 ? many : &many[1],
				      cases[i].len == 16 ? 32 : cases[i].len),
			     cases[i].status, "case %u", i);
	}
	for (unsigned i = 0; i <= VBLK_MAX_SEG; i++)
		many[i] = (struct virtio_blk_discard_write_zeroes){
			.num_sectors = 1};
	cr_assert_eq(run_segs(VIRTIO_BLK_T_WRITE_ZEROES, many, sizeof(many)),
		     1);
	cr_assert_eq(guestblk_read(&guest.q[0], 0, in, sizeof(in)), 0);
	cr_assert_arr_eq(in, out, sizeof(in));
	end();
}

Test(vblk, does_only_what_was_negotiated)
{
	struct virtio_blk_discard_write_zeroes seg = {.num_sectors = 1};

	testtarget_init(&target);
	begin(1, FLUSH);
	cr_assert_eq(run_segs(VIRTIO_BLK_T_DISCARD, &seg, sizeof(seg)), 2);
	cr_assert_eq(run_segs(VIRTIO_BLK_T_WRITE_ZEROES, &seg, sizeof(seg)), 2);
	end();
}

Test(vblk, writes_nothing_to_a_read_only_disk)
{
	struct virtio_blk_discard_write_zeroes seg = {.num_sectors = 1};

	testtarget_init(&target);
	target.config.read_only = true;
	target.config.backend.read_only = true;
	begin(1, UINT64_MAX);
	cr_assert(guest.f.offered_features & BIT(VIRTIO_BLK_F_RO));
	cr_assert_eq(run_type(VIRTIO_BLK_T_OUT, 0, 512), 1);
	cr_assert_eq(run_segs(VIRTIO_BLK_T_DISCARD, &seg, sizeof(seg)), 1);
	cr_assert_eq(run_segs(VIRTIO_BLK_T_WRITE_ZEROES, &seg, sizeof(seg)), 1);
	cr_assert_eq(run_type(VIRTIO_BLK_T_IN, 0, 512), 0);
	end();
}

Test(vblk, breaks_a_queue_that_leaves_no_room_for_a_status_and_no_other)
{
	struct guestblk_req r;
	struct guestring_seg seg;
	struct guestring_used used;
	struct target_facts facts;
	char in[512];

	testtarget_init(&target);
	begin(2, 0);
	cr_assert_eq(guestblk_init(&r, &guest.mem, VIRTIO_BLK_T_OUT, 0, 512),
		     0);
	seg = (struct guestring_seg){
		.gpa = guestmem_gpa(&guest.mem, r.hdr), .len = 16 + 512};
	cr_assert_geq(frontend_submit(&guest.q[0], &seg, 1, NULL), 0);
	cr_assert_eq(frontend_wait(&guest.q[0], &used, 5000), 0);
	cr_assert_eq(used.len, 0);
	cr_assert_eq(guestblk_read(&guest.q[1], 0, in, sizeof(in)), 0);
	testtarget_facts(&target, &facts);
	cr_assert_eq(facts.served.nr_queues, 2);
	cr_assert(facts.served.queues[0].facts.broken);
	cr_assert_not(facts.served.queues[1].facts.broken);
	target_facts_fini(&facts);
	end();
}

Test(vblk, fills_the_configuration_space)
{
	struct virtio_blk_config c;
	uint8_t all[256];

	testtarget_init(&target);
	target.config.backend.block_size = 4096;
	begin(1, UINT64_MAX);
	cr_assert_eq(frontend_get_config(&guest.f, 0, &c, sizeof(c)), 0);
	cr_assert_eq(c.capacity, NR_SECTORS);
	cr_assert_eq(c.blk_size, 4096);
	cr_assert_eq(c.seg_max, 126);
	cr_assert_eq(c.num_queues, 4);
	cr_assert_eq(c.wce, 1);
	cr_assert_eq(c.max_discard_seg, VBLK_MAX_SEG);
	cr_assert_eq(c.max_write_zeroes_seg, VBLK_MAX_SEG);
	cr_assert_gt(c.max_write_zeroes_sectors, 0);
	cr_assert_eq(c.unused, 0);
	cr_assert_eq(frontend_get_config(&guest.f, 0, all, sizeof(all)), 0);
	for (unsigned i = sizeof(c); i < sizeof(all); i++)
		cr_assert_eq(all[i], 0);
	end();
}

static struct counters counters_of_target(void)
{
	struct counters sum;

	target_counters(target.target, &sum);
	return sum;
}

Test(vblk, counts_what_it_does)
{
	struct virtio_blk_discard_write_zeroes seg = {0, 8, 0};
	static const uint32_t segs[] = {VIRTIO_BLK_T_DISCARD,
					VIRTIO_BLK_T_WRITE_ZEROES};
	char data[4096] = "";
	struct counters c;

	testtarget_init(&target);
	begin(1, FLUSH | DISCARD | WRITE_ZEROES);
	cr_assert_eq(guestblk_write(&guest.q[0], 0, data, sizeof(data)), 0);
	cr_assert_eq(guestblk_write(&guest.q[0], 0, data, 512), 0);
	cr_assert_eq(guestblk_read(&guest.q[0], 0, data, sizeof(data)), 0);
	cr_assert_eq(guestblk_flush(&guest.q[0]), 0);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(run_segs(segs[i], &seg, sizeof(seg)), 0);
	cr_assert_neq(run_type(VIRTIO_BLK_T_IN, NR_SECTORS, 512), 0);
	cr_assert_neq(run_type(99, 0, 0), 0);
	c = counters_of_target();
	cr_assert_eq(c.reads, 1);
	cr_assert_eq(c.read_bytes, 4096);
	cr_assert_eq(counters_nr_latencies(&c.read_latency), 1);
	cr_assert_eq(c.writes, 2);
	cr_assert_eq(c.written_bytes, 4608);
	cr_assert_eq(counters_nr_latencies(&c.write_latency), 2);
	cr_assert_eq(c.flushes, 1);
	cr_assert_eq(counters_nr_latencies(&c.flush_latency), 1);
	cr_assert_eq(c.discards, 1);
	cr_assert_eq(c.discarded_bytes, 4096);
	cr_assert_eq(counters_nr_latencies(&c.discard_latency), 1);
	cr_assert_eq(c.write_zeroes, 1);
	cr_assert_eq(c.zeroed_bytes, 4096);
	cr_assert_eq(counters_nr_latencies(&c.write_zeroes_latency), 1);
	cr_assert_eq(c.errors, 1);
	cr_assert_eq(c.unsupported, 1);
	cr_assert_eq(c.inflight, 0);
	end();
}

/* From here on the device alone, with a backend that takes notes. */

static struct io *last;

static void note(struct port *p, struct io *io)
{
	(void)p;
	last = io;
}

static const struct backend_ops notes = {.name = "notes", .submit = note};

static struct backend backend = {
	.ops = &notes,
	.info = {.size = 1 << 20, .block_size = 512, .can_discard = true},
};

static struct device *open_device(void)
{
	struct device_params p = {
		.backend = &backend, .serial = "S", .nr_queues = 1};
	struct device *d;

	cr_assert_eq(vblk_device.open(&d, &p), 0);
	return d;
}

/* The flags that a write gets from @d as it is now. */
static unsigned flags_of_a_write(struct device *d)
{
	static _Alignas(64) char room[4096];
	static struct virtio_blk_outhdr hdr = {.type = VIRTIO_BLK_T_OUT};
	static char data[512];
	static uint8_t status;
	const struct worker_params wp = {.cpu = -1, .io_workers = 4};
	struct port port = {.backend = &backend, .submit = note};
	struct counters counters = {0};
	struct device_load load = {0};
	struct queue *q;
	struct device_queue dq = {
		.device = d,
		.port = &port,
		.counters = &counters,
		.load = &load,
	};
	struct iovec iov[] = {
		{&hdr, sizeof(hdr)}, {data, sizeof(data)}, {&status, 1}};
	struct chain c = {.iov = iov,
			  .nr_readable = 2,
			  .nr_writable = 1,
			  .readable_len = sizeof(hdr) + sizeof(data),
			  .writable_len = 1,
			  .room = room};

	cr_assert_leq(vblk_device.room, sizeof(room));
	cr_assert_eq(worker_new(&port.worker, &wp), 0);
	cr_assert_eq(queue_new(&q, port.worker, "q"), 0);
	last = NULL;
	vblk_device.request(&dq, q, &c);
	queue_free(q);
	worker_free(port.worker);
	cr_assert_eq(counters.inflight, 1);
	cr_assert(last);
	cr_assert_eq(last->op, IO_WRITE);
	cr_assert_eq(last->iov, &iov[1]);
	cr_assert_eq(last->nr_iov, 1);
	return last->flags;
}

/* Requests of a ring, which its queue gives on in a way of its own. */

static struct {
	struct ringmem rm;
	struct worker *worker;
	struct queue *q;
	struct port port;
	struct counters counters;
	struct device_load load;
	struct device_queue dq;
	struct turn_item complete;
	bool drained;
	void (*request)(void *ctx, struct queue *q, struct chain *c);
} found;

static void complete_last(struct turn_item *item)
{
	(void)item;
	last->done(last, 0);
}

static void note_and_complete(struct port *p, struct io *io)
{
	note(p, io);
	worker_add(p->worker, TURN_DONE, &found.complete);
}

static void request_again(void *ctx, struct queue *q, struct chain *c)
{
	c->again = true;
	vblk_device.request(ctx, q, c);
}

static void lend_found(void *arg)
{
	static _Alignas(8) unsigned char part[16 + 16 * 16];
	const struct queue_setup setup = {
		.size = 16,
		.addr = found.rm.addr,
		.base = 0,
		.enabled = true,
		.inflight = { .host = part, .nr_desc = 16 },
		.kick = -1,
		.call = -1,
		.err = -1,
	};
	const struct queue_user user = {
		.request = found.request,
		.ctx = &found.dq,
		.room = vblk_device.room,
		.counters = &found.counters,
	};

	(void)arg;
	cr_assert_eq(queue_start(found.q, found.worker, found.rm.map, &setup,
				 &user),
		     0);
}

static void note_drained(void *ctx, struct queue *q)
{
	(void)ctx;
	(void)q;
	__atomic_store_n(&found.drained, true, __ATOMIC_RELEASE);
}

static void drain_found(void *arg)
{
	(void)arg;
	queue_drain(found.q, note_drained, NULL);
}

static void put_map(void *arg)
{
	memmap_put(arg);
}

static void begin_found(struct device *d)
{
	const struct worker_params wp = {
		.cpu = -1, .sqpoll_cpu = -1, .io_workers = 4};

	cr_assert_eq(worker_new(&found.worker, &wp), 0);
	cr_assert_eq(worker_start(found.worker), 0);
	rm_init_at(&found.rm, false, 16, worker_mailbox(found.worker));
	found.port = (struct port){.backend = &backend,
				   .worker = found.worker,
				   .submit = note_and_complete};
	found.dq = (struct device_queue){.device = d,
					 .port = &found.port,
					 .counters = &found.counters,
					 .load = &found.load};
	turn_item_init(&found.complete, complete_last);
	cr_assert_eq(queue_new(&found.q, found.worker, "q"), 0);
	iotest_call(found.worker, lend_found, NULL);
}

static void end_found(void)
{
	iotest_call(found.worker, drain_found, NULL);
	while (!__atomic_load_n(&found.drained, __ATOMIC_ACQUIRE))
		usleep(1000);
	queue_free(found.q);
	iotest_call(found.worker, put_map, found.rm.map);
	rm_fini(&found.rm);
	worker_stop(found.worker);
	cr_assert_eq(offload_stop(5000), 0);
	worker_free(found.worker);
}

/* The status that a request of @type is answered with. */
static uint8_t run_found(uint32_t type)
{
	struct ringmem *rm = &found.rm;
	uint8_t *status = rm_at(rm, RM_B + 0x2000);
	uint16_t nr = rm->used->idx;
	bool reads = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct virtio_blk_discard_write_zeroes seg = {.num_sectors = 1};

	memset(rm_at(rm, RM_B), 0, 0x2000);
	*(uint32_t *)rm_at(rm, RM_B) = type;
	memcpy(rm_at(rm, RM_B + 0x1000), &seg, sizeof(seg));
	*status = 0xff;
	rm_desc(rm, 0, RM_B, 16, VRING_DESC_F_NEXT, 1);
	rm_desc(rm, 1, RM_B + 0x1000, type == VIRTIO_BLK_T_OUT || reads ? 512
								       : 16,
		VRING_DESC_F_NEXT | (reads ? VRING_DESC_F_WRITE : 0), 2);
	rm_desc(rm, 2, RM_B + 0x2000, 1, VRING_DESC_F_WRITE, 0);
	last = NULL;
	rm_avail(rm, 0);
	for (unsigned i = 0; i < 10000; i++) {
		if (__atomic_load_n(&rm->used->idx, __ATOMIC_ACQUIRE) != nr)
			return *status;
		usleep(1000);
	}
	return 0xff;
}

Test(vblk, runs_again_what_does_no_harm_and_nothing_else)
{
	static const struct {
		uint32_t type;
		uint8_t status;
		int op; /* which the storage gets, or -1 */
	} types[] = {
		{VIRTIO_BLK_T_IN, VIRTIO_BLK_S_OK, IO_READ},
		{VIRTIO_BLK_T_OUT, VIRTIO_BLK_S_OK, IO_WRITE},
		{VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_S_OK, IO_FLUSH},
		{VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_S_OK, -1},
		{VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_S_OK, IO_DISCARD},
		{VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_S_OK, IO_WRITE_ZEROES},
		/* Zone append, say, which writes once more each time. */
		{15, VIRTIO_BLK_S_IOERR, -1},
		{2, VIRTIO_BLK_S_IOERR, -1},
		{UINT32_MAX, VIRTIO_BLK_S_IOERR, -1},
	};
	struct device *d;

	backend.info.max_discard = backend.info.max_write_zeroes = 1 << 20;
	d = open_device();
	cr_assert_eq(vblk_device.accept(d, FLUSH | DISCARD | WRITE_ZEROES), 0);
	found.request = request_again;
	begin_found(d);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		cr_expect_eq(run_found(types[i].type), types[i].status,
			     "type %u", types[i].type);
		cr_expect_eq(last ? (int)last->op : -1, types[i].op, "type %u",
			     types[i].type);
	}
	end_found();
	vblk_device.close(d);
}

Test(vblk, answers_all_with_an_error_where_data_is_lost)
{
	static const uint32_t types[] = {
		VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
		VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
		VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
		UINT32_MAX,
	};
	struct device *d = open_device();

	found.request = vblk_device.refuse;
	begin_found(d);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		cr_expect_eq(run_found(types[i]), VIRTIO_BLK_S_IOERR, "type %u",
			     types[i]);
		cr_expect_null(last);
	}
	cr_expect_eq(found.counters.errors, ARRAY_SIZE(types));
	end_found();
	vblk_device.close(d);
}

static const struct {
	uint64_t features;
	int wce; /* written to the configuration, or -1 */
	unsigned flags;
} durability[] = {
	{0, -1, IO_FUA},
	{FLUSH, -1, 0},
	{FLUSH | CONFIG_WCE, -1, 0},
	{FLUSH | CONFIG_WCE, 0, IO_FUA},
	{FLUSH | CONFIG_WCE, 1, 0},
	{CONFIG_WCE, -1, IO_FUA},
	{CONFIG_WCE, 1, 0},
};

Test(vblk, writes_through_unless_the_driver_has_a_cache)
{
	for (unsigned i = 0; i < ARRAY_SIZE(durability); i++) {
		struct device *d = open_device();
		uint8_t wce = (uint8_t)durability[i].wce;

		cr_assert_eq(vblk_device.accept(d, durability[i].features), 0);
		if (durability[i].wce >= 0)
			cr_assert_eq(vblk_device.config_set(d, &wce, 32, 1), 0);
		cr_assert_eq(flags_of_a_write(d), durability[i].flags,
			     "case %u", i);
		vblk_device.close(d);
	}
}

Test(vblk, lets_only_the_cache_switch_be_written)
{
	struct device *d = open_device();
	uint8_t byte = 0, two = 2, both[2] = {0};

	cr_assert_eq(vblk_device.config_set(d, &byte, 32, 1), -EINVAL);
	vblk_device.accept(d, FLUSH | CONFIG_WCE);
	cr_assert_eq(vblk_device.config_set(d, &byte, 31, 1), -EINVAL);
	cr_assert_eq(vblk_device.config_set(d, both, 32, 2), -EINVAL);
	cr_assert_eq(vblk_device.config_set(d, &two, 32, 1), -EINVAL);
	cr_assert_eq(vblk_device.config_set(d, &byte, 32, 1), 0);
	vblk_device.close(d);
}

Test(vblk, keeps_the_cache_switch_in_its_state)
{
	struct device *a = open_device(), *b = open_device();
	uint8_t saved[STATE_DEVICE_MAX], off = 0;
	size_t len;

	vblk_device.accept(a, FLUSH | CONFIG_WCE);
	vblk_device.config_set(a, &off, 32, 1);
	len = vblk_device.save(a, saved);
	cr_assert_leq(len, sizeof(saved));
	vblk_device.accept(b, FLUSH | CONFIG_WCE);
	cr_assert_eq(vblk_device.load(b, saved, len), 0);
	cr_assert_eq(flags_of_a_write(b), IO_FUA);
	cr_assert_eq(vblk_device.load(b, saved, len - 1), -EINVAL);
	saved[0]++;
	cr_assert_eq(vblk_device.load(b, saved, len), -EINVAL);
	vblk_device.close(a);
	vblk_device.close(b);
}

Test(vblk, forgets_the_driver_at_reset)
{
	struct device *d = open_device();

	vblk_device.accept(d, FLUSH);
	vblk_device.reset(d);
	cr_assert_eq(flags_of_a_write(d), IO_FUA);
	vblk_device.close(d);
}

/* A driver whose VM was paused does not know of the reset. */
Test(vblk, keeps_the_cache_off_over_a_reset_but_not_into_a_new_session)
{
	struct device *d = open_device();
	uint8_t off = 0, on = 1, seen;

	vblk_device.accept(d, FLUSH | CONFIG_WCE);
	vblk_device.config_set(d, &off, 32, 1);
	vblk_device.reset(d);
	cr_assert_eq(flags_of_a_write(d), IO_FUA);
	vblk_device.config_get(d, &seen, 32, 1);
	cr_assert_eq(seen, 0);

	/* The firmware accepts other features than the kernel. */
	vblk_device.accept(d, FLUSH);
	vblk_device.accept(d, FLUSH | CONFIG_WCE);
	cr_assert_eq(flags_of_a_write(d), IO_FUA);
	vblk_device.config_get(d, &seen, 32, 1);
	cr_assert_eq(seen, 0);

	/* Turned on again it stays on; so it is at the next power on. */
	vblk_device.config_set(d, &on, 32, 1);
	vblk_device.reset(d);
	vblk_device.accept(d, FLUSH | CONFIG_WCE);
	cr_assert_eq(flags_of_a_write(d), 0);
	vblk_device.config_set(d, &off, 32, 1);
	vblk_device.power_on(d);
	vblk_device.accept(d, FLUSH | CONFIG_WCE);
	cr_assert_eq(flags_of_a_write(d), 0);
	vblk_device.close(d);
}

Test(vblk, follows_a_backend_that_grew)
{
	struct device *d = open_device();
	uint64_t capacity;

	vblk_device.grow(d, 2 * backend.info.size);
	vblk_device.config_get(d, &capacity, 0, sizeof(capacity));
	cr_assert_eq(capacity, 4096);
	vblk_device.close(d);
}

Test(models, finds_a_model_by_its_name)
{
	cr_assert_eq(models_find("blk"), &vblk_device);
	cr_assert_null(models_find("blkk"));
}
