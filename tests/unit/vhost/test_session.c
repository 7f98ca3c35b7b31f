/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/session: when queues start and stop, what memory does, quirks. */
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
#include "sessiontest.h"
#include "vhost/handlers.h"

TestSuite(session, .timeout = 60);

#define REGION_SIZE (1 << 20)

static struct sessiontest t;
static struct guestmem mem;
static struct frontend_queue q0, q1;

static void make_queue(struct frontend_queue *q, unsigned index, unsigned size)
{
	const struct guestring_params p = {.size = size, .event_idx = true};

	cr_assert_eq(frontend_queue_init(q, index, &mem, &p), 0);
}

/* A front-end with two regions of memory and two rings; nothing is shared. */
static void open_all(void)
{
	sessiontest_open(&t);
	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0x7f0000000000, REGION_SIZE), 0);
	cr_assert_eq(guestmem_add(&mem, 1 << 30, 0x7f0040000000, REGION_SIZE),
		     1);
	make_queue(&q0, 0, 16);
	make_queue(&q1, 1, 32);
	sessiontest_negotiate(&t);
}

static void close_all(void)
{
	sessiontest_close(&t);
	frontend_queue_fini(&q0);
	frontend_queue_fini(&q1);
	guestmem_fini(&mem);
}

static void share(void)
{
	cr_assert_eq(frontend_share_memory(&t.vmm, &mem), 0);
}

/* One buffer in region @region, given to @q. */
static void submit(struct frontend_queue *q, unsigned region)
{
	void *buf = guestmem_alloc_in(&mem, region, 64, 64);
	const struct guestring_seg seg = {guestmem_gpa(&mem, buf), 64, true};

	cr_assert_geq(frontend_submit(q, &seg, 1, NULL), 0);
}

static void expect_answer(struct frontend_queue *q)
{
	struct guestring_used u;

	cr_assert_eq(frontend_wait(q, &u, 5000), 0);
}

static bool has_request(const struct sessiontest_seen *seen)
{
	return seen->requests > 0;
}

static void expect_silence(struct frontend *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 100), 0);
}

static void expect_refused(uint32_t request, const void *payload, size_t size)
{
	cr_assert_eq(frontend_set(&t.vmm, request, payload, size, NULL, 0),
		     -EREMOTEIO);
}

/* ---- readiness ------------------------------------------------------------
 */

static void step_num(void)
{
	cr_assert_eq(frontend_set_state(&t.vmm, VHOST_USER_SET_VRING_NUM, 0,
					16),
		     0);
}

static void step_addr(void)
{
	cr_assert_eq(frontend_set_vring_addr(&t.vmm, &q0, 0), 0);
}

static void step_kick(void)
{
	cr_assert_eq(frontend_set_vring_fd(&t.vmm, VHOST_USER_SET_VRING_KICK, 0,
					   q0.kick),
		     0);
}

static void step_enable(void)
{
	cr_assert_eq(frontend_set_state(&t.vmm, VHOST_USER_SET_VRING_ENABLE, 0,
					1),
		     0);
}

static void step_features(void)
{
	cr_assert_eq(frontend_set_u64(&t.vmm, VHOST_USER_SET_FEATURES,
				      1ULL << 32 | 1 << 30),
		     0);
}

#define NR_STEPS 6

static void (*const steps[NR_STEPS])(void) = {
	step_num, step_addr, step_kick, step_enable, step_features, share,
};

/* Owner and protocol features, but no features yet. */
static void greet(struct frontend *f)
{
	cr_assert_eq(frontend_set(f, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0),
		     0);
	f->protocol_features = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	cr_assert_eq(frontend_set_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES,
				      f->protocol_features),
		     0);
}

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
	greet(&t.vmm);
	for (unsigned i = 0; i < NR_STEPS; i++) {
		cr_assert_eq(sessiontest_look(&t).ready[0], 0);
		steps[order[i]]();
	}
	cr_assert_eq(sessiontest_look(&t).ready[0], 1);
}

