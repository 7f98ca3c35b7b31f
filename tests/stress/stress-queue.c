/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues with rings of both formats, lent to another worker, held to limits,
 * with their memory fixed, changed, drained and lent again, while a driver on a
 * third thread goes on.  A program without Criterion, which cannot start under
 * ThreadSanitizer.
 */
#include <assert.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/util.h"
#include "ringmem.h"
#include "run/offload.h"
#include "vhost/queue.h"

#define NR_QUEUES 4 /* split and packed, without and with event indices */
#define ROUNDS	  40
#define REQUESTS  200 /* of each queue in each round */
#define SIZE	  8 /* of a split ring; a packed one has a size less */
#define WRAP	  0x8000 /* of a packed ring's base */

struct guest {
	struct ringmem rm;
	bool is_new;	/* its ring was never started */
	int kick;
	int call;
	unsigned base;	/* used index at the start of the round */
	_Alignas(8) unsigned char part[32 + 32 * SIZE]; /* in flight */

	/* home only */
	struct queue *queue;
	struct mail errand;

	/* the serving worker's */
	struct counters counters;
	struct turn_item answers;
	struct chain *held[SIZE];
	unsigned nr_held;
};

static struct guest guests[NR_QUEUES];
static struct worker *home, *serving;
static struct limits *limits;
static struct gate gate;
static struct fixed fixed;
static sem_t done;

/* ---- the device ---- */

static void run_answers(struct turn_item *item)
{
	struct guest *g = container_of(item, struct guest, answers);

	while (g->nr_held)
		queue_push(g->queue, g->held[--g->nr_held], 1);
}

static void request(void *ctx, struct queue *q, struct chain *c)
{
	struct guest *g = ctx;

	if (!queue_admit(q, c, LIMITS_READ, 1))
		return;
	queue_buffer(q, c->iov, c->nr_writable);
	g->held[g->nr_held++] = c;
	worker_add(serving, TURN_DONE, &g->answers);
}

/* ---- the session ---- */

static void run_at_home(struct guest *g, void (*deliver)(struct mail *m))
{
	g->errand.deliver = deliver;
	worker_post(home, &g->errand);
	while (sem_wait(&done))
		;
}

static void make(struct mail *m)
{
	struct guest *g = container_of(m, struct guest, errand);
	int err = queue_new(&g->queue, home, "stress");

	assert(!err);
	sem_post(&done);
}

static void start(struct mail *m)
{
	struct guest *g = container_of(m, struct guest, errand);
	struct queue_setup setup = {
		.size = g->rm.size,
		.addr = g->rm.addr,
		.base = g->rm.is_packed && g->is_new ? WRAP :
						       queue_base(g->queue),
		.packed = g->rm.is_packed,
		.event_idx = (g - guests) & 1,
		.enabled = true,
		.inflight = { .host = g->part, .nr_desc = SIZE },
		.kick = dup(g->kick),
		.call = dup(g->call),
		.err = -1,
	};
	struct queue_user user = { request, g, 16, &g->counters,
				    &gate, &fixed };
	int err = queue_start(g->queue, serving, g->rm.map, &setup, &user);

	assert(!err);
	g->is_new = false;
	sem_post(&done);
}

static void change(struct mail *m)
{
	struct guest *g = container_of(m, struct guest, errand);
	struct queue_change changes[] = {
		{ QUEUE_CHANGE_MAP, .map = g->rm.map },
		{ QUEUE_CHANGE_CALL, .fd = dup(g->call) },
		{ QUEUE_CHANGE_ENABLED, .enabled = false },
		{ QUEUE_CHANGE_KICK, .fd = dup(g->kick) },
		{ QUEUE_CHANGE_ENABLED, .enabled = true },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		int err = queue_change(g->queue, &changes[i]);

		assert(!err);
	}
	sem_post(&done);
}

static void note_drained(void *ctx, struct queue *q)
{
	(void)ctx;
	(void)q;
	sem_post(&done);
}

