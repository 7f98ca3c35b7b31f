/* SPDX-License-Identifier: BSD-2-Clause */
/* run/worker: start and stop, phases, wakes, the pool, sleep. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "run/worker.h"

static struct worker *w;
static sem_t finished;

static uint64_t poll_us;

static void start(enum worker_sqpoll sqpoll)
{
	struct worker_params p = {
		.cpu = -1,
		.sqpoll = sqpoll,
		.has_spare_cpu = true,
		.sqpoll_cpu = -1,
		.sqpoll_idle_ms = 10,
		.io_workers = 4,
		.poll_us = poll_us,
	};

	sem_init(&finished, 0, 0);
	cr_assert_eq(worker_new(&w, &p), 0);
	cr_assert_eq(worker_start(w), 0);
}

static void start_direct(void)
{
	start(WORKER_SQPOLL_OFF);
}

static void start_nothing(void)
{
}

static void stop(void)
{
	if (w)
		worker_stop(w);
	worker_free(w);
	w = NULL;
}

TestSuite(worker, .init = start_direct, .fini = stop, .timeout = 30);

struct call {
	struct mail mail;
	void (*fn)(void);
};

static void deliver_call(struct mail *m)
{
	container_of(m, struct call, mail)->fn();
	sem_post(&finished);
}

/* Run fn() on the worker, and wait until it has run. */
static void on_worker(void (*fn)(void))
{
	struct call c = {{.deliver = deliver_call}, fn};

	worker_post(w, &c.mail);
	while (sem_wait(&finished))
		;
}

static void wait_until_finished(void)
{
	while (sem_wait(&finished))
		;
}

/* -- the thread */

static pid_t tid;
static char name[16];
static sigset_t blocked;

static void look_at_thread(void)
{
	cr_assert(worker_is_self(w));
	tid = syscall(SYS_gettid);
	pthread_getname_np(pthread_self(), name, sizeof(name));
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
}

Test(worker, runs_mail_on_its_own_thread)
{
	on_worker(look_at_thread);
	cr_assert_neq(tid, getpid());
	cr_assert_str_eq(name, "vringd-w0");
	cr_assert_not(worker_is_self(w));
	cr_assert_eq(worker_id(w), 0);
	cr_assert_eq(worker_cpu(w), -1);
}

Test(worker, takes_no_signals_but_its_own_faults)
{
	on_worker(look_at_thread);
	cr_assert(sigismember(&blocked, SIGTERM));
	cr_assert(sigismember(&blocked, SIGHUP));
	cr_assert(sigismember(&blocked, SIGALRM));
	cr_assert_not(sigismember(&blocked, SIGBUS));
	cr_assert_not(sigismember(&blocked, SIGSEGV));
}

Test(worker, stops_and_starts_again, .init = start_nothing)
{
	for (int i = 0; i < 3; i++) {
		start(i & 1);
		on_worker(look_at_thread);
		stop();
	}
}

Test(worker, refuses_a_cpu_that_is_not_there, .init = start_nothing)
{
	struct worker_params p = {.cpu = CPU_SETSIZE - 1, .io_workers = 4};

	cr_assert_eq(worker_new(&w, &p), 0);
	cr_assert_eq(worker_start(w), -EINVAL);
	stop();
	worker_free(NULL);
}

static int ran_on;

static void look_at_cpu(void)
{
	ran_on = sched_getcpu();
}

Test(worker, runs_where_it_is_pinned, .init = start_nothing)
{
	cpu_set_t cpus;
	struct worker_params p = {.io_workers = 4, .io_cpus = &cpus};

	sched_getaffinity(0, sizeof(cpus), &cpus);
	while (!CPU_ISSET(p.cpu, &cpus))
		p.cpu++;
	sem_init(&finished, 0, 0);
	cr_assert_eq(worker_new(&w, &p), 0);
	cr_assert_eq(worker_start(w), 0);
	on_worker(look_at_cpu);
	cr_assert_eq(ran_on, p.cpu);
}

/* -- phases */

struct step {
	struct turn_item item;
	char letter;
	unsigned again; /* times that it adds itself */
	enum turn_phase phase;
};

static char trace[64];
static struct step ready, done, end, last;

