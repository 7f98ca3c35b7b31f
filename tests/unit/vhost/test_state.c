/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/state: what another process finds of a session. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/unixsock.h"
#include "base/util.h"
#include "iotest.h"
#include "sessionrig.h"
#include "vhost/state.h"

TestSuite(state, .timeout = 60);

/* ---- what a taker has ---- */

static void get_fd(void *arg)
{
	*(int *)arg = dup(rig.t.session->state_fd);
}

/* A copy of the descriptor of the rig's session. */
static int state_fd(void)
{
	int fd;

	iotest_call(rig.t.home, get_fd, &fd);
	cr_assert_geq(fd, 0);
	return fd;
}

/* Another mapping of it than the session's; stays to the end of the test. */
static const struct state *map_state(int fd)
{
	struct proto_why why;
	struct stat st;
	const struct state *s;

	cr_assert_eq(fstat(fd, &st), 0);
	s = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(s, MAP_FAILED);
	cr_assert_eq(state_check(s, (size_t)st.st_size, &why), 0);
	close(fd);
	return s;
}

static bool is_busy(const struct state *s)
{
	return *(const volatile uint8_t *)&s->busy;
}

static bool becomes(const struct state *s, bool busy)
{
	for (int i = 0; i < 1000 && is_busy(s) != busy; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return is_busy(s) == busy;
}

/* ---- the bytes ---- */

#define AT_QUEUES  96
#define QUEUE_SIZE 48

static uint8_t want[8192];

static void put(size_t at, unsigned bytes, uint64_t value)
{
	memcpy(want + at, &value, bytes); /* of a little endian machine */
}

static void put_queue(unsigned index, const struct frontend_queue *q)
{
	size_t at = AT_QUEUES + index * QUEUE_SIZE;
	const struct vring *v = &q->ring.vring;

	put(at, 8, guestmem_uva(&rig.mem, v->desc));
	put(at + 8, 8, guestmem_uva(&rig.mem, v->avail));
	put(at + 16, 8, guestmem_uva(&rig.mem, v->used));
	put(at + 24, 4, q->ring.size);
	put(at + 36, 1, 1); /* has_addr */
	put(at + 37, 1, 1); /* has_base */
	put(at + 38, 1, 1); /* enabled */
	put(at + 39, 1, 1); /* told_kick */
	put(at + 40, 1, 1); /* has_kick */
	put(at + 41, 1, 1); /* has_call */
	put(at + 42, 1, 1); /* has_err */
	put(at + 43, 1, 1); /* resumes */
	put(at + 44, 1, 1); /* has_last_base */
}

static void put_region(unsigned index)
{
	size_t at = AT_QUEUES + SESSIONTEST_QUEUES * QUEUE_SIZE + index * 32;
	const struct guestmem_region *r = &rig.mem.regions[index];

	put(at, 8, r->gpa);
	put(at + 8, 8, r->size);
	put(at + 16, 8, r->uva);
	put(at + 24, 8, r->fd_offset);
}

static void expect_bytes(const struct state *s, const char *when)
{
	const uint8_t *got = (const uint8_t *)s;

	cr_assert(becomes(s, false));
	for (size_t i = 0; i < sizeof(want); i++)
		cr_assert_eq(got[i], want[i], "%s, byte %zu: %u, not %u", when,
			     i, got[i], want[i]);
}

Test(state, has_all_that_was_negotiated)
{
	const struct state *s;
	const uint8_t byte = 0x77;

	rig_open();
	s = map_state(state_fd());
	rig_share();
	cr_assert_eq(frontend_set_config(&rig.t.vmm, 32, &byte, 1, 0), 0);
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_STATUS, 15),
		     0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_ENABLE,
					3, 1),
		     0);
	put(0, 4, 1);
	put(4, 4, PROTO_BLK);
	put(8, 4, SESSIONTEST_QUEUES);
	put(12, 4, 2);
	put(16, 8, rig.t.vmm.features);
	put(24, 8, rig.t.vmm.protocol_features);
	put(33, 1, 1); /* owner */
	put(34, 1, 1); /* has_features */
	put(36, 1, 15);
	put(38, 1, 1); /* device_len */
	put(40, 1, 0x77);
	put(72, 8, 4 * (32 + 256 * 32 + 32) + 128);
	put(88, 5, 0x0101000004);
	put_queue(0, &rig.q0);
	put(AT_QUEUES + 3 * QUEUE_SIZE + 38, 1, 1);
	put_region(0);
	put_region(1);
	expect_bytes(s, "running");

	/* Memory leaves no trace, and the list is closed up. */
	cr_assert_eq(frontend_remove_region(&rig.t.vmm, &rig.mem.regions[1]),
		     0);
	put(12, 4, 1);
	cr_assert_eq(s->nr_regions, 1);
	expect_bytes(s, "with less memory");

	cr_assert_eq(frontend_open_backend_channel(&rig.t.vmm), 0);
	put(37, 1, 1);
	expect_bytes(s, "with a channel");

	/* What the VMM did for any driver stays. */
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_RESET_DEVICE, NULL, 0,
				  NULL, 0),
		     0);
	put(16, 8, 0);
	put(34, 1, 0);
	put(36, 1, 0);
	memset(want + AT_QUEUES, 0, SESSIONTEST_QUEUES * QUEUE_SIZE);
	put(AT_QUEUES + 41, 2, 0x101);
	expect_bytes(s, "after a reset");
	rig_close();
}

