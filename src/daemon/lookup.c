/* SPDX-License-Identifier: BSD-2-Clause */
/* What the paths of disks lead to, without waiting for dead file systems. */
#include "daemon/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/denied.h"
#include "backend/inuse.h"
#include "backend/magic.h"
#include "backend/sysblock.h"
#include "run/thread.h"

/*
 * Theory of operation: lookup
 *
 * One thread looks at one path after the other while the caller waits.  If it
 * gets stuck, another thread goes on with the rest.  A thread that is stuck may
 * come back at any time, or never, so all it touches is in a crew, which lives
 * as long as it has users.
 */
struct crew {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned users; /* threads, and the caller */
	bool closely;
	size_t n;
	size_t next; /* to be looked at */
	size_t nr_known;
	struct lookup list[]; /* with paths of its own */
};

static void put_crew(struct crew *c)
{
	bool last;

	pthread_mutex_lock(&c->lock);
	last = !--c->users;
	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	for (size_t i = 0; i < c->n; i++) {
		free((char *)(uintptr_t)c->list[i].path);
		free(c->list[i].denied);
	}
	pthread_cond_destroy(&c->answered);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* What a thread does */

static const char *find_format(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char head[MAGIC_LEN];
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = pread(fd, head, sizeof(head), 0);
	close(fd);
	return n > 0 ? magic_name(head, (size_t)n) : NULL;
}

static char *explain(const struct lookup *l)
{
	char text[PATH_MAX + 1024];

	return strdup(denied_explain(l->path, l->write, text, sizeof(text)));
}

static void look(struct lookup *l)
{
	int ret = inuse_identify_path(l->path, &l->id);

	l->is_storage = !ret;
	if (!ret)
		l->whole =
			l->id.is_block ? sysblock_disk(l->id.dev) : l->id.dev;
	else if (ret != -ENOTBLK)
		l->error = -ret;
}

static void look_closely(struct lookup *l)
{
	int how = l->write ? R_OK | W_OK : R_OK;

	if (l->is_storage && faccessat(AT_FDCWD, l->path, how, AT_EACCESS))
		l->error = errno;
	else if (l->is_storage && !l->id.is_block)
		l->format = find_format(l->path);
	if (l->error == EACCES || l->error == EPERM)
		l->denied = explain(l);
}

static void *look_on(void *arg)
{
	struct crew *c = arg;

	pthread_mutex_lock(&c->lock);
	while (c->next < c->n) {
		size_t i = c->next++;

		pthread_mutex_unlock(&c->lock);
		look(&c->list[i]);
		if (c->closely)
			look_closely(&c->list[i]);
		pthread_mutex_lock(&c->lock);
		c->list[i].is_known = true;
		c->nr_known++;
		pthread_cond_signal(&c->answered);
	}
	pthread_mutex_unlock(&c->lock);
	put_crew(c);
	return NULL;
}

/* What the caller does */

static struct crew *make_crew(const struct lookup *list, size_t n)
{
	struct crew *c = calloc(1, sizeof(*c) + n * sizeof(*list));
	pthread_condattr_t attr;

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->answered, &attr);
	pthread_condattr_destroy(&attr);
	c->users = 1;
	for (; c->n < n; c->n++) {
		struct lookup *l = &c->list[c->n];

		l->write = list[c->n].write;
		l->path = strdup(list[c->n].path);
		if (!l->path) {
			put_crew(c);
			return NULL;
		}
	}
	return c;
}

/* Called with the lock held. */
static int add_thread(struct crew *c)
{
	pthread_t t;
	int ret;

	c->users++;
	ret = thread_start(&t, "lookup", look_on, c);
	if (ret < 0)
		c->users--;
	else
		pthread_detach(t);
	return ret;
}

/* Called with the lock held.  False when nothing was answered for a while. */
static bool wait_for_answer(struct crew *c)
{
	size_t before = c->nr_known;
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += LOOKUP_PATIENCE_MS / 1000;
	while (c->nr_known == before)
		if (pthread_cond_timedwait(&c->answered, &c->lock, &end))
			return false;
	return true;
}

/* Called with the lock held. */
static int wait_for_all(struct crew *c)
{
	unsigned nr_threads = 1;
	size_t stuck = 0;
	int ret = add_thread(c);

	while (ret == 0 && c->nr_known + stuck < c->n) {
		if (wait_for_answer(c))
			continue;
		stuck = c->next - c->nr_known;
		if (c->next == c->n || nr_threads == LOOKUP_THREADS)
			break;
		nr_threads++;
		ret = add_thread(c);
	}
	return ret;
}

/* Called with the lock held.  What is not known yet stays the crew's. */
static void take_answers(struct crew *c, struct lookup *list)
{
	for (size_t i = 0; i < c->n; i++) {
		char *path = list[i].path;

		if (!c->list[i].is_known)
			continue;
		list[i] = c->list[i];
		list[i].path = path;
		c->list[i].denied = NULL;
	}
	/* Nobody wants to know the rest. */
	c->next = c->n;
}

int lookup_all(struct lookup *list, size_t n, bool closely)
{
	struct crew *c = make_crew(list, n);
	int ret;

	if (!c)
		return -ENOMEM;
	c->closely = closely;
	pthread_mutex_lock(&c->lock);
	ret = wait_for_all(c);
	take_answers(c, list);
	pthread_mutex_unlock(&c->lock);
	put_crew(c);
	return ret;
}