static void take_step(struct turn_item *item)
{
	struct step *s = container_of(item, struct step, item);

	trace[strlen(trace)] = s->letter;
	if (s->again) {
		s->again--;
		worker_add(w, s->phase, &s->item);
	}
	if (s == &last)
		sem_post(&finished);
}

static void add_step(struct step *s, char letter, enum turn_phase phase,
		     unsigned again)
{
	*s = (struct step){.letter = letter, .phase = phase, .again = again};
	turn_item_init(&s->item, take_step);
	worker_add(w, phase, &s->item);
	worker_add(w, phase, &s->item);
}

static void add_steps(void)
{
	add_step(&end, 'e', TURN_END, 2);
	add_step(&done, 'd', TURN_DONE, 2);
	add_step(&ready, 'r', TURN_READY, 2);
}

static void add_last(struct turn_item *item)
{
	(void)item;
	add_step(&last, '.', TURN_END, 0);
}

Test(worker, runs_each_item_once_per_turn_in_the_order_of_phases)
{
	on_worker(add_steps);
	while (strlen(trace) < 9)
		on_worker(look_at_cpu);
	cr_assert_str_eq(trace, "rderderde");
}

static struct turn_item chained;

static void add_chained(void)
{
	turn_item_init(&chained, add_last);
	worker_add(w, TURN_READY, &chained);
}

Test(worker, runs_later_phases_in_the_same_turn)
{
	on_worker(add_chained);
	wait_until_finished();
	cr_assert_str_eq(trace, ".");
}

static void take_out(struct turn_item *item)
{
	(void)item;
	list_del(&end.item.link);
	list_del(&ready.item.link);
}

static void add_and_take_out(void)
{
	turn_item_init(&chained, take_out);
	worker_add(w, TURN_READY, &chained);
	add_step(&ready, 'r', TURN_READY, 0);
	add_step(&end, 'e', TURN_END, 0);
	add_step(&last, '.', TURN_END, 0);
}

Test(worker, does_not_run_what_was_taken_out)
{
	on_worker(add_and_take_out);
	wait_until_finished();
	cr_assert_str_eq(trace, ".");
}

/* An item that is always busy must not keep sockets or mail waiting. */
static struct ev_io socket_io;

static void spin(struct turn_item *item)
{
	worker_add(w, TURN_READY, item);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	(void)events;
	ev_io_stop(loop, io);
	sem_post(&finished);
}

static void watch_socket(void)
{
	ev_io_init(&socket_io, on_readable,
		   eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), EV_READ);
	ev_io_start(worker_loop(w), &socket_io);
}

static void add_spinner(void)
{
	turn_item_init(&chained, spin);
	worker_add(w, TURN_READY, &chained);
	watch_socket();
}

Test(worker, enters_libev_while_turns_follow_each_other)
{
	on_worker(add_spinner);
	usleep(10000);
	eventfd_write(socket_io.fd, 1);
	wait_until_finished();
	on_worker(look_at_cpu);
}

static unsigned nr_turns;

/* A few turns later, so that the old set is polled by then. */
static void remake_set(struct turn_item *item)
{
	if (++nr_turns < 10) {
		worker_add(w, TURN_READY, item);
		return;
	}
	ev_loop_fork(worker_loop(w));
	watch_socket();
}

static void add_remaker(void)
{
	turn_item_init(&chained, remake_set);
	worker_add(w, TURN_READY, &chained);
}

/* libev does that when it cannot take out what was closed. */
Test(worker, is_woken_when_libev_has_made_its_set_anew)
{
	on_worker(add_remaker);
	usleep(10000);
	eventfd_write(socket_io.fd, 1);
	wait_until_finished();
	on_worker(look_at_cpu);
}

/* -- wakes */

static struct wake kicks[3];
static unsigned fired[3];

static void note_kick(struct wake *k)
{
	fired[k - kicks]++;
	sem_post(&finished);
}