Test(state, knows_where_a_stopped_queue_is)
{
	const struct state *s;
	const struct state_queue *q;

	rig_open();
	rig_share();
	s = map_state(state_fd());
	q = &s->queues[0];
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	for (int i = 0; i < 5; i++) {
		rig_submit(&rig.q0, 0);
		rig_expect_answer(&rig.q0);
	}
	cr_assert(q->resumes && q->has_base && q->told_kick && q->has_kick);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	cr_assert(becomes(s, false));
	cr_assert_eq(q->last_base, 5);
	cr_assert_not(q->resumes || q->has_base || q->told_kick || q->has_kick);
	cr_assert(q->has_addr && q->enabled && q->has_call && q->has_err);
	cr_assert_eq(q->size, 16);

	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_BASE,
					0, 4322),
		     0);
	cr_assert_eq(q->base, 4322);
	cr_assert_eq(q->last_base, 4322);
	/* No kick is to come, which is not the same as none yet. */
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm,
					   VHOST_USER_SET_VRING_KICK, 1, -1),
		     0);
	cr_assert(s->queues[1].told_kick && !s->queues[1].has_kick);
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm, VHOST_USER_SET_VRING_ERR,
					   0, -1),
		     0);
	cr_assert_not(q->has_err);
	rig_close();
}

/* ---- busy ---- */

static void send_bytes(const void *bytes, size_t len)
{
	cr_assert_eq(frontend_send_raw(&rig.t.vmm, bytes, len, NULL, 0), 0);
}

Test(state, is_busy_between_two_halves_of_a_message)
{
	static const uint32_t m[] = {VHOST_USER_SET_STATUS, 1, 8, 1, 0};
	const struct state *s;

	rig_open();
	s = map_state(state_fd());
	cr_assert(becomes(s, false));
	for (size_t first = 1; first < sizeof(m); first++) {
		send_bytes(m, first);
		cr_assert(becomes(s, true), "after %zu bytes", first);
		send_bytes((const char *)m + first, sizeof(m) - first);
		cr_assert(becomes(s, false), "after all bytes");
	}
	/* The one who leaves in between is not to be gone on with. */
	send_bytes(m, 5);
	cr_assert(becomes(s, true));
	frontend_close(&rig.t.vmm);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	cr_assert(is_busy(s));
	rig_close();
}

Test(state, is_busy_while_a_message_waits_for_a_drain)
{
	const struct vhost_user_vring_state q = {.index = 0};
	struct frontend_msg m;
	const struct state *s;

	rig.t.hold = true;
	rig_open();
	rig_share();
	s = map_state(state_fd());
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	cr_assert(becomes(s, false));
	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_GET_VRING_BASE, 0, &q,
				   sizeof(q), NULL, 0),
		     0);
	rig_expect_silence();
	cr_assert(is_busy(s));
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert(becomes(s, false));
	rig_close();
}

