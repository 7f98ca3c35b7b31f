/* SPDX-License-Identifier: BSD-2-Clause */
/* run/offload: replies, order, stuck jobs, the end. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "run/offload.h"

struct work {
	struct offload_job job;
	int pipe; /* read until it is closed, or -1 */
	pthread_t ran_on;
	unsigned order;
};

static struct ev_loop *loop;
static struct mailbox box;
static pthread_t home;
static unsigned nr_done;
static _Atomic unsigned nr_run;

static void setup(void)
{
	home = pthread_self();
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	mailbox_init(&box, loop);
}

static void teardown(void)
{
	cr_assert_eq(offload_stop(5000), 0);
	mailbox_fini(&box);
	ev_loop_destroy(loop);
}

TestSuite(offload, .init = setup, .fini = teardown, .timeout = 30);

static void do_work(struct offload_job *j)
{
	struct work *w = container_of(j, struct work, job);
	char c;

	w->ran_on = pthread_self();
	w->order = nr_run++;
	if (w->pipe >= 0 && read(w->pipe, &c, 1))
		abort();
}

static void note_done(struct offload_job *j)
{
	(void)j;
	cr_assert(pthread_equal(pthread_self(), home));
	nr_done++;
}

static void give(struct work *w, int fd)
{
	w->pipe = fd;
	offload_run(&w->job, do_work, note_done, &box);
}

static void wait_for(unsigned n)
{
	while (nr_done < n)
		ev_run(loop, EVRUN_ONCE);
}

Test(offload, runs_elsewhere_and_is_done_at_home)
{
	struct work w;

	give(&w, -1);
	wait_for(1);
	cr_assert_not(pthread_equal(w.ran_on, home));
}

Test(offload, does_not_let_a_stuck_job_hold_the_others)
{
	struct work stuck[40], quick[20];
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	for (int i = 0; i < 40; i++)
		give(&stuck[i], p[0]);
	for (int i = 0; i < 20; i++)
		give(&quick[i], -1);
	wait_for(20);
	cr_assert_eq(nr_done, 20);
	close(p[1]);
	wait_for(60);
	close(p[0]);
}

static unsigned count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(offload, keeps_few_threads_when_there_is_nothing_to_do)
{
	struct work stuck[40];
	unsigned before = count_threads();
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	for (int i = 0; i < 40; i++)
		give(&stuck[i], p[0]);
	cr_expect_geq(count_threads(), before + 40);
	close(p[1]);
	wait_for(40);
	for (int i = 0; i < 500 && count_threads() > before + 4; i++)
		usleep(10000);
	cr_expect_leq(count_threads(), before + 4);
	close(p[0]);
}

Test(offload, begins_jobs_in_the_order_given)
{
	struct work stuck[64], waiting[50];
	int p[2], q[2];

	/* With all threads held, the others wait in line. */
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(q, O_CLOEXEC), 0);
	for (int i = 0; i < 64; i++)
		give(&stuck[i], i ? p[0] : q[0]);
	while (nr_run < 64)
		usleep(1000);
	for (int i = 0; i < 50; i++)
		give(&waiting[i], -1);
	usleep(10000);
	cr_assert_eq(nr_run, 64);
	/* One thread goes on and has them all to itself. */
	close(q[1]);
	wait_for(51);
	for (unsigned i = 0; i < 50; i++)
		cr_assert_eq(waiting[i].order, 64 + i);
	close(p[1]);
	wait_for(114);
	close(p[0]);
	close(q[0]);
}

Test(offload, closes_descriptors)
{
	int p[2];
	char c;

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	offload_close(p[1]);
	offload_close(-1);
	cr_assert_eq(read(p[0], &c, 1), 0);
	close(p[0]);
}

Test(offload, unmaps_memory)
{
	size_t len = 1 << 20;
	unsigned char in_core;
	void *m = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	cr_assert_neq(m, MAP_FAILED);
	offload_munmap(m, len);
	offload_munmap(NULL, 0);
	cr_assert_eq(offload_stop(5000), 0);
	cr_assert_eq(mincore(m, 1, &in_core), -1);
	cr_assert_eq(errno, ENOMEM);
}

Test(offload, finishes_everything_before_it_stops)
{
	struct work w[30];

	for (int i = 0; i < 30; i++)
		give(&w[i], -1);
	cr_assert_eq(offload_stop(5000), 0);
	cr_assert_eq(nr_run, 30);
	wait_for(30);
	/* And can be used again. */
	give(&w[0], -1);
	wait_for(31);
}

Test(offload, says_when_a_thread_is_stuck_at_the_end)
{
	struct work w;
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	give(&w, p[0]);
	cr_assert_eq(offload_stop(50), -ETIMEDOUT);
	close(p[1]);
	wait_for(1);
	close(p[0]);
}

static sigset_t blocked;

static void look_at_signals(struct offload_job *j)
{
	(void)j;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
}

Test(offload, takes_no_signals)
{
	struct work w;

	offload_run(&w.job, look_at_signals, note_done, &box);
	wait_for(1);
	cr_assert(sigismember(&blocked, SIGTERM));
	cr_assert_not(sigismember(&blocked, SIGBUS));
}

/* There only in a program built with AddressSanitizer. */
extern void __asan_init(void) __attribute__((weak));

Test(offload, works_without_threads)
{
	struct rlimit lim;
	struct work w;

	if (__asan_init)
		cr_skip_test("AddressSanitizer needs address space itself");
	/* No memory for a stack: the address space may not grow. */
	cr_assert_eq(getrlimit(RLIMIT_AS, &lim), 0);
	lim.rlim_cur = 4096;
	cr_assert_eq(setrlimit(RLIMIT_AS, &lim), 0);
	give(&w, -1);
	lim.rlim_cur = lim.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_AS, &lim), 0);
	cr_assert(pthread_equal(w.ran_on, home));
	cr_assert_eq(nr_done, 0);
	wait_for(1);
}