Test(session, tells_that_a_queue_is_ready_whatever_the_order)
{
	struct sessiontest workers;

	open_all();
	t.wait = true;
	workers = t;
	for (unsigned n = 0; n < 720; n += 7) {
		sessiontest_leave(&t);
		t.wait = true;
		sessiontest_join(&t, &workers);
		run_permutation(n);
	}
	close_all();
}

Test(session, starts_a_queue_and_serves_it)
{
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(sessiontest_look(&t).started[0], 0);
	for (int i = 0; i < 40; i++) {
		submit(&q0, i % 2);
		expect_answer(&q0);
	}
	close_all();
}

Test(session, enables_all_queues_for_who_cannot)
{
	open_all();
	cr_assert_eq(frontend_set_u64(&t.vmm, VHOST_USER_SET_FEATURES,
				      1ULL << 32),
		     0);
	t.vmm.features = 1ULL << 32;
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

Test(session, starts_nothing_that_was_enabled_but_not_set_up)
{
	open_all();
	share();
	for (unsigned i = 0; i < SESSIONTEST_QUEUES; i++)
		cr_assert_eq(frontend_set_state(&t.vmm,
						VHOST_USER_SET_VRING_ENABLE, i,
						1),
			     0);
	for (unsigned i = 0; i < SESSIONTEST_QUEUES; i++)
		cr_assert_eq(sessiontest_look(&t).ready[i], 0);
	close_all();
}

Test(session, serves_a_queue_without_a_kick)
{
	int kick;

	open_all();
	share();
	kick = q0.kick;
	q0.kick = -1;
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	q0.kick = kick; /* which nobody looks at */
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

Test(session, serves_queues_on_two_workers)
{
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, NULL), 0);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q1), 0);
	cr_assert_eq(sessiontest_look(&t).started[1], 0);
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q1, NULL), 0);
	cr_assert_eq(sessiontest_look(&t).idle[1], 1);
	close_all();
}

Test(session, says_why_a_queue_cannot_start_and_tries_again)
{
	const struct vhost_user_vring_addr bad = {.desc = 0x7f0000000001,
						  .avail = 0x7f0000001000,
						  .used = 0x7f0000002000};
	struct pollfd p;

	open_all();
	share();
	cr_assert_eq(frontend_set(&t.vmm, VHOST_USER_SET_VRING_ADDR, &bad,
				  sizeof(bad), NULL, 0),
		     0);
	step_num();
	cr_assert_eq(frontend_set_vring_fd(&t.vmm, VHOST_USER_SET_VRING_ERR, 0,
					   q0.err),
		     0);
	step_enable();
	step_kick();
	cr_assert_lt(sessiontest_look(&t).started[0], 0);
	p = (struct pollfd){.fd = q0.err, .events = POLLIN};
	cr_assert_eq(poll(&p, 1, 5000), 1);

	/* No other queue notices, and the right address is all it takes. */
	cr_assert_eq(frontend_start_queue(&t.vmm, &q1), 0);
	cr_assert_eq(sessiontest_look(&t).started[1], 0);
	step_addr();
	cr_assert_eq(sessiontest_look(&t).started[0], 0);
	cr_assert_eq(sessiontest_look(&t).ready[0], 2);
	cr_assert_eq(frontend_set_vring_fd(&t.vmm, VHOST_USER_SET_VRING_CALL, 0,
					   q0.call),
		     0);
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

/* ---- what particular front-ends do ----------------------------------------
 */

static uint64_t ask(uint32_t request)
{
	uint64_t n;

	cr_assert_eq(frontend_get_u64(&t.vmm, request, &n), 0);
	return n;
}

static void tell(uint32_t request, uint64_t n)
{
	cr_assert_eq(frontend_send(&t.vmm, request, 0, &n, 8, NULL, 0), 0);
}

static uint32_t get_config(uint32_t off, uint32_t size, uint32_t flags,
			   struct vhost_user_config *c);

/*
 * It accepts everything to read the config space, then greets again and means
 * it, and names a call before there is memory.
 */
Test(session, understands_dragonball)
{
	struct vhost_user_config c;
	uint64_t features;

	open_all();
	features = ask(VHOST_USER_GET_FEATURES);
	tell(VHOST_USER_SET_FEATURES, features);
	tell(VHOST_USER_SET_PROTOCOL_FEATURES,
	     ask(VHOST_USER_GET_PROTOCOL_FEATURES));
	cr_assert_eq(get_config(0x100, 60, 0, &c), 72);
	cr_assert_eq(memcmp(c.payload, t.config, 60), 0);

	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_SET_OWNER, 0, NULL, 0,
				   NULL, 0),
		     0);
	cr_assert_eq(ask(VHOST_USER_GET_FEATURES), features);
	tell(VHOST_USER_SET_FEATURES, 1ULL << 32 | 1 << 30 | 1 << 29);
	tell(VHOST_USER_SET_PROTOCOL_FEATURES,
	     ask(VHOST_USER_GET_PROTOCOL_FEATURES));
	cr_assert_geq(ask(VHOST_USER_GET_QUEUE_NUM), 1);
	cr_assert_eq(frontend_set_vring_fd(&t.vmm, VHOST_USER_SET_VRING_CALL, 0,
					   q0.call),
		     0);
	share();
	step_num();
	/* On a reconnect no base comes here. */
	step_addr();
	step_kick();
	step_enable();
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

