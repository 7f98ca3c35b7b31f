/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration that runs, and how another one takes its place. */
#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/list.h"
#include "base/log.h"
#include "daemon/config_disks.h"
#include "daemon/lastgood.h"
#include "daemon/rescan.h"
#include "run/offload.h"
#include "run/worker.h"

#define TAG "vringd/reload"

/* Errors of one file that go to the log; the answer has them all. */

enum {
	STATUS_DONE,
	STATUS_REFUSED,
	STATUS_IN_PART,
};

struct request {
	struct list link;
	bool dry_run;
	struct control_reply *reply; /* or NULL */
};

struct reload {
	struct reload_params p;
	struct config *config; /* accepted last */
	struct list requests;  /* when busy, the first one is under way */
	bool is_busy;
	bool is_starting; /* then it is no request that is under way */
	bool is_stopping;
	bool is_successful;
	bool from_last_good;
	time_t success_time;
	struct plan *plan; /* that is being carried out */
	struct rescan *rescan; /* after that */
	struct json_object *grown; /* what came of it */

	/* the offload thread's while it reads, or stores */
	struct offload_job job;
	struct config *loaded;
	const struct config *saved;
	struct config_errors errs;
	int ret;
};

static void take_next(struct reload *r);

static struct request *first_request(struct reload *r)
{
	return list_entry(r->requests.next, struct request, link);
}

/* The log */

static void log_change(const struct plan_change *ch)
{
	char keys[300];

	plan_print_keys(ch->keys, keys, sizeof(keys));
	switch (ch->outcome) {
	case PLAN_REFUSED:
		log_warn(ch->name, "target not %s: %s", plan_word(ch->what),
			 ch->why);
		break;
	case PLAN_LINGERS:
		log_warn(ch->name, "target %s, but lingers: it %s",
			 plan_word(ch->what), ch->why);
		break;
	case PLAN_FAILED: /* was said by the target */
		break;
	case PLAN_OK:
		if (*keys)
			log_info(ch->name, "target %s: %s",
				 plan_word(ch->what), keys);
		else if (ch->what != PLAN_KEEP)
			log_info(ch->name, "target %s", plan_word(ch->what));
		break;
	}
}

/* Print the new keys of the file itself that have this effect. */
static void print_top(const struct plan *plan, enum config_effect effect,
		      char *buf, size_t size)
{
	bool keys[CONFIG_KEYS];

	plan_find_top(plan, effect, keys);
	plan_print_keys(keys, buf, size);
}

static void log_plan(const struct plan *plan)
{
	char keys[300];

	for (unsigned i = 0; i < plan->nr; i++)
		log_change(&plan->changes[i]);
	print_top(plan, CONFIG_EFFECT_LIVE, keys, sizeof(keys));
	if (*keys)
		log_info(TAG, "changed: %s", keys);
	print_top(plan, CONFIG_EFFECT_RESTART, keys, sizeof(keys));
	if (*keys)
		log_warn(TAG, "restart vringd to change: %s", keys);
	log_event(
		LOG_RELOADED, TAG,
		"done added=%u removed=%u replaced=%u changed=%u unchanged=%u "
		"failed=%u refused=%u",
		plan_count(plan, PLAN_ADD), plan_count(plan, PLAN_REMOVE),
		plan_count(plan, PLAN_REPLACE), plan_count(plan, PLAN_UPDATE),
		plan_count(plan, PLAN_KEEP),
		plan_count_outcome(plan, PLAN_FAILED),
		plan_count_outcome(plan, PLAN_REFUSED));
}

/* The answer */

static void add_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_count(struct json_object *o, const char *key, unsigned n)
{
	json_object_object_add(o, key, json_object_new_int64(n));
}

static struct json_object *errors_of(const struct reload *r, bool warnings)
{
	struct json_object *a = json_object_new_array();
	char line[CONFIG_ERRORS_LINE];