static void drain(struct mail *m)
{
	struct guest *g = container_of(m, struct guest, errand);

	queue_drain(g->queue, note_drained, g);
}

static void end(struct mail *m)
{
	struct guest *g = container_of(m, struct guest, errand);

	queue_free(g->queue);
	memmap_put(g->rm.map);
	sem_post(&done);
}

/* On the serving worker: everything that was fixed is to be let go. */
static void note_dropped(struct turn_item *item)
{
	(void)item;
	sem_post(&done);
}

static void wait_dropped(struct mail *m)
{
	static struct turn_item item;

	(void)m;
	turn_item_init(&item, note_dropped);
	fixed_wait(&fixed, &item);
}

/* ---- the driver ---- */

static void wait_used(struct guest *g, uint16_t wanted)
{
	while ((int16_t)(rm_nr_used(&g->rm) - wanted) < 0)
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

/* None now and then. */
static void change_limits(unsigned n)
{
	struct limits_rates r = { .burst_us = 1000 };
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	r.per_s[LIMITS_IOPS] = n % 3 * 20000;
	limits_set(limits, &r, ts.tv_sec * 1000000000ULL + ts.tv_nsec);
}

static void play_round(void)
{
	for (unsigned i = 0; i < NR_QUEUES; i++)
		run_at_home(&guests[i], start);
	for (unsigned n = 0; n < REQUESTS; n++) {
		for (unsigned i = 0; i < NR_QUEUES; i++) {
			struct guest *g = &guests[i];

			/* One round of the heads, then wait for all. */
			if (n % g->rm.size == 0)
				wait_used(g, g->base + n);
			rm_avail(&g->rm, n % g->rm.size);
			eventfd_write(g->kick, 1);
			if (n % 50 == 25)
				run_at_home(g, change);
			if (n % 20 == 10)
				change_limits(n / 20 + i);
		}
	}
	for (unsigned i = 0; i < NR_QUEUES; i++) {
		struct guest *g = &guests[i];

		wait_used(g, g->base + REQUESTS);
		run_at_home(g, drain);
		g->base += REQUESTS;
		assert(rm_nr_used(&g->rm) == (uint16_t)g->base);
		assert(!g->counters.broken);
	}
}

static struct worker *new_worker(unsigned id)
{
	struct worker_params p = { .id = id, .cpu = -1, .sqpoll_cpu = -1,
				   .io_workers = 4 };
	struct worker *w;
	int err = worker_new(&w, &p);

	if (!err)
		err = worker_start(w);
	assert(!err);
	return w;
}

int main(void)
{
	int err;

	sem_init(&done, 0, 0);
	home = new_worker(0);
	serving = new_worker(1);
	err = limits_new(&limits);
	assert(!err);
	gate_init(&gate, limits, serving);
	fixed_init(&fixed, serving, "stress");
	for (unsigned i = 0; i < NR_QUEUES; i++) {
		struct guest *g = &guests[i];

		bool packed = i & 2;

		rm_init_at(&g->rm, packed, SIZE - packed,
			   worker_mailbox(home));
		g->is_new = true;
		g->kick = eventfd(0, EFD_NONBLOCK);
		g->call = eventfd(0, EFD_NONBLOCK);
		turn_item_init(&g->answers, run_answers);
		for (unsigned k = 0; k < g->rm.size; k++)
			rm_desc(&g->rm, k, RM_B + k, 1, VRING_DESC_F_WRITE, 0);
		run_at_home(g, make);
	}
	for (unsigned i = 0; i < ROUNDS; i++)
		play_round();
	guests[0].errand.deliver = wait_dropped;
	worker_post(serving, &guests[0].errand);
	while (sem_wait(&done))
		;
	for (unsigned i = 0; i < NR_QUEUES; i++) {
		run_at_home(&guests[i], end);
		rm_fini(&guests[i].rm);
	}
	worker_stop(serving);
	worker_stop(home);
	if (offload_stop(5000))
		return 1;
	worker_free(serving);
	worker_free(home);
	limits_free(limits);
	return 0;
}