static void watch_kicks(void)
{
	for (int i = 0; i < 3; i++) {
		kicks[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		kicks[i].fire = note_kick;
		cr_assert_eq(worker_watch(w, &kicks[i]), 0);
	}
}

static void kick(int i)
{
	cr_assert_eq(eventfd_write(kicks[i].fd, 1), 0);
}

Test(worker, fires_for_each_kick_without_reading_it)
{
	on_worker(watch_kicks);
	for (int i = 0; i < 5; i++) {
		kick(1);
		wait_until_finished();
	}
	cr_assert_eq(fired[1], 5);
	cr_assert_eq(fired[0] + fired[2], 0);
}

static int watched_err;

static void watch_ready_and_bad(void)
{
	kicks[0].fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	kicks[0].fire = note_kick;
	watched_err = worker_watch(w, &kicks[0]);
	kicks[1].fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(worker_watch(w, &kicks[1]), -EPERM);
}

Test(worker, fires_once_for_what_is_ready_and_refuses_files)
{
	on_worker(watch_ready_and_bad);
	cr_assert_eq(watched_err, 0);
	wait_until_finished();
	usleep(20000);
	cr_assert_eq(fired[0], 1);
}

static void unwatch_the_others(struct wake *k)
{
	for (int i = 0; i < 3; i++)
		if (&kicks[i] != k)
			worker_unwatch(w, &kicks[i]);
	note_kick(k);
}

/* All are in one batch of the epoll descriptor when the first is fired. */
static void watch_and_kick_all(void)
{
	watch_kicks();
	for (int i = 0; i < 3; i++) {
		kicks[i].fire = unwatch_the_others;
		kick(i);
	}
}

Test(worker, fires_nothing_that_was_unwatched)
{
	on_worker(watch_and_kick_all);
	wait_until_finished();
	on_worker(look_at_cpu);
	for (int i = 0; i < 3; i++)
		kick(i);
	usleep(20000);
	cr_assert_leq(fired[0] + fired[1] + fired[2], 2);
	cr_assert_eq(!!fired[0] + !!fired[1] + !!fired[2], 1);
}

static void unwatch_and_close(void)
{
	worker_unwatch(w, &kicks[0]);
	close(kicks[0].fd);
}

/* A front-end keeps its copy of a kick and goes on kicking. */
Test(worker, is_not_woken_by_a_kick_that_it_closed)
{
	on_worker(watch_kicks);

	int copy = dup(kicks[0].fd);

	on_worker(unwatch_and_close);
	eventfd_write(copy, 1);
	usleep(20000);
	cr_assert_eq(fired[0], 0);
	close(copy);
}

/* -- the pool */

static struct iovec *lent[WORKER_NR_IOV];
static struct step waiter[2];

static void empty_the_pool(void)
{
	for (int i = 0; i < WORKER_NR_IOV; i++) {
		lent[i] = worker_iov_get(w);
		cr_assert_not_null(lent[i]);
		lent[i][WORKER_IOV_MAX - 1].iov_len = i;
	}
	cr_assert_null(worker_iov_get(w));
	for (int i = 0; i < 2; i++) {
		add_step(&waiter[i], 'a' + i, TURN_READY, 0);
		worker_iov_wait(w, &waiter[i].item);
	}
}

static void put_one_back(void)
{
	worker_iov_put(w, lent[0]);
}

static void find_it_again(void)
{
	cr_assert_eq(worker_iov_get(w), lent[0]);
	for (int i = 0; i < WORKER_NR_IOV; i++) {
		cr_assert_eq(lent[i][WORKER_IOV_MAX - 1].iov_len, (size_t)i);
		worker_iov_put(w, lent[i]);
	}
	/* Who waits for a pool that is not empty is run at once. */
	worker_iov_wait(w, &waiter[0].item);
}

Test(worker, runs_who_waits_for_the_pool_when_an_array_comes_back)
{
	on_worker(empty_the_pool);
	on_worker(look_at_cpu);
	cr_assert_str_eq(trace, "");
	on_worker(put_one_back);
	on_worker(look_at_cpu);
	on_worker(look_at_cpu);
	cr_assert_str_eq(trace, "ab");
	on_worker(find_it_again);
	on_worker(look_at_cpu);
	on_worker(look_at_cpu);
	cr_assert_str_eq(trace, "aba");
}

/* -- rings and sleep */

static struct uring_op op;
static uint64_t one = 1;
static int call_fd;

static void note_op(struct uring_op *o, int res)
{
	cr_assert_eq(o, &op);
	cr_assert_eq(res, (int)sizeof(one));
	sem_post(&finished);
}

static void add_write(void)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_io_path(w)->ring);

	op.done = note_op;
	io_uring_prep_write(sqe, call_fd, &one, sizeof(one), 0);
	uring_sqe_done(sqe, &op);
}