	for (size_t i = 0; i < r->errs.nr; i++) {
		if (r->errs.list[i].warning != warnings)
			continue;
		config_errors_line(&r->errs.list[i], line, sizeof(line));
		json_object_array_add(a, json_object_new_string(line));
	}
	return a;
}

static struct json_object *change_of(const struct plan_change *ch)
{
	static const char *const outcomes[] = {
		[PLAN_OK] = "ok",
		[PLAN_LINGERS] = "lingers",
		[PLAN_REFUSED] = "refused",
		[PLAN_FAILED] = "failed",
	};
	struct json_object *o = json_object_new_object();
	char keys[300];

	plan_print_keys(ch->keys, keys, sizeof(keys));
	add_text(o, "target", ch->name);
	add_text(o, "change", plan_word(ch->what));
	add_text(o, "outcome", outcomes[ch->outcome]);
	add_text(o, "keys", keys);
	add_text(o, "reason", ch->why);
	return o;
}

static struct json_object *changes_of(const struct plan *plan)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < plan->nr; i++) {
		const struct plan_change *ch = &plan->changes[i];

		if (ch->what != PLAN_KEEP || ch->outcome != PLAN_OK)
			json_object_array_add(a, change_of(ch));
	}
	return a;
}

static struct json_object *top_of(const struct plan *plan,
				  enum config_effect effect)
{
	struct json_object *a = json_object_new_array();
	bool keys[CONFIG_KEYS];
	char name[64];

	plan_find_top(plan, effect, keys);
	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		if (!keys[id])
			continue;
		snprintf(name, sizeof(name), "%s%s",
			 config_keys_prefix(config_keys[id].scope),
			 config_keys[id].name);
		json_object_array_add(a, json_object_new_string(name));
	}
	return a;
}

/* @plan is NULL when the text was wrong. */
static struct json_object *make_answer(const struct reload *r, bool applied,
				       const struct plan *plan)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "file", r->p.path);
	json_object_object_add(o, "applied", json_object_new_boolean(applied));
	json_object_object_add(o, "errors", errors_of(r, false));
	json_object_object_add(o, "warnings", errors_of(r, true));
	if (!plan)
		return o;
	json_object_object_add(o, "changes", changes_of(plan));
	json_object_object_add(o, "live", top_of(plan, CONFIG_EFFECT_LIVE));
	json_object_object_add(o, "restart",
			       top_of(plan, CONFIG_EFFECT_RESTART));
	add_count(o, "unchanged", plan_count(plan, PLAN_KEEP));
	if (r->grown)
		json_object_object_add(o, "grown", json_object_get(r->grown));
	return o;
}

static int status_of(const struct plan *plan)
{
	char keys[300];

	print_top(plan, CONFIG_EFFECT_RESTART, keys, sizeof(keys));
	if (*keys)
		return STATUS_IN_PART;
	if (plan_count_outcome(plan, PLAN_FAILED) ||
	    plan_count_outcome(plan, PLAN_REFUSED))
		return STATUS_IN_PART;
	return STATUS_DONE;
}

/* Steps, the last one first */

/* The request under way is over. */
static void end_request(struct reload *r, int status,
			struct json_object *answer)
{
	struct request *q = first_request(r);

	config_put(r->loaded);
	r->loaded = NULL;
	config_errors_fini(&r->errs);
	free(r->plan);
	r->plan = NULL;
	json_object_put(r->grown);
	r->grown = NULL;
	r->is_busy = false;
	if (!q->dry_run)
		sd_notify(0, "READY=1");
	if (q->reply)
		control_reply_send_status(q->reply, status, answer);
	else
		json_object_put(answer);
	list_del(&q->link);
	free(q);
	take_next(r);
}

static void note_success(struct reload *r)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!r->is_starting)
		r->from_last_good = false;
	if (r->from_last_good)
		return;
	r->success_time = now.tv_sec;
	r->is_successful = true;
}

