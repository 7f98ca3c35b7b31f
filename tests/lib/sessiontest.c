/* SPDX-License-Identifier: BSD-2-Clause */
/* A session on a worker of its own, with a front-end at the other end. */
#include "sessiontest.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "iotest.h"

/* ---- the target of the session ---- */

#define SAW(t, what)                                   \
	do {                                           \
		pthread_mutex_lock(&(t)->lock);        \
		(t)->seen.what;                        \
		pthread_cond_broadcast(&(t)->changed); \
		pthread_mutex_unlock(&(t)->lock);      \
	} while (0)

static uint64_t features(void *ctx)
{
	(void)ctx;
	return 1 << 9 | 1 << 11 | 1 << 12;
}

static int accept_features(void *ctx, uint64_t bits)
{
	struct sessiontest *t = ctx;

	SAW(t, accepted = bits);
	return bits & t->refuse ? -EINVAL : 0;
}

static void config_get(void *ctx, void *buf, size_t off, size_t len)
{
	struct sessiontest *t = ctx;

	memcpy(buf, t->config + off, len);
}

static int config_set(void *ctx, const void *buf, size_t off, size_t len)
{
	struct sessiontest *t = ctx;

	if (off != 32 || len != 1)
		return -EINVAL;
	memcpy(t->config + off, buf, len);
	return 0;
}

static void answer(struct turn_item *item)
{
	struct sessiontest_chain *c =
		container_of(item, struct sessiontest_chain, item);
	struct queue *q = c->queue;

	c->queue = NULL;
	queue_push(q, c->chain, 0);
}

static void request(void *ctx, struct queue *q, struct chain *chain)
{
	struct sessiontest *t = ctx;
	struct sessiontest_chain *c = t->held;

	while (c->queue)
		c++;
	c->queue = q;
	c->chain = chain;
	turn_item_init(&c->item, answer);
	if (!t->hold)
		worker_add(t->home, TURN_DONE, &c->item);
	SAW(t, requests++);
}

static struct counters counters;

static int start(struct sessiontest *t, unsigned index)
{
	const struct queue_user user = {
		.request = request,
		.ctx = t,
		.room = 8,
		.counters = &counters,
	};
	int err = session_start_queue(t->session, index,
				      index == 1 ? t->helper : t->home, &user);

	SAW(t, started[index] = err);
	return err;
}

static void queue_ready(void *ctx, struct session *s, unsigned index)
{
	struct sessiontest *t = ctx;

	(void)s;
	if (!t->wait)
		start(t, index);
	SAW(t, ready[index]++);
}

static void queue_idle(void *ctx, struct session *s, unsigned index)
{
	struct sessiontest *t = ctx;

	(void)s;
	SAW(t, idle[index]++);
}

/* The byte that a driver may write. */
static size_t save(void *ctx, void *buf)
{
	struct sessiontest *t = ctx;

	memcpy(buf, t->config + 32, 1);
	return 1;
}

static int load(void *ctx, const void *buf, size_t len)
{
	struct sessiontest *t = ctx;

	if (len != 1)
		return -EINVAL;
	memcpy(t->config + 32, buf, 1);
	return 0;
}

static void reset(void *ctx)
{
	struct sessiontest *t = ctx;

	SAW(t, resets++);
}

