/* SPDX-License-Identifier: BSD-2-Clause */
/* How a queue and its driver wake each other: kick, call and error. */
#include "vhost/notify.h"

#include <errno.h>

#include "base/util.h"
#include "run/offload.h"

#define POLL_INTERVAL_NS 1000000 /* for a ring without a kick */

/* ---- kicks ---- */

static void fire_kick(struct wake *k)
{
	struct notify *n = container_of(k, struct notify, kick);

	n->kicked(n);
}

static void set_poll(struct notify *n)
{
	alarms_set(worker_alarms(n->worker), &n->poll,
		   worker_now_ns(n->worker) + POLL_INTERVAL_NS);
}

static void fire_poll(struct alarm *a)
{
	struct notify *n = container_of(a, struct notify, poll);

	set_poll(n);
	n->polled(n);
}

const char *notify_watch(struct notify *n, int fd)
{
	int err;

	n->kick.fd = fd;
	if (fd < 0) {
		set_poll(n);
		return NULL;
	}
	err = worker_watch(n->worker, &n->kick);
	if (!err)
		return NULL;
	offload_close(fd);
	n->kick.fd = -1;
	return err == -EPERM ? "kick descriptor is a regular file"
			     : "kick descriptor cannot be waited for";
}

void notify_unwatch(struct notify *n)
{
	alarms_clear(worker_alarms(n->worker), &n->poll);
	if (n->kick.fd >= 0) {
		worker_unwatch(n->worker, &n->kick);
		offload_close(n->kick.fd);
	}
	n->kick.fd = -1;
}

/* ---- calls ---- */

void notify_call(struct notify *n)
{
	n->was_called = true;
	if (n->call)
		call_send(n->call, n->worker);
}

void notify_err(struct notify *n)
{
	if (n->err)
		call_send(n->err, n->worker);
}

bool notify_is_busy(const struct notify *n)
{
	return call_is_busy(n->call) || call_is_busy(n->err);
}

static void note_stopped(void *ctx)
{
	struct notify *n = ctx;

	n->nr_stopping--;
	n->stopped(n);
}

static void stop_call(struct notify *n, struct call **c)
{
	if (call_stop(*c, note_stopped, n))
		n->nr_stopping++;
	*c = NULL;
}

bool notify_stop(struct notify *n)
{
	stop_call(n, &n->call);
	stop_call(n, &n->err);
	return !n->nr_stopping;
}

/* Tell a call that was just made, if any, on whose behalf it is. */
static void name_call(const struct notify *n, struct call *c, uint64_t *made)
{
	if (!c)
		return;
	c->tag = n->tag;
	c->made = made;
}

void notify_change_call(struct notify *n, struct call *c)
{
	stop_call(n, &n->call);
	n->call = c;
	name_call(n, c, n->calls);
	if (n->was_called)
		notify_call(n);
}

void notify_change_err(struct notify *n, struct call *c)
{
	stop_call(n, &n->err);
	n->err = c;
	name_call(n, c, NULL);
}

/* ---- life ---- */

void notify_init(struct notify *n, const char *tag,
		 void (*kicked)(struct notify *n),
		 void (*polled)(struct notify *n),
		 void (*stopped)(struct notify *n))
{
	*n = (struct notify){
		.kicked = kicked,
		.polled = polled,
		.stopped = stopped,
		.tag = tag,
		.kick = {.fd = -1, .fire = fire_kick},
	};
	alarm_init(&n->poll, fire_poll);
}

int notify_set(struct notify *n, struct worker *w, int kick, int call, int err,
	       uint64_t *calls)
{
	int ret = call_new(&n->call, call);

	if (!ret)
		ret = call_new(&n->err, err);
	if (ret) {
		notify_unset(n);
		return ret;
	}
	n->worker = w;
	n->kick.fd = kick;
	n->was_called = false;
	n->calls = calls;
	name_call(n, n->call, calls);
	name_call(n, n->err, NULL);
	return 0;
}

static void forget_call(struct call **c)
{
	if (*c)
		(*c)->fd = -1;
	call_free(*c);
	*c = NULL;
}

void notify_unset(struct notify *n)
{
	forget_call(&n->call);
	forget_call(&n->err);
	n->kick.fd = -1;
}
