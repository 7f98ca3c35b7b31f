/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the queues of one target wait, on one worker, for their limits. */
#pragma once

#include "base/list.h"
#include "run/worker.h"
#include "vhost/limits.h"

/*
 * Theory of operation: fairness
 *
 * A queue that is refused stands in a line, one for reads and one for writes,
 * and nobody passes those who stand there.  When something is left, the first
 * one may take what it wants, then the next, until nothing is left; who wants
 * more than it got, or more than a turn allows, stands at the end again.
 *
 * The lines of several workers know nothing of each other but how many there
 * are.  Each is woken when a share has come in, that is as much as the limits
 * allow in GATE_SHARE_NS.  One that has taken something waits for as many
 * shares as there are lines, one that came in vain for a single share: so they
 * take turns, and one that is late comes first the next time.  A share is also
 * what keeps a worker from being woken for each single request.
 *
 * A lower or higher limit is noticed at the latest after GATE_LOOK_NS.
 */
#define GATE_SHARE_NS 200000
#define GATE_LOOK_NS  20000000

struct gate_line {
	struct gate *gate;
	enum limits_kind kind;
	struct list waiters;
	struct alarm alarm;
	struct turn_item item;
	bool is_open;		/* the first ones are being let in */
	bool has_taken;		/* something since it last waited */
};

struct gate {
	struct limits *limits;
	struct worker *worker;
	struct gate_line lines[LIMITS_NR_KINDS];
};

/* Who may have to wait.  Embedded. */
struct gate_waiter {
	struct list link;
	struct gate_line *line;	/* in which it stands, or NULL */
	uint64_t since_ns;
	void (*go)(struct gate_waiter *w);
};

/*
 * Nobody waits.  The limits outlive the gate.  Whoever owns @g; from the first
 * gate_admit() on that is the worker, until nobody waits.
 */
void gate_init(struct gate *g, struct limits *l, struct worker *w);

/* @go(@w) is called on the worker in TURN_READY; @w waits no more then. */
void gate_waiter_init(struct gate_waiter *w,
		      void (*go)(struct gate_waiter *w));

/*
 * Ask for a request of @bytes to be begun, which is then charged for.  If it
 * may not, @w, which does not wait yet, stands in line, and the answer is
 * false.  Worker only.
 */
bool gate_admit(struct gate *g, struct gate_waiter *w, enum limits_kind kind,
		uint64_t bytes);

/* Wait no more, if @w did.  Worker only. */
void gate_leave(struct gate_waiter *w);

/* Worker only. */
static inline bool gate_is_waiting(const struct gate_waiter *w)
{
	return w->line;
}