static void write_and_wait(void)
{
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < 100; i++) {
		on_worker(add_write);
		wait_until_finished();
	}
	close(call_fd);
}

Test(worker, submits_and_hands_out_completions)
{
	cr_assert_null(worker_ring(w, URING_SQPOLL));
	cr_assert_eq(worker_io_path(w)->ring, worker_ring(w, URING_DIRECT));
	write_and_wait();
}

static void start_sqpoll(void)
{
	start(WORKER_SQPOLL_ON);
}

/* -- threads of io-wq */

static int pipe_fds[2];
static char bytes[8];
static struct uring_op pipe_ops[8];

static void note_byte(struct uring_op *o, int res)
{
	(void)o;
	cr_assert_eq(res, 1);
	sem_post(&finished);
}

/* Each takes a thread until somebody writes. */
static void read_pipe(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(pipe_ops); i++) {
		struct io_uring_sqe *sqe = uring_sqe(worker_io_path(w)->ring);

		pipe_ops[i].done = note_byte;
		io_uring_prep_read(sqe, pipe_fds[0], &bytes[i], 1, 0);
		sqe->flags |= IOSQE_ASYNC;
		uring_sqe_done(sqe, &pipe_ops[i]);
	}
}

static bool is_io_thread(const char *task)
{
	char path[300], comm[32] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	if (!fgets(comm, sizeof(comm), f))
		comm[0] = '\0';
	fclose(f);
	return !strncmp(comm, "iou-wrk-", 8);
}

/* How many there are, all of which must be kept on @cpus. */
static unsigned count_io_threads(const cpu_set_t *cpus)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(dir))) {
		cpu_set_t set;

		if (!is_io_thread(e->d_name) ||
		    sched_getaffinity(atoi(e->d_name), sizeof(set), &set))
			continue;
		cr_assert(CPU_EQUAL(&set, cpus));
		n++;
	}
	closedir(dir);
	return n;
}

static void use_io_threads(const cpu_set_t *cpus)
{
	unsigned nr;

	cr_assert_eq(pipe(pipe_fds), 0);
	on_worker(read_pipe);
	do {
		usleep(1000);
		nr = count_io_threads(cpus);
	} while (!nr);
	cr_assert_eq(write(pipe_fds[1], bytes, sizeof(bytes)),
		     (ssize_t)sizeof(bytes));
	for (unsigned i = 0; i < ARRAY_SIZE(pipe_ops); i++)
		wait_until_finished();
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static struct worker *make(struct worker_params *p)
{
	struct worker *made;

	cr_assert_eq(worker_new(&made, p), 0);
	cr_assert_eq(worker_start(made), 0);
	return made;
}

Test(worker, keeps_io_threads_on_the_cpus_given, .init = start_nothing)
{
	cpu_set_t cpus;
	struct worker_params p = {.cpu = -1,
				  .sqpoll_cpu = -1,
				  .sqpoll_idle_ms = 10,
				  .io_workers = 4,
				  .io_cpus = &cpus};
	int cpu = CPU_SETSIZE - 1;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	while (!CPU_ISSET(cpu, &cpus))
		cpu--;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sem_init(&finished, 0, 0);
	w = make(&p);
	use_io_threads(&cpus);
	stop();

	/* Then those of the SQPOLL thread, also for who shares it. */
	p.sqpoll = true;
	struct worker *first = make(&p);

	p.id = 1;
	p.sqpoll_share = first;
	w = make(&p);
	use_io_threads(&cpus);
	stop();
	w = first;
	use_io_threads(&cpus);
}

Test(worker, does_its_io_on_the_sqpoll_ring, .init = start_sqpoll)
{
	cr_assert_eq(worker_io_path(w)->ring, worker_ring(w, URING_SQPOLL));
	write_and_wait();
}

static char word[4];

static void note_word(struct uring_op *o, int res)
{
	cr_assert_eq(o, &op);
	cr_assert_eq(res, (int)sizeof(word));
	sem_post(&finished);
}

static void read_word(void)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_io_path(w)->ring);

	op.done = note_word;
	io_uring_prep_read(sqe, call_fd, word, sizeof(word), 0);
	uring_sqe_done(sqe, &op);
}

/* The completion comes while the worker sleeps in libev. */
static void read_while_asleep(void)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	call_fd = p[0];
	for (int i = 0; i < 20; i++) {
		on_worker(read_word);
		usleep(2000);
		cr_assert_eq(write(p[1], "word", 4), 4);
		wait_until_finished();
	}
	close(p[0]);
	close(p[1]);
}