/* It wants an answer to all, but leaves without stopping its ring. */
Test(session, understands_user_mode_linux)
{
	open_all();
	greet(&t.vmm);
	step_features();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(frontend_set_state(&t.vmm, VHOST_USER_SET_VRING_ENABLE, 0,
					0),
		     0);
	ask(VHOST_USER_GET_FEATURES);
	cr_assert_eq(sessiontest_look(&t).idle[0], 0);
	close_all();
}

/* Its firmware uses the disk before its kernel does, with other features. */
Test(session, understands_a_boot_of_qemu)
{
	unsigned base;

	open_all();
	share();
	for (unsigned boot = 0; boot < 2; boot++) {
		uint64_t bits = 1ULL << 32 | 1 << 30 |
				(boot ? 1ULL << VIRTIO_RING_F_EVENT_IDX : 0);

		tell(VHOST_USER_SET_FEATURES, bits);
		tell(VHOST_USER_SET_FEATURES, bits);
		q0.ring.event_idx = boot;
		guestring_reset(&q0.ring);
		cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
		cr_assert_eq(frontend_set_state(&t.vmm,
						VHOST_USER_SET_VRING_ENABLE, 1,
						1),
			     0);
		for (unsigned i = 0; i < 3; i++) {
			submit(&q0, 0);
			expect_answer(&q0);
		}
		cr_assert_eq(frontend_set_state(&t.vmm,
						VHOST_USER_SET_VRING_ENABLE, 0,
						0),
			     0);
		cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, &base), 0);
		cr_assert_eq(base, 3);
	}
	close_all();
}

/* ---- stopping -------------------------------------------------------------
 */

Test(session, answers_the_base_of_a_ring_that_never_ran)
{
	unsigned base = 77;

	open_all();
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, &base), 0);
	cr_assert_eq(base, 0);
	cr_assert_eq(frontend_set_state(&t.vmm, VHOST_USER_SET_VRING_BASE, 0,
					4322),
		     0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, &base), 0);
		cr_assert_eq(base, 4322);
	}
	cr_assert_eq(sessiontest_look(&t).idle[0], 0);
	close_all();
}

Test(session, takes_back_a_queue_that_was_ready_but_not_started)
{
	unsigned base;

	t.wait = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(sessiontest_look(&t).ready[0], 1);
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, &base), 0);
	cr_assert_eq(base, 0);
	cr_assert_eq(sessiontest_look(&t).idle[0], 1);

	/* And it may come again, and start late. */
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(sessiontest_look(&t).ready[0], 2);
	cr_assert_eq(sessiontest_start(&t, 0), 0);
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

