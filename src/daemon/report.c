/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about the daemon, as JSON. */
#include "daemon/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "daemon/checkup.h"
#include "daemon/client.h"
#include "daemon/disconnect.h"
#include "daemon/engine.h"
#include "daemon/member.h"
#include "daemon/metrics.h"
#include "daemon/rescan.h"
#include "daemon/show.h"
#include "daemon/stats.h"
#include "daemon/survey.h"
#include "daemon/usage.h"

/* As vringctl exits with it. */
#define STATUS_DEGRADED 2

static const struct report_source *source(const struct survey *s)
{
	return s->ctx;
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* list */

static struct json_object *list_entry_of(const struct target_facts *f)
{
	const struct config_target *c = target_config(f->target);
	struct json_object *o = json_object_new_object();

	member_str(o, "name", c->name);
	member_str(o, "device", "blk");
	member_str(o, "state", survey_state(f));
	member_u64(o, "size", f->info.size);
	member_bool(o, "read_only", c->read_only || f->info.read_only);
	member_add(o, "peer_pid",
		   f->served.connected
			   ? json_object_new_int(f->served.session.pid)
			   : NULL);
	member_u64(o, "queues", f->served.nr_queues);
	member_str(o, "backend", survey_backend(f));
	member_str(o, "socket", c->socket);
	return o;
}

static struct json_object *make_list(const struct survey *s)
{
	struct json_object *a = json_object_new_array_ext(s->nr);

	for (unsigned i = 0; i < s->nr; i++)
		json_object_array_add(a, list_entry_of(&s->items[i].facts));
	return a;
}

/* status */

/* Queues lent to worker @id, whichever target they belong to. */
static unsigned nr_lent_to(const struct survey *s, unsigned id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->nr; i++)
		for (unsigned q = 0; q < s->items[i].facts.served.nr_queues;
		     q++)
			n += s->items[i].facts.served.queues[q].facts.worker ==
			     id;
	return n;
}

static struct io_facts io_of(const struct worker *w)
{
	struct io_facts f;

	worker_io_facts(w, &f);
	return f;
}

static void add_waits(struct json_object *o, const struct worker *w)
{
	struct worker_waits waits;

	worker_waits(w, &waits);
	member_u64(o, "sleeps", waits.sleeps);
	member_u64(o, "polled_us", waits.awake_ns / 1000);
	member_u64(o, "poll_guest_us", waits.guest_ns / 1000);
	member_u64(o, "poll_storage_us", waits.storage_ns / 1000);
}

static struct json_object *workers_of(const struct survey *s)
{
	const struct report_source *r = source(s);
	struct json_object *a = json_object_new_array_ext(r->nr_workers);

	for (unsigned i = 0; i < r->nr_workers; i++) {
		struct json_object *o = json_object_new_object();
		const struct io_facts io = io_of(r->workers[i]);
		int cpu = worker_cpu(r->workers[i]);

		member_u64(o, "id", i);
		member_add(o, "cpu", cpu < 0 ? NULL : json_object_new_int(cpu));
		member_str(o, "ring", engine_ring(&io));
		member_add(o, "sqpoll", engine_sqpoll(&io));
		member_u64(o, "queues", nr_lent_to(s, i));
		add_waits(o, r->workers[i]);
		member_u64(o, "switches", io.choice.nr_switches);
		member_str(o, "why", engine_why(&io));
		json_object_array_add(a, o);
	}
	return a;
}

/* As it stands in the file. */
static void add_poll(struct json_object *o, const struct config *c)
{
	char text[32] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	if (f) {
		value_print(&config_keys[CONFIG_KEY_TOP_poll_us].rule,
			    &c->poll_us, f);
		fclose(f);
	}
	member_str(o, "poll", text);
}

static const char *kernel(void)
{
	static struct utsname u;

	return uname(&u) ? "unknown" : u.release;
}

static bool is_waiting(const struct served *f)
{
	return f->claim == LOANS_CLAIM_WAITING || f->session.closing;
}

static struct json_object *make_status(const struct survey *s)
{
	struct json_object *o = json_object_new_object();
	const struct io_facts io = io_of(source(s)->workers[0]);
	unsigned connected = 0, waiting = 0, failed = 0;
	struct counters sum = {0};
	struct reload_facts reload;

