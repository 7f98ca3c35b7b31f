/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/session: when queues start and stop, and how a session ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "iotest.h"
#include "sessionrig.h"

TestSuite(session, .timeout = 60);

/* ---- readiness ---- */

#define NR_STEPS 6

static void (*const steps[NR_STEPS])(void) = {
	rig_tell_num,	 rig_tell_addr,	    rig_tell_kick,
	rig_tell_enable, rig_tell_features, rig_share,
};

/* The @n-th permutation of the steps, on a session of its own. */
static void run_permutation(unsigned n)
{
	unsigned order[NR_STEPS];

	for (unsigned i = 0; i < NR_STEPS; i++)
		order[i] = i;
	for (unsigned i = NR_STEPS; i > 1; n /= i, i--) {
		unsigned tmp = order[i - 1];

		order[i - 1] = order[n % i];
		order[n % i] = tmp;
	}
	rig_greet();
	for (unsigned i = 0; i < NR_STEPS; i++) {
		cr_assert_eq(sessiontest_look(&rig.t).ready[0], 0);
		steps[order[i]]();
	}
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 1);
}

RIG_TEST(session, tells_that_a_queue_is_ready_whatever_the_order)
{
	struct sessiontest workers;

	rig_open();
	rig.t.wait = true;
	workers = rig.t;
	for (unsigned n = 0; n < 720; n += 7) {
		sessiontest_leave(&rig.t);
		rig.t.wait = true;
		sessiontest_join(&rig.t, &workers);
		run_permutation(n);
	}
	rig_close();
}

RIG_TEST(session, starts_a_queue_and_serves_it)
{
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).started[0], 0);
	for (int i = 0; i < 40; i++) {
		rig_submit(&rig.q0, i % 2);
		rig_expect_answer(&rig.q0);
	}
	rig_close();
}

Test(session, enables_all_queues_for_who_cannot)
{
	rig_open();
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_FEATURES,
				      1ULL << 32),
		     0);
	rig.t.vmm.features = 1ULL << 32;
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

static void look_at_rings(void *arg)
{
	bool *used = arg;

	*used = session_rings_are_used(rig.t.session);
}

static bool are_rings_used(void)
{
	bool used;

	iotest_call(rig.t.home, look_at_rings, &used);
	return used;
}

static __virtio16 *used_idx_of(const struct frontend_queue *q)
{
	const void *desc, *device, *driver;

	guestring_areas(&q->ring, &desc, &device, &driver);
	return &((struct vring_used *)(uintptr_t)device)->idx;
}

Test(session, knows_whether_a_ring_was_used_before)
{
	rig_open();
	rig.t.wait = true;
	cr_expect_not(are_rings_used());
	rig_share();
	*used_idx_of(&rig.q1) = 1;
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_expect_not(are_rings_used());
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	cr_expect(are_rings_used());
	*used_idx_of(&rig.q1) = 0;
	cr_expect_not(are_rings_used());
	*used_idx_of(&rig.q0) = 0x8000;
	cr_expect(are_rings_used());
	*used_idx_of(&rig.q0) = 0;
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_BASE,
					1, 7),
		     0);
	cr_expect(are_rings_used());
	rig_close();
}

/* Nothing in its memory tells whether a packed ring was used: its base does. */
Test(session, knows_by_its_base_whether_a_packed_ring_was_used)
{
	static const struct {
		uint32_t base;
		bool used;
	} rings[] = {
		{0x8000, false}, {0x80008000, false}, {0x8001, true},
		{0x0000, true},	 {0x80018001, true},
	};

	rig.t.packed = true;
	rig_open();
	rig.t.wait = true;
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_expect_not(are_rings_used());
	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		cr_assert_eq(frontend_set_state(&rig.t.vmm,
						VHOST_USER_SET_VRING_BASE, 0,
						rings[i].base),
			     0);
		cr_expect_eq(are_rings_used(), rings[i].used, "%zu", i);
	}
	rig_close();
}

