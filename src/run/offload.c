/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that can block, on a few threads of their own. */
#include "run/offload.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "run/thread.h"

/*
 * Theory of operation: offload
 *
 * Jobs wait in one queue, first in first out, for up to MAX_THREADS threads.  A
 * thread is made when a job comes and no thread is idle, so a job that is stuck
 * (a dead network file system, say) holds up nobody until as many are stuck.
 * Idle threads stay: they cost a stack that is not touched.
 *
 * The lock is held for a few instructions, never while a job runs.
 */
#define MAX_THREADS 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_given = PTHREAD_COND_INITIALIZER;
static pthread_cond_t thread_ended = PTHREAD_COND_INITIALIZER;
static struct offload_job *first;
static struct offload_job **last = &first;
static unsigned nr_waiting; /* jobs */
static unsigned nr_idle;    /* threads */
static unsigned nr_threads;
static bool stopping; /* threads end when there is nothing left to do */

/* Called with the lock held; NULL when the thread shall end. */
static struct offload_job *wait_for_job(void)
{
	struct offload_job *j;

	nr_idle++;
	while (!first && !stopping)
		pthread_cond_wait(&job_given, &lock);
	nr_idle--;
	j = first;
	if (j) {
		first = j->next;
		if (!first)
			last = &first;
		nr_waiting--;
	}
	return j;
}

static void run_job(struct offload_job *j)
{
	struct mailbox *reply = j->reply;

	/* Without a reply the job may free itself. */
	j->run(j);
	if (reply)
		mailbox_post(reply, &j->mail);
}

static void *run_jobs(void *arg)
{
	struct offload_job *j;

	(void)arg;
	pthread_mutex_lock(&lock);
	while ((j = wait_for_job())) {
		pthread_mutex_unlock(&lock);
		run_job(j);
		pthread_mutex_lock(&lock);
	}
	nr_threads--;
	pthread_cond_broadcast(&thread_ended);
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Called with the lock held. */
static void add_thread(void)
{
	pthread_t t;

	if (nr_threads == MAX_THREADS)
		return;
	if (!thread_start(&t, "vringd-offload", run_jobs, NULL)) {
		pthread_detach(t);
		nr_threads++;
	}
}

/* Returns false when there is no thread, and none could be made. */
static bool give(struct offload_job *j)
{
	pthread_mutex_lock(&lock);
	/* Idle threads may have been given jobs that they did not take yet. */
	if (nr_waiting >= nr_idle)
		add_thread();
	bool given = nr_threads > 0;

	if (given) {
		j->next = NULL;
		*last = j;
		last = &j->next;
		nr_waiting++;
		pthread_cond_signal(&job_given);
	}
	pthread_mutex_unlock(&lock);
	return given;
}

static void deliver_done(struct mail *m)
{
	struct offload_job *j = container_of(m, struct offload_job, mail);

	j->done(j);
}

void offload_run(struct offload_job *j, void (*run)(struct offload_job *j),
		 void (*done)(struct offload_job *j), struct mailbox *reply)
{
	j->mail.deliver = deliver_done;
	j->reply = reply;
	j->run = run;
	j->done = done;
	if (!give(j))
		run_job(j);
}

/* -- calls that nobody waits for ----------------------------------------- */

struct release {
	struct offload_job job;
	int fd;	    /* to be closed, or -1 */
	void *addr; /* to be unmapped, or NULL */
	size_t len;
};

static void release(const struct release *r)
{
	if (r->fd >= 0)
		close(r->fd);
	if (r->addr)
		munmap(r->addr, r->len);
}

static void run_release(struct offload_job *j)
{
	struct release *r = container_of(j, struct release, job);

	release(r);
	free(r);
}

static void give_release(const struct release *what)
{
	struct release *r = malloc(sizeof(*r));

	if (!r) {
		release(what);
		return;
	}
	*r = *what;
	offload_run(&r->job, run_release, NULL, NULL);
}

void offload_close(int fd)
{
	if (fd >= 0)
		give_release(&(struct release){.fd = fd});
}

void offload_munmap(void *addr, size_t len)
{
	if (addr)
		give_release(&(struct release){.fd = -1, .addr = addr,
					       .len = len});
}

/* -- the end -------------------------------------------------------------- */

static struct timespec deadline_in(int ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000L;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	return ts;
}

int offload_stop(int timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms);
	int err = 0;

	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_broadcast(&job_given);
	while (nr_threads && !err)
		err = pthread_cond_timedwait(&thread_ended, &lock, &deadline);
	err = nr_threads ? -ETIMEDOUT : 0;
	stopping = false;
	pthread_mutex_unlock(&lock);
	return err;
}