Test(worker, is_woken_by_completions)
{
	read_while_asleep();
}

Test(worker, is_woken_by_completions_of_the_sqpoll_ring, .init = start_sqpoll)
{
	read_while_asleep();
}

/* How often the worker went to sleep. */
static unsigned count_sleeps(void)
{
	char path[64], line[128];
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	FILE *f = fopen(path, "r");

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "voluntary_ctxt_switches: %u", &n) == 1)
			break;
	fclose(f);
	return n;
}

static void expect_no_wakeups(void)
{
	on_worker(look_at_thread);
	usleep(100000);

	unsigned before = count_sleeps();

	usleep(1000000);
	cr_assert_eq(count_sleeps(), before);
}

Test(worker, does_not_wake_when_idle)
{
	write_and_wait();
	expect_no_wakeups();
}

Test(worker, does_not_wake_when_idle_with_sqpoll, .init = start_sqpoll)
{
	write_and_wait();
	expect_no_wakeups();
}

/* -- waiting awake */

/* A ring: work comes to it without a wake. */
struct ring {
	struct poller poller;
	struct turn_item item;
	bool has_work;		/* set by anybody */
	bool is_busy;		/* has work again at once */
	bool is_late;		/* has work when it is being armed */
	unsigned nr_runs;
	unsigned nr_arms;
};

static struct ring rings[2];

static unsigned load(const unsigned *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static void look_at_ring(struct poller *p)
{
	struct ring *r = container_of(p, struct ring, poller);

	if (__atomic_exchange_n(&r->has_work, false, __ATOMIC_RELAXED))
		worker_add(w, TURN_READY, &r->item);
}

static void arm_ring(struct poller *p)
{
	struct ring *r = container_of(p, struct ring, poller);

	__atomic_add_fetch(&r->nr_arms, 1, __ATOMIC_RELAXED);
	if (r->is_late)
		__atomic_store_n(&r->has_work, true, __ATOMIC_RELAXED);
	r->is_late = false;
	look_at_ring(p);
}

static void run_ring(struct turn_item *item)
{
	struct ring *r = container_of(item, struct ring, item);

	worker_poll(w, &r->poller);
	__atomic_add_fetch(&r->nr_runs, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&r->is_busy, __ATOMIC_RELAXED))
		__atomic_store_n(&r->has_work, true, __ATOMIC_RELAXED);
}

static void poll_rings(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		poller_init(&rings[i].poller, look_at_ring, arm_ring);
		turn_item_init(&rings[i].item, run_ring);
		cr_assert_not(worker_poll(w, &rings[i].poller));
		cr_assert(worker_poll(w, &rings[i].poller), "once is enough");
	}
}

static bool has_become(const unsigned *n, unsigned wanted)
{
	for (unsigned i = 0; i < 10000 && load(n) != wanted; i++)
		usleep(1000);
	return load(n) == wanted;
}

/* Waits awake for longer than a test may run. */
static void start_awake(void)
{
	poll_us = 3600ULL * 1000000;
	start(WORKER_SQPOLL_OFF);
}

Test(worker, finds_work_without_a_wake_while_it_is_awake, .init = start_awake)
{
	on_worker(poll_rings);
	usleep(20000);
	/* They were dropped by now, as nothing came. */
	cr_assert(has_become(&rings[0].nr_arms, 1));
	cr_assert(has_become(&rings[1].nr_arms, 1));

	__atomic_store_n(&rings[0].is_busy, true, __ATOMIC_RELAXED);
	__atomic_store_n(&rings[0].has_work, true, __ATOMIC_RELAXED);
	on_worker(poll_rings);
	/* One that is busy keeps its place, the other has lost its own. */
	cr_assert(has_become(&rings[1].nr_arms, 2));
	cr_assert_eq(load(&rings[0].nr_arms), 1);
	cr_assert_gt(load(&rings[0].nr_runs), 0);
	cr_assert_eq(load(&rings[1].nr_runs), 0);
}

static void run_nothing(void)
{
}

