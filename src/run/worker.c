/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread with one event loop: mail, wakes, turns, rings. */
#include "run/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/crash.h"
#include "base/log.h"
#include "run/budget.h"
#include "run/thread.h"

#define RING_ENTRIES 512
#define NR_FILES     4096 /* registered in each ring, if we may open so many */
#define NR_BUFFERS   4096 /* fixed ones, of each ring */
#define WAKE_BATCH   64

/* The clock is read after so many looks at nothing. */
#define LOOKS_BEFORE_CLOCK 8

/* What a worker waits for when it has run out of work. */
enum wait_kind {
	WAIT_GUEST,   /* nothing is in flight, or a guest was just answered */
	WAIT_STORAGE, /* else */
	WAIT_NR_KINDS,
};

/*
 * What a sleep costs.  Our own part is about 4 us: arming, the system calls,
 * and waking up.  Storage interrupts whether we sleep or not, and may be a
 * kernel thread that waits for our CPU, so there it is no more.  But a guest
 * must kick when we sleep, which is an exit from the virtual machine: that
 * costs it more, and it is its CPU.
 */
static const uint64_t sleep_prices_ns[] = {
	[WAIT_GUEST] = 50000,
	[WAIT_STORAGE] = 4096,
};

_Static_assert(ARRAY_SIZE(sleep_prices_ns) == WAIT_NR_KINDS, "a price each");

struct worker {
	struct worker_clock clock; /* worker only */

	/* set before the thread starts, then constant */
	unsigned id;
	int cpu;
	unsigned io_workers;
	bool has_io_cpus;
	cpu_set_t io_cpus;
	char tag[24];
	int epfd;
	bool has_thread; /* main's */

	/* handed from the thread to main when it has started */
	sem_t started;
	int start_err;

	pthread_t thread;
	struct mailbox mailbox;
	struct mail stop_mail;

	/* worker only */
	struct ev_loop *loop;
	struct ev_io wakes_io;
	int loop_fd;		/* what libev waits by */
	struct uring_op loop_op; /* polls it */
	struct uring_op unloop_op; /* ends that */
	struct ev_fork remade;
	bool is_loop_watched;
	bool is_loop_due;	/* it has something to do, or to take note of */
	struct uring rings[URING_NR_KINDS];
	struct wake ring_wakes[URING_NR_KINDS];
	struct io_path io_path;
	int nr_io_threads;	/* that somebody may hold, of the direct ring */
	struct chooser chooser;
	struct list phases[TURN_NR_PHASES];
	struct list pollers;
	struct alarms alarms;
	struct wake alarms_wake;
	bool stopping;

	/* waiting awake */
	struct budget waits[WAIT_NR_KINDS];
	enum wait_kind wait;	/* for what, in this wait or the last */
	uint64_t idle_ns;	/* since when nothing is to do, or 0 */
	bool has_slept;		/* in this wait */
	bool has_answered;	/* in this turn or the last */
	uint64_t cooled_ns;	/* when pollers were dropped last */

	/* counted for any thread */
	uint64_t sleeps;
	uint64_t awake_ns;
	uint64_t budgets_ns[WAIT_NR_KINDS]; /* those of @waits */

	/* fetched from the epoll descriptor and not yet fired */
	struct epoll_event batch[WAKE_BATCH];
	int batch_next;
	int batch_len;

	struct iovec *iovs; /* of all arrays */
	struct iovec *free_iovs[WORKER_NR_IOV];
	unsigned nr_free_iovs;
	struct list iov_waiters;
};

_Static_assert(offsetof(struct worker, clock) == 0, "see worker_clock");

static _Thread_local const struct worker *self;

static bool has_ring(const struct uring *r)
{
	return r->ring.ring_fd >= 0;
}

static void read_clock(struct worker *w)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	w->clock.now_ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec;
	w->clock.now_us = w->clock.now_ns / 1000;
}