Test(session, starts_nothing_that_was_enabled_but_not_set_up)
{
	rig_open();
	rig_share();
	for (unsigned i = 0; i < SESSIONTEST_QUEUES; i++)
		cr_assert_eq(frontend_set_state(&rig.t.vmm,
						VHOST_USER_SET_VRING_ENABLE, i,
						1),
			     0);
	for (unsigned i = 0; i < SESSIONTEST_QUEUES; i++)
		cr_assert_eq(sessiontest_look(&rig.t).ready[i], 0);
	rig_close();
}

RIG_TEST(session, serves_a_queue_without_a_kick)
{
	int kick;

	rig_open();
	rig_share();
	kick = rig.q0.kick;
	rig.q0.kick = -1;
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig.q0.kick = kick; /* which nobody looks at */
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

RIG_TEST(session, serves_queues_on_two_workers)
{
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	cr_assert_eq(sessiontest_look(&rig.t).started[1], 0);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q1, NULL), 0);
	cr_assert_eq(sessiontest_look(&rig.t).idle[1], 1);
	rig_close();
}

Test(session, says_why_a_queue_cannot_start_and_tries_again)
{
	const struct vhost_user_vring_addr bad = {.desc = 0x7f0000000001,
						  .avail = 0x7f0000001000,
						  .used = 0x7f0000002000};
	struct pollfd p;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_SET_VRING_ADDR, &bad,
				  sizeof(bad), NULL, 0),
		     0);
	rig_tell_num();
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm, VHOST_USER_SET_VRING_ERR,
					   0, rig.q0.err),
		     0);
	rig_tell_enable();
	rig_tell_kick();
	cr_assert_lt(sessiontest_look(&rig.t).started[0], 0);
	p = (struct pollfd){.fd = rig.q0.err, .events = POLLIN};
	cr_assert_eq(poll(&p, 1, 5000), 1);

	/* No other queue notices, and the right address is all it takes. */
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	cr_assert_eq(sessiontest_look(&rig.t).started[1], 0);
	rig_tell_addr();
	cr_assert_eq(sessiontest_look(&rig.t).started[0], 0);
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 2);
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm,
					   VHOST_USER_SET_VRING_CALL, 0,
					   rig.q0.call),
		     0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

/* ---- what particular front-ends do ----------------------------------------
 */

static uint64_t ask(uint32_t request)
{
	uint64_t n;

	cr_assert_eq(frontend_get_u64(&rig.t.vmm, request, &n), 0);
	return n;
}

static void tell(uint32_t request, uint64_t n)
{
	cr_assert_eq(frontend_send(&rig.t.vmm, request, 0, &n, 8, NULL, 0), 0);
}

/*
 * It accepts everything to read the config space, then greets again and means
 * it, and names a call before there is memory.
 */
Test(session, understands_dragonball)
{
	struct vhost_user_config c;
	uint64_t features;

	rig_open();
	features = ask(VHOST_USER_GET_FEATURES);
	tell(VHOST_USER_SET_FEATURES, features);
	tell(VHOST_USER_SET_PROTOCOL_FEATURES,
	     ask(VHOST_USER_GET_PROTOCOL_FEATURES));
	cr_assert_eq(rig_get_config(0x100, 60, 0, &c), 72);
	cr_assert_eq(memcmp(c.payload, rig.t.config, 60), 0);

	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_SET_OWNER, 0, NULL, 0,
				   NULL, 0),
		     0);
	cr_assert_eq(ask(VHOST_USER_GET_FEATURES), features);
	tell(VHOST_USER_SET_FEATURES, 1ULL << 32 | 1 << 30 | 1 << 29);
	tell(VHOST_USER_SET_PROTOCOL_FEATURES,
	     ask(VHOST_USER_GET_PROTOCOL_FEATURES));
	cr_assert_geq(ask(VHOST_USER_GET_QUEUE_NUM), 1);
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm,
					   VHOST_USER_SET_VRING_CALL, 0,
					   rig.q0.call),
		     0);
	rig_share();
	rig_tell_num();
	/* On a reconnect no base comes here. */
	rig_tell_addr();
	rig_tell_kick();
	rig_tell_enable();
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