	for (unsigned i = 0; i < s->nr; i++) {
		struct counters part;

		target_counters(s->items[i].facts.target, &part);
		counters_sum(&sum, &part);
		connected += s->items[i].facts.served.connected;
		waiting += is_waiting(&s->items[i].facts.served);
		failed += s->items[i].facts.state == TARGET_FAILED;
	}
	member_str(o, "version", PACKAGE_VERSION);
	member_u64(o, "pid", getpid());
	member_str(o, "kernel", kernel());
	member_u64(o, "uptime_s", now_s() - source(s)->started);
	member_add(o, "engine", engine_make(&io));
	member_add(o, "workers", workers_of(s));
	reload_facts(source(s)->reload, &reload);
	add_poll(o, reload.config);
	member_str(o, "configuration", reload.path);
	member_bool(o, "reloaded", reload.successful);
	member_bool(o, "last_good", reload.from_last_good);
	member_u64(o, "targets", s->nr);
	member_u64(o, "connected", connected);
	member_u64(o, "waiting", waiting);
	member_u64(o, "failed", failed);
	member_u64(o, "errors", sum.errors);
	return o;
}

/* metrics */

static void fill_target(struct metrics_target *m, const struct target_facts *f)
{
	const struct config_target *c = target_config(f->target);

	*m = (struct metrics_target){
		.name = c->name,
		.device = "blk",
		.backend = survey_backend(f),
		.socket = c->socket,
		.read_only = c->read_only || f->info.read_only,
		.up = f->state == TARGET_OPEN,
		.connected = f->served.connected,
		.size = f->info.size,
	};
	target_counters(f->target, &m->counters);
}

/* One of each name: not one that lingers where another is configured. */
static size_t fill_targets(struct metrics_target *m, const struct survey *s)
{
	const struct roster *r = source(s)->roster;
	size_t nr = 0;

	for (unsigned i = 0; i < s->nr; i++) {
		const struct target_facts *f = &s->items[i].facts;
		const char *name = target_config(f->target)->name;

		if (roster_find(r, name) == f->target)
			fill_target(&m[nr++], f);
	}
	return nr;
}

static void fill_workers(struct metrics_worker *m, const struct survey *s)
{
	const struct report_source *r = source(s);

	for (unsigned i = 0; i < r->nr_workers; i++) {
		const struct io_facts io = io_of(r->workers[i]);
		struct worker_waits waits;

		worker_waits(r->workers[i], &waits);
		m[i] = (struct metrics_worker){
			.id = i,
			.cpu = worker_cpu(r->workers[i]),
			.ring = engine_ring(&io),
			.switches = io.choice.nr_switches,
			.queues = nr_lent_to(s, i),
			.sleeps = waits.sleeps,
			.polled_us = waits.awake_ns / 1000,
		};
	}
}

static struct json_object *make_metrics(const struct survey *s)
{
	const struct report_source *r = source(s);
	struct metrics_target *targets = calloc(s->nr + 1, sizeof(*targets));
	struct metrics_worker *workers =
		calloc(r->nr_workers, sizeof(*workers));
	struct reload_facts reload;

	reload_facts(r->reload, &reload);

	struct metrics_facts f = {
		.version = PACKAGE_VERSION,
		.reload_ok = reload.successful,
		.reload_s = (uint64_t)reload.success_time,
		.from_last_good = reload.from_last_good,
		.targets = targets,
		.workers = workers,
		.nr_workers = r->nr_workers,
	};
	char *text = NULL;

	if (targets && workers) {
		usage_read(&f.usage);
		f.nr_targets = fill_targets(targets, s);
		fill_workers(workers, s);
		text = metrics_text(&f);
	}

	struct json_object *o = text ? json_object_new_string(text) : NULL;

	free(text);
	free(workers);
	free(targets);
	return o;
}

/* Asking */

static void begin(struct report_source *r, const struct command_args *args,
		  struct control_reply *reply,
		  struct json_object *(*make)(const struct survey *s),
		  int status)
{
	const struct survey_params p = {
		.roster = r->roster,
		.target = args->target,
		.ctx = r,
		.make = make,
		.status = status,
	};

	survey_begin(&p, reply);
}

/* What runs is not what the file says: monitoring shall notice. */
static void report_status(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	struct report_source *src = ctx;
	struct reload_facts reload;

	reload_facts(src->reload, &reload);
	begin(src, args, reply, make_status,
	      reload.from_last_good ? STATUS_DEGRADED : 0);
}

static void report_list(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	begin(ctx, args, reply, make_list, 0);
}

static void report_show(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	begin(ctx, args, reply, show_make, 0);
}

static void report_stats(void *ctx, const struct command_args *args,
			 struct control_reply *reply)
{
	begin(ctx, args, reply, stats_make, 0);
}

static void report_metrics(void *ctx, const struct command_args *args,
			   struct control_reply *reply)
{
	begin(ctx, args, reply, make_metrics, 0);
}

