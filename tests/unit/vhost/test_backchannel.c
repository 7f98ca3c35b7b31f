/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/backchannel: a front-end is told that the configuration changed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "iotest.h"
#include "sessionrig.h"

#define NEEDED                                       \
	(1ULL << VHOST_USER_PROTOCOL_F_BACKEND_REQ | \
	 1ULL << VHOST_USER_PROTOCOL_F_CONFIG)

static void ignore_sigpipe(void)
{
	signal(SIGPIPE, SIG_IGN);
}

TestSuite(backchannel, .timeout = 60, .init = ignore_sigpipe);

static void open_channel(void)
{
	cr_assert_eq(frontend_open_backend_channel(&rig.t.vmm), 0);
}

static int give_channel(int fd)
{
	return frontend_set(&rig.t.vmm, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0,
			    &fd, 1);
}

static void start_queues(void)
{
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
}

/* A session whose rings run and that has a channel. */
static void open_all(void)
{
	rig_open();
	open_channel();
	start_queues();
}

static void expect_silence(void)
{
	struct pollfd p = {.fd = rig.t.vmm.backend_fd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 50), 0);
}

/* One message, whole, and nothing after it. */
static void expect_message(void)
{
	static const uint32_t want[3] = {VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
					 VHOST_USER_VERSION, 0};
	struct pollfd p = {.fd = rig.t.vmm.backend_fd, .events = POLLIN};
	uint32_t got[4];

	cr_assert_eq(poll(&p, 1, 5000), 1);
	cr_assert_eq(read(p.fd, got, sizeof(got)), sizeof(want));
	cr_assert_arr_eq(got, want, sizeof(want));
	expect_silence();
}

static void expect_end(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;

	cr_assert_eq(poll(&p, 1, 5000), 1);
	cr_assert_eq(read(fd, &byte, 1), 0);
}

static void expect_served(void)
{
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
}

Test(backchannel, tells_of_a_change)
{
	open_all();
	expect_silence();
	for (int i = 0; i < 3; i++) {
		cr_assert(sessiontest_config_changed(&rig.t));
		expect_message();
	}
	rig_close();
}

Test(backchannel, is_silent_until_a_ring_runs)
{
	rig_open();
	open_channel();
	for (int i = 0; i < 3; i++)
		cr_assert(sessiontest_config_changed(&rig.t));
	expect_silence();
	start_queues();
	expect_message();
	rig_close();
}

Test(backchannel, is_silent_when_all_rings_have_stopped)
{
	open_all();
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q1, NULL), 0);
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_silence();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	expect_message();
	rig_close();
}

/* While the front-end waits for the answer to another message. */
Test(backchannel, is_silent_while_a_drain_is_unanswered)
{
	struct vhost_user_vring_state state = {0, 0};
	struct frontend_msg m;

	rig_open();
	rig.t.hold = true;
	open_channel();
	start_queues();
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_GET_VRING_BASE, 0,
				   &state, sizeof(state), NULL, 0),
		     0);
	rig_expect_silence();
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_silence();
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_VRING_BASE);
	expect_message();
	rig_close();
}

Test(backchannel, tells_who_opens_it_late)
{
	rig_open();
	start_queues();
	cr_assert_not(sessiontest_config_changed(&rig.t));
	open_channel();
	expect_message();
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	rig_close();
}

/* A front-end may agree to protocol features more than once. */
Test(backchannel, is_silent_to_who_did_not_negotiate_it)
{
	static const uint64_t without[] = {
		1ULL << VHOST_USER_PROTOCOL_F_BACKEND_REQ,
		1ULL << VHOST_USER_PROTOCOL_F_CONFIG,
	};
	uint64_t all;

	open_all();
	all = rig.t.vmm.protocol_features;
	for (unsigned i = 0; i < ARRAY_SIZE(without); i++) {
		cr_assert_eq(frontend_set_u64(&rig.t.vmm,
					      VHOST_USER_SET_PROTOCOL_FEATURES,
					      all & ~without[i]),
			     0);
		cr_assert_not(sessiontest_config_changed(&rig.t));
		expect_silence();
	}
	cr_assert_eq(frontend_set_u64(&rig.t.vmm,
				      VHOST_USER_SET_PROTOCOL_FEATURES,
				      all & ~NEEDED),
		     0);
	cr_assert_not(sessiontest_config_changed(&rig.t));
	expect_silence();
	rig_close();
}

