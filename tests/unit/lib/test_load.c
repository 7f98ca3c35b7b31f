/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/load: how it goes on with a target that was lost. */
#include <criterion/criterion.h>
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "load.h"

#define DEPTH	4
#define BIT(n)	(1ULL << (n))
#define SECTORS 8192

/*
 * The target's messages: a thread that says yes to everything.  Its device is
 * played by the tests, who reach into the load's rings.
 */
static struct {
	char dir[32];
	char path[64];
	int listener;
	pthread_t thread;
	int record; /* what it gives out */
	uint64_t protocol_features;
	unsigned stops_at; /* the answer to GET_VRING_BASE */
	_Atomic int fd;

	/* what it was told last */
	_Atomic uint32_t base;
	_Atomic uint64_t record_ino;
	_Atomic unsigned records;
} target;

static struct load_params params;
static struct load load;
static uint64_t now;

/* -- the target's end of the socket ---------------------------------------- */

static void reply(struct frontend *f, const struct frontend_msg *m,
		  const void *payload, size_t size, int fd)
{
	frontend_send(f, m->hdr.request, VHOST_USER_REPLY_MASK, payload, size,
		      &fd, fd >= 0);
}

static void reply_u64(struct frontend *f, const struct frontend_msg *m,
		      uint64_t value)
{
	reply(f, m, &value, sizeof(value), -1);
}

static void reply_config(struct frontend *f, const struct frontend_msg *m)
{
	struct vhost_user_config c = m->payload.config;
	uint64_t sectors = htole64(SECTORS);

	memcpy(c.payload, &sectors, sizeof(sectors));
	reply(f, m, &c, m->hdr.size, -1);
}

static void reply_record(struct frontend *f, const struct frontend_msg *m)
{
	struct vhost_user_inflight where = m->payload.inflight;

	where.mmap_size = 4096;
	reply(f, m, &where, sizeof(where), target.record);
}

static void note_record(const struct frontend_msg *m)
{
	struct stat st;

	if (m->nr_fds == 1 && fstat(m->fds[0], &st) == 0)
		target.record_ino = st.st_ino;
	target.records++;
}

static void serve_message(struct frontend *f, const struct frontend_msg *m)
{
	struct vhost_user_vring_state state = m->payload.state;

	switch (m->hdr.request) {
	case VHOST_USER_GET_FEATURES:
		reply_u64(f, m,
			  BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
				  BIT(VIRTIO_F_VERSION_1) |
				  BIT(VIRTIO_F_RING_PACKED));
		return;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		reply_u64(f, m, target.protocol_features);
		return;
	case VHOST_USER_GET_CONFIG:
		reply_config(f, m);
		return;
	case VHOST_USER_GET_INFLIGHT_FD:
		reply_record(f, m);
		return;
	case VHOST_USER_GET_VRING_BASE:
		state.num = target.stops_at;
		reply(f, m, &state, sizeof(state), -1);
		return;
	case VHOST_USER_SET_INFLIGHT_FD:
		note_record(m);
		break;
	case VHOST_USER_SET_VRING_BASE:
		target.base = state.num;
		break;
	}
	if (m->hdr.flags & VHOST_USER_NEED_REPLY_MASK)
		reply_u64(f, m, 0);
}

static void *serve(void *arg)
{
	struct frontend f;
	struct frontend_msg m;
	int fd;

	frontend_init(&f);
	while ((fd = accept(target.listener, NULL, NULL)) >= 0) {
		frontend_attach(&f, fd);
		target.fd = fd;
		while (frontend_recv(&f, f.fd, &m) == 0) {
			serve_message(&f, &m);
			frontend_msg_close(&m);
		}
		frontend_close(&f);
	}
	return arg;
}

/* The target dies, and there is another one at once. */
static void lose_target(void)
{
	shutdown(target.fd, SHUT_RDWR);
	for (unsigned i = 0; i < 500 && !frontend_is_gone(&load.fe); i++)
		usleep(10000);
}

/* -- its device ------------------------------------------------------------ */

static struct load_queue *queue(void)
{
	return &load.queues[0];
}

static struct guestring *ring(void)
{
	return &queue()->fq.ring;
}