static void set_budgets(struct worker *w, uint64_t poll_us)
{
	for (int i = 0; i < WAIT_NR_KINDS; i++) {
		if (poll_us == WORKER_POLL_AUTO)
			budget_init(&w->waits[i], sleep_prices_ns[i]);
		else
			budget_fix(&w->waits[i], poll_us * 1000);
		counters_set(&w->budgets_ns[i], budget_ns(&w->waits[i]));
	}
}

/* -- making and freeing -------------------------------------------------- */

static unsigned nr_files_allowed(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_max > NR_FILES)
		return NR_FILES;
	return lim.rlim_max;
}

static int make_ring(struct worker *w, const struct worker_params *p,
		     enum uring_kind kind, bool is_needed)
{
	struct uring_params rp = {
		.kind = kind,
		.entries = RING_ENTRIES,
		.nr_files = nr_files_allowed(),
		.nr_buffers = NR_BUFFERS,
		.sqpoll_cpu = p->sqpoll_cpu,
		.sqpoll_idle_ms = p->sqpoll_idle_ms,
	};
	char why[300];
	int err;

	if (kind == URING_SQPOLL && p->sqpoll_share &&
	    has_ring(&p->sqpoll_share->rings[kind]))
		rp.share = &p->sqpoll_share->rings[kind];
	err = uring_init(&w->rings[kind], &rp);
	if (!err)
		return 0;
	uring_explain(err, why, sizeof(why));
	if (is_needed)
		log_err(w->tag, "cannot make a ring: %s", why);
	else
		log_warn(w->tag, "goes without sqpoll: %s", why);
	return err;
}

static void fix_ring(struct worker *w, enum uring_kind kind,
		     enum chooser_reason reason)
{
	chooser_fix(&w->chooser, kind, reason);
	w->io_path.ring = &w->rings[kind];
}

static int make_rings(struct worker *w, const struct worker_params *p)
{
	int err = make_ring(w, p, URING_DIRECT, true);

	if (err)
		return err;
	fix_ring(w, URING_DIRECT, CHOOSER_OFF);
	switch (p->sqpoll) {
	case WORKER_SQPOLL_OFF:
		break;
	case WORKER_SQPOLL_ON:
		err = make_ring(w, p, URING_SQPOLL, true);
		fix_ring(w, URING_SQPOLL, CHOOSER_ON);
		break;
	case WORKER_SQPOLL_AUTO:
		if (!p->has_spare_cpu)
			fix_ring(w, URING_DIRECT, CHOOSER_NO_CPU);
		else if (make_ring(w, p, URING_SQPOLL, false))
			fix_ring(w, URING_DIRECT, CHOOSER_NO_RING);
		else
			chooser_init(&w->chooser, w->clock.now_ns);
	}
	return err;
}

static int make_iovs(struct worker *w)
{
	/* Pages that no long chain ever needs are never touched. */
	w->iovs = malloc(sizeof(*w->iovs) * WORKER_IOV_MAX * WORKER_NR_IOV);
	if (!w->iovs)
		return -ENOMEM;
	for (unsigned i = 0; i < WORKER_NR_IOV; i++)
		w->free_iovs[i] = w->iovs + i * WORKER_IOV_MAX;
	w->nr_free_iovs = WORKER_NR_IOV;
	return 0;
}

static void fire_wakes(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct worker *w = io->data;
	int n = epoll_wait(w->epfd, w->batch, WAKE_BATCH, 0);

	(void)loop;
	(void)events;
	w->batch_len = MAX(n, 0);
	for (w->batch_next = 0; w->batch_next < w->batch_len;) {
		struct wake *k = w->batch[w->batch_next++].data.ptr;

		/* NULL: unwatched since the batch was fetched. */
		if (k)
			k->fire(k);
	}
	w->batch_len = 0;
}

/* Entries under way, but for the one that tells of libev. */
static unsigned nr_in_flight(const struct worker *w)
{
	unsigned nr = 0;

	for (int i = 0; i < URING_NR_KINDS; i++)
		nr += w->rings[i].in_flight;
	return nr - w->is_loop_watched;
}