/* Questions without end, and answers that nobody reads. */
Test(state, is_busy_until_its_answer_is_taken)
{
	const struct vhost_user_header h = {VHOST_USER_GET_FEATURES, 1, 0};
	const struct state *s;
	struct pollfd p;
	struct frontend_msg m;
	unsigned nr = 0;

	rig_open();
	s = map_state(state_fd());
	p = (struct pollfd){.fd = rig.t.vmm.fd, .events = POLLOUT};
	for (; poll(&p, 1, 200) > 0; nr++)
		send_bytes(&h, sizeof(h));
	cr_assert(is_busy(s));
	while (nr--)
		cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert(becomes(s, false));
	rig_close();
}

static void close_session(void *arg)
{
	session_close(arg, SESSION_CUT, "it is told to");
}

Test(state, is_busy_for_good_when_the_session_is_cut_off)
{
	const struct state *s;

	rig_open();
	s = map_state(state_fd());
	cr_assert(becomes(s, false));
	iotest_call(rig.t.home, close_session, rig.t.session);
	cr_assert(is_busy(s));
	rig_close();
	cr_assert(is_busy(s));
}

/* ---- what is left of a process ---- */

/* A session with a queue, which its parent gets the state of. */
static void hold_session(int to, bool drain)
{
	const struct vhost_user_vring_state q = {.index = 0};
	int fd;

	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	fd = state_fd();
	if (drain) {
		frontend_send(&rig.t.vmm, VHOST_USER_GET_VRING_BASE, 0, &q,
			      sizeof(q), NULL, 0);
		rig_expect_silence();
	} else {
		cr_assert(becomes(map_state(dup(fd)), false));
	}
	cr_assert_eq(unixsock_send(to, "", 1, &fd, 1), 1);
	for (;;)
		pause();
}

static const struct state *state_of_the_killed(bool drain)
{
	struct unixsock_fds fds = {0};
	int way[2], status;
	pid_t child;
	char c;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, way), 0);
	child = fork();
	if (child == 0) {
		close(way[0]);
		hold_session(way[1], drain);
	}
	close(way[1]);
	cr_assert_eq(unixsock_recv(way[0], &c, 1, &fds), 1);
	cr_assert_eq(fds.nr, 1);
	close(way[0]);
	kill(child, SIGKILL);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
	return map_state(fds.fd[0]);
}

Test(state, outlives_a_process_that_is_killed)
{
	const struct state *s = state_of_the_killed(false);
	const struct memmap_range *r = state_regions(s);

	cr_assert_not(s->busy);
	cr_assert(s->owner && s->has_features);
	cr_assert_eq(s->nr_queues, SESSIONTEST_QUEUES);
	cr_assert_eq(s->nr_regions, 2);
	cr_assert_eq(r[0].uva, 0x7f0000000000);
	cr_assert_eq(r[1].gpa, 1 << 30);
	cr_assert_eq(r[1].size, RIG_REGION_SIZE);
	cr_assert_eq(s->queues[0].size, 16);
	cr_assert(s->queues[0].resumes && s->queues[0].has_kick &&
		  s->queues[0].has_call && s->queues[0].has_err);
	cr_assert_eq(s->queues[0].desc >> 20, 0x7f00000);
	cr_assert_eq(s->queues[1].size, 0);
}

Test(state, tells_of_a_message_that_died_with_the_process)
{
	const struct state *s = state_of_the_killed(true);

	cr_assert(s->busy);
	cr_assert(s->queues[0].resumes);
	cr_assert_not(s->queues[0].told_kick);
}

/* ---- the memfd ---- */

static unsigned count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:vringd-session") != NULL;
	fclose(f);
	return n;
}