static uint64_t sleeps_of_ten_waits(void)
{
	struct worker_waits before, after;

	/* What was posted before has its effect on the next wait. */
	on_worker(run_nothing);
	usleep(20000);
	worker_waits(w, &before);
	for (unsigned i = 0; i < 10; i++) {
		on_worker(run_nothing);
		usleep(2000);
	}
	worker_waits(w, &after);
	return after.sleeps - before.sleeps;
}

Test(worker, changes_how_long_it_waits_awake_while_it_runs)
{
	struct worker_waits waits;

	cr_assert_geq(sleeps_of_ten_waits(), 5);
	cr_assert_eq(worker_set_poll(w, 3600ULL * 1000000), 0);
	cr_assert_eq(sleeps_of_ten_waits(), 0);
	worker_waits(w, &waits);
	cr_assert_eq(waits.guest_ns, 3600ULL * 1000000000);
	cr_assert_eq(waits.storage_ns, waits.guest_ns);
	cr_assert_gt(waits.awake_ns, 10000000);
	cr_assert_eq(worker_set_poll(w, 0), 0);
	cr_assert_geq(sleeps_of_ten_waits(), 5);
	worker_waits(w, &waits);
	cr_assert_eq(waits.guest_ns, 0);
}

/* Mail that nobody takes is freed with the worker. */
Test(worker, may_be_told_how_to_wait_before_it_runs, .init = start_nothing)
{
	struct worker_params p = {.cpu = -1, .io_workers = 4};

	cr_assert_eq(worker_new(&w, &p), 0);
	cr_assert_eq(worker_set_poll(w, 5), 0);
}

Test(worker, looks_once_more_when_it_has_armed)
{
	rings[1].is_late = true;
	on_worker(poll_rings);
	cr_assert(has_become(&rings[1].nr_runs, 1));
	/* The second time it goes to sleep. */
	cr_assert(has_become(&rings[1].nr_arms, 2));
	cr_assert_eq(load(&rings[0].nr_arms), 1);

	/* From now on nobody looks. */
	__atomic_store_n(&rings[0].has_work, true, __ATOMIC_RELAXED);
	usleep(20000);
	cr_assert_eq(load(&rings[0].nr_runs), 0);
}

static void forget_rings(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++)
		worker_unpoll(&rings[i].poller);
}

static void poll_and_forget(void)
{
	poll_rings();
	forget_rings();
	forget_rings();
}

Test(worker, does_not_arm_what_is_looked_at_no_more)
{
	on_worker(poll_and_forget);
	usleep(20000);
	cr_assert_eq(load(&rings[0].nr_arms), 0);
}

static void start_adapting(void)
{
	poll_us = WORKER_POLL_AUTO;
	start(WORKER_SQPOLL_OFF);
}

static void answer_and_poll(void)
{
	worker_note_answer(w);
	worker_poll(w, &rings[0].poller);
}

/* A guest that soon comes back teaches it to wait. */
Test(worker, sleeps_when_it_was_taught_to_wait, .init = start_adapting)
{
	on_worker(poll_rings);
	for (unsigned i = 0; i < 1000; i++)
		on_worker(answer_and_poll);
	expect_no_wakeups();
}

/* -- the choice of the ring */

static void start_auto(void)
{
	start(WORKER_SQPOLL_AUTO);
}

static void nothing(void)
{
}

static void expect_choice(enum uring_kind ring, enum chooser_reason reason)
{
	struct io_facts f;

	worker_io_facts(w, &f);
	cr_assert_eq(f.choice.ring, ring);
	cr_assert_eq(f.choice.reason, reason, "%s",
		     chooser_explain(f.choice.reason));
	cr_assert_eq(f.ring.kind, ring);
}

Test(worker, does_as_is_configured)
{
	expect_choice(URING_DIRECT, CHOOSER_OFF);
	stop();
	start(WORKER_SQPOLL_ON);
	expect_choice(URING_SQPOLL, CHOOSER_ON);
}

Test(worker, begins_with_the_direct_ring_where_it_may_choose,
     .init = start_auto)
{
	struct io_facts f;

	expect_choice(URING_DIRECT, CHOOSER_NO_LOAD);
	worker_io_facts(w, &f);
	cr_assert(f.has_thread);
	cr_assert_not_null(worker_ring(w, URING_SQPOLL));
	write_and_wait();
	expect_choice(URING_DIRECT, CHOOSER_NO_LOAD);
	expect_no_wakeups();
	worker_io_facts(w, &f);
	cr_assert(f.thread_asleep);
}