static void closing(void *ctx, struct session *s, enum session_end how,
		    const char *why)
{
	struct sessiontest *t = ctx;

	(void)s;
	pthread_mutex_lock(&t->lock);
	t->seen.closing++;
	t->seen.how = how;
	snprintf(t->seen.why, sizeof(t->seen.why), "%s", why);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void ended(void *ctx, struct session *s)
{
	struct sessiontest *t = ctx;

	session_close(s, SESSION_CUT, "which is late, and allowed");
	session_free(s);
	t->session = NULL;
	SAW(t, ended++);
}

static const struct session_ops ops = {
	.features = features,
	.accept = accept_features,
	.config_get = config_get,
	.config_set = config_set,
	.queue_ready = queue_ready,
	.queue_idle = queue_idle,
	.save = save,
	.load = load,
	.reset = reset,
	.closing = closing,
	.ended = ended,
};

/* ---- both ends ---- */

struct open_args {
	struct sessiontest *t;
	int fd;
	int err;
};

static void open_session(void *arg)
{
	struct open_args *a = arg;
	const struct session_params p = {
		.tag = "test",
		.home = a->t->home,
		.ops = &ops,
		.ctx = a->t,
		.device = a->t->device,
		.nr_queues = a->t->nr_queues,
		.max_queue_size = 256,
		.packed = a->t->packed,
		.counters = &a->t->counters,
	};

	a->err = session_new(&a->t->session, &p);
	if (!a->err)
		a->err = link_open(a->t->session, a->fd);
}

static struct worker *make_worker(unsigned id)
{
	const struct worker_params p = {
		.id = id,
		.cpu = -1,
		.sqpoll_cpu = -1,
		.io_workers = 2,
	};
	struct worker *w;

	cr_assert_eq(worker_new(&w, &p), 0);
	cr_assert_eq(worker_start(w), 0);
	return w;
}

static void begin(struct sessiontest *t)
{
	struct open_args a = {.t = t};
	int fds[2];

	if (!t->device)
		t->device = PROTO_BLK;
	if (!t->nr_queues)
		t->nr_queues = SESSIONTEST_QUEUES;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	for (unsigned i = 0; i < sizeof(t->config); i++)
		t->config[i] = (uint8_t)(i ^ 0x5a);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
		     0);
	frontend_init(&t->vmm);
	frontend_attach(&t->vmm, fds[0]);
	a.fd = fds[1];
	iotest_call(t->home, open_session, &a);
	cr_assert_eq(a.err, 0);
}

void sessiontest_open(struct sessiontest *t)
{
	t->home = make_worker(0);
	t->helper = make_worker(1);
	begin(t);
}

void sessiontest_join(struct sessiontest *t, const struct sessiontest *with)
{
	t->home = with->home;
	t->helper = with->helper;
	begin(t);
}

static bool has_ended(const struct sessiontest_seen *seen)
{
	return seen->ended;
}

void sessiontest_leave(struct sessiontest *t)
{
	frontend_close(&t->vmm);
	sessiontest_wait(t, has_ended);
	cr_assert_eq(sessiontest_look(t).ended, 1);
	memset(&t->seen, 0, sizeof(t->seen));
}

void sessiontest_close(struct sessiontest *t)
{
	sessiontest_leave(t);
	worker_stop(t->helper);
	worker_stop(t->home);
	worker_free(t->helper);
	worker_free(t->home);
}

struct sessiontest_seen sessiontest_look(struct sessiontest *t)
{
	struct sessiontest_seen seen;

	pthread_mutex_lock(&t->lock);
	seen = t->seen;
	pthread_mutex_unlock(&t->lock);
	return seen;
}

void sessiontest_wait(struct sessiontest *t,
		      bool (*is)(const struct sessiontest_seen *seen))
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 5;
	pthread_mutex_lock(&t->lock);
	while (!is(&t->seen) && !err)
		err = pthread_cond_timedwait(&t->changed, &t->lock, &until);
	pthread_mutex_unlock(&t->lock);
	cr_assert_eq(err, 0, "nothing happened for five seconds");
}

static void release(void *arg)
{
	struct sessiontest *t = arg;

	t->hold = false;
	for (unsigned i = 0; i < SESSIONTEST_HELD; i++)
		if (t->held[i].queue)
			worker_add(t->home, TURN_DONE, &t->held[i].item);
}

void sessiontest_release(struct sessiontest *t)
{
	iotest_call(t->home, release, t);
}

struct start_args {
	struct sessiontest *t;
	unsigned index;
	int err;
};

static void start_late(void *arg)
{
	struct start_args *a = arg;

	a->err = start(a->t, a->index);
}

int sessiontest_start(struct sessiontest *t, unsigned index)
{
	struct start_args a = {t, index, 0};

	iotest_call(t->home, start_late, &a);
	return a.err;
}

struct change_args {
	struct sessiontest *t;
	bool told;
};

static void change_config(void *arg)
{
	struct change_args *a = arg;

	a->told = session_config_changed(a->t->session);
}

bool sessiontest_config_changed(struct sessiontest *t)
{
	struct change_args a = {t, false};

	iotest_call(t->home, change_config, &a);
	return a.told;
}

void sessiontest_negotiate(struct sessiontest *t)
{
	const struct frontend_params p = {
		.features = ~0ULL,
		.protocol_features = ~0ULL,
	};

	cr_assert_eq(frontend_negotiate(&t->vmm, &p), 0);
}

unsigned sessiontest_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
