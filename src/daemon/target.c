/* SPDX-License-Identifier: BSD-2-Clause */
/* One configured disk: joins socket, session, device, backend and workers. */
#include "daemon/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kinds.h"
#include "base/log.h"
#include "base/unixsock.h"
#include "daemon/loans.h"
#include "device/models.h"
#include "run/offload.h"
#include "vhost/link.h"

/* How long a second client is held while the first shows no sign of leaving. */
#define HOLD_S 0.5

/* How long to accept nobody after descriptors or memory ran out. */
#define PAUSE_S 1.0

struct target {
	/* constant */
	const struct config_target *config;
	struct mailbox *control;
	struct worker *home;
	struct loans *loans;

	/* control's */
	enum target_state state;
	char reason[256];
	struct unixsock sock;
	void (*closed)(void *ctx, struct target *t);
	void *closed_ctx;
	struct mail control_mail;

	/* constant while open */
	struct backend *backend;
	struct device *device;

	/* the home's */
	struct mail start_mail;
	struct mail close_mail;
	struct ev_io accept;
	struct ev_timer hold;
	struct ev_timer pause;		/* accepts nobody meanwhile */
	struct session *session;
	int held_fd;			/* of a second client, or -1 */
	unsigned nr_collecting;		/* facts on their way */
	bool ended;			/* the session is over */
	bool closing;
};

static void settle(struct target *t);

/* Undo target_open().  Control only, when no worker has anything of it. */
static void shut(struct target *t)
{
	unixsock_close(&t->sock);
	if (t->device)
		t->device->ops->close(t->device);
	kinds_close(t->backend);
	t->device = NULL;
	t->backend = NULL;
}

/* Sessions */

static uint64_t get_features(void *ctx)
{
	struct target *t = ctx;

	return t->device->ops->features(t->device);
}

static int accept_features(void *ctx, uint64_t features)
{
	struct target *t = ctx;

	return t->device->ops->accept(t->device, features);
}

static void get_config(void *ctx, void *buf, size_t off, size_t len)
{
	struct target *t = ctx;

	t->device->ops->config_get(t->device, buf, off, len);
}

static int set_config(void *ctx, const void *buf, size_t off, size_t len)
{
	struct target *t = ctx;

	return t->device->ops->config_set(t->device, buf, off, len);
}

static void queue_ready(void *ctx, struct session *s, unsigned index)
{
	struct target *t = ctx;

	(void)s;
	loans_want(t->loans, index);
}

static void queue_idle(void *ctx, struct session *s, unsigned index)
{
	struct target *t = ctx;

	(void)s;
	loans_forget(t->loans, index);
}

static void reset_device(void *ctx)
{
	struct target *t = ctx;

	t->device->ops->reset(t->device);
}

static void session_ended(void *ctx, struct session *s)
{
	struct target *t = ctx;

	(void)s;
	t->ended = true;
	loans_forget_all(t->loans);
}

static const struct session_ops target_session = {
	.features = get_features,
	.accept = accept_features,
	.config_get = get_config,
	.config_set = set_config,
	.queue_ready = queue_ready,
	.queue_idle = queue_idle,
	.reset = reset_device,
	.ended = session_ended,
};

static void begin_session(struct target *t, int fd)
{
	const struct config_target *c = t->config;
	struct session_params p = {
		.tag = c->name,
		.home = t->home,
		.ops = &target_session,
		.ctx = t,
		.device = PROTO_BLK,
		.nr_queues = c->queues,
		.max_queue_size = c->queue_size,
		.memory_files = c->memory_files == CONFIG_MEMORY_FILES_ANY
					? MEMMAP_ANY
					: MEMMAP_SHMEM,
	};
	int ret = session_new(&t->session, &p);

	t->ended = false;
	if (ret == 0)
		ret = link_open(t->session, fd);
	else
		t->session = NULL;
	if (ret < 0) {
		log_err(c->name, "cannot serve a client: %s", strerror(-ret));
		offload_close(fd);
		session_free(t->session);
		t->session = NULL;
	}
}

/* Clients */