Test(worker, makes_no_thread_where_no_cpu_is_left, .init = start_nothing)
{
	struct worker_params p = {
		.cpu = -1,
		.sqpoll = WORKER_SQPOLL_AUTO,
		.sqpoll_cpu = -1,
		.sqpoll_idle_ms = 10,
		.io_workers = 4,
	};
	struct io_facts f;

	cr_assert_eq(worker_new(&w, &p), 0);
	expect_choice(URING_DIRECT, CHOOSER_NO_CPU);
	cr_assert_null(worker_ring(w, URING_SQPOLL));
	worker_io_facts(w, &f);
	cr_assert_not(f.has_thread);
}

Test(worker, does_without_sqpoll_where_it_is_not_possible,
     .init = start_nothing)
{
	struct worker_params p = {
		.cpu = -1,
		.sqpoll = WORKER_SQPOLL_AUTO,
		.has_spare_cpu = true,
		.sqpoll_cpu = 100000,
		.sqpoll_idle_ms = 10,
		.io_workers = 4,
	};
	struct worker *other;

	cr_assert_eq(worker_new(&w, &p), 0);
	expect_choice(URING_DIRECT, CHOOSER_NO_RING);
	/* Another worker, for which it is possible, has a thread of its own. */
	p.id = 1;
	p.sqpoll_cpu = -1;
	p.sqpoll_share = w;
	cr_assert_eq(worker_new(&other, &p), 0);
	cr_assert_not_null(worker_ring(other, URING_SQPOLL));
	worker_free(other);
	/* Who says that it must be is told. */
	p.sqpoll = WORKER_SQPOLL_ON;
	p.sqpoll_cpu = 100000;
	cr_assert_lt(worker_new(&other, &p), 0);
}

static struct uring_op loads[16];
static unsigned nr_loads;
static bool loading;

static void add_load(struct uring_op *o)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_io_path(w)->ring);

	io_uring_prep_nop(sqe);
	uring_sqe_done(sqe, o);
}

static void load_done(struct uring_op *o, int res)
{
	cr_assert_eq(res, 0);
	worker_io_path(w)->nr_done++;
	if (loading)
		add_load(o);
	else if (!--nr_loads)
		sem_post(&finished);
}

static void begin_load(void)
{
	loading = true;
	nr_loads = ARRAY_SIZE(loads);
	for (unsigned i = 0; i < nr_loads; i++) {
		loads[i].done = load_done;
		add_load(&loads[i]);
	}
}

static void end_load(void)
{
	loading = false;
}

Test(worker, tries_both_rings_under_load_and_loses_nothing,
     .init = start_auto)
{
	struct io_facts f;

	on_worker(begin_load);
	do {
		usleep(10000);
		worker_io_facts(w, &f);
	} while (f.choice.nr_switches < 6);
	on_worker(end_load);
	wait_until_finished();
	/* One is there always: it tells of libev. */
	cr_assert_leq(worker_ring(w, URING_DIRECT)->in_flight, 1);
	cr_assert_eq(worker_ring(w, URING_SQPOLL)->in_flight, 0);
	/* It looks when it wakes, and lets the thread sleep. */
	usleep(1200000);
	on_worker(nothing);
	expect_choice(URING_DIRECT, CHOOSER_NO_LOAD);
	worker_io_facts(w, &f);
	cr_assert(f.thread_asleep);
}

static struct wake kicked;
static struct turn_item caller;

static void call_done(struct uring_op *call, int res)
{
	(void)call;
	(void)res;
}

static struct uring_op call_op = {.done = call_done};

/* What a queue does: a kick, a turn, a call. */
static void make_call(struct turn_item *item)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_ring(w, URING_DIRECT));

	(void)item;
	io_uring_prep_write(sqe, call_fd, &one, sizeof(one), 0);
	uring_sqe_done(sqe, &call_op);
}

static void on_kick(struct wake *k)
{
	(void)k;
	worker_add(w, TURN_END, &caller);
}

static void watch_caller(void)
{
	turn_item_init(&caller, make_call);
	kicked.fire = on_kick;
	cr_assert_eq(worker_watch(w, &kicked), 0);
}

static unsigned iterations;

static void count_iterations(void)
{
	iterations = ev_iteration(worker_loop(w));
}