/* It wants an answer to all, but leaves without stopping its ring. */
Test(session, understands_user_mode_linux)
{
	rig_open();
	rig_greet();
	rig_tell_features();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_ENABLE,
					0, 0),
		     0);
	ask(VHOST_USER_GET_FEATURES);
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 0);
	rig_close();
}

/* Its firmware uses the disk before its kernel does, with other features. */
Test(session, understands_a_boot_of_qemu)
{
	unsigned base;

	rig_open();
	rig_share();
	for (unsigned boot = 0; boot < 2; boot++) {
		uint64_t bits = 1ULL << 32 | 1 << 30 |
				(boot ? 1ULL << VIRTIO_RING_F_EVENT_IDX : 0);

		tell(VHOST_USER_SET_FEATURES, bits);
		tell(VHOST_USER_SET_FEATURES, bits);
		rig.q0.ring.event_idx = boot;
		guestring_reset(&rig.q0.ring);
		cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
		cr_assert_eq(frontend_set_state(&rig.t.vmm,
						VHOST_USER_SET_VRING_ENABLE, 1,
						1),
			     0);
		for (unsigned i = 0; i < 3; i++) {
			rig_submit(&rig.q0, 0);
			rig_expect_answer(&rig.q0);
		}
		cr_assert_eq(frontend_set_state(&rig.t.vmm,
						VHOST_USER_SET_VRING_ENABLE, 0,
						0),
			     0);
		cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base),
			     0);
		cr_assert_eq(base, 3);
	}
	rig_close();
}

/* ---- stopping ---- */

Test(session, answers_the_base_of_a_ring_that_never_ran)
{
	unsigned base = 77;

	rig_open();
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base), 0);
	cr_assert_eq(base, 0);
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_BASE,
					0, 4322),
		     0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base),
			     0);
		cr_assert_eq(base, 4322);
	}
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 0);
	rig_close();
}

Test(session, takes_back_a_queue_that_was_ready_but_not_started)
{
	unsigned base;

	rig.t.wait = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 1);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base), 0);
	cr_assert_eq(base, 0);
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 1);

	/* And it may come again, and start late. */
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 2);
	cr_assert_eq(sessiontest_start(&rig.t, 0), 0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

static void send_get_base(void)
{
	const struct vhost_user_vring_state s = {.index = 0};

	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_GET_VRING_BASE, 0, &s,
				   sizeof(s), NULL, 0),
		     0);
}

static void submit_and_stop(unsigned nr, uint32_t expected)
{
	unsigned base;

	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	for (unsigned i = 0; i < nr; i++) {
		rig_submit(&rig.q0, 0);
		rig_expect_answer(&rig.q0);
	}
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base), 0);
	cr_assert_eq(base, expected, "0x%x, not 0x%x", base, expected);
	cr_assert_eq(base, guestring_base(&rig.q0.ring));
}

/* Where it takes and where it fills, each with its counter. */
Test(session, answers_both_places_of_a_packed_ring)
{
	rig.t.packed = true;
	rig_open();
	rig_share();
	frontend_queue_fini(&rig.q0);
	rig_make_queue(&rig.q0, 0, 5);
	submit_and_stop(0, 0x80008000);
	submit_and_stop(3, 0x80038003);
	submit_and_stop(2, 0x00000000);
	submit_and_stop(4, 0x00040004);
	submit_and_stop(2, 0x80018001);
	submit_and_stop(19, 0x80008000);
	rig_close();
}