static void let_go(struct target *t, const char *why)
{
	struct ucred peer = {.pid = -1};

	unixsock_peer(t->held_fd, &peer);
	log_guest(t->config->name, "second client pid=%d turned away: %s",
		  (int)peer.pid, why);
	offload_close(t->held_fd);
	t->held_fd = -1;
}

static bool is_served(const struct target *t)
{
	struct session_facts f;

	if (!t->session || t->ended)
		return false;
	session_facts(t->session, &f);
	return !f.closing;
}

static void hold_over(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct target *t = w->data;

	(void)loop;
	(void)revents;
	if (t->held_fd >= 0 && is_served(t))
		let_go(t, "the target serves another one");
}

/* libev wants no timer changed that runs. */
static void restart_timer(struct target *t, struct ev_timer *timer, double s)
{
	ev_timer_stop(worker_loop(t->home), timer);
	ev_timer_set(timer, s, 0.);
	ev_timer_start(worker_loop(t->home), timer);
}

static void hold_client(struct target *t, int fd)
{
	if (t->held_fd >= 0)
		let_go(t, "a third one came");
	t->held_fd = fd;
	restart_timer(t, &t->hold, HOLD_S);
}

static void pause_over(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct target *t = w->data;

	(void)revents;
	ev_io_start(loop, &t->accept);
}

/* Without the pause, a client that we cannot take would keep the loop busy. */
static void pause_accepting(struct target *t, int err)
{
	log_guest(t->config->name, "cannot accept a client: %s",
		  strerror(-err));
	ev_io_stop(worker_loop(t->home), &t->accept);
	restart_timer(t, &t->pause, PAUSE_S);
}

static void accept_client(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct target *t = w->data;
	int fd = unixsock_accept(w->fd);

	(void)loop;
	(void)revents;
	if (fd == -EAGAIN || fd == -EINTR)
		return;
	if (fd < 0)
		pause_accepting(t, fd);
	else if (t->session)
		hold_client(t, fd);
	else
		begin_session(t, fd);
}

/* Taking the next step */

static void tell_closed(struct mail *m)
{
	struct target *t = container_of(m, struct target, control_mail);

	shut(t);
	t->closed(t->closed_ctx, t);
}

static void finish_close(struct target *t)
{
	struct ev_loop *loop = worker_loop(t->home);

	ev_io_stop(loop, &t->accept);
	ev_timer_stop(loop, &t->hold);
	if (t->held_fd >= 0)
		offload_close(t->held_fd);
	t->held_fd = -1;
	t->closing = false;
	t->control_mail.deliver = tell_closed;
	mailbox_post(t->control, &t->control_mail);
}

/* The session is over, and all that it had was given back. */
static void finish_session(struct target *t)
{
	int fd = t->held_fd;

	session_free(t->session);
	t->session = NULL;
	t->ended = false;
	t->device->ops->reset(t->device);
	if (fd >= 0 && !t->closing) {
		t->held_fd = -1;
		ev_timer_stop(worker_loop(t->home), &t->hold);
		begin_session(t, fd);
	}
}

static void settle(struct target *t)
{
	if (!loans_are_idle(t->loans))
		return;
	if (t->ended)
		finish_session(t);
	if (t->closing && !t->session && !t->nr_collecting)
		finish_close(t);
}

static void loans_idle(void *ctx)
{
	settle(ctx);
}

static void lend_queue(void *ctx, unsigned index, struct worker *w,
		       const struct queue_user *user)
{
	struct target *t = ctx;

	/* A failure was logged, and told to the front-end. */
	session_start_queue(t->session, index, w, user);
}

/* Opening and closing, on the control thread */

static int fail(struct target *t, int ret, const char *what, const char *why)
{
	bool first = t->state != TARGET_FAILED || !t->reason[0];

	t->state = TARGET_FAILED;
	snprintf(t->reason, sizeof(t->reason), "%s: %s", what, why);
	if (first)
		log_err(t->config->name, "%s", t->reason);
	shut(t);
	return ret;
}