static void report_disconnect(void *ctx, const struct command_args *args,
			      struct control_reply *reply)
{
	const struct report_source *r = ctx;
	struct target *t = roster_find(r->roster, args->target);

	if (t)
		disconnect_begin(t, reply);
	else
		control_reply_fail(reply, "no target is called %s",
				   args->target);
}

static void report_client(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	const struct report_source *r = ctx;
	const struct target *t = roster_find(r->roster, args->target);
	enum client_kind kind = client_find(args->client);

	if (!t) {
		control_reply_fail(reply, "no target is called %s",
				   args->target);
		return;
	}
	if (kind == CLIENT_NR_KINDS) {
		control_reply_fail(reply, "no VMM is called %s here: use %s",
				   args->client, client_words());
		return;
	}

	const struct config_target *c = target_config(t);
	const struct client_facts f = {
		.name = c->name,
		.socket = c->socket,
		.serial = c->serial,
		.queues = c->queues,
		.queue_size = c->queue_size,
		.packed = c->packed,
		.read_only = c->read_only || c->backend.read_only,
		.any_memory = c->memory_files == CONFIG_MEMORY_FILES_ANY,
	};
	char *text = client_text(&f, kind);

	control_reply_send(reply, text ? json_object_new_string(text) : NULL);
	free(text);
}

static void report_selftest(void *ctx, const struct command_args *args,
			    struct control_reply *reply)
{
	const struct report_source *r = ctx;
	struct reload_facts reload;

	reload_facts(r->reload, &reload);

	const struct checkup_params p = {
		.roster = r->roster,
		.control = r->control,
		.config = reload.path,
		.config_ok = reload.successful && !reload.from_last_good,
	};

	(void)args;
	checkup_begin(&p, reply);
}

/* log-level */

static struct json_object *log_level_now(void)
{
	struct json_object *o = json_object_new_object();
	struct json_object *debug = json_object_new_array();
	enum log_level level;
	unsigned mask;

	log_get(&level, &mask);
	member_str(o, "level", log_level_name(level));
	for (enum log_category c = 0; c < LOG_NR_CATEGORIES; c++)
		if (mask & 1U << c)
			json_object_array_add(debug,
					      json_object_new_string(
						      log_category_name(c)));
	json_object_object_add(o, "debug", debug);
	return o;
}

/*
 * A level alone ends all trace; categories alone leave the level.  Returns
 * false when it has refused what is no level and no category.
 */
static bool set_log_level(const struct command_args *args,
			  struct control_reply *reply)
{
	enum log_level level;
	unsigned debug;

	log_get(&level, &debug);
	if (args->level) {
		int ret = log_parse_level(args->level);

		if (ret < 0) {
			control_reply_fail(reply,
					   "no level is called %s: use err, "
					   "warn, info or debug",
					   args->level);
			return false;
		}
		level = ret;
		debug = 0;
	}
	if (args->debug && log_parse_debug(args->debug, &debug)) {
		control_reply_fail(reply,
				   "%s are no categories: use proto, queue, "
				   "io, control, or all",
				   args->debug);
		return false;
	}
	log_set(level, debug);
	return true;
}

static void report_log_level(void *ctx, const struct command_args *args,
			     struct control_reply *reply)
{
	(void)ctx;
	if ((args->level || args->debug) && !set_log_level(args, reply))
		return;
	control_reply_send(reply, log_level_now());
}

static void report_reload(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	struct report_source *src = ctx;

	reload_request(src->reload, args->dry_run, reply);
}

static void rescan_done(void *ctx, const struct rescan *r)
{
	control_reply_send_status(ctx, rescan_failed(r) ? 2 : 0,
				  rescan_answer(r, true));
}

static void report_rescan(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	struct report_source *src = ctx;
	const struct rescan_params p = {
		.roster = src->roster,
		.loop = src->loop,
		.target = args->target,
		.done = rescan_done,
		.ctx = reply,
	};
	int ret = rescan_begin(&p, NULL);

	if (ret == -ENOENT)
		control_reply_fail(reply, "no target is called %s",
				   args->target);
	else if (ret < 0)
		control_reply_fail(reply, "%s", strerror(-ret));
}

const struct control_ops report_ops = {
	.status = report_status,
	.list = report_list,
	.show = report_show,
	.stats = report_stats,
	.disconnect = report_disconnect,
	.client = report_client,
	.selftest = report_selftest,
	.metrics = report_metrics,
	.reload = report_reload,
	.rescan = report_rescan,
	.log_level = report_log_level,
};