static void send_get_base(void)
{
	const struct vhost_user_vring_state s = {.index = 0};

	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_GET_VRING_BASE, 0, &s,
				   sizeof(s), NULL, 0),
		     0);
}

Test(session, answers_the_base_when_the_last_request_is_done)
{
	struct frontend_msg m;

	t.hold = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	send_get_base();
	/* What is sent meanwhile is read later. */
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_GET_QUEUE_NUM, 0, NULL, 0,
				   NULL, 0),
		     0);
	expect_silence(&t.vmm);
	cr_assert_eq(sessiontest_look(&t).idle[0], 0);
	sessiontest_release(&t);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_VRING_BASE);
	cr_assert_eq(m.payload.state.num, 1);
	cr_assert_eq(sessiontest_look(&t).idle[0], 1);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_QUEUE_NUM);
	expect_answer(&q0);
	close_all();
}

static void get_facts(void *arg)
{
	session_facts(t.session, arg);
}

static struct session_facts facts(void)
{
	struct session_facts f;

	iotest_call(t.home, get_facts, &f);
	return f;
}

Test(session, notices_a_client_that_leaves_during_a_drain)
{
	struct frontend f;

	t.hold = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	send_get_base();
	/* Unread bytes must not hide the end. */
	frontend_send(&t.vmm, VHOST_USER_GET_QUEUE_NUM, 0, NULL, 0, NULL, 0);
	expect_silence(&t.vmm);
	cr_assert_not(facts().closing);
	f = t.vmm;
	frontend_init(&t.vmm);
	frontend_close(&f);
	for (int i = 0; i < 500 && !facts().closing; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert(facts().closing);
	cr_assert_eq(sessiontest_look(&t).ended, 0);
	sessiontest_release(&t);
	close_all();
}

Test(session, ends_with_requests_in_flight_only_when_they_are_done)
{
	t.hold = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	frontend_close(&t.vmm);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	cr_assert_eq(sessiontest_look(&t).ended, 0);
	cr_assert_eq(facts().nr_lent, 1);
	sessiontest_release(&t);
	close_all();
}

static void close_session(void *arg)
{
	session_close(arg);
	session_close(arg);
}

Test(session, closes_the_socket_last_when_told_to_end)
{
	struct frontend_msg m;

	t.hold = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	iotest_call(t.home, close_session, t.session);
	expect_silence(&t.vmm);
	sessiontest_release(&t);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), -ECONNRESET);
	close_all();
}

Test(session, restarts_one_ring_with_another_size_while_others_run)
{
	unsigned base;

	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q1), 0);
	submit(&q0, 0);
	expect_answer(&q0);
	for (unsigned size = 4; size <= 256; size *= 2) {
		cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, &base), 0);
		cr_assert_eq(base, 1);
		frontend_queue_fini(&q0);
		make_queue(&q0, 0, size);
		cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
		submit(&q0, 0);
		expect_answer(&q0);
	}
	cr_assert_eq(sessiontest_look(&t).idle[1], 0);
	close_all();
}

Test(session, keeps_call_and_error_descriptors_over_a_stop)
{
	struct guestring_used u;

	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, NULL), 0);
	step_kick();
	cr_assert_eq(sessiontest_look(&t).ready[0], 2);
	submit(&q0, 0);
	cr_assert_eq(frontend_wait(&q0, &u, 5000), 0);
	close_all();
}

Test(session, stops_everything_when_the_owner_gives_it_up)
{
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q1), 0);
	cr_assert_eq(frontend_set(&t.vmm, VHOST_USER_RESET_OWNER, NULL, 0, NULL,
				  0),
		     0);
	cr_assert_eq(sessiontest_look(&t).idle[0], 1);
	cr_assert_eq(sessiontest_look(&t).idle[1], 1);
	cr_assert_eq(sessiontest_look(&t).resets, 1);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(sessiontest_look(&t).started[0], 0);
	close_all();
}

