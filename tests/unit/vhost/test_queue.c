/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/queue: lending, changes, drains, and guests that misbehave. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/util.h"
#include "ringmem.h"
#include "run/offload.h"
#include "vhost/guard.h"
#include "vhost/queue.h"
#include "vhost/ring_verbs.h"
#include "vhost/slots.h"

#define W    VRING_DESC_F_WRITE
#define I    VRING_DESC_F_INDIRECT
#define WRAP 0x8000u /* of a packed ring's base */
#define SIZE 128
#define NR   70 /* queues, at most */

/* A guest's ring, the queue that serves it and a device that can wait. */
struct guest {
	struct ringmem rm;
	uint16_t first;		/* answers when it began */
	struct queue *q;
	struct queue_setup setup;
	_Alignas(8) unsigned char part[32 + 32 * SIZE]; /* in flight */
	struct queue_user user;
	struct counters counters;
	int kick, call, err;	/* the VMM's copies */

	/* the device, on the worker */
	struct chain *held[SIZE];
	unsigned nr_held;
	bool hold;		/* answers only when told */
	uint64_t copies;	/* bytes for each request */
	bool asks;		/* whether it may begin one */
	struct turn_item answers;
	void (*on_request)(struct guest *g);

	/* on the home */
	bool drained;
	int result;
};

static bool packed; /* the rings of all of them */
static struct worker *home, *other;
static struct limits *limits;
static struct gate gate;
static struct guest guests[NR];
static struct guest *const g0 = &guests[0], *const g1 = &guests[1];
static sem_t done;

/* Guests in the order of their requests, as seen by one worker. */
static struct guest *order[4096];
static unsigned nr_order;

static bool old_gone; /* the memory map */

/* ---- running things where they belong ---- */

struct errand {
	struct mail mail;
	void (*fn)(struct guest *g);
	struct guest *g;
};

static void deliver_errand(struct mail *m)
{
	struct errand *e = container_of(m, struct errand, mail);

	e->fn(e->g);
	sem_post(&done);
}

static void wait_done(void)
{
	while (sem_wait(&done))
		;
}

static void run_on(struct worker *w, void (*fn)(struct guest *g),
		   struct guest *g)
{
	struct errand e = { { .deliver = deliver_errand }, fn, g };

	worker_post(w, &e.mail);
	wait_done();
}