static void end_start(struct reload *r)
{
	free(r->plan);
	r->plan = NULL;
	r->is_busy = false;
	r->is_starting = false;
	r->p.ready(r->p.ctx);
	take_next(r);
}

static void run_save(struct offload_job *j)
{
	struct reload *r = container_of(j, struct reload, job);

	r->ret = lastgood_save(r->saved);
}

static void save_done(struct offload_job *j)
{
	struct reload *r = container_of(j, struct reload, job);

	if (r->ret < 0)
		log_err(TAG, "cannot keep the configuration for a restart: %s",
			strerror(-r->ret));
	if (r->is_stopping)
		return;
	if (r->is_starting) {
		end_start(r);
		return;
	}
	log_plan(r->plan);
	end_request(r, status_of(r->plan), make_answer(r, true, r->plan));
}

static void save(struct reload *r)
{
	r->saved = r->is_starting ? r->config : r->loaded;
	offload_run(&r->job, run_save, save_done, r->p.control);
}

static void rescan_done(void *ctx, const struct rescan *rescan)
{
	struct reload *r = ctx;

	r->rescan = NULL;
	r->grown = rescan_answer(rescan, false);
	save(r);
}

/* The roster has done what could be done. */
static void plan_done(void *ctx)
{
	struct reload *r = ctx;
	const struct rescan_params p = {
		.roster = r->p.roster,
		.loop = r->p.loop,
		.done = rescan_done,
		.ctx = r,
	};

	int ret = 0;

	note_success(r);
	if (!r->is_starting)
		ret = rescan_begin(&p, &r->rescan);
	if (ret < 0)
		log_err(TAG, "cannot look at the storage: %s", strerror(-ret));
	if (ret < 0 || r->is_starting)
		save(r);
}

static const enum log_level levels[] = {
	[CONFIG_LOG_ERR] = LOG_LEVEL_ERR,
	[CONFIG_LOG_WARN] = LOG_LEVEL_WARN,
	[CONFIG_LOG_INFO] = LOG_LEVEL_INFO,
	[CONFIG_LOG_DEBUG] = LOG_LEVEL_DEBUG,
};

_Static_assert(VALUE_POLL_AUTO == WORKER_POLL_AUTO, "passed on as it is");

static void set_poll(const struct reload *r)
{
	for (unsigned i = 0; i < r->p.nr_workers; i++)
		if (worker_set_poll(r->p.workers[i], r->config->poll_us) < 0)
			log_err(TAG, "cannot change poll worker=%u: %s", i,
				strerror(ENOMEM));
}

static void accept_config(struct reload *r)
{
	config_put(r->config);
	r->config = config_get(r->loaded);
	log_set(levels[r->config->log_level], r->p.debug);
	/* Told again, a worker forgets what it has learnt. */
	if (r->plan->top[CONFIG_KEY_TOP_poll_us])
		set_poll(r);
}

/* Nothing changes: the errors say why, or @ret does where there are none. */
static void refuse(struct reload *r, int ret)
{
	const struct config_place file = {.file = r->p.path};

	if (!r->errs.nr_errors)
		config_errors_add(&r->errs, false, file, "%s", strerror(-ret));
	if (!first_request(r)->dry_run) {
		config_errors_log(&r->errs, TAG);
		log_event(LOG_RELOAD_REFUSED, TAG,
			  "nothing changed errors=%u file=%s",
			  r->errs.nr_errors, r->p.path);
		r->is_successful = false;
	}
	end_request(r, STATUS_REFUSED, make_answer(r, false, NULL));
}

static void carry_out(struct reload *r, bool dry_run)
{
	if (!dry_run)
		config_errors_log(&r->errs, TAG);

	int ret = roster_plan(r->p.roster, r->p.config, r->config, r->loaded,
			      &r->plan);

	if (ret == 0 && dry_run) {
		end_request(r, STATUS_DONE, make_answer(r, false, r->plan));
		return;
	}
	/* Its end may come inside, but goes on by way of another thread. */
	if (ret == 0)
		ret = roster_apply(r->p.roster, r->loaded, r->plan, plan_done,
				   r);
	if (ret < 0)
		refuse(r, ret);
	else
		accept_config(r);
}