/* ---- changes while rings run ----------------------------------------------
 */

Test(session, refuses_to_change_a_running_ring)
{
	const struct vhost_user_vring_state s = {0, 16};
	struct vhost_user_vring_addr a = {.index = 0};

	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	expect_refused(VHOST_USER_SET_VRING_NUM, &s, sizeof(s));
	expect_refused(VHOST_USER_SET_VRING_BASE, &s, sizeof(s));
	a.desc = guestmem_uva(&mem, q1.ring.vring.desc);
	a.avail = guestmem_uva(&mem, q1.ring.vring.avail);
	a.used = guestmem_uva(&mem, q1.ring.vring.used);
	expect_refused(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a));
	step_addr();
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

Test(session, tolerates_repeated_greetings)
{
	uint64_t other;

	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(frontend_set(&t.vmm, VHOST_USER_SET_OWNER, NULL, 0,
					  NULL, 0),
			     0);
		cr_assert_eq(frontend_set_u64(&t.vmm, VHOST_USER_SET_FEATURES,
					      t.vmm.features),
			     0);
		cr_assert_eq(frontend_set_u64(&t.vmm,
					      VHOST_USER_SET_PROTOCOL_FEATURES,
					      t.vmm.protocol_features),
			     0);
	}
	other = t.vmm.features & ~(1ULL << VIRTIO_RING_F_EVENT_IDX);
	expect_refused(VHOST_USER_SET_FEATURES, &other, sizeof(other));
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

Test(session, takes_new_descriptors_while_the_ring_runs)
{
	int old_kick, old_call;

	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	expect_answer(&q0);
	old_kick = q0.kick;
	old_call = q0.call;
	q0.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q0.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	step_kick();
	cr_assert_eq(frontend_set_vring_fd(&t.vmm, VHOST_USER_SET_VRING_CALL, 0,
					   q0.call),
		     0);
	cr_assert_eq(frontend_set_vring_fd(&t.vmm, VHOST_USER_SET_VRING_ERR, 0,
					   -1),
		     0);
	close(old_kick);
	close(old_call);
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

Test(session, serves_nothing_while_a_ring_is_disabled)
{
	struct guestring_used u;

	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(frontend_set_state(&t.vmm, VHOST_USER_SET_VRING_ENABLE, 0,
					0),
		     0);
	submit(&q0, 0);
	cr_assert_eq(frontend_wait(&q0, &u, 100), -ETIMEDOUT);
	step_enable();
	expect_answer(&q0);
	expect_refused(VHOST_USER_SET_VRING_ENABLE,
		       &(struct vhost_user_vring_state){0, 2}, 8);
	close_all();
}

Test(session, adds_memory_without_waiting_for_requests)
{
	int index;

	t.hold = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	index = guestmem_add(&mem, 2ULL << 30, 0x7f0080000000, REGION_SIZE);
	cr_assert_eq(frontend_add_region(&t.vmm, &mem.regions[index]), 0);
	cr_assert_eq(facts().nr_regions, 3);
	cr_assert_eq(facts().memory_bytes, 3 * REGION_SIZE);
	sessiontest_release(&t);
	expect_answer(&q0);
	submit(&q0, 2);
	expect_answer(&q0);
	close_all();
}

Test(session, removes_memory_when_no_request_is_in_it)
{
	const struct guestmem_region *r;
	struct vhost_user_single_mem_region one = {0};
	struct frontend_msg m;

	t.hold = true;
	open_all();
	share();
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 1);
	sessiontest_wait(&t, has_request);
	r = &mem.regions[1];
	one.region = (struct vhost_user_mem_region){r->gpa, r->size, r->uva, 9};
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_REM_MEM_REG,
				   VHOST_USER_NEED_REPLY_MASK, &one,
				   sizeof(one), NULL, 0),
		     0);
	expect_silence(&t.vmm);
	sessiontest_release(&t);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.payload.u64, 0);
	cr_assert_eq(facts().nr_regions, 1);
	expect_answer(&q0);

	expect_refused(VHOST_USER_REM_MEM_REG, &one, sizeof(one));
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

