/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost/handlers: the region of requests in flight, and what becomes of them
 * when the daemon dies.  A death is played: guest memory and the region are
 * kept as they are at a moment, the session ends as it will, and they are put
 * back for the next one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "iotest.h"
#include "sessionrig.h"
#include "vhost/guard.h"

TestSuite(handlers_inflight, .timeout = 120);

#define INFLIGHT_TEST(name) RIG_TEST(handlers_inflight, name)

#define FIRST_LEN 100 /* of the buffer of the first request; then 101... */

static struct frontend_inflight region;
static unsigned char *bytes; /* of the region */

static void map_region(void)
{
	bytes = mmap(NULL, region.where.mmap_size, PROT_READ | PROT_WRITE,
		     MAP_SHARED, region.fd, 0);
	cr_assert_neq(bytes, MAP_FAILED);
}

static void give_region(unsigned queues, unsigned size)
{
	cr_assert_eq(frontend_get_inflight(&rig.t.vmm, queues, size, &region),
		     0);
	map_region();
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
}

static void drop_region(void)
{
	munmap(bytes, region.where.mmap_size);
	frontend_inflight_close(&region);
}

static void start_queue(void)
{
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
}

/* ---- GET_INFLIGHT_FD ---- */

/* Ask with a payload of @size bytes.  The reply's size, and @d from it. */
static uint32_t ask(struct vhost_user_inflight *d, size_t size, int *fd)
{
	struct frontend_msg m;

	cr_assert_eq(frontend_get(&rig.t.vmm, VHOST_USER_GET_INFLIGHT_FD, d,
				  size, &m),
		     0);
	*d = m.payload.inflight;
	*fd = m.nr_fds == 1 ? m.fds[0] : -1;
	return m.hdr.size;
}

INFLIGHT_TEST(makes_a_region_when_asked)
{
	static const size_t sizes[] = {20, 24};

	rig_open();
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vhost_user_inflight d = {
			.mmap_size = 7,
			.mmap_offset = 9,
			.num_queues = 3,
			.queue_size = 128,
		};
		struct stat st;
		int fd;

		cr_assert_eq(ask(&d, sizes[i], &fd), sizes[i]);
		cr_assert_geq(fd, 0);
		cr_assert_eq(d.mmap_size,
			     3 * (rig.t.packed ? 4160 : 2112) + 128);
		cr_assert_eq(d.mmap_offset, 0);
		cr_assert_eq(d.num_queues, 3);
		cr_assert_eq(d.queue_size, 128);
		cr_assert_eq(fstat(fd, &st), 0);
		cr_assert_eq((uint64_t)st.st_size, d.mmap_size);
		close(fd);
	}
	rig_close();
}

