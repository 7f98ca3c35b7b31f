/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread with one event loop: mail, wakes, turns, rings. */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "run/alarms.h"
#include "run/chooser.h"
#include "run/mailbox.h"
#include "run/uring.h"

/*
 * Theory of operation: a turn
 *
 * A worker sleeps in its direct ring: there storage ends the sleep by itself,
 * without an eventfd, an epoll and a system call for each of them.  For all
 * else the ring polls the one descriptor by which libev waits: for sockets,
 * mail, and the wakes, which are the guests' kicks, the eventfd of the SQPOLL
 * ring and the timer of the alarms.  Wakes hang on an epoll descriptor of the
 * worker's own, edge-triggered, that libev watches as one ev_io: libev would
 * rebuild its whole set whenever a VMM keeps a kick that we closed, and a kick
 * must never be read, since its owner can make that block.
 *
 * libev is entered without waiting: when that poll says so, and when somebody
 * was given the loop, as what is changed there counts from then on.  So timers
 * of libev would not wake anybody.  Alarms do.
 *
 * Then the worker makes turns while there is something to do:
 *
 *	TURN_READY	queues look at their rings, devices submit
 *	TURN_DONE	ios that needed no kernel are done
 *	TURN_END	queues publish used entries and call their guests
 *	submit		once for each ring that has entries
 *	reap		completions; they put items into the next turn's phases
 *
 * A turn begins with the mail and with the alarms that are due.
 *
 * An item is in one phase's list at most; adding it again does nothing.  An
 * item that adds itself during its own phase is run in the next turn, so one
 * busy queue cannot starve the others.
 *
 * Theory of operation: waiting awake
 *
 * To sleep and to be woken takes longer than many a request.  So when there is
 * nothing to do the worker stays awake for a while and looks, without a system
 * call, for what would wake it: mail, completions, and the rings that had work
 * lately, its pollers.  Nobody need wake it meanwhile, so guests are not asked
 * for kicks and the rings' eventfds are off.  For how long that pays it learns
 * from what came of it before (run/budget), apart for a guest that was just
 * answered and for storage that is at work.
 *
 * A poller that had nothing for longer than WORKER_COOL_NS is dropped, which
 * arms its kicks, so that the cost of a look does not grow with the rings.
 *
 * Before sleeping, all pollers are dropped, the SQPOLL ring's eventfd is
 * switched on, the timer is armed for the first alarm, and all is looked at
 * once more.
 */
#define WORKER_COOL_NS 1000000

enum turn_phase {
	TURN_READY,
	TURN_DONE,
	TURN_END,
	TURN_NR_PHASES,
};

struct worker;

/* Something to run in a phase of a turn.  Embedded. */
struct turn_item {
	struct list link;
	void (*run)(struct turn_item *item);
};

/* Worker only. */
static inline void turn_item_init(struct turn_item *item,
				  void (*run)(struct turn_item *item))
{
	list_init(&item->link);
	item->run = run;
}

/* What a worker looks at while it is awake.  Embedded. */
struct poller {
	struct list link;
	uint64_t worked_ns;	/* when there was something last */

	/* Is there work?  Then it is in a phase afterwards. */
	void (*look)(struct poller *p);

	/*
	 * It will not be looked at any more: have something wake us, then look
	 * once more.
	 */
	void (*arm)(struct poller *p);
};

/* Worker only. */
static inline void poller_init(struct poller *p,
			       void (*look)(struct poller *p),
			       void (*arm)(struct poller *p))
{
	list_init(&p->link);
	p->look = look;
	p->arm = arm;
}

/* A descriptor whose readiness, once signalled, runs fire().  Embedded. */
struct wake {
	int fd;
	void (*fire)(struct wake *k);
};

/* Whether to make the ring with SQPOLL too, and when to use it. */
enum worker_sqpoll {
	WORKER_SQPOLL_OFF,
	WORKER_SQPOLL_ON,   /* always; to be without it is an error */
	WORKER_SQPOLL_AUTO, /* while it wins */
};

struct worker_params {
	unsigned id;		/* 0.. */
	int cpu;		/* to be pinned to, or -1 */
	enum worker_sqpoll sqpoll;
	bool has_spare_cpu;	/* for the thread of SQPOLL, with auto */
	int sqpoll_cpu;		/* -1: any */
	unsigned sqpoll_idle_ms;
	struct worker *sqpoll_share; /* whose SQPOLL thread to use, or NULL */
	unsigned io_workers;	/* io-wq threads that one port's ios may hold */
	const cpu_set_t *io_cpus; /* where io-wq threads may run, or NULL */
	uint64_t poll_us;	/* as for worker_set_poll() */
};

/* What a worker lends out of a pool: an iovec array for a long chain. */
#define WORKER_IOV_MAX 1024	/* segments in one array */
#define WORKER_NR_IOV  64	/* arrays in the pool */

/*
 * Make a worker with its rings, without its thread.  Returns 0 or -errno; when
 * a ring cannot be made the reason was logged.  worker_free() accepts NULL.  It
 * delivers what mail is left, on the caller's thread, so offload_stop() comes
 * before it.
 *
 * Main thread.
 */
int worker_new(struct worker **out, const struct worker_params *p);
void worker_free(struct worker *w);

/*
 * Start the thread, once in the life of a worker, and return when its rings are
 * enabled or could not be; then the reason was logged.  worker_stop() has it
 * leave its loop after the turn and joins it; everything that it owned must be
 * gone by then.  Returns 0 or -errno.
 *
 * Main thread.
 */