static struct vhost_user_mem_table table_of(unsigned nr, int *fds)
{
	struct vhost_user_mem_table table = {.nr_regions = nr};

	for (unsigned i = 0; i < nr; i++) {
		const struct guestmem_region *r = &mem.regions[i];

		table.regions[i] =
			(struct vhost_user_mem_region){r->gpa, r->size, r->uva,
						       r->fd_offset};
		fds[i] = r->fd;
	}
	return table;
}

static int set_table(unsigned nr)
{
	int fds[8];
	const struct vhost_user_mem_table table = table_of(nr, fds);

	return frontend_set(&t.vmm, VHOST_USER_SET_MEM_TABLE, &table,
			    8 + 32 * nr, fds, nr);
}

Test(session, takes_a_new_table_of_memory_while_rings_run)
{
	t.hold = true;
	open_all();
	cr_assert_eq(set_table(1), 0);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	/* Nothing is taken away: no wait for the request. */
	cr_assert_eq(set_table(2), 0);
	sessiontest_release(&t);
	expect_answer(&q0);
	submit(&q0, 1);
	expect_answer(&q0);
	cr_assert_eq(set_table(1), 0);
	cr_assert_eq(facts().nr_regions, 1);
	submit(&q0, 0);
	expect_answer(&q0);
	close_all();
}

Test(session, waits_when_a_new_table_takes_memory_away)
{
	int fds[8];
	struct vhost_user_mem_table table;
	struct frontend_msg m;

	t.hold = true;
	open_all();
	table = table_of(1, fds);
	cr_assert_eq(set_table(2), 0);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	sessiontest_wait(&t, has_request);
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_SET_MEM_TABLE,
				   VHOST_USER_NEED_REPLY_MASK, &table, 40, fds,
				   1),
		     0);
	expect_silence(&t.vmm);
	sessiontest_release(&t);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.payload.u64, 0);
	close_all();
}

Test(session, takes_an_empty_table)
{
	open_all();
	cr_assert_eq(set_table(0), 0);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	cr_assert_eq(sessiontest_look(&t).ready[0], 0);
	share();
	cr_assert_eq(sessiontest_look(&t).ready[0], 1);
	close_all();
}

Test(session, refuses_memory_that_makes_no_sense_and_keeps_the_old)
{
	const struct vhost_user_mem_region bad[] = {
		{0, 0, 0x1000, 0},
		{0, 1ULL << 63, 0x1000, 0},
		{0, REGION_SIZE, 0x1000, ~0xfffULL},
		{~0xfffULL, REGION_SIZE, 0x1000, 0},
		{0, REGION_SIZE, ~0xfffULL, 0},
		{0, 2 * REGION_SIZE, 0x1000, 0},
		{1 << 30, REGION_SIZE, 0x10000000, 0},
		{5ULL << 30, REGION_SIZE, 0x7f0000001000, 0},
	};
	unsigned before;

	open_all();
	share();
	before = sessiontest_count_fds();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct vhost_user_single_mem_region one = {
			.region = bad[i]};

		cr_assert_eq(frontend_set(&t.vmm, VHOST_USER_ADD_MEM_REG, &one,
					  sizeof(one), &mem.regions[0].fd, 1),
			     -EREMOTEIO, "%zu", i);
		cr_assert_eq(facts().nr_regions, 2);
	}
	cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
	submit(&q0, 0);
	expect_answer(&q0);
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, NULL), 0);
	for (int i = 0; i < 500 && sessiontest_count_fds() > before + 2; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert_leq(sessiontest_count_fds(), before + 2);
	close_all();
}