/* Which ring the entries of the turns to come go to. */
static void choose_ring(struct worker *w)
{
	const struct uring *sqpoll = &w->rings[URING_SQPOLL];
	struct chooser_sample s;

	if (likely(w->clock.now_ns < w->chooser.due_ns))
		return;
	s = (struct chooser_sample){
		.now_ns = w->clock.now_ns,
		.nr_done = w->io_path.nr_done,
		.nr_in_flight = nr_in_flight(w),
		.nr_waiting = uring_nr_waiting(sqpoll),
		.nr_taken = uring_nr_taken(sqpoll),
	};
	chooser_look(&w->chooser, &s);
	w->io_path.ring = &w->rings[w->chooser.facts.ring];
}

/*
 * When the kernel does not do as libev expects it makes its epoll set anew, as
 * after a fork.  Our poll is for the old one then.
 */
static void note_remade(struct ev_loop *loop, struct ev_fork *fork, int events)
{
	struct worker *w = fork->data;

	(void)loop;
	(void)events;
	w->loop_fd = -1;
}

static void note_unwatched(struct uring_op *op, int res)
{
	/* Too late or not: the poll's own result comes in any case. */
	(void)op;
	(void)res;
}

static void note_loop(struct uring_op *op, int res)
{
	struct worker *w = container_of(op, struct worker, loop_op);

	/* Should the entry have failed, libev is asked, and it is made anew. */
	(void)res;
	w->is_loop_watched = false;
	w->is_loop_due = true;
}

/* libev names a loop's descriptor only to a loop that embeds it. */
static int find_loop_fd(struct ev_loop *loop)
{
	struct ev_loop *outer = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	struct ev_embed embed;
	int fd;

	if (!outer)
		return -ENOMEM;
	ev_embed_init(&embed, NULL, loop);
	ev_embed_start(outer, &embed);
	fd = embed.io.fd;
	ev_embed_stop(outer, &embed);
	ev_loop_destroy(outer);
	return fd;
}

static int make_loop(struct worker *w)
{
	int err;

	/* LIBEV_FLAGS in the environment must not pick another backend. */
	w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!w->loop)
		return -ENOMEM;
	w->loop_fd = find_loop_fd(w->loop);
	if (w->loop_fd < 0)
		return w->loop_fd;
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epfd < 0)
		return -errno;
	err = mailbox_init(&w->mailbox, w->loop);
	if (err)
		return err;
	ev_io_init(&w->wakes_io, fire_wakes, w->epfd, EV_READ);
	w->wakes_io.data = w;
	ev_io_start(w->loop, &w->wakes_io);
	ev_fork_init(&w->remade, note_remade);
	w->remade.data = w;
	ev_fork_start(w->loop, &w->remade);
	w->loop_op.done = note_loop;
	w->unloop_op.done = note_unwatched;
	w->is_loop_due = true;
	return 0;
}

static void wake_for_turn(struct wake *k)
{
	/* The turn that follows looks at all rings and alarms. */
	(void)k;
}

static int make_alarms(struct worker *w)
{
	int err = alarms_init(&w->alarms);

	if (err)
		return err;
	w->alarms_wake.fd = w->alarms.fd;
	w->alarms_wake.fire = wake_for_turn;
	return worker_watch(w, &w->alarms_wake);
}

