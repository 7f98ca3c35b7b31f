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

#include "base/fdkind.h"
#include "base/util.h"
#include "run/thread.h"

/*
 * Theory of operation: offload
 *
 * Jobs wait in a pool's queue, first in first out, for up to MAX_THREADS
 * threads.  A thread is made when a job comes and no thread is idle, so a job
 * that is stuck (a dead network file system, say) holds up nobody until as many
 * are stuck.  IDLE_THREADS of them stay when there is nothing to do.
 *
 * There are two pools, since a VMM can make any number of them stuck: it sends
 * files whose server, its own, does not answer, not even when they are closed.
 * Such files are closed by a pool that does nothing else.
 *
 * The lock is held for a few instructions, never while a job runs.
 */
#define MAX_THREADS  64
#define IDLE_THREADS 4

struct pool {
	pthread_cond_t job_given;
	struct offload_job *first;
	struct offload_job **last;
	unsigned nr_waiting; /* jobs */
	unsigned nr_idle;    /* threads */
	unsigned nr_threads;
};

static struct pool work = {
	.job_given = PTHREAD_COND_INITIALIZER,
	.last = &work.first,
};
static struct pool foreign = {
	.job_given = PTHREAD_COND_INITIALIZER,
	.last = &foreign.first,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t thread_ended = PTHREAD_COND_INITIALIZER;
static bool stopping; /* threads end when there is nothing left to do */

/* Called with the lock held; NULL when the thread shall end. */
static struct offload_job *wait_for_job(struct pool *p)
{
	struct offload_job *j;

	if (!p->first && p->nr_idle == IDLE_THREADS)
		return NULL;
	p->nr_idle++;
	while (!p->first && !stopping)
		pthread_cond_wait(&p->job_given, &lock);
	p->nr_idle--;
	j = p->first;
	if (j) {
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		p->nr_waiting--;
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
	struct pool *p = arg;
	struct offload_job *j;

	pthread_mutex_lock(&lock);
	while ((j = wait_for_job(p))) {
		pthread_mutex_unlock(&lock);
		run_job(j);
		pthread_mutex_lock(&lock);
	}
	p->nr_threads--;
	pthread_cond_broadcast(&thread_ended);
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Called with the lock held. */
static void add_thread(struct pool *p)
{
	pthread_t t;

	if (p->nr_threads == MAX_THREADS)
		return;
	if (!thread_start(&t, "vringd-offload", run_jobs, p)) {
		pthread_detach(t);
		p->nr_threads++;
	}
}

/* Returns false when there is no thread, and none could be made. */
static bool give(struct pool *p, struct offload_job *j)
{
	pthread_mutex_lock(&lock);
	/* Idle threads may have been given jobs that they did not take yet. */
	if (p->nr_waiting >= p->nr_idle)
		add_thread(p);
	bool given = p->nr_threads > 0;

	if (given) {
		j->next = NULL;
		*p->last = j;
		p->last = &j->next;
		p->nr_waiting++;
		pthread_cond_signal(&p->job_given);
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
	if (!give(&work, j))
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

static void give_release(struct pool *p, const struct release *what)
{
	struct release *r = malloc(sizeof(*r));

	if (!r) {
		release(what);
		return;
	}
	*r = *what;
	r->job.run = run_release;
	if (!give(p, &r->job))
		run_job(&r->job);
}

/* Of these, closing takes some time at most. */
static bool is_quick_to_close(int fd)
{
	return fdkind_is_memory(fd) || fdkind_is_unix_socket(fd) ||
	       fdkind_is_eventfd(fd);
}

void offload_close(int fd)
{
	if (fd >= 0)
		give_release(is_quick_to_close(fd) ? &work : &foreign,
			     &(struct release){.fd = fd});
}

void offload_munmap(void *addr, size_t len)
{
	if (addr)
		give_release(&work, &(struct release){.fd = -1, .addr = addr,
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
	pthread_cond_broadcast(&work.job_given);
	pthread_cond_broadcast(&foreign.job_given);
	while (work.nr_threads + foreign.nr_threads && !err)
		err = pthread_cond_timedwait(&thread_ended, &lock, &deadline);
	/* Closing a foreign file is nobody's concern but its own. */
	err = work.nr_threads ? -ETIMEDOUT : 0;
	stopping = false;
	pthread_mutex_unlock(&lock);
	return err;
}