/* Descriptors of all kinds in the place of memory, kick and call. */
Test(session, survives_descriptors_that_are_something_else)
{
	const struct vhost_user_single_mem_region one = {
		.region = {5ULL << 30, 4096, 0x10000000, 0}};
	int fds[9], ends[2];
	size_t n = 0;

	open_all();
	share();
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	fds[n++] = ends[0];
	fds[n++] = ends[1];
	fds[n++] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[n++] = open("/", O_PATH | O_CLOEXEC);
	fds[n++] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	fds[n++] = epoll_create1(EPOLL_CLOEXEC);
	fds[n++] = t.vmm.fd;
	fds[n++] = memfd_create("test", MFD_CLOEXEC);
	cr_assert_eq(frontend_start_queue(&t.vmm, &q1), 0);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(frontend_set(&t.vmm, VHOST_USER_ADD_MEM_REG, &one,
					  sizeof(one), &fds[i], 1),
			     -EREMOTEIO, "%zu", i);
		for (uint32_t id = VHOST_USER_SET_VRING_KICK;
		     id <= VHOST_USER_SET_VRING_ERR; id++)
			cr_assert_eq(frontend_set_vring_fd(&t.vmm, id, 1,
							   fds[i]),
				     fds[i] == t.vmm.fd ? -EREMOTEIO : 0);
		submit(&q1, 0);
		cr_assert_eq(frontend_start_queue(&t.vmm, &q0), 0);
		submit(&q0, 0);
		expect_answer(&q0);
		cr_assert_eq(frontend_stop_queue(&t.vmm, &q0, NULL), 0);
		if (fds[i] != t.vmm.fd)
			close(fds[i]);
	}
	cr_assert_eq(frontend_stop_queue(&t.vmm, &q1, NULL), 0);
	close_all();
}

/* ---- features and config --------------------------------------------------
 */

Test(session, has_a_handler_for_what_is_served_and_nothing_else)
{
	for (uint32_t id = 0; id < 300; id++) {
		const struct proto_row *row = proto_row(id);

		cr_assert_eq(row && row->served, handlers_has(id), "%u", id);
	}
}

Test(session, offers_what_it_can_do)
{
	uint64_t n;

	open_all();
	cr_assert_eq(t.vmm.offered_features,
		     1ULL << 32 | 1 << 30 | 1 << 29 | 1 << 28 | 1 << 27 |
			     1 << 12 | 1 << 11 | 1 << 9);
	cr_assert_eq(t.vmm.offered_protocol_features,
		     1 << VHOST_USER_PROTOCOL_F_MQ |
			     1 << VHOST_USER_PROTOCOL_F_REPLY_ACK |
			     1 << VHOST_USER_PROTOCOL_F_CONFIG |
			     1 << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	cr_assert_eq(frontend_get_u64(&t.vmm, VHOST_USER_GET_MAX_MEM_SLOTS, &n),
		     0);
	cr_assert_eq(n, 512);
	cr_assert_eq(sessiontest_look(&t).accepted, t.vmm.offered_features);
	close_all();
}

Test(session, refuses_bits_that_were_not_offered)
{
	open_all();
	t.refuse = 1 << 12;
	for (int bit = 0; bit < 64; bit++) {
		uint64_t f = t.vmm.offered_features | 1ULL << bit;

		if (f != t.vmm.offered_features)
			expect_refused(VHOST_USER_SET_FEATURES, &f, 8);
		f = t.vmm.offered_protocol_features | 1ULL << bit;
		if (f != t.vmm.offered_protocol_features)
			expect_refused(VHOST_USER_SET_PROTOCOL_FEATURES, &f, 8);
	}
	/* The device has a say, too. */
	expect_refused(VHOST_USER_SET_FEATURES, &t.vmm.offered_features, 8);
	close_all();
}

Test(session, has_no_config_space_for_scsi)
{
	t.device = PROTO_SCSI;
	open_all();
	cr_assert_not(frontend_has(&t.vmm, VHOST_USER_PROTOCOL_F_CONFIG));
	close_all();
}

Test(session, counts_queues_for_who_did_not_ask_for_several)
{
	uint64_t n;

	open_all();
	cr_assert_eq(frontend_set_u64(&t.vmm, VHOST_USER_SET_PROTOCOL_FEATURES,
				      1 << VHOST_USER_PROTOCOL_F_REPLY_ACK),
		     0);
	cr_assert_eq(frontend_get_u64(&t.vmm, VHOST_USER_GET_QUEUE_NUM, &n), 0);
	cr_assert_eq(n, SESSIONTEST_QUEUES);
	close_all();
}

/* Returns the size of the payload of the reply, 0 for "no". */
static uint32_t get_config(uint32_t off, uint32_t size, uint32_t flags,
			   struct vhost_user_config *c)
{
	struct frontend_msg m;

	*c = (struct vhost_user_config){off, size, flags, {0}};
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_GET_CONFIG, 0, c,
				   12 + size, NULL, 0),
		     0);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_CONFIG);
	*c = m.payload.config;
	return m.hdr.size;
}

