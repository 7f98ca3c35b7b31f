/* SPDX-License-Identifier: BSD-2-Clause */
/* One configured disk, from its opening to its end, as control sees it. */
#include "daemon/target.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/kinds.h"
#include "base/log.h"
#include "base/unixsock.h"
#include "device/models.h"
#include "run/offload.h"

/* What an offload thread does for a target: constant while it runs. */
struct task {
	struct offload_job job;
	struct config *owner;
	const struct config_target *config;

	/* results */
	struct backend *backend;
	struct unixsock sock;
	int ret;
	char why[512];
};

struct target {
	struct target_params p;
	char *name; /* of all its configurations, and its tag */
	unsigned users;
	struct worker **workers;
	struct limits *limits;
	enum target_state state;
	char reason[512];
	bool in_task;
	bool is_access_wrong;
	bool access_due; /* the socket does not have its rights yet */
	bool retire_due; /* it was to retire while something was under way */
	enum server_retire how;
	struct task task;

	/* while open */
	struct unixsock sock;
	struct backend *backend;
	struct device *device;
	struct server *server; /* stays until the target is freed */
	struct growth growth;
	uint64_t opened_us;    /* CLOCK_MONOTONIC, 0 before */
};

static void set_reason(struct target *t, const char *what, const char *why)
{
	char text[sizeof(t->reason)];

	snprintf(text, sizeof(text), "%s%s%s", what, *why ? ": " : "", why);
	if (strcmp(text, t->reason))
		log_event(LOG_TARGET_FAILED, t->name,
			  "cannot be served as configured: %s", text);
	memcpy(t->reason, text, sizeof(text));
}

static void tell_changed(struct target *t)
{
	t->p.changed(t->p.ctx, t);
}

/* Tasks: what can block */

static void begin_task(struct target *t, void (*run)(struct offload_job *j),
		       void (*done)(struct offload_job *j))
{
	assert(!t->in_task);
	t->in_task = true;
	target_get(t);
	t->task.owner = config_get(t->p.owner);
	t->task.config = t->p.config;
	t->task.backend = NULL;
	t->task.sock.fd = -1;
	t->task.why[0] = '\0';
	offload_run(&t->task.job, run, done, t->p.control);
}

/* The caller still is a user: it puts the target when it is done with it. */
static struct target *end_task(struct offload_job *j)
{
	struct target *t = container_of(j, struct target, task.job);

	t->in_task = false;
	config_put(t->task.owner);
	return t;
}

/*
 * Who has storage together with others knows its own part in that by a name
 * that nobody else has at the time, and that it still has after a restart.
 */
static const char *user_of(const struct target *t, const struct config *owner,
			   const struct config_target *c)
{
	if (t->p.given)
		return NULL;
	return owner ? owner->control_path : c->socket;
}

/* @owner is that of @c: a thread's is not the target's any more, perhaps. */
static struct backend_params backend_params_of(const struct target *t,
					       const struct config *owner,
					       const struct config_target *c)
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

	return (struct backend_params){
		.tag = c->name,
		.kind = kinds[c->backend.kind],
		.path = c->backend.path,
		.size = c->backend.size,
		.block_size = c->backend.block_size,
		.direct = direct[c->backend.direct],
		.discard = c->backend.discard,
		.read_only = c->backend.read_only,
		.shared = c->backend.shared,
		.user = user_of(t, owner, c),
		.zeroes = c->backend.zeroes,
		.delay_us = c->backend.delay_us,
	};
}

static int find_access(const struct config_target *c,
		       struct unixsock_access *access, struct unixsock_why *why)
{
	return unixsock_access_find(access, c->socket_owner, c->socket_group,
				    c->socket_mode, why);
}

static int listen_for(struct task *k)
{
	const struct target *t = container_of_const(k, struct target, task);
	const struct config_target *c = k->config;
	struct unixsock_access access;
	struct unixsock_why why = {""};
	int ret;

	if (t->p.given) {
		k->sock = *t->p.given;
		return 0;
	}
	ret = find_access(c, &access, &why);
	if (ret == 0)
		ret = unixsock_listen(&k->sock, c->socket, &access, &why);
	if (ret < 0)
		snprintf(k->why, sizeof(k->why), "cannot listen on %s: %s",
			 c->socket, why.text);
	return ret;
}