Test(state, costs_a_descriptor_a_mapping_and_a_page)
{
	struct state *s;
	struct stat st;
	unsigned fds = sessiontest_count_fds();
	int fd;

	cr_assert_eq(state_new(&s, &fd, PROTO_BLK, 256), 0);
	cr_assert_eq(sessiontest_count_fds(), fds + 1);
	cr_assert_eq(count_mappings(), 1);
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq((size_t)st.st_size, state_size(256));
	cr_assert_leq(st.st_blocks * 512, sysconf(_SC_PAGESIZE));
	state_free(s, fd);
	for (int i = 0; i < 1000 && sessiontest_count_fds() > fds; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	cr_assert_eq(sessiontest_count_fds(), fds);
	cr_assert_eq(count_mappings(), 0);
	state_free(NULL, -1);
}

Test(state, keeps_its_size)
{
	struct state *s;
	int fd;

	cr_assert_eq(state_new(&s, &fd, PROTO_BLK, 4), 0);
	cr_assert_eq(fcntl(fd, F_GET_SEALS),
		     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	cr_assert_neq(ftruncate(fd, 0), 0);
	cr_assert_neq(ftruncate(fd, 1 << 20), 0);
	state_free(s, fd);
}

static const uint8_t *inflight_of(const struct state *s)
{
	return (const uint8_t *)s + 72;
}

Test(state, notes_the_region_in_flight_of_the_front_end)
{
	const struct vhost_user_inflight d = {
		.mmap_size = 0x4000,
		.mmap_offset = 0x1000,
		.num_queues = 4,
		.queue_size = 128,
	};
	struct state *s;
	int fd;

	cr_assert_eq(state_new(&s, &fd, PROTO_BLK, 4), 0);
	state_set_inflight(s, &d, false);
	put(0, 8, 0x4000);
	put(8, 8, 0x1000);
	put(16, 2, 4);
	put(18, 2, 128);
	cr_assert_eq(memcmp(inflight_of(s), want, 24), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(
			((const uint8_t *)s)[AT_QUEUES + i * QUEUE_SIZE + 43],
			1);
	state_free(s, fd);
}

/* Rings of 256 entries, packed, 64 bytes aligned; and 128 bytes behind them. */
Test(state, notes_the_region_in_flight_that_is_its_own)
{
	const struct state *s;

	rig_open();
	rig_share();
	s = map_state(state_fd());
	cr_assert_eq(memcmp(inflight_of(s), want, 24), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	put(0, 8, 4 * (32 + 256 * 32 + 32) + 128);
	put(16, 2, 4);
	put(18, 2, 256);
	put(20, 1, 1);
	cr_assert_eq(memcmp(inflight_of(s), want, 24), 0);
	cr_assert(s->queues[0].resumes);
	cr_assert_not(s->queues[1].resumes);
	rig_close();
}

/* ---- the check ---- */

Test(state, is_checked_before_it_is_taken)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *why;
	} wrong[] = {
		{0, 0, "version 0"},	     {0, 2, "version 2"},
		{8, 257, "257 queues"},	     {8, 256, "256 queues take"},
		{8, UINT32_MAX, "queues"},   {12, 513, "513 regions"},
		{12, UINT32_MAX, "regions"}, {36, 33 << 16, "33 bytes"},
	};
	struct proto_why why;
	struct state *s;
	int fd;

	cr_assert_eq(state_new(&s, &fd, PROTO_BLK, 4), 0);
	cr_assert_eq(state_check(s, state_size(4), &why), 0);
	cr_assert_eq(state_check(s, state_size(4) + 4096, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		uint32_t *at = (uint32_t *)(void *)((char *)s + wrong[i].at);
		uint32_t before = *at;

		*at = wrong[i].value;
		cr_assert_eq(state_check(s, state_size(4), &why), -EPROTO);
		cr_assert_not_null(strstr(why.text, wrong[i].why), "%s",
				   why.text);
		*at = before;
	}
	for (size_t len = 0; len < state_size(4); len += 7)
		cr_assert_eq(state_check(s, len, &why), -EPROTO);
	state_free(s, fd);
}