Test(session, reads_config_at_any_offset_and_length)
{
	static const struct {
		uint32_t off, size, flags;
		int from; /* or -1: refused */
	} reads[] = {
		{0, 60, 0, 0},		{0, 256, 0, 0},
		{8, 4, 0, 8},		{255, 1, 0, 255},
		{0, 60, 1, 0},		{0, 60, 2, -1},
		{255, 2, 0, -1},	{1, 256, 0, -1},
		{0, 0, 0, 0},		{0x100, 60, 1, 0},
		{0x108, 8, 0, 8},	{0x100, 256, 0, 0},
		{0x101, 256, 0, -1},	{0x200, 1, 0, -1},
		{0xffffffff, 2, 0, -1}, {0xffffff00, 256, 0, -1},
		{0x1ff, 1, 0, 255},
	};
	struct vhost_user_config c;

	open_all();
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++) {
		uint32_t size = get_config(reads[i].off, reads[i].size,
					   reads[i].flags, &c);

		if (reads[i].from < 0) {
			cr_assert_eq(size, 0, "%zu", i);
			continue;
		}
		cr_assert_eq(size, 12 + reads[i].size, "%zu", i);
		cr_assert_eq(c.offset, reads[i].off);
		cr_assert_eq(c.size, reads[i].size);
		cr_assert_eq(c.flags, reads[i].flags);
		cr_assert_eq(memcmp(c.payload, t.config + reads[i].from,
				    reads[i].size),
			     0);
	}
	close_all();
}

Test(session, writes_config_where_the_device_allows_it)
{
	const uint8_t one = 1;

	open_all();
	for (uint32_t flags = 0; flags < 2; flags++) {
		t.config[32] = 0;
		cr_assert_eq(frontend_set_config(&t.vmm, 32, &one, 1, flags),
			     0);
		cr_assert_eq(t.config[32], 1);
	}
	cr_assert_eq(frontend_set_config(&t.vmm, 0x120, &one, 1, 1), 0);
	cr_assert_eq(frontend_set_config(&t.vmm, 32, &one, 1, 2), -EREMOTEIO);
	cr_assert_eq(frontend_set_config(&t.vmm, 0, &one, 1, 0), -EREMOTEIO);
	cr_assert_eq(frontend_set_config(&t.vmm, 33, &one, 1, 0), -EREMOTEIO);
	close_all();
}

Test(session, refuses_sizes_that_no_ring_has)
{
	static const uint32_t bad[] = {0,     3,   24,	  512,
				       65536, 257, 32769, 0xffffffff};

	open_all();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refused(VHOST_USER_SET_VRING_NUM,
			       &(struct vhost_user_vring_state){0, bad[i]}, 8);
	expect_refused(VHOST_USER_SET_VRING_BASE,
		       &(struct vhost_user_vring_state){0, 0x10000}, 8);
	for (uint32_t n = 1; n <= 256; n *= 2)
		cr_assert_eq(frontend_set_state(&t.vmm,
						VHOST_USER_SET_VRING_NUM, 0, n),
			     0);
	close_all();
}
