/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/gate: who waits, who goes first, and that everybody gets a share. */
#include <criterion/criterion.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "run/offload.h"
#include "vhost/gate.h"

#define NR_WORKERS 2
#define NR_WAITERS 4 /* of each worker */

/* Somebody who always wants more, like a queue with a full ring. */
struct drinker {
	struct gate_waiter waiter;
	struct gate *gate;
	enum limits_kind kind;
	unsigned at_once;	/* so many in one go; then goes on next turn */
	struct turn_item again;
	unsigned got;
};

static struct worker *workers[NR_WORKERS];
static struct gate gates[NR_WORKERS];
static struct drinker drinkers[NR_WORKERS][NR_WAITERS];
static struct limits *limits;
static sem_t done;

/* In the order in which requests were admitted on worker 0. */
static struct drinker *order[64];
static unsigned nr_order;

static void drink(struct drinker *d)
{
	for (unsigned n = 0; n < d->at_once; n++) {
		if (!gate_admit(d->gate, &d->waiter, d->kind, 4096))
			return;
		if (d->gate == &gates[0] && nr_order < ARRAY_SIZE(order))
			order[nr_order++] = d;
		__atomic_store_n(&d->got, d->got + 1, __ATOMIC_RELAXED);
	}
	worker_add(d->gate->worker, TURN_READY, &d->again);
}

static void go(struct gate_waiter *w)
{
	cr_assert_not(gate_is_waiting(w));
	drink(container_of(w, struct drinker, waiter));
}

static void go_again(struct turn_item *item)
{
	drink(container_of(item, struct drinker, again));
}

/* -- running things where they belong */

struct errand {
	struct mail mail;
	void (*fn)(struct drinker *d);
	struct drinker *d;
};

static void deliver_errand(struct mail *m)
{
	struct errand *e = container_of(m, struct errand, mail);

	e->fn(e->d);
	sem_post(&done);
}

static void run_on(unsigned worker, void (*fn)(struct drinker *d),
		   struct drinker *d)
{
	struct errand e = {{.deliver = deliver_errand}, fn, d};

	worker_post(workers[worker], &e.mail);
	while (sem_wait(&done))
		;
}

static void start(unsigned worker, unsigned i)
{
	run_on(worker, drink, &drinkers[worker][i]);
}

static void do_leave(struct drinker *d)
{
	gate_leave(&d->waiter);
	list_del(&d->again.link);
}

static void leave(unsigned worker, unsigned i)
{
	run_on(worker, do_leave, &drinkers[worker][i]);
}

static unsigned got(unsigned worker, unsigned i)
{
	return __atomic_load_n(&drinkers[worker][i].got, __ATOMIC_RELAXED);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void set_rate(enum limits_bucket b, uint64_t rate, uint64_t burst_us)
{
	struct limits_rates r = {.burst_us = burst_us};

	r.per_s[b] = rate;
	limits_set(limits, &r, clock_ns());
}

static void setup(void)
{
	sem_init(&done, 0, 0);
	cr_assert_eq(limits_new(&limits), 0);
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		struct worker_params p = {.id = i, .cpu = -1, .sqpoll_cpu = -1,
					  .io_workers = 4};

		cr_assert_eq(worker_new(&workers[i], &p), 0);
		gate_init(&gates[i], limits, workers[i]);
		for (unsigned n = 0; n < NR_WAITERS; n++) {
			struct drinker *d = &drinkers[i][n];

			gate_waiter_init(&d->waiter, go);
			turn_item_init(&d->again, go_again);
			d->gate = &gates[i];
			d->at_once = 32;
		}
		cr_assert_eq(worker_start(workers[i]), 0);
	}
}

static void teardown(void)
{
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		for (unsigned n = 0; n < NR_WAITERS; n++)
			leave(i, n);
		worker_stop(workers[i]);
	}
	for (unsigned i = 0; i < NR_WORKERS; i++)
		worker_free(workers[i]);
	cr_assert_eq(limits_wait(limits, 0), 0, "nobody waits");
	limits_free(limits);
}