static void run_open(struct offload_job *j)
{
	struct task *k = container_of(j, struct task, job);
	const struct target *t = container_of(k, struct target, task);
	struct backend_params p = backend_params_of(t, k->owner, k->config);
	char err[256] = "";

	k->ret = kinds_open(&k->backend, &p, err, sizeof(err));
	if (k->ret < 0)
		snprintf(k->why, sizeof(k->why), "cannot open the backend: %s",
			 err);
	else
		k->ret = listen_for(k);
}

static void run_access(struct offload_job *j)
{
	struct task *k = container_of(j, struct task, job);
	struct target *t = container_of(k, struct target, task);
	struct unixsock_access access;
	struct unixsock_why why = {""};

	k->ret = find_access(k->config, &access, &why);
	if (k->ret == 0) {
		k->ret = unixsock_set_access(&t->sock, &access);
		snprintf(why.text, sizeof(why.text), "%s", strerror(-k->ret));
	}
	if (k->ret < 0)
		snprintf(k->why, sizeof(k->why),
			 "cannot change who may connect to %s: %s",
			 t->sock.path, why.text);
}

/* Undo what opening made.  No worker has anything of it. */
static void shut(struct target *t)
{
	unixsock_close(&t->sock);
	growth_end(&t->growth);
	if (t->device)
		t->device->ops->close(t->device);
	kinds_close(t->backend);
	t->device = NULL;
	t->backend = NULL;
}

/* Live changes */

static void access_done(struct offload_job *j);

static void start_update(struct target *t)
{
	t->access_due = false;
	begin_task(t, run_access, access_done);
}

/* An operation came to its end: is there one that was waiting for that? */
static void go_on(struct target *t)
{
	if (t->retire_due && t->state != TARGET_CLOSED)
		target_retire(t, t->how);
	else if (t->access_due && t->state == TARGET_OPEN && !t->in_task)
		start_update(t);
	else
		tell_changed(t);
}

static void access_done(struct offload_job *j)
{
	struct target *t = end_task(j);

	if (t->task.ret < 0)
		set_reason(t, t->task.why, "");
	t->is_access_wrong = t->task.ret < 0;
	go_on(t);
	target_put(t);
}

static bool is_access_equal(const struct config_target *a,
			    const struct config_target *b)
{
	static const enum config_key_id keys[] = {
		CONFIG_KEY_TARGET_socket_owner,
		CONFIG_KEY_TARGET_socket_group,
		CONFIG_KEY_TARGET_socket_mode,
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!config_keys_equal(keys[i], a, b))
			return false;
	return true;
}

/* What the configuration says from now on. */
static void set_limits(struct target *t)
{
	const struct config_limits *c = &t->p.config->limits;
	const struct limits_rates rates = {
		.per_s = {
			[LIMITS_IOPS] = c->iops,
			[LIMITS_READ_IOPS] = c->read_iops,
			[LIMITS_WRITE_IOPS] = c->write_iops,
			[LIMITS_BANDWIDTH] = c->bandwidth,
			[LIMITS_READ_BANDWIDTH] = c->read_bandwidth,
			[LIMITS_WRITE_BANDWIDTH] = c->write_bandwidth,
		},
		.burst_us = c->burst_us,
	};
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	limits_set(t->limits, &rates, ts.tv_sec * 1000000000ULL + ts.tv_nsec);
}

void target_update(struct target *t, struct config *owner,
		   const struct config_target *config)
{
	bool access = t->is_access_wrong ||
		      !is_access_equal(t->p.config, config);

	config_get(owner);
	config_put(t->p.owner);
	t->p.owner = owner;
	t->p.config = config;
	set_limits(t);
	if (t->state == TARGET_OPEN)
		t->reason[0] = '\0';
	/* A target that is not open yet will be opened with these rights. */
	if (access && (t->state == TARGET_OPEN || t->state == TARGET_OPENING))
		t->access_due = true;
	if (!t->in_task)
		go_on(t);
}

/* The server's answers */

static void server_answered(void *ctx, enum server_answer answer)
{
	struct target *t = ctx;

	assert(t->state == TARGET_RETIRING || t->state == TARGET_LINGERING);
	switch (answer) {
	case SERVER_BUSY:
		t->state = TARGET_OPEN;
		break;
	case SERVER_LINGERS:
		/* Its name may be taken by another one from now on. */
		unixsock_close(&t->sock);
		t->state = TARGET_LINGERING;
		break;
	case SERVER_CLOSED:
		shut(t);
		t->state = TARGET_CLOSED;
		break;
	}
	go_on(t);
}