INFLIGHT_TEST(keeps_none_of_ten_thousand_regions)
{
	unsigned before;

	rig_open();
	before = sessiontest_count_fds();
	for (unsigned i = 0; i < 10000; i++) {
		struct vhost_user_inflight d = {.num_queues = 1,
						.queue_size = 16};
		int fd;

		ask(&d, sizeof(d), &fd);
		cr_assert_geq(fd, 0);
		close(fd);
	}
	for (int i = 0; i < 500 && sessiontest_count_fds() > before; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert_eq(sessiontest_count_fds(), before);
	rig_close();
}

/* No descriptor more from now on, or as many as before. */
static void limit_fds(bool on)
{
	static struct rlimit before;
	struct rlimit now;
	int lowest;

	if (!on) {
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		return;
	}
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	lowest = dup(0);
	cr_assert_geq(lowest, 0);
	close(lowest);
	now = (struct rlimit){(rlim_t)lowest, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
}

INFLIGHT_TEST(says_that_it_can_make_no_region)
{
	struct vhost_user_inflight d = {.num_queues = 1, .queue_size = 16};
	int fd;

	rig_open();
	rig_share();
	start_queue();
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	limit_fds(true);
	cr_assert_eq(ask(&d, sizeof(d), &fd), sizeof(d));
	limit_fds(false);
	cr_assert_eq(d.mmap_size, 0);
	cr_assert_eq(fd, -1);
	/* and goes on without */
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

static bool is_closing(const struct sessiontest_seen *seen)
{
	return seen->closing;
}

static const struct wrong_ask {
	uint16_t num_queues, queue_size;
	const char *why;
} wrong_asks[] = {
	{0, 128, "0 queues, the target has 4"},
	{5, 128, "5 queues, the target has 4"},
	{65535, 128, "65535 queues"},
	{4, 0, "rings of 0, they have 1 to 32768"},
	{4, 32769, "rings of 32769"},
	{4, 65535, "rings of 65535"},
};

Test(handlers_inflight, refuses_to_make_what_nobody_needs)
{
	for (unsigned i = 0; i < ARRAY_SIZE(wrong_asks); i++) {
		const struct wrong_ask *w = &wrong_asks[i];
		struct frontend_inflight r;

		memset(&rig, 0, sizeof(rig));
		rig_open();
		cr_assert_neq(frontend_get_inflight(&rig.t.vmm, w->num_queues,
						    w->queue_size, &r),
			      0);
		sessiontest_wait(&rig.t, is_closing);
		cr_assert(strstr(sessiontest_look(&rig.t).why, w->why), "%s",
			  sessiontest_look(&rig.t).why);
		rig_close();
	}
}

/* ---- SET_INFLIGHT_FD ---- */

static const struct wrong_set {
	const char *what;
	struct vhost_user_inflight where;
} wrong_sets[] = {
	{"no queue", {4096, 0, 0, 16, 0}},
	{"more queues than there are", {4096, 0, 5, 16, 0}},
	{"rings of no size", {4096, 0, 1, 0, 0}},
	{"rings of 65535", {4096, 0, 1, 65535, 0}},
	{"too small", {271, 0, 1, 16, 0}},
	{"too small for all", {2 * 272 - 1, 0, 2, 16, 0}},
	{"larger than its file", {8193, 0, 1, 16, 0}},
	{"behind its file", {4096, 8192, 1, 16, 0}},
	{"misaligned", {4096, 4, 1, 16, 0}},
	{"overflowing", {4096, UINT64_MAX - 7, 1, 16, 0}},
	{"of all there is", {UINT64_MAX, 0, 1, 16, 0}},
};

Test(handlers_inflight, refuses_a_region_that_makes_no_sense)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	unsigned before;

	cr_assert_eq(ftruncate(fd, 8192), 0);
	rig_open();
	before = sessiontest_count_fds();
	for (unsigned i = 0; i < ARRAY_SIZE(wrong_sets); i++) {
		const struct vhost_user_inflight *d = &wrong_sets[i].where;

		cr_assert_eq(frontend_set(&rig.t.vmm,
					  VHOST_USER_SET_INFLIGHT_FD, d,
					  sizeof(*d), &fd, 1),
			     -EREMOTEIO, "%s", wrong_sets[i].what);
		cr_assert_not(rig_facts().has_inflight, "%s",
			      wrong_sets[i].what);
	}
	for (int i = 0; i < 500 && sessiontest_count_fds() > before; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert_eq(sessiontest_count_fds(), before);
	close(fd);
	rig_close();
}

/* A sparse file costs nothing, but addresses are all targets' together. */
Test(handlers_inflight, refuses_a_region_that_takes_all_addresses)
{
	struct vhost_user_inflight d = {1ull << 46, 0, 2, 16, 0};
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, 1ll << 62), 0);
	rig_open();
	for (; d.mmap_size > 8 << 20; d.mmap_size /= 2)
		cr_assert_eq(frontend_set(&rig.t.vmm,
					  VHOST_USER_SET_INFLIGHT_FD, &d,
					  sizeof(d), &fd, 1),
			     -EREMOTEIO, "%llu",
			     (unsigned long long)d.mmap_size);
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_SET_INFLIGHT_FD, &d,
				  sizeof(d), &fd, 1),
		     0);
	close(fd);
	rig_close();
}

Test(handlers_inflight, refuses_a_region_that_is_no_memory_file)
{
	const struct vhost_user_inflight d = {4096, 0, 1, 16, 0};
	char path[] = "/var/tmp/handlers-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	rig_open();
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_SET_INFLIGHT_FD, &d,
				  sizeof(d), &fd, 1),
		     -EREMOTEIO);
	close(fd);
	rig_close();
}

INFLIGHT_TEST(takes_a_region_only_while_no_ring_runs)
{
	rig_open();
	rig_share();
	give_region(4, 64);
	start_queue();
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), -EREMOTEIO);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
	drop_region();
	rig_close();
}