static int open_backend(struct target *t, char *err, size_t len)
{
	static const char *const kinds[] = {
		[CONFIG_KIND_FILE] = "file",
		[CONFIG_KIND_MEM] = "mem",
		[CONFIG_KIND_NULL] = "null",
	};
	static const enum backend_direct direct[] = {
		[CONFIG_DIRECT_AUTO] = BACKEND_DIRECT_AUTO,
		[CONFIG_DIRECT_ON] = BACKEND_DIRECT_ON,
		[CONFIG_DIRECT_OFF] = BACKEND_DIRECT_OFF,
	};
	const struct config_backend *c = &t->config->backend;
	struct backend_params p = {
		.kind = kinds[c->kind],
		.path = c->path,
		.size = c->size,
		.block_size = c->block_size,
		.direct = direct[c->direct],
		.discard = c->discard,
		.read_only = c->read_only,
		.shared = c->shared,
		.zeroes = c->zeroes,
	};

	int ret = kinds_open(&t->backend, &p, err, len);

	return ret ? ret : kinds_admit(&t->backend, &p, err, len);
}

static int open_device(struct target *t)
{
	const struct config_target *c = t->config;
	struct device_params p = {
		.backend = t->backend,
		.serial = c->serial,
		.nr_queues = c->queues,
		.seg_max = c->seg_max,
		.read_only = c->read_only,
	};

	int ret = models_find("blk")->open(&t->device, &p);

	if (ret == 0)
		loans_bind(t->loans, t->device);
	return ret;
}

static int open_socket(struct target *t, struct unixsock_why *why)
{
	const struct config_target *c = t->config;
	struct unixsock_access access;
	int ret = unixsock_access_find(&access, c->socket_owner,
				       c->socket_group, c->socket_mode, why);

	if (ret < 0)
		return ret;
	return unixsock_listen(&t->sock, c->socket, &access, why);
}

int target_open(struct target *t)
{
	char err[256] = "";
	struct unixsock_why why = {""};
	int ret = open_backend(t, err, sizeof(err));

	if (ret < 0)
		return fail(t, ret, "cannot open the backend", err);
	ret = open_device(t);
	if (ret < 0)
		return fail(t, ret, "cannot make the device", strerror(-ret));
	ret = open_socket(t, &why);
	if (ret < 0) {
		snprintf(err, sizeof(err), "cannot listen on %s",
			 t->config->socket);
		return fail(t, ret, err, why.text);
	}
	t->state = TARGET_OPEN;
	t->reason[0] = '\0';
	log_info(t->config->name, "listening socket=%s backend=%s size=%llu",
		 t->config->socket, t->backend->name,
		 (unsigned long long)t->backend->info.size);
	return 0;
}

int target_new(struct target **out, const struct target_params *p)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->config = p->config;
	t->control = p->control;
	t->home = p->workers[0];
	t->sock.fd = -1;
	t->held_fd = -1;
	t->state = TARGET_FAILED;
	struct loans_params lp = {
		.tag = p->config->name,
		.nr_queues = p->config->queues,
		.workers = p->workers,
		.nr_workers = p->nr_workers,
		.lend = lend_queue,
		.idle = loans_idle,
		.ctx = t,
	};

	if (loans_new(&t->loans, &lp) < 0) {
		free(t);
		return -ENOMEM;
	}
	target_open(t);
	*out = t;
	return 0;
}

void target_free(struct target *t)
{
	if (!t)
		return;
	shut(t);
	loans_free(t->loans);
	free(t);
}

static void deliver_start(struct mail *m)
{
	struct target *t = container_of(m, struct target, start_mail);

	ev_io_init(&t->accept, accept_client, t->sock.fd, EV_READ);
	t->accept.data = t;
	ev_timer_init(&t->hold, hold_over, 0., 0.);
	t->hold.data = t;
	ev_timer_init(&t->pause, pause_over, 0., 0.);
	t->pause.data = t;
	ev_io_start(worker_loop(t->home), &t->accept);
}

void target_start(struct target *t)
{
	if (t->state != TARGET_OPEN)
		return;
	t->start_mail.deliver = deliver_start;
	worker_post(t->home, &t->start_mail);
}