/* Says that buffer @id is done, whether it is there or not. */
static void give_back(unsigned id, unsigned *nr_used)
{
	struct guestring *r = ring();
	unsigned nr_descs = 3;

	for (unsigned i = 0; i < DEPTH; i++)
		if (queue()->slots[i].id == id)
			queue()->slots[i].shared->status = VIRTIO_BLK_S_OK;
	if (r->packed) {
		struct vring_packed_desc *d =
			&r->pvring.desc[*nr_used * nr_descs];

		d->id = htole16((uint16_t)id);
		d->flags = htole16(1 << VRING_PACKED_DESC_F_AVAIL |
				   1 << VRING_PACKED_DESC_F_USED);
	} else {
		r->vring.used->ring[*nr_used].id = htole32(id);
		r->vring.used->idx = htole16((uint16_t)(*nr_used + 1));
	}
	++*nr_used;
}

/* What the driver made available as number @n: the first rounds only. */
static unsigned posted(unsigned n)
{
	struct guestring *r = ring();

	/* A packed ring repeats the id in each descriptor of a chain. */
	return r->packed ? le16toh(r->pvring.desc[3 * n].id)
			 : le16toh(r->vring.avail->ring[n]);
}

/* How far the driver has come. */
static unsigned nr_posted(void)
{
	struct guestring *r = ring();

	return r->packed ? r->next_avail.idx / 3 : le16toh(r->vring.avail->idx);
}

/* -- the tests ------------------------------------------------------------- */

static void setup(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	strcpy(target.dir, "/tmp/vrtl.XXXXXX");
	cr_assert_not_null(mkdtemp(target.dir));
	snprintf(target.path, sizeof(target.path), "%s/sock", target.dir);
	strcpy(sun.sun_path, target.path);
	target.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	target.record = memfd_create("record", MFD_CLOEXEC);
	target.protocol_features = BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
				   BIT(VHOST_USER_PROTOCOL_F_CONFIG) |
				   BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
	cr_assert_eq(bind(target.listener, (void *)&sun, sizeof(sun)), 0);
	cr_assert_eq(listen(target.listener, 4), 0);
	cr_assert_eq(pthread_create(&target.thread, NULL, serve, NULL), 0);
	params = (struct load_params){
		.reads = true,
		.reconnect = true,
		.bs = 512,
		.iodepth = DEPTH,
		.queues = 1,
		.time_ms = 1000,
	};
	tick_init(&params.tick);
}

static void teardown(void)
{
	shutdown(target.fd, SHUT_RDWR);
	shutdown(target.listener, SHUT_RDWR);
	pthread_join(target.thread, NULL);
	close(target.listener);
	close(target.record);
	unlink(target.path);
	rmdir(target.dir);
}

TestSuite(load, .init = setup, .fini = teardown);

/* Has DEPTH requests in flight. */
static void begin(bool packed)
{
	params.packed = packed;
	target.record_ino = 0;
	target.records = 0;
	cr_assert_eq(load_open(&load, target.path, &params), 0);
	now = tick_now(&params.tick);
	load_start(&load, now);
	cr_assert_eq(load_turn(&load, now), DEPTH);
	cr_assert_eq(nr_posted(), DEPTH);
}

/* Notices that the target is lost, and finds the other one. */
static void come_back(void)
{
	lose_target();
	cr_assert(load_check(&load, now, LOAD_GO_ON));
	cr_assert(load.down);
	load_check(&load, now, LOAD_GO_ON);
}

static uint64_t record_ino(void)
{
	struct stat st;

	cr_assert_eq(fstat(target.record, &st), 0);
	return st.st_ino;
}