static void server_news(void *ctx)
{
	tell_changed(ctx);
}

/* Opening */

static int make_device(struct target *t, const struct config_target *c)
{
	struct device_params p = {
		.backend = t->backend,
		.serial = c->serial,
		.nr_queues = c->queues,
		.seg_max = c->seg_max,
		.read_only = c->read_only,
	};

	return models_find("blk")->open(&t->device, &p);
}

static int make_server(struct target *t, const struct config_target *c)
{
	bool listens = unixsock_is_listening(t->sock.fd);
	struct server_params p = {
		.tag = t->name,
		.workers = t->workers,
		.nr_workers = t->p.nr_workers,
		.device = t->device,
		.limits = t->limits,
		.listen_fd = listens ? t->sock.fd : -1,
		.client_fd = listens ? -1 : t->sock.fd,
		.nr_queues = c->queues,
		.max_queue_size = c->queue_size,
		.packed = c->packed,
		.memory_files = c->memory_files == CONFIG_MEMORY_FILES_ANY
					? MAPPING_ANY
					: MAPPING_SHMEM,
		.fixed = c->fixed_buffers,
		.control = t->p.control,
		.answered = server_answered,
		.news = server_news,
		.ctx = t,
	};

	int ret = server_new(&t->server, &p);

	/* A client is the server's from here on. */
	if (ret == 0 && !listens)
		t->sock.fd = -1;
	return ret;
}

/* What is left of opening when the thread is back, and cannot block. */
static int finish_open(struct target *t, const struct config_target *c)
{
	struct backend_params p = backend_params_of(t, t->p.owner, c);
	char err[256] = "";
	int ret = kinds_admit(&t->backend, &p, err, sizeof(err));

	if (ret < 0) {
		snprintf(t->task.why, sizeof(t->task.why),
			 "cannot open the backend: %s", err);
		return ret;
	}
	ret = make_device(t, c);
	if (ret == 0)
		ret = make_server(t, c);
	if (ret == 0)
		growth_begin(&t->growth, t->backend, t->server);
	if (ret < 0)
		snprintf(t->task.why, sizeof(t->task.why),
			 "cannot make the device: %s", strerror(-ret));
	return ret;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

static void start_serving(struct target *t)
{
	t->state = TARGET_OPEN;
	t->reason[0] = '\0';
	t->opened_us = now_us();
	server_start(t->server);
	if (t->sock.fd < 0)
		return;
	log_event(LOG_TARGET_LISTENING, t->name,
		  "listening socket=%s backend=%s size=%llu", t->sock.path,
		  t->backend->name, (unsigned long long)t->backend->info.size);
}

static void open_done(struct offload_job *j)
{
	struct target *t = container_of(j, struct target, task.job);
	bool wanted = t->state == TARGET_OPENING;

	t->backend = t->task.backend;
	t->sock = t->task.sock;
	if (t->task.ret == 0 && wanted)
		t->task.ret = finish_open(t, t->task.config);
	if (t->task.ret == 0 && wanted) {
		start_serving(t);
	} else {
		shut(t);
		if (wanted) {
			t->state = TARGET_FAILED;
			set_reason(t, t->task.why, "");
		}
	}
	end_task(j);
	if (wanted)
		go_on(t);
	target_put(t);
}

void target_open(struct target *t)
{
	assert(t->state == TARGET_NEW || t->state == TARGET_FAILED);
	t->state = TARGET_OPENING;
	t->access_due = false;
	begin_task(t, run_open, open_done);
}

/* Retiring */

void target_retire(struct target *t, enum server_retire how)
{
	/* What is under way comes to its end first. */
	if (t->state == TARGET_RETIRING ||
	    (t->state == TARGET_OPEN && t->in_task)) {
		if (!t->retire_due || how == SERVER_CUT)
			t->how = how;
		t->retire_due = true;
		return;
	}
	t->retire_due = false;
	switch (t->state) {
	case TARGET_OPEN:
	case TARGET_LINGERING:
		t->state = TARGET_RETIRING;
		server_retire(t->server, how);
		break;
	case TARGET_NEW:
	case TARGET_OPENING:
	case TARGET_FAILED:
		t->state = TARGET_CLOSED;
		tell_changed(t);
		break;
	case TARGET_RETIRING:
	case TARGET_CLOSED:
		break;
	}
}

bool target_is_busy(const struct target *t)
{
	return t->state == TARGET_OPENING || t->state == TARGET_RETIRING ||
	       (t->state == TARGET_OPEN && t->in_task);
}

/* Life */

static int copy_workers(struct target *t)
{
	size_t size = t->p.nr_workers * sizeof(*t->workers);

	t->workers = malloc(size);
	if (!t->workers)
		return -ENOMEM;
	memcpy(t->workers, t->p.workers, size);
	t->p.workers = NULL;
	return 0;
}

static void free_target(struct target *t)
{
	assert(!t->in_task && !t->backend);
	server_free(t->server);
	limits_free(t->limits);
	config_put(t->p.owner);
	free(t->workers);
	free(t->name);
	free(t);
}

static void hold(void *ctx)
{
	target_get(ctx);
}

static void release(void *ctx)
{
	target_put(ctx);
}

static void make_growth(struct target *t)
{
	const struct growth_params p = {
		.tag = t->name,
		.control = t->p.control,
		.hold = hold,
		.release = release,
		.ctx = t,
	};

	growth_init(&t->growth, &p);
}

int target_new(struct target **out, const struct target_params *p)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->p = *p;
	t->users = 1;
	t->sock.fd = -1;
	config_get(t->p.owner);
	t->name = strdup(p->config->name);
	if (!t->name || copy_workers(t) < 0 || limits_new(&t->limits) < 0) {
		free_target(t);
		return -ENOMEM;
	}
	set_limits(t);
	make_growth(t);
	*out = t;
	return 0;
}