RIG_TEST(session, answers_the_base_when_the_last_request_is_done)
{
	struct frontend_msg m;

	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	send_get_base();
	/* What is sent meanwhile is read later. */
	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_GET_QUEUE_NUM, 0,
				   NULL, 0, NULL, 0),
		     0);
	rig_expect_silence();
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 0);
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_VRING_BASE);
	cr_assert_eq(m.payload.state.num, rig.t.packed ? 0x80018001 : 1);
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 1);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_QUEUE_NUM);
	rig_expect_answer(&rig.q0);
	rig_close();
}

RIG_TEST(session, notices_a_client_that_leaves_during_a_drain)
{
	struct frontend f;

	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	send_get_base();
	/* Unread bytes must not hide the end. */
	frontend_send(&rig.t.vmm, VHOST_USER_GET_QUEUE_NUM, 0, NULL, 0, NULL,
		      0);
	rig_expect_silence();
	cr_assert_not(rig_facts().closing);
	f = rig.t.vmm;
	frontend_init(&rig.t.vmm);
	frontend_close(&f);
	for (int i = 0; i < 500 && !rig_facts().closing; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert(rig_facts().closing);
	cr_assert_eq(sessiontest_look(&rig.t).ended, 0);
	sessiontest_release(&rig.t);
	rig_close();
}

RIG_TEST(session, ends_with_requests_in_flight_only_when_they_are_done)
{
	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	frontend_close(&rig.t.vmm);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	cr_assert_eq(sessiontest_look(&rig.t).ended, 0);
	cr_assert_eq(rig_facts().nr_lent, 1);
	sessiontest_release(&rig.t);
	rig_close();
}

static void close_session(void *arg)
{
	session_close(arg, SESSION_CUT, "it is told to");
	session_close(arg, SESSION_LEFT, "not told a second time");
}

RIG_TEST(session, closes_the_socket_last_when_told_to_end)
{
	struct frontend_msg m;

	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	iotest_call(rig.t.home, close_session, rig.t.session);
	rig_expect_silence();
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), -ECONNRESET);
	rig_close();
}

RIG_TEST(session, restarts_one_ring_with_another_size_while_others_run)
{
	unsigned base;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	for (unsigned size = 4; size <= 256; size *= 2) {
		cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base),
			     0);
		cr_assert_eq(base, guestring_base(&rig.q0.ring));
		frontend_queue_fini(&rig.q0);
		rig_make_queue(&rig.q0, 0, rig.t.packed ? size - 1 : size);
		cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
		rig_submit(&rig.q0, 0);
		rig_expect_answer(&rig.q0);
	}
	cr_assert_eq(sessiontest_look(&rig.t).idle[1], 0);
	rig_close();
}

RIG_TEST(session, keeps_call_and_error_descriptors_over_a_stop)
{
	struct guestring_used u;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	rig_tell_kick();
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 2);
	rig_submit(&rig.q0, 0);
	cr_assert_eq(frontend_wait(&rig.q0, &u, 5000), 0);
	rig_close();
}

RIG_TEST(session, stops_everything_when_the_owner_gives_it_up)
{
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_RESET_OWNER, NULL, 0,
				  NULL, 0),
		     0);
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 1);
	cr_assert_eq(sessiontest_look(&rig.t).idle[1], 1);
	cr_assert_eq(sessiontest_look(&rig.t).resets, 1);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).started[0], 0);
	rig_close();
}

static void make_and_free(void *arg)
{
	const struct session_params *p = arg;
	struct session *s;

	if (session_new(&s, p) == 0) {
		session_free(s);
		session_free(NULL);
	}
}

Test(session, can_be_freed_before_it_has_a_link)
{
	struct session_params p = {.tag = "test",
				   .device = PROTO_BLK,
				   .nr_queues = 256};
	unsigned before;

	rig_open();
	before = sessiontest_count_fds();
	p.home = rig.t.home;
	for (int i = 0; i < 10; i++)
		iotest_call(rig.t.home, make_and_free, &p);
	/* Another thread closes its state. */
	for (int i = 0; i < 500 && sessiontest_count_fds() != before; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert_eq(sessiontest_count_fds(), before);
	rig_close();
}