static void run_load(struct offload_job *j)
{
	struct reload *r = container_of(j, struct reload, job);

	r->ret = config_load(r->p.path, &r->loaded, &r->errs);
	if (r->ret < 0)
		return;
	r->ret = config_disks_check(r->loaded, &r->errs);
	if (r->ret == 0)
		r->ret = config_disks_warn(r->loaded, &r->errs);
}

static void load_done(struct offload_job *j)
{
	struct reload *r = container_of(j, struct reload, job);

	if (r->is_stopping)
		return;
	if (r->ret < 0)
		refuse(r, r->ret);
	else
		carry_out(r, first_request(r)->dry_run);
}

static void tell_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   now.tv_sec * 1000000ULL + now.tv_nsec / 1000);
}

static void take_next(struct reload *r)
{
	if (r->is_busy || r->is_stopping || list_empty(&r->requests))
		return;
	r->is_busy = true;
	if (!first_request(r)->dry_run) {
		tell_reloading();
		log_info(TAG, "reading file=%s", r->p.path);
	}
	offload_run(&r->job, run_load, load_done, r->p.control);
}

/* What is asked for */

/* Is there a SIGHUP that was not begun yet? */
static bool is_waiting(const struct reload *r)
{
	struct list *l;

	list_for_each (l, &r->requests) {
		const struct request *q = list_entry(l, struct request, link);

		bool begun =
			r->is_busy && !r->is_starting && l == r->requests.next;

		if (!q->reply && !begun)
			return true;
	}
	return false;
}

void reload_request(struct reload *r, bool dry_run, struct control_reply *reply)
{
	struct request *q;

	if (!reply && is_waiting(r))
		return;
	q = calloc(1, sizeof(*q));
	if (!q) {
		log_err(TAG, "nothing changed: %s", strerror(ENOMEM));
		if (reply)
			control_reply_fail(reply, "out of memory");
		return;
	}
	q->dry_run = dry_run;
	q->reply = reply;
	list_add_tail(&r->requests, &q->link);
	take_next(r);
}

int reload_start(struct reload *r)
{
	int ret = roster_plan(r->p.roster, r->config, r->config, r->config,
			      &r->plan);

	r->is_busy = true;
	r->is_starting = true;
	if (ret == 0)
		ret = roster_apply(r->p.roster, r->config, r->plan, plan_done,
				   r);
	return ret;
}

static void drop_requests(struct reload *r)
{
	struct list *l;

	while ((l = list_pop(&r->requests))) {
		struct request *q = list_entry(l, struct request, link);

		if (q->reply)
			control_reply_fail(q->reply, "vringd is stopping");
		free(q);
	}
}

void reload_stop(struct reload *r)
{
	if (!r)
		return;
	r->is_stopping = true;
	rescan_forget(r->rescan);
	r->rescan = NULL;
	drop_requests(r);
}

void reload_facts(const struct reload *r, struct reload_facts *f)
{
	f->path = r->p.path;
	f->config = r->config;
	f->from_last_good = r->from_last_good;
	f->successful = r->is_successful;
	f->success_time = r->success_time;
}

int reload_new(struct reload **out, const struct reload_params *p)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->p = *p;
	config_get(r->p.config);
	r->config = config_get(p->config);
	r->from_last_good = p->from_last_good;
	list_init(&r->requests);
	*out = r;
	return 0;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	drop_requests(r);
	config_put(r->loaded);
	config_put(r->config);
	config_put(r->p.config);
	config_errors_fini(&r->errs);
	json_object_put(r->grown);
	free(r->plan);
	free(r);
}