TestSuite(gate, .init = setup, .fini = teardown, .timeout = 60);

static void wait_got(unsigned worker, unsigned i, unsigned wanted)
{
	for (unsigned n = 0; n < 10000 && got(worker, i) < wanted; n++)
		usleep(1000);
	cr_assert_geq(got(worker, i), wanted);
}

Test(gate, admits_all_without_limits)
{
	drinkers[0][0].at_once = 10000;
	start(0, 0);
	cr_assert_geq(got(0, 0), 10000);
	cr_assert_not(gate_is_waiting(&drinkers[0][0].waiter));
}

Test(gate, lets_wait_when_nothing_is_left_and_go_when_there_is)
{
	uint64_t began_ns = clock_ns(), took_ns;

	set_rate(LIMITS_IOPS, 1000, 10000);
	start(0, 0);
	cr_assert_geq(got(0, 0), 10, "the burst");
	cr_assert_leq(got(0, 0), 10 + (clock_ns() - began_ns) / 1000000 + 1);
	wait_got(0, 0, 110);
	took_ns = clock_ns() - began_ns;
	cr_assert_geq(took_ns, 99000000, "100 of them at 1000 in a second");
}

Test(gate, lets_nobody_pass)
{
	for (unsigned i = 0; i < 3; i++)
		drinkers[0][i].at_once = 1;
	set_rate(LIMITS_IOPS, 50, 1000);
	start(0, 0);
	start(0, 1);
	start(0, 2);
	wait_got(0, 2, 3);
	/* Whoever of them was the first to wait. */
	for (unsigned i = 1; i + 3 < nr_order; i++) {
		cr_assert_eq(order[i], order[i + 3], "number %u", i);
		cr_assert_neq(order[i], order[i + 1], "number %u", i);
	}
}

Test(gate, keeps_reads_and_writes_apart)
{
	drinkers[0][1].kind = LIMITS_WRITE;
	set_rate(LIMITS_READ_IOPS, 1, 1000);
	start(0, 0);
	cr_assert_eq(got(0, 0), 1);
	start(0, 1);
	wait_got(0, 1, 1000);
	cr_assert_eq(got(0, 0), 1);
}

static unsigned iterations;

static void count_iterations(struct drinker *d)
{
	iterations = ev_iteration(worker_loop(d->gate->worker));
}

Test(gate, wakes_nobody_when_all_have_left)
{
	unsigned before;

	set_rate(LIMITS_IOPS, 1000, 1000);
	start(0, 0);
	start(0, 1);
	leave(0, 1);
	leave(0, 0);
	leave(0, 0);
	run_on(0, count_iterations, &drinkers[0][0]);
	before = iterations;
	usleep(50000);
	run_on(0, count_iterations, &drinkers[0][0]);
	cr_assert_leq(iterations - before, 3);
	cr_assert_leq(got(0, 0) + got(0, 1), 20);
}

Test(gate, goes_on_when_the_first_has_left)
{
	set_rate(LIMITS_IOPS, 100, 1000);
	start(0, 0);
	start(0, 1);
	leave(0, 0);
	wait_got(0, 1, 3);
}

Test(gate, notices_a_limit_that_is_raised_or_lifted)
{
	uint64_t began_ns;

	/* A debt of three days. */
	set_rate(LIMITS_BANDWIDTH, 4096, 1000);
	limits_charge(limits, LIMITS_READ, 1 << 30, clock_ns());
	start(0, 0);
	usleep(30000);
	cr_assert_eq(got(0, 0), 0);
	began_ns = clock_ns();
	set_rate(LIMITS_BANDWIDTH, 1ULL << 40, 1000);
	wait_got(0, 0, 1);
	cr_assert_leq(clock_ns() - began_ns, 2000000000);
	leave(0, 0);

	set_rate(LIMITS_BANDWIDTH, 4096, 1000);
	limits_charge(limits, LIMITS_READ, 1 << 30, clock_ns());
	start(0, 1);
	usleep(30000);
	cr_assert_eq(got(0, 1), 0);
	set_rate(LIMITS_IOPS, 0, 1000);
	wait_got(0, 1, 1000);
}