int worker_new(struct worker **out, const struct worker_params *p)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->id = p->id;
	w->cpu = p->cpu;
	w->io_workers = p->io_workers;
	w->has_io_cpus = p->io_cpus;
	if (p->io_cpus)
		w->io_cpus = *p->io_cpus;
	snprintf(w->tag, sizeof(w->tag), "vringd/worker%u", p->id);
	w->epfd = -1;
	w->mailbox.io.fd = -1;
	w->alarms.fd = -1;
	sem_init(&w->started, 0, 0);
	for (int i = 0; i < URING_NR_KINDS; i++)
		w->rings[i].ring.ring_fd = -1;
	for (int i = 0; i < TURN_NR_PHASES; i++)
		list_init(&w->phases[i]);
	list_init(&w->pollers);
	list_init(&w->iov_waiters);
	set_budgets(w, p->poll_us);
	read_clock(w);

	int err = make_loop(w);

	if (!err)
		err = make_alarms(w);
	if (!err)
		err = make_iovs(w);
	if (!err)
		err = make_rings(w, p);
	if (err)
		worker_free(w);
	else
		*out = w;
	return err;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	assert(!w->has_thread);
	if (w->loop) {
		mailbox_fini(&w->mailbox);
		ev_loop_destroy(w->loop);
	}
	for (int i = 0; i < URING_NR_KINDS; i++)
		uring_fini(&w->rings[i]);
	alarms_fini(&w->alarms);
	if (w->epfd >= 0)
		close(w->epfd);
	sem_destroy(&w->started);
	free(w->iovs);
	free(w);
}

/* -- turns --------------------------------------------------------------- */

static void run_phase(struct worker *w, enum turn_phase phase)
{
	struct list todo, *l;

	/* An item that adds itself waits in the phase's list. */
	list_init(&todo);
	list_splice_tail(&todo, &w->phases[phase]);
	while ((l = list_pop(&todo))) {
		struct turn_item *item = list_entry(l, struct turn_item, link);

		item->run(item);
	}
}

/* Devices tell from the clock how long a request took: read it once more. */
static void reap_ring(struct worker *w, struct uring *r)
{
	if (!uring_has_work(r))
		return;
	read_clock(w);
	uring_reap(r);
}

static void take_turn(struct worker *w)
{
	read_clock(w);
	choose_ring(w);
	w->has_answered = false;
	if (mailbox_has_mail(&w->mailbox))
		mailbox_deliver(&w->mailbox);
	alarms_run(&w->alarms, w->clock.now_ns);
	for (int i = 0; i < TURN_NR_PHASES; i++)
		run_phase(w, i);
	/* All entries are on their way before the first completion is run. */
	for (int i = 0; i < URING_NR_KINDS; i++)
		if (has_ring(&w->rings[i]))
			uring_submit(&w->rings[i]);
	CRASH_POINT(SUBMIT_ENTERED);
	for (int i = 0; i < URING_NR_KINDS; i++)
		if (has_ring(&w->rings[i]))
			reap_ring(w, &w->rings[i]);
}

/* -- awake and asleep ------------------------------------------------------ */

static void look_at_pollers(struct worker *w)
{
	struct list *l, *tmp;

	list_for_each_safe(l, tmp, &w->pollers)
	{
		struct poller *p = list_entry(l, struct poller, link);

		p->look(p);
	}
}

static bool has_work(struct worker *w)
{
	look_at_pollers(w);
	for (int i = 0; i < TURN_NR_PHASES; i++)
		if (!list_empty(&w->phases[i]))
			return true;
	for (int i = 0; i < URING_NR_KINDS; i++)
		if (has_ring(&w->rings[i]) && uring_has_work(&w->rings[i]))
			return true;
	return mailbox_has_mail(&w->mailbox);
}

static bool has_alarm(const struct worker *w)
{
	return alarms_are_due(&w->alarms, w->clock.now_ns);
}

static void begin_wait(struct worker *w)
{
	if (w->idle_ns)
		return;
	w->idle_ns = w->clock.now_ns;
	w->has_slept = false;
	w->wait = w->has_answered || !nr_in_flight(w) ? WAIT_GUEST
						      : WAIT_STORAGE;
}

/* The part of a wait that is over when we fall asleep. */
static void end_being_awake(struct worker *w)
{
	if (!w->has_slept)
		counters_add(&w->awake_ns, w->clock.now_ns - w->idle_ns);
}

static void note_sleep(struct worker *w)
{
	end_being_awake(w);
	w->has_slept = true;
	counters_add(&w->sleeps, 1);
}

