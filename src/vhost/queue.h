/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtqueue: who owns it, what it does, its requests in flight. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run/worker.h"
#include "vhost/fixed.h"
#include "vhost/gate.h"
#include "vhost/ring.h"

/*
 * Theory of operation: lending a queue
 *
 * A queue has one owner at any time.  While idle it belongs to the session,
 * which may set its size, addresses and descriptors as messages arrive.
 * queue_start() lends it to a worker.  From then on only that worker touches
 * it, and the session may ask for two things: a change, or to have it back.
 *
 *	IDLE --start--> RUNNING --drain--> DRAINING --last request done--> IDLE
 *
 * A draining queue takes nothing new from the ring but still answers what is
 * in flight.  A change that needs no quiet ring (a call descriptor, enabled or
 * not, the memory map) does not drain: the session sends queue_change() and
 * the worker applies it between two turns.  So no field has two writers and
 * none needs a lock.
 *
 * A queue the guest has broken stays RUNNING but takes nothing more.  It leaves
 * that state like any other queue, by being drained.  No other queue notices.
 *
 * A request for which the target's limits have nothing left stays in the ring,
 * and the queue waits at their gate, with its kicks left disarmed.  Nothing is
 * held back elsewhere, so a waiting queue can be drained like any other.
 *
 * A turn takes at most QUEUE_TURN_REQUESTS from a queue; a queue that has more
 * comes back in the next turn, after the others.
 */
#define QUEUE_TURN_REQUESTS 32
#define QUEUE_TURN_COPY	    (1u << 20) /* bytes a CPU may copy for a turn */

enum queue_state {
	QUEUE_IDLE,
	QUEUE_RUNNING,
	QUEUE_DRAINING,
};

struct counters;
struct queue;

/*
 * Who serves a lent queue.  request() gets each chain; it must lead to one
 * queue_push(), later in the same turn or in any later one, never inside the
 * call, unless queue_admit() refused it.  Each chain comes with @room bytes,
 * zeroed once at the start, aligned for any type.
 */
struct queue_user {
	void (*request)(void *ctx, struct queue *q, struct chain *c);
	void *ctx;
	size_t room;
	struct counters *counters;	/* written by the worker alone */
	struct gate *gate;		/* the worker's; NULL: no limits */
	struct fixed *fixed;		/* the same; NULL: nothing is */
};

/*
 * What the session has been told about an idle queue.  The descriptors are the
 * queue's from queue_start() on; -1 where there is none.  Without a kick the
 * ring is polled every millisecond.
 */
struct queue_setup {
	unsigned size;
	struct ring_addr addr;
	int64_t base;	/* as in SET_VRING_BASE; -1: never told */
	bool packed;
	bool event_idx;
	bool indirect;
	bool enabled;
	struct inflight_part inflight; /* stays until the queue is idle */
	int kick;
	int call;
	int err;
};

enum queue_change_what {
	QUEUE_CHANGE_CALL,
	QUEUE_CHANGE_ERR,
	QUEUE_CHANGE_KICK,
	QUEUE_CHANGE_ENABLED,
	QUEUE_CHANGE_MAP,
};

struct queue_change {
	enum queue_change_what what;
	int fd;			/* CALL, ERR, KICK: consumed; -1 for none */
	bool enabled;
	struct memmap *map;	/* MAP: the queue becomes a user of its own */
};

/*
 * Make an idle queue.  @tag ("vm1-root/q2") is copied.  @home owns the session.
 * Returns 0 or -ENOMEM.  Home only.
 */
int queue_new(struct queue **out, struct worker *home, const char *tag);

/* The queue is idle.  Accepts NULL.  Home only. */
void queue_free(struct queue *q);

/*
 * Lend the queue to @w.  The ring is located and checked here, slots are made
 * here; the worker takes over by mail.  Returns 0; on -EINVAL, -EFAULT,
 * -ENOMEM the queue stays idle, the descriptors the caller's, and
 * queue_why() says what was wrong.  Home only.
 */
int queue_start(struct queue *q, struct worker *w, struct memmap *map,
		const struct queue_setup *setup, const struct queue_user *user);

/*
 * Have the worker apply a change to a lent queue between two turns.  Returns 0
 * or -ENOMEM.  Home only.
 */
int queue_change(struct queue *q, const struct queue_change *change);

/*
 * Have the queue back: nothing more is taken, and when the last request is
 * answered the queue is idle, its descriptors are closed, its map is given
 * back, and drained(@ctx, q) is called on the home thread.  At once when
 * called on an idle queue, too (then inside this call).  Home only.
 */
void queue_drain(struct queue *q, void (*drained)(void *ctx, struct queue *q),
		 void *ctx);

/*
 * Constant, or the home's view.  queue_base() is where an idle queue would go
 * on (SET_VRING_BASE's meaning).  queue_why() is the reason of the last
 * failure or of the broken state, "" if none.  Home only.
 */
const char *queue_tag(const struct queue *q);
enum queue_state queue_state(const struct queue *q);
uint32_t queue_base(const struct queue *q);
const char *queue_why(const struct queue *q);

/*
 * Facts of a lent queue, taken by its worker and copied to the home by mail.
 */
struct queue_facts {
	struct io_facts io;	/* of its worker */
	unsigned size;
	unsigned pending;	/* entries made available and not taken */
	bool packed;
	bool event_idx;
	bool indirect;
	bool enabled;
	bool has_kick;		/* or is looked at all the time */
	bool has_call;
	unsigned worker;	/* id */
	unsigned in_flight;	/* also of a predecessor, to be run again */
	bool throttled;		/* waits for the limits */
	bool has_fixed;		/* memory is to be fixed on its worker */
	uint64_t fixed_bytes;	/* which is, so far */
	char fixed_why[128];	/* there will be no more, or "" */
	bool broken;
	char why[96];
};

/*
 * Of a lent queue.  Who asks by mail does so before queue_drain(): the queue
 * may be another worker's, or freed, once it was given back.  Worker only.
 */
void queue_facts(const struct queue *q, struct queue_facts *f);

/* The worker the queue is lent to, or NULL.  Home only. */
struct worker *queue_worker(const struct queue *q);

/*
 * Answer a chain, with @len bytes written to its writable part.  The driver
 * sees it at the end of the turn, and is called then if it wants that.
 *
 * Worker only.
 */
void queue_push(struct queue *q, struct chain *c, uint32_t len);

/*
 * The driver broke a rule above the ring (no room for a status, say): answer
 * @c with nothing written, take nothing more, log @why.  Worker only.
 */
void queue_break(struct queue *q, struct chain *c, const char *why);

/*
 * Tell that the CPU copied @bytes of data for this queue: beyond
 * QUEUE_TURN_COPY it takes nothing more in this turn.  Worker only.
 */
void queue_copied(struct queue *q, uint64_t bytes);

/*
 * Inside request(), once: may @c, which moves @bytes, be begun now?  It is then
 * charged for.  If not, it is back in the ring and no longer the device's; it
 * comes again when the limits allow.  What is not asked for is free.
 *
 * Worker only.
 */
bool queue_admit(struct queue *q, struct chain *c, enum limits_kind kind,
		 uint64_t bytes);

/*
 * Inside request(): the place of the fixed buffer in which all @nr iovecs lie,
 * which are of the chain and not empty, or -1.  Only for a queue that has
 * queue_user.fixed.  Worker only.
 */
int queue_buffer(struct queue *q, const struct iovec *iov, unsigned nr);