int worker_start(struct worker *w);
void worker_stop(struct worker *w);

/* Constant while the worker lives.  Any thread. */
unsigned worker_id(const struct worker *w);
int worker_cpu(const struct worker *w);

/*
 * How long the worker spins when it runs out of work, before it sleeps: so many
 * us, 0 for not at all, or WORKER_POLL_AUTO for as long as pays off.  It counts
 * from the next turn on.  Returns 0 or -ENOMEM.
 *
 * Any thread.
 */
#define WORKER_POLL_AUTO UINT64_MAX
int worker_set_poll(struct worker *w, uint64_t poll_us);

/* How a worker has waited so far, and how long it waits awake at the moment. */
struct worker_waits {
	uint64_t sleeps;
	uint64_t awake_ns;   /* spent looking for work */
	uint64_t guest_ns;   /* the budget for a guest that was answered */
	uint64_t storage_ns; /* that for storage at work */
};

/* Any thread. */
void worker_waits(const struct worker *w, struct worker_waits *out);

/* Where the entries of backends go. */
struct io_facts {
	struct chooser_facts choice;
	struct uring_facts ring; /* the one that was chosen */
	bool has_thread;	 /* of SQPOLL, even if another was chosen */
	bool thread_asleep;	 /* a moment ago */
};

/* Any thread. */
void worker_io_facts(const struct worker *w, struct io_facts *f);

/* Have @m delivered on the worker's thread.  Any thread. */
void worker_post(struct worker *w, struct mail *m);

/* For offload_run(): where done() shall run.  Any thread. */
struct mailbox *worker_mailbox(struct worker *w);

/* Is the caller on @w's thread?  For asserts.  Any thread. */
bool worker_is_self(const struct worker *w);

/*
 * The loop, for sockets.  Who asks for it may change it: libev is entered
 * before the next turn, and before the worker sleeps.  Worker only.
 */
struct ev_loop *worker_loop(struct worker *w);

/* The ring of a kind, or NULL when it was not made.  Worker only. */
struct uring *worker_ring(struct worker *w, enum uring_kind kind);

/*
 * Where backends make their entries that do not wait: each on the ring that is
 * here now, which may be another in the next turn.  They count those of reads
 * and writes that are done.
 */
struct io_path {
	struct uring *ring;
	uint64_t nr_done;
};

/* Lives as long as the worker.  Worker only. */
struct io_path *worker_io_path(struct worker *w);

/*
 * Have memory pinned for entries, as uring_add_buffer() and
 * uring_drop_buffer() do, with the same place in every ring.  Worker only.
 */
int worker_add_buffer(struct worker *w, void *addr, size_t len);
void worker_drop_buffer(struct worker *w, int place);

/*
 * How many io-wq threads the reads and writes of one port may hold.  Constant
 * while the worker lives.  Any thread.
 */
unsigned worker_io_workers(const struct worker *w);

/*
 * Have as many io-wq threads more (or less) for the direct ring as the caller
 * will hold (or held) at once, so that nobody ever waits for another's.
 * Returns 0 or -errno.  Worker only.
 */
int worker_add_io_threads(struct worker *w, int n);

/* Run @item in the next @phase to come.  Worker only. */
void worker_add(struct worker *w, enum turn_phase phase,
		struct turn_item *item);

/*
 * There was work: look at @p until it has been idle, then arm it.  Returns
 * whether it was looked at already; if not, what wakes us may be disarmed.
 * worker_unpoll() does without arming; it need not have been looked at.
 *
 * Worker only.
 */
bool worker_poll(struct worker *w, struct poller *p);
void worker_unpoll(struct poller *p);

/*
 * A guest was answered in this turn, so it may soon ask for more.  Worker only.
 */
void worker_note_answer(struct worker *w);

/*
 * Watch @k->fd, edge-triggered; it is never read.  A descriptor that is
 * readable already fires once.  Returns 0 or -errno: -EPERM for one that
 * cannot be waited for (a regular file).  worker_unwatch() must come before
 * the descriptor is closed; afterwards fire() is not called again.
 *
 * Worker only.
 */
int worker_watch(struct worker *w, struct wake *k);
void worker_unwatch(struct worker *w, struct wake *k);

/*
 * An array of WORKER_IOV_MAX iovecs from the worker's pool, or NULL when all
 * are lent.  Who got NULL may wait: its item is moved to TURN_READY when an
 * array comes back (list_del() takes an item out of any list).  Worker only.
 */
struct iovec *worker_iov_get(struct worker *w);
void worker_iov_put(struct worker *w, struct iovec *iov);
void worker_iov_wait(struct worker *w, struct turn_item *item);

/* What a worker begins with, so that its time is read without a call. */
struct worker_clock {
	uint64_t now_ns;
	uint64_t now_us;
};

/*
 * CLOCK_MONOTONIC, as it was when the turn began, or for what
 * is run by a completion when it was found.  Worker only.
 */
static inline uint64_t worker_now_us(const struct worker *w)
{
	return ((const struct worker_clock *)(const void *)w)->now_us;
}

static inline uint64_t worker_now_ns(const struct worker *w)
{
	return ((const struct worker_clock *)(const void *)w)->now_ns;
}

/*
 * The worker's alarms.  They fire at the beginning of a turn, so what they put
 * into a phase runs in that turn.  Worker only.
 */
struct alarms *worker_alarms(struct worker *w);