/* Everybody drinks for a second; returns what all got. */
static unsigned drink_together(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < NR_WORKERS; i++)
		for (unsigned n = 0; n < NR_WAITERS; n++)
			start(i, n);
	usleep(1000000);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		for (unsigned n = 0; n < NR_WAITERS; n++) {
			leave(i, n);
			sum += got(i, n);
		}
	return sum;
}

static unsigned got_by(unsigned worker)
{
	unsigned sum = 0;

	for (unsigned n = 0; n < NR_WAITERS; n++)
		sum += got(worker, n);
	return sum;
}

/* Never more than was allowed, and everybody gets @part of its share. */
static void expect_shares(uint64_t rate, double part)
{
	uint64_t began_ns = clock_ns();
	unsigned sum = drink_together();
	double most = rate * ((clock_ns() - began_ns) / 1e9 + 0.01);
	double share = (double)sum / (NR_WORKERS * NR_WAITERS);

	cr_assert_leq(sum, most + NR_WORKERS);
	cr_assert_geq(sum, most / 2, "no time for anything, it seems");
	for (unsigned i = 0; i < NR_WORKERS; i++)
		for (unsigned n = 0; n < NR_WAITERS; n++)
			cr_assert_geq(got(i, n), share * part,
				      "%u of worker %u got %u of %u", n, i,
				      got(i, n), sum);
}

Test(gate, gives_everybody_a_share)
{
	set_rate(LIMITS_IOPS, 20000, 10000);
	expect_shares(20000, 0.2);
}

Test(gate, gives_everybody_a_share_of_a_low_limit)
{
	set_rate(LIMITS_IOPS, 100, 10000);
	expect_shares(100, 0.2);
}

/* On worker 0, within one turn, so that no time passes. */
static void come_in_vain(struct drinker *d)
{
	struct gate_waiter *first = &d->waiter, *second = &(d + 1)->waiter;
	struct gate other;

	gate_init(&other, limits, workers[0]);
	cr_assert(gate_admit(&gates[0], first, LIMITS_READ, 10000));
	cr_assert_not(gate_admit(&other, second, LIMITS_READ, 1));
	cr_assert_not(gate_admit(&gates[0], first, LIMITS_READ, 1));
	cr_assert_eq(limits_wait(limits, 0), 2);
	cr_assert_eq(other.lines[LIMITS_READ].alarm.at_ns,
		     limits_ready_ns(limits, LIMITS_READ, GATE_SHARE_NS));
	cr_assert_eq(gates[0].lines[LIMITS_READ].alarm.at_ns,
		     limits_ready_ns(limits, LIMITS_READ, 2 * GATE_SHARE_NS));
	gate_leave(first);
	gate_leave(second);
}

Test(gate, lets_a_line_come_first_that_came_in_vain)
{
	/* A debt of 8 ms. */
	set_rate(LIMITS_BANDWIDTH, 1 << 20, 1000);
	run_on(0, come_in_vain, &drinkers[0][0]);
}

/* Worker 1 has much else to do: each turn of it takes a while. */
static struct turn_item busy;

static void spin(struct turn_item *item)
{
	uint64_t until_ns = clock_ns() + 700000;

	while (clock_ns() < until_ns)
		;
	worker_add(workers[1], TURN_END, item);
}

static void begin_to_spin(struct drinker *d)
{
	(void)d;
	turn_item_init(&busy, spin);
	worker_add(workers[1], TURN_END, &busy);
}

static void stop_to_spin(struct drinker *d)
{
	(void)d;
	list_del(&busy.link);
}

Test(gate, starves_no_worker_that_is_late)
{
	set_rate(LIMITS_IOPS, 20000, 10000);
	run_on(1, begin_to_spin, NULL);
	drink_together();
	run_on(1, stop_to_spin, NULL);
	/* It had a third where nothing else ran; how much is up to that. */
	cr_assert_geq(got_by(1), got_by(0) / 100, "%u and %u", got_by(0),
		      got_by(1));
}