INFLIGHT_TEST(tells_whose_region_it_uses)
{
	rig_open();
	rig_share();
	cr_assert_not(rig_facts().has_inflight);
	start_queue();
	cr_assert(rig_facts().has_inflight);
	cr_assert(rig_facts().own_inflight);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	give_region(4, 64);
	start_queue();
	cr_assert_not(rig_facts().own_inflight);
	drop_region();
	rig_close();
}

static bool has_failed(const struct sessiontest_seen *seen)
{
	return seen->started[0] || seen->started[1];
}

INFLIGHT_TEST(does_not_start_a_ring_that_is_larger_than_the_region)
{
	rig_open();
	rig_share();
	give_region(4, 8);
	start_queue();
	sessiontest_wait(&rig.t, has_failed);
	cr_assert_eq(sessiontest_look(&rig.t).started[0], -EPROTO);
	drop_region();

	/* with a larger one it does */
	give_region(4, 16);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	drop_region();
	rig_close();
}

INFLIGHT_TEST(does_not_start_a_queue_that_the_region_is_not_for)
{
	rig_open();
	rig_share();
	give_region(1, 64);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	sessiontest_wait(&rig.t, has_failed);
	cr_assert_eq(sessiontest_look(&rig.t).started[1], -EPROTO);
	start_queue();
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	drop_region();
	rig_close();
}

/* ---- hostile regions ---- */

INFLIGHT_TEST(serves_on_while_somebody_writes_to_the_region)
{
	rig_open();
	rig_share();
	give_region(4, 64);
	start_queue();
	for (unsigned i = 0; i < 500; i++) {
		memset(bytes, (int)(i * 37), region.where.mmap_size);
		rig_submit(&rig.q0, 0);
		memset(bytes, (int)(i * 101), region.where.mmap_size);
		rig_expect_answer(&rig.q0);
	}
	drop_region();
	rig_close();
}

INFLIGHT_TEST(breaks_the_queue_when_the_region_is_taken_away)
{
	const struct vhost_user_inflight d = {65536, 0, 4, 64, 0};
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct pollfd err;

	cr_assert_eq(guard_init(), 0);
	cr_assert_eq(ftruncate(fd, 65536), 0);
	rig_open();
	rig_share();
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_SET_INFLIGHT_FD, &d,
				  sizeof(d), &fd, 1),
		     0);
	start_queue();
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	cr_assert_eq(ftruncate(fd, 0), 0);
	rig_submit(&rig.q0, 0);
	err = (struct pollfd){.fd = rig.q0.err, .events = POLLIN};
	cr_assert_eq(poll(&err, 1, 5000), 1);
	close(fd);
	rig_close();
}

static const struct damage {
	const char *what;
	unsigned split_at, packed_at;
	uint16_t value;
} damages[] = {
	{"version 2", 8, 8, 2},
	{"another ring", 10, 10, 7},
	{"a used index from nowhere", 14, 16, 0x5555},
	{"a mark, or a chain, that is none", 32, 38, 0x7777},
};

static bool has_one(const struct sessiontest_seen *seen)
{
	return seen->requests == 1;
}

INFLIGHT_TEST(does_not_start_with_a_region_that_is_damaged)
{
	rig_open();
	rig_share();
	give_region(4, 64);
	rig.t.hold = true;
	start_queue();
	rig_submit(&rig.q0, 0);
	sessiontest_wait(&rig.t, has_one);

	unsigned char *copy = malloc(region.where.mmap_size);

	memcpy(copy, bytes, region.where.mmap_size);
	sessiontest_release(&rig.t);
	rig_expect_answer(&rig.q0);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		unsigned at = rig.t.packed ? damages[i].packed_at
					   : damages[i].split_at;

		memcpy(bytes, copy, region.where.mmap_size);
		memcpy(bytes + at, &damages[i].value, 2);
		cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
		cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
		sessiontest_wait(&rig.t, has_failed);
		cr_assert_eq(sessiontest_look(&rig.t).started[0], -EPROTO, "%s",
			     damages[i].what);
		cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
		pthread_mutex_lock(&rig.t.lock);
		rig.t.seen.started[0] = 0;
		pthread_mutex_unlock(&rig.t.lock);
	}
	free(copy);
	drop_region();
	rig_close();
}

/* ---- a death ---- */