static bool within_10_s(bool (*is_true)(struct guest *g), struct guest *g)
{
	for (unsigned i = 0; i < 10000; i++) {
		if (is_true(g))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

/* ---- the device ---- */

static void answer_all(struct guest *g)
{
	for (unsigned i = 0; i < g->nr_held; i++)
		queue_push(g->q, g->held[i], i);
	g->nr_held = 0;
}

static void run_answers(struct turn_item *item)
{
	answer_all(container_of(item, struct guest, answers));
}

static void request(void *ctx, struct queue *q, struct chain *c)
{
	struct guest *g = ctx;
	struct worker *w = queue_worker(q);

	if (g->asks && !queue_admit(q, c, LIMITS_READ, 1))
		return;
	order[nr_order++ % ARRAY_SIZE(order)] = g;
	g->held[g->nr_held++] = c;
	queue_copied(q, g->copies);
	if (g->on_request)
		g->on_request(g);
	if (!g->hold)
		worker_add(w, TURN_DONE, &g->answers);
}

/* ---- the guest ---- */

static void setup_guest(struct guest *g, struct worker *h)
{
	rm_init_at(&g->rm, packed, SIZE, worker_mailbox(h));
	g->kick = eventfd(0, EFD_NONBLOCK);
	g->call = eventfd(0, EFD_NONBLOCK);
	g->err = eventfd(0, EFD_NONBLOCK);
	g->setup = (struct queue_setup){
		.size = SIZE,
		.addr = g->rm.addr,
		.base = packed ? WRAP : 0,
		.packed = packed,
		.indirect = true,
		.enabled = true,
		.inflight = { .host = g->part, .nr_desc = SIZE },
		.kick = dup(g->kick),
		.call = dup(g->call),
		.err = dup(g->err),
	};
	g->user = (struct queue_user){ request, g, 40, &g->counters,
					NULL, NULL };
	turn_item_init(&g->answers, run_answers);
	for (unsigned i = 0; i < SIZE; i++)
		rm_desc(&g->rm, i, RM_B + i, 1, W, 0);
	cr_assert_eq(queue_new(&g->q, h, "disk/q"), 0);
}

static void kick(struct guest *g)
{
	cr_assert_eq(eventfd_write(g->kick, 1), 0);
}

static void offer(struct guest *g, unsigned head)
{
	rm_avail(&g->rm, head);
	kick(g);
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Wait for a call and take it; the number of calls in one. */
static uint64_t take_call(int fd)
{
	eventfd_t n = 0;

	cr_assert(is_readable(fd, 10000));
	cr_assert_eq(eventfd_read(fd, &n), 0);
	return n;
}

static uint16_t used(struct guest *g)
{
	return rm_nr_used(&g->rm) - g->first;
}

/* The base of a ring after @n chains of one descriptor, all answered. */
static uint32_t base_after(unsigned n)
{
	uint32_t pos = n % SIZE | (n / SIZE % 2 ? 0 : WRAP);

	return packed ? pos | pos << 16 : n;
}

/* The ring was used before. */
static void begin_at(struct guest *g, unsigned n)
{
	rm_begin(&g->rm, base_after(n));
	g->first = rm_nr_used(&g->rm);
}

static unsigned wanted_used;

static bool has_used(struct guest *g)
{
	return used(g) == wanted_used;
}

static void wait_used(struct guest *g, unsigned n)
{
	wanted_used = n;
	cr_assert(within_10_s(has_used, g), "used %u, not %u", used(g), n);
}

static unsigned wanted_held;

static bool has_held(struct guest *g)
{
	return __atomic_load_n(&g->nr_held, __ATOMIC_RELAXED) == wanted_held;
}

static void wait_held(struct guest *g, unsigned n)
{
	wanted_held = n;
	cr_assert(within_10_s(has_held, g), "%u held, not %u", g->nr_held, n);
}

static bool is_broken(struct guest *g)
{
	return counters_read(&g->counters.broken) == 1;
}

/* ---- the session ---- */

static struct worker *lend_to;

static void do_start(struct guest *g)
{
	g->result = queue_start(g->q, lend_to, g->rm.map, &g->setup, &g->user);
}

static void start(struct guest *g)
{
	run_on(home, do_start, g);
	cr_assert_eq(g->result, 0, "%s", queue_why(g->q));
}

static void note_drained(void *ctx, struct queue *q)
{
	struct guest *g = ctx;

	cr_assert_eq(q, g->q);
	cr_assert_eq(queue_state(q), QUEUE_IDLE);
	__atomic_store_n(&g->drained, true, __ATOMIC_RELEASE);
}

static bool is_drained(struct guest *g)
{
	return __atomic_load_n(&g->drained, __ATOMIC_ACQUIRE);
}

static void do_drain(struct guest *g)
{
	queue_drain(g->q, note_drained, g);
}

static void drain(struct guest *g)
{
	g->drained = false;
	run_on(home, do_drain, g);
	cr_assert(within_10_s(is_drained, g));
}

/* Drained on the home before this; answered what was held. */
static void do_stop(struct guest *g)
{
	answer_all(g);
}

static struct queue_change change;

static void do_change(struct guest *g)
{
	g->result = queue_change(g->q, &change);
}

static void change_queue(struct guest *g)
{
	run_on(home, do_change, g);
	cr_assert_eq(g->result, 0);
}

static void do_nothing(struct guest *g)
{
	(void)g;
}

/* All mail to the worker, and from it to the home, has arrived. */
static void settle(void)
{
	for (unsigned i = 0; i < 3; i++) {
		run_on(lend_to, do_nothing, NULL);
		run_on(home, do_nothing, NULL);
	}
}

static bool wants_kick(struct guest *g)
{
	return rm_wants_next_kick(&g->rm, g->setup.event_idx);
}

/* Nobody looks at the ring any more: a kick is what makes the worker look. */
static void wait_until_cold(struct guest *g)
{
	settle();
	cr_assert(within_10_s(wants_kick, g));
}

static uint64_t poll_us;

static struct worker *new_worker(unsigned id)
{
	struct worker_params p = { .id = id, .cpu = -1, .io_workers = 4,
				   .sqpoll_cpu = -1, .poll_us = poll_us };
	struct worker *w;

	cr_assert_eq(worker_new(&w, &p), 0);
	cr_assert_eq(worker_start(w), 0);
	return w;
}

static void setup(void)
{
	memset(guests, 0, sizeof(guests));
	nr_order = 0;
	old_gone = false;
	limits = NULL;
	other = NULL;
	sem_init(&done, 0, 0);
	home = new_worker(0);
	lend_to = home;
	setup_guest(g0, home);
	setup_guest(g1, home);
}

static void put_map(struct guest *g)
{
	memmap_put(g->rm.map);
}

static void teardown(void)
{
	for (unsigned i = 0; i < NR; i++) {
		struct guest *g = &guests[i];

		if (!g->q)
			continue;
		if (queue_state(g->q) == QUEUE_RUNNING) {
			run_on(lend_to, do_stop, g);
			drain(g);
		}
		queue_free(g->q);
		run_on(home, put_map, g);
		rm_fini(&g->rm);
	}
	worker_stop(home);
	if (other)
		worker_stop(other);
	cr_assert_eq(offload_stop(5000), 0);
	worker_free(home);
	worker_free(other);
	limits_free(limits);
}

/* Each test's body runs with rings of both formats. */
#define QUEUE_TEST(name)                \
	static void name(void);         \
	Test(queue, name)               \
	{                               \
		run_with_both(name);    \
	}                               \
	static void name(void)

static const char *running_with;

static void run_with_both(void (*body)(void))
{
	for (unsigned i = 0; i < 2; i++) {
		packed = i;
		running_with = packed ? "packed" : "split";
		setup();
		body();
		teardown();
	}
	running_with = NULL;
}

static void init_suite(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_set(LOG_LEVEL_ERR, 0);
	cr_assert_eq(guard_init(), 0);
}

static void fini_suite(void)
{
	if (running_with)
		fprintf(stderr, "this was with %s rings\n", running_with);
}

TestSuite(queue, .init = init_suite, .fini = fini_suite, .timeout = 120);

/* ---- serving ---- */

QUEUE_TEST(serves_a_request_that_was_kicked)
{
	start(g0);
	wait_until_cold(g0);
	cr_assert_eq(g0->counters.kicks, 0);
	offer(g0, 5);
	cr_assert_eq(take_call(g0->call), 1);
	cr_assert_eq(used(g0), 1);
	cr_assert_eq(rm_used(&g0->rm, 0).id, 5);
	cr_assert_eq(g0->counters.kicks, 1);
	cr_assert_eq(g0->counters.calls, 1);
	cr_assert_eq(queue_state(g0->q), QUEUE_RUNNING);
	cr_assert_str_eq(queue_tag(g0->q), "disk/q");
}

QUEUE_TEST(never_reads_the_kick)
{
	eventfd_t n;

	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	offer(g0, 1);
	wait_used(g0, 2);
	cr_assert_eq(eventfd_read(g0->kick, &n), 0);
	cr_assert_eq(n, 2);
}

QUEUE_TEST(looks_once_when_started_without_a_kick)
{
	rm_avail(&g0->rm, 0);
	start(g0);
	wait_used(g0, 1);
}

QUEUE_TEST(takes_nothing_while_disabled_and_looks_when_enabled)
{
	g0->setup.enabled = false;
	start(g0);
	offer(g0, 0);
	settle();
	cr_assert_eq(used(g0), 0);
	change = (struct queue_change){ QUEUE_CHANGE_ENABLED,
					.enabled = true };
	change_queue(g0);
	wait_used(g0, 1);
	change.enabled = false;
	change_queue(g0);
	settle();
	offer(g0, 1);
	settle();
	cr_assert_eq(used(g0), 1);
}

QUEUE_TEST(polls_a_ring_that_has_no_kick)
{
	close(g0->setup.kick);
	g0->setup.kick = -1;
	start(g0);
	settle();
	rm_avail(&g0->rm, 0);
	wait_used(g0, 1);
	/* one comes: no more polling, but a look */
	change = (struct queue_change){ QUEUE_CHANGE_KICK,
					.fd = dup(g0->kick) };
	change_queue(g0);
	offer(g0, 1);
	wait_used(g0, 2);
	cr_assert_eq(g0->counters.kicks, 1);
}

QUEUE_TEST(looks_once_when_the_kick_changes)
{
	start(g0);
	settle();
	rm_avail(&g0->rm, 0);
	change = (struct queue_change){ QUEUE_CHANGE_KICK,
					.fd = eventfd(0, EFD_NONBLOCK) };
	change_queue(g0);
	wait_used(g0, 1);
	wait_until_cold(g0);
	/* the old one means nothing any more */
	offer(g0, 1);
	settle();
	cr_assert_eq(used(g0), 1);
}

static bool has_used_enough(struct guest *g)
{
	return (int16_t)(used(g) - wanted_used) >= 0;
}

QUEUE_TEST(serves_a_ring_that_is_never_empty_for_long)
{
	start(g0);
	for (unsigned i = 0; i < 20 * SIZE; i++) {
		unsigned head = i;

		if (i >= SIZE) {
			wanted_used = i - SIZE + 1;
			cr_assert(within_10_s(has_used_enough, g0));
			head = rm_used(&g0->rm, i - SIZE).id;
		}
		offer(g0, head);
	}
	wait_used(g0, 20 * SIZE);
	cr_assert_eq(g0->counters.broken, 0);
}

/* One that waits awake for longer than a test may run. */
static void lend_to_awake_worker(void)
{
	poll_us = 3600ULL * 1000000;
	other = new_worker(1);
	lend_to = other;
}

/* As fast as can be: a ring that was idle for a ms is not looked at. */
static void ask_at_once(unsigned i)
{
	rm_avail(&g0->rm, i % SIZE);
	if (rm_wants_kick(&g0->rm, g0->setup.event_idx))
		kick(g0);
	while (used(g0) == (uint16_t)i)
		;
}

QUEUE_TEST(needs_few_kicks_while_the_worker_is_awake)
{
	lend_to_awake_worker();
	start(g0);
	for (unsigned i = 0; i < 1000; i++)
		ask_at_once(i);
	cr_assert_leq(counters_read(&g0->counters.kicks), 500);
}

static struct turn_item after_end;
static bool wanted_kick;

static void note_wish(struct turn_item *item)
{
	(void)item;
	wanted_kick = wants_kick(g0);
}

/* In the turn in which they are published, and behind that. */
static void answer_and_note_wish(struct guest *g)
{
	answer_all(g);
	worker_add(queue_worker(g->q), TURN_END, &after_end);
}

/* The worker slept while the device was busy. */
static void answer_by_a_slow_device(bool event_idx)
{
	turn_item_init(&after_end, note_wish);
	g0->hold = true;
	g0->setup.event_idx = event_idx;
	start(g0);
	for (unsigned i = 0; i < 5; i++) {
		offer(g0, i);
		wait_held(g0, 1);
		wait_until_cold(g0);
		wanted_kick = true;
		run_on(lend_to, answer_and_note_wish, g0);
		settle();
		cr_expect_not(wanted_kick, "answer %u", i);
	}
}

QUEUE_TEST(looks_at_the_ring_of_a_guest_that_was_answered)
{
	answer_by_a_slow_device(false);
}

QUEUE_TEST(looks_at_the_ring_of_a_guest_that_was_answered_by_event)
{
	answer_by_a_slow_device(true);
}

QUEUE_TEST(wants_kicks_when_it_was_idle_and_the_worker_is_awake)
{
	lend_to_awake_worker();
	start(g0);
	wait_until_cold(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	wait_until_cold(g0);
}

QUEUE_TEST(honours_the_event_index)
{
	g0->setup.event_idx = true;
	rm_want_call_at(&g0->rm, 1);
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	settle();
	cr_assert_not(is_readable(g0->call, 0));
	offer(g0, 1);
	cr_assert_eq(take_call(g0->call), 1);
	wait_until_cold(g0);
	rm_avail(&g0->rm, 2);
	cr_assert(rm_wants_kick(&g0->rm, true));
	rm_avail(&g0->rm, 3);
	cr_assert_not(rm_wants_kick(&g0->rm, true), "the one before did");
}

QUEUE_TEST(does_not_call_a_driver_that_does_not_want_it)
{
	rm_want_calls(&g0->rm, false);
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	settle();
	cr_assert_not(is_readable(g0->call, 0));
	cr_assert_eq(g0->counters.calls, 0);
}

QUEUE_TEST(serves_without_a_call)
{
	close(g0->setup.call);
	close(g0->setup.err);
	g0->setup.call = g0->setup.err = -1;
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	offer(g0, 999);
	cr_assert(within_10_s(is_broken, g0));
}

QUEUE_TEST(calls_once_when_it_goes_on_with_a_ring)
{
	begin_at(g0, 9);
	g0->setup.base = base_after(9);
	start(g0);
	cr_assert_eq(take_call(g0->call), 1);
	offer(g0, 0);
	cr_assert_eq(take_call(g0->call), 1);
	cr_assert_eq(used(g0), 1);
}

/* A packed ring does not say where that is: it begins as a driver does. */
QUEUE_TEST(begins_where_the_ring_was_used_when_not_told)
{
	begin_at(g0, packed ? 0 : 9);
	g0->setup.base = -1;
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
}

static void check_room(struct guest *g)
{
	struct chain *c = g->held[g->nr_held - 1];
	unsigned char *room = c->room;

	cr_assert(is_aligned((uintptr_t)room, _Alignof(max_align_t)));
	for (unsigned i = 0; i < g->user.room; i++)
		cr_assert_eq(room[i], 0);
}

static void scribble(struct guest *g)
{
	struct chain *c = g->held[g->nr_held - 1];

	check_room(g);
	memset(c->room, 0xff, g->user.room);
	c->iov = NULL;
	c->nr_writable = 77;
}

QUEUE_TEST(gives_each_chain_room_that_is_zero_at_first)
{
	g0->hold = true;
	g0->on_request = scribble;
	start(g0);
	for (unsigned i = 0; i < SIZE; i++)
		rm_avail(&g0->rm, i);
	kick(g0);
	wait_held(g0, SIZE);
	run_on(home, answer_all, g0);
	wait_used(g0, SIZE);
	cr_assert_eq(g0->counters.broken, 0);
}

/* ---- fairness ---- */

/* So many at once, as the worker sees it, on which this runs. */
static unsigned nr_to_offer;

static void offer_to_both(struct guest *g)
{
	(void)g;
	for (unsigned i = 0; i < nr_to_offer; i++) {
		rm_avail(&g0->rm, i);
		rm_avail(&g1->rm, i);
	}
	kick(g0);
	kick(g1);
}

QUEUE_TEST(takes_so_many_requests_and_then_lets_others)
{
	start(g0);
	start(g1);
	wait_until_cold(g0);
	wait_until_cold(g1);
	nr_to_offer = 100;
	run_on(home, offer_to_both, NULL);
	wait_used(g0, 100);
	wait_used(g1, 100);
	settle();
	cr_assert_eq(nr_order, 200);
	/* two at a time, 32 each, until 4 are left of each */
	for (unsigned i = 1; i < 192; i++)
		cr_assert_eq(order[i] != order[i - 1], i % 32 == 0, "%u", i);
}

QUEUE_TEST(takes_less_when_the_device_copies_much)
{
	g0->copies = QUEUE_TURN_COPY / 2;
	start(g0);
	start(g1);
	wait_until_cold(g0);
	wait_until_cold(g1);
	nr_to_offer = 64;
	run_on(home, offer_to_both, NULL);
	wait_used(g0, 64);
	wait_used(g1, 64);
	settle();

	unsigned in_a_row = 0;

	for (unsigned i = 0; i < nr_order && nr_order == 128; i++) {
		in_a_row = order[i] == g0 ? in_a_row + 1 : 0;
		/* the last 60 are g0's alone */
		cr_assert(in_a_row <= 2 || i > 64 + 4, "%u", i);
	}
	cr_assert_eq(nr_order, 128);
}

/* ---- draining ---- */

QUEUE_TEST(drains_when_idle_at_once)
{
	do_drain(g0);
	cr_assert(g0->drained);
}

QUEUE_TEST(drains_when_the_last_request_is_answered)
{
	g0->hold = true;
	start(g0);
	offer(g0, 0);
	offer(g0, 1);
	wait_held(g0, 2);
	run_on(home, do_drain, g0);
	offer(g0, 2);
	settle();
	cr_assert_not(is_drained(g0));
	cr_assert_eq(queue_state(g0->q), QUEUE_DRAINING);
	cr_assert_eq(g0->nr_held, 2);
	run_on(home, answer_all, g0);
	cr_assert(within_10_s(is_drained, g0));
	cr_assert_eq(used(g0), 2);
	cr_assert_eq(queue_base(g0->q), base_after(2));
	cr_assert_null(queue_worker(g0->q));
	/* and the guest was told before */
	cr_assert(is_readable(g0->call, 0));
}

static bool is_closed(struct guest *g)
{
	return fcntl(g->setup.kick, F_GETFD) < 0 &&
	       fcntl(g->setup.call, F_GETFD) < 0 &&
	       fcntl(g->setup.err, F_GETFD) < 0;
}

QUEUE_TEST(closes_its_descriptors_when_drained)
{
	start(g0);
	drain(g0);
	cr_assert(within_10_s(is_closed, g0));
}

QUEUE_TEST(starts_again_with_another_size)
{
	start(g0);
	for (unsigned i = 0; i < 3; i++)
		offer(g0, i);
	wait_used(g0, 3);
	drain(g0);
	cr_assert_eq(queue_base(g0->q), base_after(3));

	unsigned size = packed ? 5 : 4;

	rm_place(&g0->rm, packed, size);
	g0->setup.size = size;
	g0->setup.addr = g0->rm.addr;
	g0->setup.kick = dup(g0->kick);
	g0->setup.call = dup(g0->call);
	g0->setup.err = -1;
	rm_desc(&g0->rm, 3, RM_D, 1, 0, 0);
	start(g0);
	offer(g0, 3);
	wait_used(g0, 1);
}

QUEUE_TEST(refuses_a_bad_ring_and_leaves_the_descriptors)
{
	g0->setup.size = packed ? 40000 : 100;
	do_start(g0);
	cr_assert_eq(g0->result, -EINVAL);
	cr_assert_str_eq(queue_why(g0->q), packed ?
			 "size of a packed ring: 40000" :
			 "size of a split ring: 100");
	g0->setup.size = SIZE;
	g0->setup.addr.used = 0;
	do_start(g0);
	cr_assert_eq(g0->result, -EFAULT);
	cr_assert_str_eq(queue_why(g0->q), packed ?
			 "device event area is not in guest memory" :
			 "used ring is not in guest memory");
	g0->setup.addr = g0->rm.addr;
	g0->setup.base = packed ? SIZE : 65536;
	do_start(g0);
	cr_assert_eq(g0->result, -EINVAL);
	cr_assert_str_eq(queue_why(g0->q), packed ?
			 "begins at descriptor 128 in a ring of 128" :
			 "0x10000 is no index into a split ring");
	cr_assert_eq(queue_state(g0->q), QUEUE_IDLE);
	settle();
	cr_assert_not(is_closed(g0));
	cr_assert_geq(fcntl(g0->setup.kick, F_GETFD), 0);
	cr_assert_geq(fcntl(g0->setup.call, F_GETFD), 0);
	g0->setup.base = base_after(0);
	start(g0);
	cr_assert_str_eq(queue_why(g0->q), "");
}

/* ---- calls that do not get through ---- */

/* Fill the call, and have a write to it block. */
static void fill_call(struct guest *g)
{
	cr_assert_eq(eventfd_write(g->call, UINT64_MAX - 1), 0);
	cr_assert_eq(fcntl(g->call, F_SETFL, 0), 0);
}

QUEUE_TEST(is_not_stopped_by_a_call_that_blocks)
{
	fill_call(g0);
	start(g0);
	start(g1);
	for (unsigned i = 0; i < 50; i++) {
		offer(g0, i);
		offer(g1, i);
		wait_used(g0, i + 1);
		wait_used(g1, i + 1);
	}
	drain(g0);
	drain(g1);
	/* Those wanted while it was under way were never made. */
	cr_assert_eq(g0->counters.calls, 1);
}

QUEUE_TEST(is_not_stopped_by_a_full_call_that_does_not_block)
{
	cr_assert_eq(eventfd_write(g0->call, UINT64_MAX - 1), 0);
	start(g0);
	for (unsigned i = 0; i < 50; i++) {
		offer(g0, i);
		wait_used(g0, i + 1);
	}
	drain(g0);
}

QUEUE_TEST(calls_when_there_is_room_again)
{
	eventfd_t n;

	fill_call(g0);
	start(g0);
	for (unsigned i = 0; i < 3; i++) {
		offer(g0, i);
		wait_used(g0, i + 1);
	}
	settle();
	cr_assert_eq(eventfd_read(g0->call, &n), 0);
	/* the one under way, and one for all that came after it */
	cr_assert_geq(take_call(g0->call), 1);
	settle();
	offer(g0, 3);
	wait_used(g0, 4);
	cr_assert_geq(take_call(g0->call), 1);
}

QUEUE_TEST(calls_on_the_new_descriptor_when_the_old_one_was_stuck)
{
	int fresh = eventfd(0, EFD_NONBLOCK);

	fill_call(g0);
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	settle();
	change = (struct queue_change){ QUEUE_CHANGE_CALL, .fd = dup(fresh) };
	change_queue(g0);
	cr_assert_geq(take_call(fresh), 1);
	offer(g0, 1);
	cr_assert_eq(take_call(fresh), 1);
}

QUEUE_TEST(repeats_on_a_new_descriptor_what_the_old_one_may_have_swallowed)
{
	int fresh = eventfd(0, EFD_NONBLOCK);

	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	cr_assert_eq(take_call(g0->call), 1);
	change = (struct queue_change){ QUEUE_CHANGE_CALL, .fd = dup(fresh) };
	change_queue(g0);
	cr_assert_eq(take_call(fresh), 1);
}

QUEUE_TEST(repeats_a_call_for_which_there_was_no_descriptor)
{
	int fresh = eventfd(0, EFD_NONBLOCK);

	close(g0->setup.call);
	g0->setup.call = -1;
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	settle();
	change = (struct queue_change){ QUEUE_CHANGE_CALL, .fd = dup(fresh) };
	change_queue(g0);
	cr_assert_eq(take_call(fresh), 1);
}

QUEUE_TEST(makes_no_call_on_a_new_descriptor_before_there_was_one)
{
	int fresh = eventfd(0, EFD_NONBLOCK);

	start(g0);
	change = (struct queue_change){ QUEUE_CHANGE_CALL, .fd = dup(fresh) };
	change_queue(g0);
	settle();
	cr_assert_not(is_readable(fresh, 0));
}

QUEUE_TEST(goes_on_without_calls_when_nobody_reads_the_pipe)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	close(p[0]);
	close(g0->setup.call);
	g0->setup.call = p[1];
	start(g0);
	for (unsigned i = 0; i < 3; i++) {
		offer(g0, i);
		wait_used(g0, i + 1);
	}
	drain(g0);
}

QUEUE_TEST(calls_through_a_pipe_of_eight_bytes_each)
{
	uint64_t value = 0;
	int p[2];

	cr_assert_eq(pipe(p), 0);
	close(g0->setup.call);
	g0->setup.call = p[1];
	start(g0);
	offer(g0, 0);
	cr_assert_eq(read(p[0], &value, sizeof(value)), sizeof(value));
	cr_assert_eq(value, 1);
}

QUEUE_TEST(drains_with_a_full_pipe_as_call_and_err)
{
	int p[2];
	char byte = 0;

	cr_assert_eq(pipe2(p, O_NONBLOCK), 0);
	while (write(p[1], &byte, 1) == 1)
		;
	cr_assert_eq(fcntl(p[1], F_SETFL, 0), 0);
	close(g0->setup.call);
	close(g0->setup.err);
	g0->setup.call = p[1];
	g0->setup.err = dup(p[1]);
	start(g0);
	offer(g0, 0);
	wait_used(g0, 1);
	offer(g0, 60000);
	cr_assert(within_10_s(is_broken, g0));
	drain(g0);
}

/* ---- broken queues ---- */

QUEUE_TEST(is_broken_alone)
{
	start(g0);
	start(g1);
	offer(g0, 0);
	wait_used(g0, 1);
	offer(g0, 500);
	cr_assert_eq(take_call(g0->err), 1);
	settle();
	cr_assert_eq(g0->counters.broken, 1);
	cr_assert_str_eq(queue_why(g0->q), packed ?
			 "buffer id 500 in a ring of 128" :
			 "head 500 in a ring of 128");
	cr_assert_eq(queue_state(g0->q), QUEUE_RUNNING);
	offer(g0, 1);
	offer(g1, 1);
	wait_used(g1, 1);
	settle();
	cr_assert_eq(used(g0), 1);
	cr_assert_eq(g0->counters.broken, 1);
	cr_assert_not(is_readable(g1->err, 0));
	drain(g0);
	cr_assert_eq(queue_base(g0->q), base_after(1));
}

QUEUE_TEST(answers_what_is_in_flight_when_broken)
{
	g0->hold = true;
	start(g0);
	offer(g0, 3);
	wait_held(g0, 1);
	offer(g0, 3);
	cr_assert_eq(take_call(g0->err), 1);
	run_on(home, answer_all, g0);
	wait_used(g0, 1);
	cr_assert_eq(take_call(g0->call), 1);
	drain(g0);
}

static void break_it(struct guest *g)
{
	g->nr_held--;
	queue_break(g->q, g->held[g->nr_held], "no room for a status");
}

QUEUE_TEST(is_broken_by_its_device)
{
	g0->on_request = break_it;
	start(g0);
	rm_avail(&g0->rm, 0);
	rm_avail(&g0->rm, 1);
	kick(g0);
	cr_assert_eq(take_call(g0->err), 1);
	wait_used(g0, 1);
	cr_assert_eq(rm_used(&g0->rm, 0).len, 0);
	settle();
	cr_assert_eq(used(g0), 1);
	cr_assert_str_eq(queue_why(g0->q), "no room for a status");
	cr_assert_eq(g0->counters.broken, 1);
}

QUEUE_TEST(is_broken_by_a_kick_that_cannot_be_waited_for)
{
	close(g0->setup.kick);
	g0->setup.kick = memfd_create("kick", MFD_CLOEXEC);
	rm_avail(&g0->rm, 0);
	start(g0);
	cr_assert_eq(take_call(g0->err), 1);
	settle();
	cr_assert(strstr(queue_why(g0->q), "regular file"));
	cr_assert_eq(used(g0), 0);
	drain(g0);
}

QUEUE_TEST(survives_that_all_rings_have_the_same_kick)
{
	close(g1->setup.kick);
	g1->setup.kick = dup(g0->kick);
	start(g0);
	start(g1);
	rm_avail(&g1->rm, 0);
	offer(g0, 0);
	wait_used(g0, 1);
	wait_used(g1, 1);
	drain(g0);
	rm_avail(&g1->rm, 1);
	kick(g0);
	wait_used(g1, 2);
}

static void get_facts(struct guest *g)
{
	struct queue_facts f;

	queue_facts(g->q, &f);
	cr_assert_eq(f.size, SIZE);
	cr_assert_eq(f.packed, packed);
	cr_assert(f.indirect);
	cr_assert_not(f.event_idx);
	cr_assert_eq(f.worker, worker_id(lend_to));
	cr_assert_eq(f.in_flight, g->nr_held);
	cr_assert_eq(f.broken, g->counters.broken);
	cr_assert_eq(strlen(f.why) > 0, f.broken);
}

QUEUE_TEST(tells_facts)
{
	g0->hold = true;
	start(g0);
	offer(g0, 0);
	wait_held(g0, 1);
	run_on(home, get_facts, g0);
	offer(g0, 1000);
	cr_assert_eq(take_call(g0->err), 1);
	run_on(home, get_facts, g0);
}

/* ---- long chains ---- */

/* A chain of @nr segments with a table at D. */
static void make_long(struct guest *g, unsigned head, unsigned nr)
{
	struct rm_buf bufs[20];

	cr_assert_leq(nr, ARRAY_SIZE(bufs));
	for (unsigned i = 0; i < nr; i++)
		bufs[i] = (struct rm_buf){ RM_B + i, 1, i + 1 < nr ? 0 : W };
	rm_table(&g->rm, RM_D, bufs, nr);
	rm_desc(&g->rm, head, RM_D, nr * 16, I, 0);
}

QUEUE_TEST(waits_for_room_when_too_many_chains_are_long)
{
	for (unsigned i = 0; i < NR; i++) {
		struct guest *g = &guests[i];

		if (i > 1)
			setup_guest(g, home);
		g->hold = true;
		start(g);
		make_long(g, 0, 20);
		offer(g, 0);
		if (i < WORKER_NR_IOV)
			wait_held(g, 1);
	}
	settle();
	for (unsigned i = WORKER_NR_IOV; i < NR; i++)
		cr_assert_eq(guests[i].nr_held, 0);
	for (unsigned i = 0; i < NR; i++) {
		wait_held(&guests[i], 1);
		cr_assert_eq(guests[i].held[0]->nr_readable, 19);
		run_on(home, answer_all, &guests[i]);
		wait_used(&guests[i], 1);
	}
}

QUEUE_TEST(drains_while_it_waits_for_room)
{
	struct guest *last = &guests[WORKER_NR_IOV];

	for (unsigned i = 0; i <= WORKER_NR_IOV; i++) {
		struct guest *g = &guests[i];

		if (i > 1)
			setup_guest(g, home);
		g->hold = true;
		start(g);
		make_long(g, 0, 9);
		offer(g, 0);
		if (g != last)
			wait_held(g, 1);
	}
	settle();
	drain(last);
	cr_assert_eq(last->nr_held, 0);
	cr_assert_eq(queue_base(last->q), base_after(0));
}

/* ---- limits ---- */

/* Nothing is left for days, or there is no limit. */
static void set_limits(bool on)
{
	struct limits_rates r = { .burst_us = 1000 };
	struct timespec ts;
	uint64_t now_ns;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now_ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec;
	r.per_s[LIMITS_READ_IOPS] = on;
	limits_set(limits, &r, now_ns);
	for (unsigned i = 0; on && i < 100000; i++)
		limits_charge(limits, LIMITS_READ, 1, now_ns);
}

static void limit(struct guest *g)
{
	if (!limits) {
		cr_assert_eq(limits_new(&limits), 0);
		gate_init(&gate, limits, home);
		set_limits(true);
	}
	g->user.gate = &gate;
	g->asks = true;
}

static bool is_throttled, wanted_throttled;

static void look_whether_throttled(struct guest *g)
{
	struct queue_facts f;

	queue_facts(g->q, &f);
	is_throttled = f.throttled;
	cr_assert_eq(f.in_flight, g->nr_held);
	cr_assert_not(f.broken);
}

static bool has_throttled(struct guest *g)
{
	run_on(home, look_whether_throttled, g);
	return is_throttled == wanted_throttled;
}

/* A kick takes its time to be seen, and so does a new limit. */
static void expect_throttled(struct guest *g, bool expected)
{
	settle();
	wanted_throttled = expected;
	cr_assert(within_10_s(has_throttled, g));
}

QUEUE_TEST(takes_nothing_while_the_limits_have_nothing_left)
{
	limit(g0);
	start(g0);
	expect_throttled(g0, false);
	offer(g0, 0);
	expect_throttled(g0, true);
	cr_assert(rm_is_disarmed(&g0->rm), "no kick is needed meanwhile");
	/* Whoever kicks nevertheless changes nothing. */
	offer(g0, 1);
	expect_throttled(g0, true);
	cr_assert_eq(used(g0), 0);
	cr_assert_eq(nr_order, 0);
	cr_assert_eq(g0->counters.throttled_us, 0);
	set_limits(false);
	wait_used(g0, 2);
	expect_throttled(g0, false);
	cr_assert_not(rm_is_disarmed(&g0->rm));
	cr_assert_gt(g0->counters.throttled_us, 0);
}

QUEUE_TEST(serves_what_is_not_asked_for)
{
	limit(g0);
	limit(g1);
	g1->asks = false;
	start(g0);
	start(g1);
	offer(g0, 0);
	offer(g1, 0);
	wait_used(g1, 1);
	expect_throttled(g0, true);
}

QUEUE_TEST(drains_at_once_while_it_waits_for_the_limits)
{
	limit(g0);
	start(g0);
	offer(g0, 0);
	offer(g0, 1);
	expect_throttled(g0, true);
	drain(g0);
	cr_assert_eq(used(g0), 0);
	cr_assert_eq(queue_base(g0->q), base_after(0),
		     "it stayed in the ring");
	cr_assert_eq(limits_wait(limits, 0), 0);
	/* Whoever has it next takes it. */
	g0->setup.kick = dup(g0->kick);
	g0->setup.call = dup(g0->call);
	g0->setup.err = dup(g0->err);
	g0->asks = false;
	start(g0);
	wait_used(g0, 2);
}

QUEUE_TEST(can_be_changed_while_it_waits_for_the_limits)
{
	limit(g0);
	start(g0);
	rm_desc(&g0->rm, 0, RM_D, 1, W, 0);
	offer(g0, 0);
	expect_throttled(g0, true);
	change = (struct queue_change){ QUEUE_CHANGE_ENABLED,
					.enabled = false };
	change_queue(g0);
	change = (struct queue_change){ QUEUE_CHANGE_KICK,
					.fd = dup(g0->kick) };
	change_queue(g0);
	change = (struct queue_change){ QUEUE_CHANGE_CALL,
					.fd = dup(g0->call) };
	change_queue(g0);
	set_limits(false);
	expect_throttled(g0, false);
	cr_assert_eq(used(g0), 0, "it is disabled");
	change = (struct queue_change){ QUEUE_CHANGE_ENABLED,
					.enabled = true };
	change_queue(g0);
	cr_assert_eq(take_call(g0->call), 1);
	wait_used(g0, 1);
}

QUEUE_TEST(waits_when_enabled_again_as_before)
{
	limit(g0);
	start(g0);
	offer(g0, 0);
	change = (struct queue_change){ QUEUE_CHANGE_ENABLED,
					.enabled = false };
	change_queue(g0);
	change.enabled = true;
	change_queue(g0);
	expect_throttled(g0, true);
	cr_assert_eq(used(g0), 0);
	set_limits(false);
	wait_used(g0, 1);
}

QUEUE_TEST(gives_back_the_array_of_a_long_chain_that_must_wait)
{
	for (unsigned i = 0; i < NR; i++) {
		struct guest *g = &guests[i];

		if (i > 1)
			setup_guest(g, home);
		/* The last ones need an array each, too. */
		if (i < WORKER_NR_IOV)
			limit(g);
		start(g);
		make_long(g, 0, 20);
		offer(g, 0);
		if (i >= WORKER_NR_IOV)
			wait_used(g, 1);
	}
	expect_throttled(&guests[0], true);
	set_limits(false);
	for (unsigned i = 0; i < WORKER_NR_IOV; i++)
		wait_used(&guests[i], 1);
}

/* ---- requests of a predecessor ---- */

/* One that took the first @n chains of the driver, and died. */
static void leave(struct guest *g, unsigned n)
{
	struct ring r = { .size = SIZE, .is_packed = packed,
			  .map = g->rm.map };
	struct iovec iov[SLOT_IOV];
	struct chain c = { .iov = iov, .max_iov = SLOT_IOV };

	cr_assert_eq(ring_init(&r), 0);
	cr_assert_eq(ring_locate(&r, &g->rm.addr), 0);
	cr_assert_eq(ring_restore(&r, g->setup.base, &g->setup.inflight), 0);
	for (unsigned i = 0; i < n; i++) {
		rm_avail(&g->rm, i);
		cr_assert_eq(ring_pop(&r, &c), 1);
	}
	ring_fini(&r);
	g->setup.inflight.resume = true;
	/* A front-end can but guess. */
	g->setup.base = -1;
}

/* What the device got and holds comes from a predecessor, or does not. */
static void expect_held_again(struct guest *g, unsigned nr, unsigned nr_again)
{
	wait_held(g, nr);
	for (unsigned i = 0; i < nr; i++) {
		cr_assert_eq(g->held[i]->id, i);
		cr_assert_eq(g->held[i]->again, i < nr_again);
	}
}

QUEUE_TEST(runs_again_what_a_predecessor_took)
{
	g0->hold = true;
	leave(g0, 5);
	rm_avail(&g0->rm, 5);
	start(g0);
	expect_held_again(g0, 6, 5);
	run_on(home, answer_all, g0);
	wait_used(g0, 6);
	cr_assert_eq(g0->counters.run_again, 5);
}

QUEUE_TEST(lets_what_was_found_wait_for_the_limits_and_keeps_its_order)
{
	limit(g0);
	g0->hold = true;
	leave(g0, 3);
	rm_avail(&g0->rm, 3);
	start(g0);
	settle();
	cr_assert_eq(nr_order, 0);
	set_limits(false);
	expect_held_again(g0, 4, 3);
	run_on(home, answer_all, g0);
	wait_used(g0, 4);
	cr_assert_eq(g0->counters.run_again, 3);
}

QUEUE_TEST(answers_what_was_found_before_it_is_drained)
{
	limit(g0);
	leave(g0, 40);
	rm_avail(&g0->rm, 40);
	start(g0);
	settle();
	cr_assert_eq(nr_order, 0);
	drain(g0);
	cr_assert_eq(used(g0), 40, "the limits do not hold it up");
	cr_assert_eq(queue_base(g0->q), base_after(40));
}

QUEUE_TEST(answers_what_was_found_even_if_it_is_disabled)
{
	g0->setup.enabled = false;
	leave(g0, 3);
	rm_avail(&g0->rm, 3);
	start(g0);
	settle();
	cr_assert_eq(nr_order, 0);
	drain(g0);
	cr_assert_eq(used(g0), 3);
}

QUEUE_TEST(leaves_what_was_found_when_it_is_broken)
{
	leave(g0, 3);
	/* Its buffer is nowhere now, here and in the copy. */
	rm_desc(&g0->rm, 1, 0, 1, W, 0);
	if (packed)
		memset(g0->part + 32 + 32 + 24, 0, 8);
	start(g0);
	cr_assert(within_10_s(is_broken, g0));
	wait_used(g0, 1);
	drain(g0);
	cr_assert_eq(used(g0), 1);
	cr_assert_eq(g0->part[packed ? 32 : 16], 0);
	cr_assert_eq(g0->part[packed ? 64 : 32], 1);
	cr_assert_eq(g0->part[packed ? 96 : 48], 1);
}

static unsigned nr_in_flight;

static void count_in_flight(struct guest *g)
{
	struct queue_facts f;

	queue_facts(g->q, &f);
	nr_in_flight = f.in_flight;
}

QUEUE_TEST(tells_of_what_was_found_as_in_flight)
{
	g0->setup.enabled = false;
	leave(g0, 3);
	start(g0);
	settle();
	run_on(home, count_in_flight, g0);
	cr_assert_eq(nr_in_flight, 3);
}

/* ---- memory ---- */

static struct memmap *next_map;

static void set_gone(void *flag)
{
	__atomic_store_n((bool *)flag, true, __ATOMIC_RELEASE);
}

/* The map without D, or with it once more, becomes the queue's. */
static void remove_d(struct guest *g)
{
	struct memmap_range d = { RM_D, RM_DATA_SIZE, RM_UVA + RM_D, 0 };

	cr_assert_eq(memmap_remove(&next_map, g->rm.map, &d), 0);
	change = (struct queue_change){ QUEUE_CHANGE_MAP, .map = next_map };
	cr_assert_eq(queue_change(g->q, &change), 0);
	memmap_on_gone(g->rm.map, set_gone, &old_gone);
	memmap_put(g->rm.map);
	g->rm.map = next_map;
}

static bool is_old_gone(struct guest *g)
{
	(void)g;
	return __atomic_load_n(&old_gone, __ATOMIC_ACQUIRE);
}

QUEUE_TEST(lets_go_of_old_memory_while_it_waits_for_the_limits)
{
	limit(g0);
	start(g0);
	rm_desc(&g0->rm, 0, RM_D, 1, W, 0);
	offer(g0, 0);
	expect_throttled(g0, true);
	run_on(home, remove_d, g0);
	cr_assert(within_10_s(is_old_gone, g0));
	expect_throttled(g0, true);
	/* The chain was not taken yet, so it must be in the new memory. */
	if (packed)
		g0->rm.packed[0].addr = RM_B;
	else
		g0->rm.desc[0].addr = RM_B;
	set_limits(false);
	wait_used(g0, 1);
}

QUEUE_TEST(keeps_old_memory_until_the_last_request_of_it_is_answered)
{
	g0->hold = true;
	start(g0);
	rm_desc(&g0->rm, 0, RM_D, 1, W, 0);
	offer(g0, 0);
	wait_held(g0, 1);
	run_on(home, remove_d, g0);
	offer(g0, 1);
	wait_held(g0, 2);
	settle();
	cr_assert_not(is_old_gone(g0));
	*(volatile char *)g0->held[0]->iov[0].iov_base = 'x';
	cr_assert_eq(*(char *)rm_at(&g0->rm, RM_D), 'x');
	run_on(home, answer_all, g0);
	cr_assert(within_10_s(is_old_gone, g0));
	wait_used(g0, 2);
	/* what was removed is no memory any more */
	offer(g0, 0);
	cr_assert_eq(take_call(g0->err), 1);
}

QUEUE_TEST(lets_go_of_old_memory_at_once_when_nothing_is_in_flight)
{
	start(g0);
	run_on(home, remove_d, g0);
	cr_assert(within_10_s(is_old_gone, g0));
	offer(g0, 0);
	wait_used(g0, 1);
}

/* ---- fixed memory ---- */

static struct fixed fixed;
static struct queue_facts facts;
static int found; /* where the last request lies */

static void look_at_facts(struct guest *g)
{
	queue_facts(g->q, &facts);
}

static bool is_fixed(struct guest *g)
{
	run_on(lend_to, look_at_facts, g);
	return facts.fixed_bytes == memmap_bytes(g->rm.map);
}

static void find(struct guest *g)
{
	const struct chain *c = g->held[g->nr_held - 1];

	found = queue_buffer(g->q, c->iov, c->nr_writable);
}

static void start_fixed(struct guest *g)
{
	fixed_init(&fixed, home, "test");
	g->user.fixed = &fixed;
	g->on_request = find;
	found = -2;
	start(g);
	cr_assert(within_10_s(is_fixed, g));
	cr_assert(facts.has_fixed);
}

static void expect_found(struct guest *g, unsigned head, bool is_one)
{
	unsigned before = used(g);

	offer(g, head);
	wait_used(g, before + 1);
	cr_assert_eq(found >= 0, is_one, "request %u: %d", head, found);
}

static void post_done(struct turn_item *item)
{
	(void)item;
	sem_post(&done);
}

static void ask_dropped(struct guest *g)
{
	static struct turn_item item;

	(void)g;
	turn_item_init(&item, post_done);
	fixed_wait(&fixed, &item);
}

/* All that was fixed and is not in use. */
static void wait_dropped(void)
{
	run_on(home, ask_dropped, NULL);
	wait_done();
}

static unsigned nr_buffers(void)
{
	const struct uring_table *t = &worker_ring(home, URING_DIRECT)->buffers;
	unsigned n = 0;

	for (unsigned i = 0; i < t->nr; i++)
		n += t->used[i];
	return n;
}

QUEUE_TEST(has_its_memory_fixed_until_it_is_given_back)
{
	start_fixed(g0);
	expect_found(g0, 0, true);
	/* Of B and C, which are neighbours for the guest only. */
	rm_desc(&g0->rm, 1, RM_B + RM_DATA_SIZE - 1, 2, W, 0);
	expect_found(g0, 1, false);
	cr_assert_eq(g0->counters.fixed, 1);
	drain(g0);
	wait_dropped();
	cr_assert_eq(nr_buffers(), 0);
}

QUEUE_TEST(has_new_memory_fixed)
{
	start_fixed(g0);
	run_on(home, remove_d, g0);
	cr_assert(within_10_s(is_old_gone, g0));
	cr_assert(within_10_s(is_fixed, g0));
	expect_found(g0, 0, true);
	wait_dropped();
	cr_assert_eq(nr_buffers(), 3);
	drain(g0);
	wait_dropped();
}

QUEUE_TEST(has_old_memory_fixed_until_the_last_request_of_it_is_answered)
{
	start_fixed(g0);
	g0->hold = true;
	rm_desc(&g0->rm, 0, RM_D, 1, W, 0);
	offer(g0, 0);
	wait_held(g0, 1);
	run_on(home, remove_d, g0);
	settle();
	cr_assert_eq(nr_buffers(), 4);
	run_on(home, answer_all, g0);
	cr_assert(within_10_s(is_old_gone, g0));
	wait_dropped();
	cr_assert_eq(nr_buffers(), 3);
	drain(g0);
	wait_dropped();
}

static void add_again(struct guest *g)
{
	struct memmap_range more = { 0x10000000, 4096, 0x10000000, 0 };

	g->on_request = NULL;
	cr_assert_eq(memmap_add(&next_map, g->rm.map, &more, dup(g->rm.fd),
				MAPPING_SHMEM),
		     0);
	change = (struct queue_change){ QUEUE_CHANGE_MAP, .map = next_map };
	cr_assert_eq(queue_change(g->q, &change), 0);
	memmap_put(next_map);
	/* The guest is quicker than our mail. */
	rm_desc(&g->rm, 1, 0x10000000, 1, W, 0);
	rm_avail(&g->rm, 1);
}

QUEUE_TEST(is_not_broken_by_a_guest_quicker_than_the_change_of_memory)
{
	g0->on_request = add_again;
	start(g0);
	offer(g0, 0);
	wait_used(g0, 2);
	cr_assert_eq(g0->counters.broken, 0);
}

static void lose_ring(struct guest *g)
{
	struct memmap_range a = { RM_A, RM_A_SIZE, RM_UVA + RM_A, 0 };

	cr_assert_eq(memmap_remove(&next_map, g->rm.map, &a), 0);
	change = (struct queue_change){ QUEUE_CHANGE_MAP, .map = next_map };
	cr_assert_eq(queue_change(g->q, &change), 0);
	memmap_put(g->rm.map);
	g->rm.map = next_map;
}

QUEUE_TEST(is_broken_when_its_ring_is_removed)
{
	g0->hold = true;
	start(g0);
	offer(g0, 0);
	wait_held(g0, 1);
	run_on(home, lose_ring, g0);
	cr_assert_eq(take_call(g0->err), 1);
	settle();
	cr_assert(strstr(queue_why(g0->q), "not in guest memory"));
	run_on(home, answer_all, g0);
	drain(g0);
	cr_assert_eq(used(g0), 0);
}

static void touch(struct guest *g)
{
	*(volatile char *)g->held[g->nr_held - 1]->iov[0].iov_base = 1;
}

QUEUE_TEST(drains_when_broken_while_it_waits_for_the_limits)
{
	limit(g0);
	start(g0);
	offer(g0, 0);
	expect_throttled(g0, true);
	run_on(home, lose_ring, g0);
	cr_assert(within_10_s(is_broken, g0));
	set_limits(false);
	drain(g0);
	cr_assert_eq(limits_wait(limits, 0), 0);
	cr_assert_eq(nr_order, 0);
}

QUEUE_TEST(is_broken_when_its_memory_is_taken_away)
{
	g0->on_request = touch;
	start(g0);
	start(g1);
	cr_assert_eq(ftruncate(g0->rm.fd, RM_A_SIZE), 0);
	offer(g0, 0);
	cr_assert_eq(take_call(g0->err), 1);
	settle();
	cr_assert_str_eq(queue_why(g0->q), "guest memory was taken away");
	wait_used(g0, 1);
	offer(g1, 0);
	wait_used(g1, 1);
	cr_assert_eq(g1->counters.broken, 0);
	drain(g0);
	/* nor does it start with that memory */
	run_on(home, do_start, g0);
	cr_assert_eq(g0->result, -EFAULT);
}

QUEUE_TEST(is_broken_when_the_ring_itself_is_taken_away)
{
	volatile char keep;

	start(g0);
	settle();
	keep = *(char *)rm_at(&g0->rm, RM_A);
	(void)keep;
	cr_assert_eq(ftruncate(g0->rm.fd, 0), 0);
	kick(g0);
	cr_assert_eq(take_call(g0->err), 1);
	settle();
	cr_assert_str_eq(queue_why(g0->q), "guest memory was taken away");
	drain(g0);
}

/* ---- lent to another worker ---- */

QUEUE_TEST(is_lent_to_another_worker_and_changed_there)
{
	other = new_worker(1);
	lend_to = other;
	g0->hold = true;
	start(g0);
	cr_assert_eq(queue_worker(g0->q), other);
	for (unsigned i = 0; i < 20; i++)
		offer(g0, i);
	wait_held(g0, 20);
	run_on(other, get_facts, g0);
	run_on(home, remove_d, g0);
	change = (struct queue_change){ QUEUE_CHANGE_CALL,
					.fd = dup(g1->call) };
	change_queue(g0);
	settle();
	run_on(other, answer_all, g0);
	take_call(g1->call);
	wait_used(g0, 20);
	cr_assert(within_10_s(is_old_gone, g0));
	drain(g0);
	cr_assert_eq(queue_base(g0->q), base_after(20));
}