static void deliver_close(struct mail *m)
{
	struct target *t = container_of(m, struct target, close_mail);

	t->closing = true;
	ev_io_stop(worker_loop(t->home), &t->accept);
	ev_timer_stop(worker_loop(t->home), &t->pause);
	if (t->session && !t->ended) {
		log_warn(t->config->name, "cutting its client off");
		session_close(t->session);
	}
	settle(t);
}

void target_close(struct target *t, void (*closed)(void *ctx, struct target *t),
		  void *ctx)
{
	if (t->state != TARGET_OPEN) {
		closed(ctx, t);
		return;
	}
	t->state = TARGET_CLOSING;
	t->closed = closed;
	t->closed_ctx = ctx;
	t->close_mail.deliver = deliver_close;
	worker_post(t->home, &t->close_mail);
}

const struct config_target *target_config(const struct target *t)
{
	return t->config;
}

enum target_state target_state(const struct target *t)
{
	return t->state;
}

void target_counters(const struct target *t, struct counters *sum)
{
	loans_counters(t->loans, sum);
}

/* Facts: control asks the home, and that every worker that has a queue */

static void tell_facts(struct mail *m)
{
	struct target_facts *f = container_of(m, struct target_facts, mail);

	f->done(f);
}

/* One answer less to wait for. */
static void note_facts(struct target_facts *f)
{
	struct target *t = f->target;

	if (--f->pending > 0)
		return;
	t->nr_collecting--;
	f->mail.deliver = tell_facts;
	mailbox_post(t->control, &f->mail);
	settle(t);
}

static void queue_facts_done(struct mail *m)
{
	note_facts(container_of(m, struct target_queue, mail)->all);
}

static void deliver_queue_facts(struct mail *m)
{
	struct target_queue *q = container_of(m, struct target_queue, mail);

	queue_facts(q->queue, &q->facts);
	q->mail.deliver = queue_facts_done;
	worker_post(q->all->target->home, &q->mail);
}

/*
 * Only a running queue is asked: mail of one sender stays in order, so its
 * worker answers before it can have been asked to give the queue back, and the
 * queue cannot have become another's, or be freed, by then.
 */
static void ask_queue(struct target_facts *f, unsigned index, struct queue *q)
{
	struct target_queue *tq = &f->queues[f->nr_queues++];

	tq->index = index;
	tq->facts.worker = worker_id(queue_worker(q));
	if (queue_state(q) == QUEUE_DRAINING) {
		tq->draining = true;
		return;
	}
	tq->queue = q;
	tq->all = f;
	tq->mail.deliver = deliver_queue_facts;
	f->pending++;
	worker_post(queue_worker(q), &tq->mail);
}

static void ask_queues(struct target_facts *f)
{
	struct target *t = f->target;

	f->queues = calloc(t->config->queues, sizeof(*f->queues));
	for (unsigned i = 0; i < t->config->queues && f->queues; i++) {
		struct queue *q = session_queue(t->session, i);

		if (q && queue_state(q) != QUEUE_IDLE)
			ask_queue(f, i, q);
	}
}

static void deliver_facts(struct mail *m)
{
	struct target_facts *f = container_of(m, struct target_facts, mail);
	struct target *t = f->target;

	f->claim = loans_claim(t->loans, f->reason, sizeof(f->reason));
	t->nr_collecting++;
	f->pending = 1;
	f->connected = t->session && !t->ended;
	if (f->connected) {
		session_facts(t->session, &f->session);
		ask_queues(f);
	}
	note_facts(f);
}

void target_collect(struct target *t, struct target_facts *f,
		    void (*done)(struct target_facts *f))
{
	memset(f, 0, sizeof(*f));
	f->target = t;
	f->state = t->state;
	f->done = done;
	snprintf(f->reason, sizeof(f->reason), "%s", t->reason);
	if (t->state != TARGET_OPEN) {
		done(f);
		return;
	}
	f->info = t->backend->info;
	f->mail.deliver = deliver_facts;
	worker_post(t->home, &f->mail);
}

void target_facts_fini(struct target_facts *f)
{
	free(f->queues);
	f->queues = NULL;
	f->nr_queues = 0;
}