Test(load, goes_on_with_its_rings_when_the_target_recorded_them)
{
	static const uint32_t bases[2] = {1, 0x80008000};

	for (int packed = 0; packed < 2; packed++) {
		eventfd_t kicks = 0;
		unsigned used = 0;

		begin(packed);
		cr_expect_eq(target.records, 1);
		eventfd_read(queue()->fq.kick, &kicks);
		give_back(posted(0), &used);
		come_back();
		cr_assert_not(load.down, "packed %d", packed);
		cr_expect_eq(target.records, 2);
		cr_expect_eq(target.record_ino, record_ino());
		cr_expect_eq(target.base, bases[packed], "base %#x",
			     target.base);
		cr_expect_eq(eventfd_read(queue()->fq.kick, &kicks), 0);
		cr_expect_eq(load.in_flight, DEPTH - 1);
		cr_expect_eq(nr_posted(), DEPTH);
		/* The rest, and one new one. */
		for (unsigned n = 1; n < DEPTH; n++)
			give_back(posted(n), &used);
		cr_expect_eq(load_turn(&load, now), DEPTH - 1 + DEPTH);
		cr_expect_eq(load.stats.errors, 0);
		load_close(&load);
	}
}

Test(load, posts_again_when_the_target_records_nothing)
{
	target.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
	for (int packed = 0; packed < 2; packed++) {
		unsigned used = 0;

		begin(packed);
		cr_expect_eq(target.records, 0);
		give_back(posted(0), &used);
		come_back();
		cr_assert_not(load.down, "packed %d", packed);
		cr_expect_eq(target.base, packed ? 0x80008000 : 0);
		cr_expect_eq(nr_posted(), DEPTH - 1);
		for (unsigned n = used = 0; n < DEPTH - 1; n++)
			give_back(posted(n), &used);
		cr_expect_eq(load_turn(&load, now), DEPTH - 1 + DEPTH);
		cr_expect_eq(load.stats.errors, 0);
		load_close(&load);
	}
}

Test(load, keeps_its_rings_without_a_record_when_told)
{
	unsigned used = 0;

	params.no_inflight = true;
	params.keep_rings = true;
	begin(false);
	give_back(posted(0), &used);
	come_back();
	cr_assert_not(load.down);
	cr_expect_eq(target.base, 1);
	cr_expect_eq(nr_posted(), DEPTH);
	load_close(&load);
}

Test(load, does_without_the_record_when_told)
{
	params.no_inflight = true;
	begin(false);
	come_back();
	cr_assert_not(load.down);
	cr_expect_eq(target.records, 0);
	cr_expect_eq(load.stats.errors, 0);
	load_close(&load);
}

Test(load, gives_up_a_target_that_records_nothing_any_more)
{
	begin(false);
	load.stats.errors = LOAD_COMPLAINTS;
	target.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
	come_back();
	cr_expect_eq(load.phase, LOAD_FAILED);
	cr_expect_gt(load.stats.errors, LOAD_COMPLAINTS);
	load_close(&load);
}

Test(load, notices_that_a_request_is_answered_twice)
{
	for (int packed = 0; packed < 2; packed++) {
		unsigned used = 0;
		unsigned first;

		begin(packed);
		load.stats.errors = LOAD_COMPLAINTS;
		first = posted(0);
		give_back(first, &used);
		come_back();
		give_back(first, &used);
		load_turn(&load, now);
		cr_expect_eq(load.phase, LOAD_FAILED, "packed %d", packed);
		cr_expect_gt(load.stats.errors, LOAD_COMPLAINTS);
		load_close(&load);
	}
}

/* All is answered, the time is up, and the load ends; tells the errors. */
static unsigned end_load(unsigned stops_at, bool once_more)
{
	unsigned used = 0;
	uint64_t late;

	begin(false);
	load.stats.errors = LOAD_COMPLAINTS;
	for (unsigned n = 0; n < DEPTH; n++)
		give_back(posted(n), &used);
	target.stops_at = stops_at;
	late = now + tick_from_ms(&params.tick, params.time_ms + 1);
	load_check(&load, late, LOAD_GO_ON);
	load_turn(&load, late);
	load_check(&load, late, LOAD_GO_ON);
	cr_assert_eq(load.phase, LOAD_DONE);
	if (once_more)
		give_back(posted(0), &used);
	load_close(&load);
	return (unsigned)(load.stats.errors - LOAD_COMPLAINTS);
}

Test(load, notices_at_the_end_that_the_target_has_lost_count)
{
	cr_expect_eq(end_load(DEPTH, false), 0);
	cr_expect_eq(end_load(DEPTH - 1, false), 1);
	cr_expect_eq(end_load(DEPTH, true), 1);
}
