/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits that two workers drink from while a third thread changes them.  A
 * program without Criterion, which cannot start under ThreadSanitizer.
 */
#include <assert.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>

#include "base/util.h"
#include "vhost/gate.h"

#define NR_WORKERS  2
#define NR_DRINKERS 3 /* of each worker */
#define ROUNDS	    200
#define RATE	    20000
#define BURST_US    2000

/* Somebody who always wants more, like a queue with a full ring. */
struct drinker {
	struct gate_waiter waiter;
	struct gate *gate;
	enum limits_kind kind;
	struct turn_item again;
	struct mail errand;
	uint64_t got;
};

static struct worker *workers[NR_WORKERS];
static struct gate gates[NR_WORKERS];
static struct drinker drinkers[NR_WORKERS][NR_DRINKERS];
static struct limits *limits;
static sem_t done;

static void drink(struct drinker *d)
{
	for (unsigned n = 0; n < 32; n++) {
		if (!gate_admit(d->gate, &d->waiter, d->kind, 512))
			return;
		d->got++;
	}
	worker_add(d->gate->worker, TURN_READY, &d->again);
}

static void go(struct gate_waiter *w)
{
	drink(container_of(w, struct drinker, waiter));
}

static void go_again(struct turn_item *item)
{
	drink(container_of(item, struct drinker, again));
}

static void join(struct mail *m)
{
	drink(container_of(m, struct drinker, errand));
	sem_post(&done);
}

static void leave(struct mail *m)
{
	struct drinker *d = container_of(m, struct drinker, errand);

	gate_leave(&d->waiter);
	list_del(&d->again.link);
	sem_post(&done);
}

static void have_done(struct drinker *d, void (*deliver)(struct mail *m))
{
	d->errand.deliver = deliver;
	worker_post(d->gate->worker, &d->errand);
	while (sem_wait(&done))
		;
}

static void have_all_done(void (*deliver)(struct mail *m))
{
	for (unsigned i = 0; i < NR_WORKERS; i++)
		for (unsigned n = 0; n < NR_DRINKERS; n++)
			have_done(&drinkers[i][n], deliver);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void set(uint64_t iops, uint64_t bandwidth, uint64_t read_iops)
{
	const struct limits_rates r = {
		.per_s = {[LIMITS_IOPS] = iops,
			  [LIMITS_BANDWIDTH] = bandwidth,
			  [LIMITS_READ_IOPS] = read_iops},
		.burst_us = BURST_US,
	};

	limits_set(limits, &r, clock_ns());
}

/* Limits come, go, rise and fall, and drinkers come and go. */
static void change_all_the_time(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct drinker *d;

		d = &drinkers[i % NR_WORKERS][i / NR_WORKERS % NR_DRINKERS];
		set(i % 7 ? 1000 * (i % 13 + 1) : 0, i % 5 ? 1 << 20 : 0,
		    i % 3 ? 500 * (i % 11 + 1) : 0);
		have_done(d, leave);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		have_done(d, join);
	}
}

static uint64_t sum_of_all(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NR_WORKERS; i++)
		for (unsigned n = 0; n < NR_DRINKERS; n++)
			sum += drinkers[i][n].got;
	return sum;
}

/* What all get together is what one limit allows. */
static void drink_from_one_limit(void)
{
	uint64_t before = sum_of_all();
	uint64_t began_ns, took_ns, got;

	set(0, 0, 0);
	set(RATE, 0, 0);
	began_ns = clock_ns();
	have_all_done(join);
	nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	have_all_done(leave);
	took_ns = clock_ns() - began_ns;
	got = sum_of_all() - before;
	printf("%llu at %d a second\n", (unsigned long long)got, RATE);
	assert(got <= (took_ns / 1000 + BURST_US) * RATE / 1000000 +
			      NR_WORKERS);
	assert(got >= RATE / 2);
}

static void make(unsigned i)
{
	struct worker_params p = {.id = i, .cpu = -1, .sqpoll_cpu = -1,
				  .io_workers = 4};
	int err = worker_new(&workers[i], &p);

	if (!err)
		err = worker_start(workers[i]);
	assert(!err);
	gate_init(&gates[i], limits, workers[i]);
	for (unsigned n = 0; n < NR_DRINKERS; n++) {
		struct drinker *d = &drinkers[i][n];

		d->gate = &gates[i];
		d->kind = n % LIMITS_NR_KINDS;
		gate_waiter_init(&d->waiter, go);
		turn_item_init(&d->again, go_again);
	}
}

int main(void)
{
	int err = limits_new(&limits);

	assert(!err);
	sem_init(&done, 0, 0);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		make(i);
	set(1000, 0, 0);
	have_all_done(join);
	change_all_the_time();
	have_all_done(leave);
	drink_from_one_limit();
	assert(limits_wait(limits, 0) == 0);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		worker_stop(workers[i]);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		worker_free(workers[i]);
	limits_free(limits);
	return 0;
}