struct target *target_get(struct target *t)
{
	t->users++;
	return t;
}

void target_put(struct target *t)
{
	if (t && !--t->users)
		free_target(t);
}

const struct config_target *target_config(const struct target *t)
{
	return t->p.config;
}

struct config *target_owner(const struct target *t)
{
	return t->p.owner;
}

enum target_state target_state(const struct target *t)
{
	return t->state;
}

const char *target_reason(const struct target *t)
{
	return t->reason;
}

bool target_is_connected(const struct target *t)
{
	return t->server && server_is_connected(t->server);
}

bool target_is_over(const struct target *t)
{
	return t->server && server_is_over(t->server);
}

bool target_is_outdated(const struct target *t)
{
	return t->backend && atomic_load(&t->backend->is_outdated);
}

const struct limits_rates *target_limits(const struct target *t)
{
	return limits_rates(t->limits);
}

unsigned target_home(const struct target *t)
{
	return worker_id(t->workers[0]);
}

void target_counters(const struct target *t, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (t->server)
		server_counters(t->server, sum);
}

/* Size */

struct growth *target_growth(struct target *t)
{
	return &t->growth;
}

/* Facts */

static void served_done(struct served *s)
{
	struct target_facts *f = container_of(s, struct target_facts, served);

	if (s->reason[0])
		snprintf(f->reason, sizeof(f->reason), "%s", s->reason);
	f->done(f);
}

void target_collect(struct target *t, struct target_facts *f,
		    void (*done)(struct target_facts *f))
{
	memset(f, 0, sizeof(*f));
	f->target = target_get(t);
	f->state = t->state;
	f->opened_us = t->opened_us;
	f->done = done;
	snprintf(f->reason, sizeof(f->reason), "%s", t->reason);
	if (!t->backend) {
		done(f);
		return;
	}
	f->info = t->backend->info;
	served_collect(t->server, &f->served, served_done);
}

void target_facts_fini(struct target_facts *f)
{
	served_fini(&f->served);
	target_put(f->target);
	f->target = NULL;
}

/* Cutting a client off */

static void cut_done(struct server_cut *s)
{
	struct target_cut *c = container_of(s, struct target_cut, peer);

	c->done(c);
}

void target_cut(struct target *t, struct target_cut *c,
		void (*done)(struct target_cut *c))
{
	*c = (struct target_cut){.target = target_get(t), .done = done};
	if (t->backend)
		server_disconnect(t->server, &c->peer, cut_done);
	else
		done(c);
}

void target_cut_fini(struct target_cut *c)
{
	target_put(c->target);
	c->target = NULL;
}