Test(backchannel, may_be_replaced)
{
	int first;

	open_all();
	first = rig.t.vmm.backend_fd;
	rig.t.vmm.backend_fd = -1;
	open_channel();
	expect_end(first);
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	close(first);
	rig_close();
}

Test(backchannel, is_not_minded_when_the_front_end_closes_it)
{
	open_all();
	close(rig.t.vmm.backend_fd);
	rig.t.vmm.backend_fd = -1;
	sessiontest_config_changed(&rig.t);
	expect_served(); /* the write has failed by then */
	cr_assert_not(sessiontest_config_changed(&rig.t));
	open_channel();
	expect_message();
	rig_close();
}

/* Until not one byte more goes in. */
static void fill(int fd)
{
	char junk[4096] = "";
	size_t len = sizeof(junk);

	while (len)
		if (send(fd, junk, len, MSG_DONTWAIT) < 0)
			len /= 2;
}

/* Take all that is there, and what follows; returns how much. */
static size_t empty(int fd)
{
	char buf[4096];
	size_t sum = 0;
	ssize_t n;

	usleep(50000);
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	return sum;
}

/* The front-end keeps a copy of the end that it gave us. */
static void open_full(int sv[2])
{
	rig_open();
	start_queues();
	cr_assert_eq(frontend_socketpair(SOCK_STREAM, sv), 0);
	fill(sv[1]);
	cr_assert_eq(give_channel(sv[1]), 0);
}

/* @flags: a front-end may make writes block, for us, too. */
static void tell_who_does_not_read(int flags)
{
	int sv[2];

	open_full(sv);
	cr_assert_eq(fcntl(sv[1], F_SETFL, flags), 0);
	for (int i = 0; i < 1000; i++) {
		cr_assert(sessiontest_config_changed(&rig.t));
		expect_served();
	}
	/* One was under way, one wanted. */
	empty(sv[0]);
	cr_assert_leq(empty(sv[0]), 2 * sizeof(struct vhost_user_header));
	rig.t.vmm.backend_fd = sv[0];
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	close(sv[1]);
	rig_close();
}

Test(backchannel, does_not_wait_for_who_does_not_read)
{
	tell_who_does_not_read(O_NONBLOCK);
}

Test(backchannel, does_not_wait_where_writes_block)
{
	tell_who_does_not_read(0);
}

Test(backchannel, is_closed_while_a_write_is_under_way)
{
	int sv[2];

	open_full(sv);
	cr_assert_eq(fcntl(sv[1], F_SETFL, 0), 0);
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_served();
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	rig_close();
	empty(sv[0]);
	close(sv[1]);
	expect_end(sv[0]);
	close(sv[0]);
}

Test(backchannel, is_replaced_while_a_write_is_under_way)
{
	unsigned fds;
	int sv[2];

	open_full(sv);
	cr_assert_eq(fcntl(sv[1], F_SETFL, 0), 0);
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_served();
	fds = sessiontest_count_fds();
	open_channel(); /* one end more here, one other there */
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	for (int i = 0; i < 100 && sessiontest_count_fds() != fds + 1; i++)
		usleep(10000);
	cr_assert_eq(sessiontest_count_fds(), fds + 1);
	close(sv[0]);
	close(sv[1]);
	rig_close();
}

Test(backchannel, is_never_read)
{
	char junk[4096] = "";

	open_all();
	cr_assert_eq(send(rig.t.vmm.backend_fd, junk, sizeof(junk), 0),
		     sizeof(junk));
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	fill(rig.t.vmm.backend_fd);
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	expect_served();
	rig_close();
}

Test(backchannel, ends_with_the_session)
{
	int end;

	open_all();
	cr_assert(sessiontest_config_changed(&rig.t));
	expect_message();
	end = rig.t.vmm.backend_fd;
	rig.t.vmm.backend_fd = -1;
	rig_close();
	expect_end(end);
	close(end);
}