static void end_wait(struct worker *w)
{
	struct budget *b = &w->waits[w->wait];

	if (!w->idle_ns)
		return;
	end_being_awake(w);
	budget_note(b, w->clock.now_ns - w->idle_ns);
	counters_set(&w->budgets_ns[w->wait], budget_ns(b));
	w->idle_ns = 0;
}

/* What had no work for some time costs too much to look at. */
static void cool_pollers(struct worker *w, uint64_t idle_ns)
{
	struct list *l, *tmp;

	list_for_each_safe(l, tmp, &w->pollers)
	{
		struct poller *p = list_entry(l, struct poller, link);

		if (w->clock.now_ns - p->worked_ns >= idle_ns) {
			list_del(l);
			p->arm(p);
		}
	}
}

static void cool_now_and_then(struct worker *w)
{
	if (w->clock.now_ns - w->cooled_ns < WORKER_COOL_NS)
		return;
	w->cooled_ns = w->clock.now_ns;
	cool_pollers(w, WORKER_COOL_NS);
}

/*
 * Nothing is to do.  Look until something is, which is what it returns, or the
 * wait is as long as it pays.
 */
static bool wait_awake(struct worker *w)
{
	uint64_t until_ns;

	read_clock(w);
	begin_wait(w);
	until_ns = w->idle_ns + budget_ns(&w->waits[w->wait]);
	while (w->clock.now_ns < until_ns) {
		for (int i = 0; i < LOOKS_BEFORE_CLOCK; i++)
			if (has_work(w))
				return true;
		read_clock(w);
		cool_now_and_then(w);
		if (has_alarm(w))
			return true;
	}
	return false;
}

/* Have all that matters wake us.  Returns false when there is work by now. */
static bool arm_all(struct worker *w)
{
	cool_pollers(w, 0);
	alarms_arm(&w->alarms);
	if (has_ring(&w->rings[URING_SQPOLL]))
		uring_arm(&w->rings[URING_SQPOLL]);
	/* What came before that is seen by one more look. */
	return !has_work(w);
}

static void fall_asleep(struct worker *w)
{
	if (arm_all(w)) {
		note_sleep(w);
		uring_wait(&w->rings[URING_DIRECT]);
	}
	if (has_ring(&w->rings[URING_SQPOLL]))
		uring_disarm(&w->rings[URING_SQPOLL]);
	read_clock(w);
}

static void watch_loop(struct worker *w)
{
	struct io_uring_sqe *sqe = uring_sqe(&w->rings[URING_DIRECT]);

	io_uring_prep_poll_add(sqe, w->loop_fd, POLLIN);
	uring_sqe_done(sqe, &w->loop_op);
	w->is_loop_watched = true;
}

/* Its result has the loop watched again. */
static void unwatch_loop(struct worker *w)
{
	struct io_uring_sqe *sqe = uring_sqe(&w->rings[URING_DIRECT]);

	io_uring_prep_cancel(sqe, &w->loop_op, 0);
	uring_sqe_done(sqe, &w->unloop_op);
}

/* Sockets, kicks and mail; what was changed in the loop counts from now on. */
static void run_loop(struct worker *w)
{
	w->is_loop_due = false;
	ev_run(w->loop, EVRUN_NOWAIT);
	read_clock(w);
	if (unlikely(w->loop_fd < 0)) {
		w->loop_fd = find_loop_fd(w->loop);
		if (w->is_loop_watched)
			unwatch_loop(w);
	}
	if (!w->is_loop_watched)
		watch_loop(w);
}

static void run_turns(struct worker *w)
{
	while (!w->stopping) {
		if (w->is_loop_due) {
			run_loop(w);
		} else if (has_work(w) || has_alarm(w)) {
			end_wait(w);
			take_turn(w);
			cool_now_and_then(w);
		} else if (!wait_awake(w)) {
			fall_asleep(w);
		}
	}
}

/* -- the thread ---------------------------------------------------------- */