static void expect_one_wake_for_each_kick(void)
{
	struct pollfd called = {.fd = call_fd, .events = POLLIN};
	eventfd_t value;

	on_worker(look_at_thread);

	unsigned before = count_sleeps();

	for (unsigned i = 0; i < 50; i++) {
		eventfd_write(kicked.fd, 1);
		cr_assert_eq(poll(&called, 1, 5000), 1);
		cr_assert_eq(eventfd_read(call_fd, &value), 0);
		cr_assert_eq(value, 1);
		usleep(2000);
	}
	/* Twice as many if each call, or its completion, woke us. */
	cr_assert_leq(count_sleeps() - before, 75);
}

Test(worker, is_not_woken_by_its_own_calls)
{
	kicked.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	on_worker(watch_caller);
	expect_one_wake_for_each_kick();
}

static uint64_t now_us;

static void read_now(void)
{
	now_us = worker_now_us(w);
}

Test(worker, knows_the_time_after_sleeping)
{
	on_worker(read_now);

	uint64_t before = now_us;

	usleep(50000);
	on_worker(read_now);
	cr_assert_geq(now_us - before, 50000);
}

/* -- alarms */

static struct alarm alarm_clock;
static uint64_t wanted_ns, late_ns;

static void note_alarm(struct alarm *a)
{
	(void)a;
	late_ns = worker_now_ns(w) - wanted_ns;
	sem_post(&finished);
}

static void set_alarm(void)
{
	alarm_init(&alarm_clock, note_alarm);
	wanted_ns = worker_now_ns(w) + 200000;
	alarms_set(worker_alarms(w), &alarm_clock, wanted_ns);
}

Test(worker, is_woken_by_alarms_in_less_than_a_millisecond)
{
	uint64_t best_ns = UINT64_MAX;

	/* The machine may be busy, but not each time. */
	for (unsigned i = 0; i < 100 && best_ns > 300000; i++) {
		on_worker(set_alarm);
		wait_until_finished();
		cr_assert_lt(late_ns, 1ULL << 40, "it was early");
		if (late_ns < best_ns)
			best_ns = late_ns;
	}
	cr_assert_leq(best_ns, 300000);
}

static void clear_alarm(void)
{
	set_alarm();
	alarms_clear(worker_alarms(w), &alarm_clock);
}

Test(worker, is_not_woken_when_no_alarm_is_set)
{
	on_worker(clear_alarm);
	on_worker(count_iterations);

	unsigned before = iterations;

	usleep(20000);
	on_worker(count_iterations);
	cr_assert_leq(iterations - before, 2);
}

static struct alarm again;
static struct turn_item counted;
static unsigned nr_fired, nr_counted;

static void count_turn(struct turn_item *item)
{
	(void)item;
	if (++nr_counted == nr_fired)
		sem_post(&finished);
}

/* It is due at once, again and again, and all else goes on. */
static void fire_again(struct alarm *a)
{
	nr_fired++;
	worker_add(w, TURN_READY, &counted);
	if (nr_fired < 1000)
		alarms_set(worker_alarms(w), a, 1);
}

static void set_again(void)
{
	alarm_init(&again, fire_again);
	turn_item_init(&counted, count_turn);
	alarms_set(worker_alarms(w), &again, 1);
}

Test(worker, fires_alarms_once_in_a_turn)
{
	on_worker(set_again);
	for (unsigned i = 0; i < 1000; i++)
		wait_until_finished();
	on_worker(count_iterations);
	cr_assert_eq(nr_fired, 1000);
	cr_assert_eq(nr_counted, 1000);
}

/* -- time */

static uint64_t done_us;

static void note_done(struct uring_op *timed, int res)
{
	(void)timed;
	(void)res;
	done_us = worker_now_us(w);
	sem_post(&finished);
}

static struct uring_op timed_op = {.done = note_done};

/* The rest of the turn in which the entry is made takes 20 ms. */
static void write_in_a_long_turn(void)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_ring(w, URING_DIRECT));

	io_uring_prep_write(sqe, call_fd, &one, sizeof(one), 0);
	uring_sqe_done(sqe, &timed_op);
	read_now();
	usleep(20000);
}

Test(worker, knows_the_time_of_what_completes_in_its_turn)
{
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	on_worker(write_in_a_long_turn);
	wait_until_finished();
	cr_assert_geq(done_us - now_us, 20000);
}