static struct {
	unsigned char *memory[2];
	unsigned char *region;
} kept;

static void keep(void)
{
	for (unsigned i = 0; i < 2; i++) {
		kept.memory[i] = malloc(RIG_REGION_SIZE);
		memcpy(kept.memory[i], rig.mem.regions[i].host,
		       RIG_REGION_SIZE);
	}
	kept.region = malloc(region.where.mmap_size);
	memcpy(kept.region, bytes, region.where.mmap_size);
}

static void put_back(void)
{
	for (unsigned i = 0; i < 2; i++) {
		memcpy(rig.mem.regions[i].host, kept.memory[i],
		       RIG_REGION_SIZE);
		free(kept.memory[i]);
	}
	memcpy(bytes, kept.region, region.where.mmap_size);
	free(kept.region);
}

/* The process dies now, and another one is connected to at once. */
static void die(void)
{
	keep();
	sessiontest_release(&rig.t);
	sessiontest_leave(&rig.t);
	put_back();
	rig.t.hold = true;
	sessiontest_join(&rig.t, &rig.t);
	sessiontest_negotiate(&rig.t);
	rig_share();
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
	cr_assert_eq(frontend_resume_queue(&rig.t.vmm, &rig.q0), 0);
}

/* Request @i has a buffer of its own length, in @segs parts. */
static void submit(unsigned i, unsigned nr_segs)
{
	uint8_t *buf = guestmem_alloc_in(&rig.mem, i % 2, 256, 64);
	struct guestring_seg segs[4];

	for (unsigned k = 0; k < nr_segs; k++)
		segs[k] = (struct guestring_seg){
			guestmem_gpa(&rig.mem, buf + 8 * k), 8, true};
	segs[nr_segs - 1].len = FIRST_LEN + i - 8 * (nr_segs - 1);
	cr_assert_geq(frontend_submit(&rig.q0, segs, nr_segs, buf), 0);
}

static unsigned wanted;

static bool has_wanted(const struct sessiontest_seen *seen)
{
	return seen->requests >= wanted;
}

static void wait_for(unsigned n)
{
	wanted = n;
	sessiontest_wait(&rig.t, has_wanted);
	/* and no more */
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	cr_assert_eq(sessiontest_look(&rig.t).requests, n);
}

/* The requests that the device holds, in their order. */
static void expect_held(unsigned n, const unsigned *which, unsigned nr_again)
{
	wait_for(n);
	for (unsigned i = 0; i < n; i++) {
		const struct chain *c = rig.t.held[i].chain;

		cr_assert_eq(c->writable_len, FIRST_LEN + which[i],
			     "%u: request %d", i,
			     (int)c->writable_len - FIRST_LEN);
		cr_assert_eq(c->again, i < nr_again, "%u", i);
	}
}

static void do_answer(void *arg)
{
	struct sessiontest_chain *c = arg;

	worker_add(rig.t.home, TURN_DONE, &c->item);
}

static void answer(unsigned held)
{
	iotest_call(rig.t.home, do_answer, &rig.t.held[held]);
}

static void expect_answers(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rig_expect_answer(&rig.q0);
	cr_assert_eq(rig.q0.ring.in_flight, 0);
}

static void begin(void)
{
	rig_open();
	rig_share();
	give_region(4, 64);
	rig.t.hold = true;
	start_queue();
}

static void end(void)
{
	sessiontest_release(&rig.t);
	drop_region();
	rig_close();
}

#define SWITCH 32 /* of the write cache, in the configuration */

static uint8_t switch_position(void)
{
	struct vhost_user_config c;

	cr_assert_eq(rig_get_config(SWITCH, 1, 0, &c), 13);
	return c.payload[0];
}

static void turn_switch(uint8_t to)
{
	cr_assert_eq(frontend_set_config(&rig.t.vmm, SWITCH, &to, 1, 0), 0);
}

INFLIGHT_TEST(keeps_what_the_driver_told_the_device)
{
	begin();
	for (uint8_t to = 0; to < 3; to++) {
		turn_switch(to);
		die();
		cr_expect_eq(switch_position(), to);
	}
	end();
}

INFLIGHT_TEST(lets_the_driver_of_this_session_have_the_last_word)
{
	begin();
	turn_switch(0);
	keep();
	turn_switch(1);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	put_back();
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
	cr_expect_eq(switch_position(), 1);
	start_queue();
	die();
	cr_expect_eq(switch_position(), 1);
	end();
}