static int enable_ring(struct worker *w, enum uring_kind kind)
{
	struct uring *r = &w->rings[kind];
	struct wake *k = &w->ring_wakes[kind];

	if (!has_ring(r))
		return 0;
	int err = uring_enable(r, w->io_workers,
			       w->has_io_cpus ? &w->io_cpus : NULL);

	if (err)
		return err;
	if (r->eventfd < 0)
		return 0;
	k->fd = r->eventfd;
	k->fire = wake_for_turn;
	return worker_watch(w, k);
}

static int pin_to_cpu(int cpu)
{
	cpu_set_t cpus;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus) ? -errno : 0;
}

static int prepare_thread(struct worker *w)
{
	int err = pin_to_cpu(w->cpu);

	if (err) {
		log_err(w->tag, "cannot run on cpu=%d: %s", w->cpu,
			err == -EINVAL ? "it is not there, or not for us; "
					 "change cpus"
				       : strerror(-err));
		return err;
	}
	for (int i = 0; i < URING_NR_KINDS && !err; i++)
		err = enable_ring(w, i);
	if (err)
		log_err(w->tag, "cannot enable a ring: %s", strerror(-err));
	return err;
}

static void *run_thread(void *arg)
{
	struct worker *w = arg;

	self = w;
	int err = prepare_thread(w);

	w->start_err = err;
	sem_post(&w->started);
	if (!err)
		run_turns(w);
	return NULL;
}

int worker_start(struct worker *w)
{
	char name[16];

	snprintf(name, sizeof(name), "vringd-w%u", w->id % 1000);
	w->stopping = false;
	int err = thread_start(&w->thread, name, run_thread, w);

	if (err)
		return err;
	while (sem_wait(&w->started))
		;
	if (w->start_err) {
		pthread_join(w->thread, NULL);
		return w->start_err;
	}
	w->has_thread = true;
	return 0;
}

static void note_stop(struct mail *m)
{
	container_of(m, struct worker, stop_mail)->stopping = true;
}

void worker_stop(struct worker *w)
{
	if (!w->has_thread)
		return;
	w->stop_mail.deliver = note_stop;
	worker_post(w, &w->stop_mail);
	pthread_join(w->thread, NULL);
	w->has_thread = false;
}

/* -- what a worker is asked for ------------------------------------------ */

unsigned worker_id(const struct worker *w)
{
	return w->id;
}

int worker_cpu(const struct worker *w)
{
	return w->cpu;
}

void worker_io_facts(const struct worker *w, struct io_facts *f)
{
	const struct uring *sqpoll = &w->rings[URING_SQPOLL];

	chooser_read(&w->chooser, &f->choice);
	uring_facts(&w->rings[f->choice.ring], &f->ring);
	f->has_thread = has_ring(sqpoll);
	f->thread_asleep = f->has_thread && uring_is_asleep(sqpoll);
}

struct poll_change {
	struct mail mail;
	struct worker *worker;
	uint64_t poll_us;
};

static void deliver_poll(struct mail *m)
{
	struct poll_change *ch = container_of(m, struct poll_change, mail);

	set_budgets(ch->worker, ch->poll_us);
	free(ch);
}

int worker_set_poll(struct worker *w, uint64_t poll_us)
{
	struct poll_change *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return -ENOMEM;
	ch->mail.deliver = deliver_poll;
	ch->worker = w;
	ch->poll_us = poll_us;
	worker_post(w, &ch->mail);
	return 0;
}

void worker_waits(const struct worker *w, struct worker_waits *out)
{
	*out = (struct worker_waits){
		.sleeps = counters_read(&w->sleeps),
		.awake_ns = counters_read(&w->awake_ns),
		.guest_ns = counters_read(&w->budgets_ns[WAIT_GUEST]),
		.storage_ns = counters_read(&w->budgets_ns[WAIT_STORAGE]),
	};
}

void worker_post(struct worker *w, struct mail *m)
{
	mailbox_post(&w->mailbox, m);
}

