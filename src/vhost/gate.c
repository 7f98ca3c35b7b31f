/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the queues of one target wait, on one worker, for their limits. */
#include "vhost/gate.h"

#include <assert.h>

#include "base/util.h"

static bool is_allowed(const struct gate_line *n)
{
	const struct gate *g = n->gate;

	return limits_allow(g->limits, n->kind, worker_now_ns(g->worker));
}

static void set_alarm(struct gate_line *n)
{
	struct gate *g = n->gate;
	unsigned shares = n->has_taken ? limits_wait(g->limits, 0) : 1;
	uint64_t at_ns = limits_ready_ns(g->limits, n->kind,
					 (uint64_t)shares * GATE_SHARE_NS);
	uint64_t look_ns = worker_now_ns(g->worker) + GATE_LOOK_NS;

	if (at_ns <= look_ns)
		n->has_taken = false;
	alarms_set(worker_alarms(g->worker), &n->alarm, MIN(at_ns, look_ns));
}

static void fire_alarm(struct alarm *a)
{
	struct gate_line *n = container_of(a, struct gate_line, alarm);

	worker_add(n->gate->worker, TURN_READY, &n->item);
}

static void take_out(struct gate_waiter *w)
{
	list_del(&w->link);
	w->line = NULL;
}

/* In the turn in which the alarm fired. */
static void run_line(struct turn_item *item)
{
	struct gate_line *n = container_of(item, struct gate_line, item);

	n->is_open = true;
	while (!list_empty(&n->waiters) && is_allowed(n)) {
		struct gate_waiter *w = list_entry(
			n->waiters.next, struct gate_waiter, link);

		take_out(w);
		w->go(w);
	}
	n->is_open = false;
	if (list_empty(&n->waiters))
		limits_wait(n->gate->limits, -1);
	else
		set_alarm(n);
}

static void wait_in(struct gate_line *n, struct gate_waiter *w)
{
	bool is_first = list_empty(&n->waiters) && !n->is_open;

	assert(!w->line);
	w->line = n;
	w->since_ns = worker_now_ns(n->gate->worker);
	list_add_tail(&n->waiters, &w->link);
	if (is_first) {
		limits_wait(n->gate->limits, 1);
		set_alarm(n);
	}
}

bool gate_admit(struct gate *g, struct gate_waiter *w, enum limits_kind kind,
		uint64_t bytes)
{
	struct gate_line *n = &g->lines[kind];

	if ((list_empty(&n->waiters) || n->is_open) && is_allowed(n)) {
		limits_charge(g->limits, kind, bytes, worker_now_ns(g->worker));
		n->has_taken = true;
		return true;
	}
	wait_in(n, w);
	return false;
}

void gate_leave(struct gate_waiter *w)
{
	struct gate_line *n = w->line;

	if (!n)
		return;
	take_out(w);
	if (!list_empty(&n->waiters) || n->is_open)
		return;
	alarms_clear(worker_alarms(n->gate->worker), &n->alarm);
	list_del(&n->item.link);
	limits_wait(n->gate->limits, -1);
}

void gate_waiter_init(struct gate_waiter *w, void (*go)(struct gate_waiter *w))
{
	list_init(&w->link);
	w->line = NULL;
	w->go = go;
}

void gate_init(struct gate *g, struct limits *l, struct worker *w)
{
	g->limits = l;
	g->worker = w;
	for (unsigned k = 0; k < LIMITS_NR_KINDS; k++) {
		struct gate_line *n = &g->lines[k];

		n->gate = g;
		n->kind = k;
		list_init(&n->waiters);
		alarm_init(&n->alarm, fire_alarm);
		turn_item_init(&n->item, run_line);
		n->is_open = false;
		n->has_taken = false;
	}
}