INFLIGHT_TEST(runs_again_what_was_in_flight_in_its_order)
{
	begin();
	for (unsigned i = 0; i < 5; i++)
		submit(i, 1 + i % 3);
	wait_for(5);
	answer(1);
	rig_expect_answer(&rig.q0);
	answer(3);
	rig_expect_answer(&rig.q0);
	die();
	expect_held(3, (unsigned[]){0, 2, 4}, 3);
	submit(5, 2);
	expect_held(4, (unsigned[]){0, 2, 4, 5}, 3);
	sessiontest_release(&rig.t);
	expect_answers(4);
	end();
}

INFLIGHT_TEST(runs_again_what_dies_twice)
{
	begin();
	for (unsigned i = 0; i < 4; i++)
		submit(i, 2);
	wait_for(4);
	answer(0);
	rig_expect_answer(&rig.q0);
	die();
	expect_held(3, (unsigned[]){1, 2, 3}, 3);
	submit(4, 1);
	wait_for(4);
	answer(1);
	rig_expect_answer(&rig.q0);
	die();
	expect_held(3, (unsigned[]){1, 3, 4}, 3);
	sessiontest_release(&rig.t);
	expect_answers(3);
	end();
}

INFLIGHT_TEST(goes_on_where_nothing_was_in_flight)
{
	begin();
	sessiontest_release(&rig.t);
	for (unsigned i = 0; i < 40; i++) {
		submit(i, 3);
		rig_expect_answer(&rig.q0);
	}
	die();
	submit(40, 1);
	expect_held(1, (unsigned[]){40}, 0);
	end();
}

INFLIGHT_TEST(takes_what_came_while_nobody_was_there)
{
	begin();
	submit(0, 1);
	wait_for(1);
	keep();
	sessiontest_release(&rig.t);
	sessiontest_leave(&rig.t);
	put_back();
	submit(1, 2);
	submit(2, 1);
	rig.t.hold = true;
	sessiontest_join(&rig.t, &rig.t);
	sessiontest_negotiate(&rig.t);
	rig_share();
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
	cr_assert_eq(frontend_resume_queue(&rig.t.vmm, &rig.q0), 0);
	expect_held(3, (unsigned[]){0, 1, 2}, 1);
	sessiontest_release(&rig.t);
	expect_answers(3);
	end();
}

INFLIGHT_TEST(answers_what_was_found_before_it_stops)
{
	begin();
	for (unsigned i = 0; i < 3; i++)
		submit(i, 1);
	wait_for(3);
	die();
	wait_for(3);
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	expect_answers(3);
	/* it may be another ring now: nothing is resumed */
	start_queue();
	submit(3, 1);
	expect_answers(1);
	end();
}

/*
 * QEMU sets the status to 0 whenever it stops the device, as for a guest that
 * is paused, who wants his answers later.  Before that it asked for the base,
 * of a ring that had not begun to run: so it knows nothing better.
 */
INFLIGHT_TEST(keeps_what_was_in_flight_when_a_guest_is_paused)
{
	begin();
	for (unsigned i = 0; i < 3; i++)
		submit(i, 1);
	wait_for(3);
	answer(0);
	rig_expect_answer(&rig.q0);
	rig.t.wait = true;
	die();
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_STATUS, 0), 0);
	rig.t.wait = false;
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_FEATURES,
				      rig.t.vmm.features),
		     0);
	cr_assert_eq(frontend_set_inflight(&rig.t.vmm, &region), 0);
	cr_assert_eq(frontend_resume_queue(&rig.t.vmm, &rig.q0), 0);
	expect_held(2, (unsigned[]){1, 2}, 2);
	sessiontest_release(&rig.t);
	expect_answers(2);
	end();
}

INFLIGHT_TEST(calls_the_guest_and_looks_without_a_kick)
{
	uint64_t calls;

	begin();
	submit(0, 1);
	wait_for(1);
	die();
	expect_held(1, (unsigned[]){0}, 1);

	struct pollfd p = {.fd = rig.q0.call, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 5000), 1, "a call may have been lost");
	cr_assert_eq(read(rig.q0.call, &calls, sizeof(calls)), 8);
	sessiontest_release(&rig.t);
	expect_answers(1);
	end();
}