struct mailbox *worker_mailbox(struct worker *w)
{
	return &w->mailbox;
}

bool worker_is_self(const struct worker *w)
{
	return self == w;
}

struct ev_loop *worker_loop(struct worker *w)
{
	w->is_loop_due = true;
	return w->loop;
}

struct uring *worker_ring(struct worker *w, enum uring_kind kind)
{
	return has_ring(&w->rings[kind]) ? &w->rings[kind] : NULL;
}

struct io_path *worker_io_path(struct worker *w)
{
	return &w->io_path;
}

unsigned worker_io_workers(const struct worker *w)
{
	return w->io_workers;
}

int worker_add_io_threads(struct worker *w, int n)
{
	w->nr_io_threads += n;
	assert(w->nr_io_threads >= 0);
	return uring_bound_threads(&w->rings[URING_DIRECT],
				   MAX((unsigned)w->nr_io_threads,
				       w->io_workers));
}

/* From the rings of the first @nr kinds. */
static void drop_buffer(struct worker *w, int nr, int place)
{
	for (int i = 0; i < nr; i++)
		if (has_ring(&w->rings[i]))
			uring_drop_buffer(&w->rings[i], place);
}

/* The same is done to all rings, so they have the same places. */
int worker_add_buffer(struct worker *w, void *addr, size_t len)
{
	int place = -1;

	for (int i = 0; i < URING_NR_KINDS; i++) {
		if (!has_ring(&w->rings[i]))
			continue;

		int ret = uring_add_buffer(&w->rings[i], addr, len);

		if (ret < 0) {
			drop_buffer(w, i, place);
			return ret;
		}
		assert(place < 0 || ret == place);
		place = ret;
	}
	return place;
}

void worker_drop_buffer(struct worker *w, int place)
{
	drop_buffer(w, URING_NR_KINDS, place);
}

void worker_add(struct worker *w, enum turn_phase phase, struct turn_item *item)
{
	if (list_empty(&item->link))
		list_add_tail(&w->phases[phase], &item->link);
}

bool worker_poll(struct worker *w, struct poller *p)
{
	bool was_polled = !list_empty(&p->link);

	p->worked_ns = w->clock.now_ns;
	if (!was_polled)
		list_add_tail(&w->pollers, &p->link);
	return was_polled;
}

void worker_unpoll(struct poller *p)
{
	list_del(&p->link);
}

void worker_note_answer(struct worker *w)
{
	w->has_answered = true;
}

int worker_watch(struct worker *w, struct wake *k)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET,
		.data.ptr = k,
	};

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, k->fd, &ev) ? -errno : 0;
}

void worker_unwatch(struct worker *w, struct wake *k)
{
	/*
	 * Closing would not do: the front-end keeps its copy, and epoll goes on
	 * reporting the file to a wake that is gone.
	 */
	epoll_ctl(w->epfd, EPOLL_CTL_DEL, k->fd, NULL);
	for (int i = w->batch_next; i < w->batch_len; i++)
		if (w->batch[i].data.ptr == k)
			w->batch[i].data.ptr = NULL;
}

struct iovec *worker_iov_get(struct worker *w)
{
	return w->nr_free_iovs ? w->free_iovs[--w->nr_free_iovs] : NULL;
}

void worker_iov_put(struct worker *w, struct iovec *iov)
{
	assert(w->nr_free_iovs < WORKER_NR_IOV);
	w->free_iovs[w->nr_free_iovs++] = iov;
	/*
	 * All of them: the first may need it no more, and those behind it would
	 * wait for ever.
	 */
	list_splice_tail(&w->phases[TURN_READY], &w->iov_waiters);
}

void worker_iov_wait(struct worker *w, struct turn_item *item)
{
	list_del(&item->link);
	if (w->nr_free_iovs)
		worker_add(w, TURN_READY, item);
	else
		list_add_tail(&w->iov_waiters, &item->link);
}

struct alarms *worker_alarms(struct worker *w)
{
	return &w->alarms;
}
