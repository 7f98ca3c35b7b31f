/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about the daemon, as JSON. */
#include "daemon/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"

/* One report under way: the facts of some targets come in any order. */
struct report {
	const struct report_source *src;
	struct json_object *(*make)(const struct report *r);
	struct control_reply *reply;
	unsigned pending;
	unsigned nr;
	struct report_item {
		struct target_facts facts;
		struct report *report;
	} items[];
};

/* Small helpers, so that what is said reads like a list */

static void add_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

static const char *kind_name(const struct config_backend *b)
{
	static const char *const names[] = {
		[CONFIG_KIND_FILE] = "file",
		[CONFIG_KIND_MEM] = "mem",
		[CONFIG_KIND_NULL] = "null",
	};

	return names[b->kind];
}

static const char *backend_name(const struct config_backend *b)
{
	return b->path ? b->path : kind_name(b);
}

static const char *state_name(const struct target_facts *f)
{
	static const char *const names[] = {
		[TARGET_NEW] = "opening",      [TARGET_OPENING] = "opening",
		[TARGET_FAILED] = "failed",    [TARGET_OPEN] = "listening",
		[TARGET_RETIRING] = "closing", [TARGET_LINGERING] = "lingering",
		[TARGET_CLOSED] = "closing",
	};

	if (f->state == TARGET_OPEN && f->served.connected)
		return "connected";
	return names[f->state];
}

static const char *claim_name(enum loans_claim claim)
{
	static const char *const names[] = {
		[LOANS_CLAIM_NONE] = "none",
		[LOANS_CLAIM_WAITING] = "waiting",
		[LOANS_CLAIM_HELD] = "held",
	};

	return names[claim];
}

/* list */

static struct json_object *list_entry_of(const struct target_facts *f)
{
	const struct config_target *c = target_config(f->target);
	struct json_object *o = json_object_new_object();

	add_str(o, "name", c->name);
	add_str(o, "device", "blk");
	add_str(o, "socket", c->socket);
	add_str(o, "state", state_name(f));
	add_u64(o, "size", f->info.size);
	add_str(o, "backend", backend_name(&c->backend));
	add_bool(o, "read_only", c->read_only || f->info.read_only);
	return o;
}

static struct json_object *make_list(const struct report *r)
{
	struct json_object *a = json_object_new_array_ext(r->nr);

	for (unsigned i = 0; i < r->nr; i++)
		json_object_array_add(a, list_entry_of(&r->items[i].facts));
	return a;
}

/* show */

static struct json_object *backend_of(const struct target_facts *f)
{
	const struct config_backend *b = &target_config(f->target)->backend;
	struct json_object *o = json_object_new_object();

	add_str(o, "kind", kind_name(b));
	add_str(o, "path", b->path ? b->path : "");
	add_u64(o, "size", f->info.size);
	add_u64(o, "block_size", f->info.block_size);
	add_bool(o, "read_only", f->info.read_only);
	add_bool(o, "direct", f->info.direct);
	add_bool(o, "discard", f->info.can_discard);
	add_str(o, "claim", claim_name(f->served.claim));
	return o;
}

static const char *queue_state_name(const struct server_queue *q)
{
	if (q->facts.broken)
		return "broken";
	return q->draining ? "draining" : "running";
}

static struct json_object *queue_of(const struct server_queue *q)
{
	struct json_object *o = json_object_new_object();

	add_u64(o, "index", q->index);
	add_str(o, "state", queue_state_name(q));
	add_u64(o, "entries", q->facts.size);
	add_u64(o, "worker", q->facts.worker);
	add_u64(o, "inflight", q->facts.in_flight);
	add_str(o, "broken_reason", q->facts.broken ? q->facts.why : "");
	return o;
}

static void add_hex(struct json_object *o, const char *key, uint64_t value)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	add_str(o, key, text);
}

static struct json_object *session_of(const struct target_facts *f)
{
	const struct session_facts *s = &f->served.session;
	struct json_object *o = json_object_new_object();
	struct json_object *memory = json_object_new_object();
	struct json_object *queues =
		json_object_new_array_ext(f->served.nr_queues);

	add_u64(o, "peer_pid", s->pid);
	add_u64(o, "peer_uid", s->uid);
	add_u64(o, "peer_gid", s->gid);
	add_hex(o, "features", s->features);
	add_hex(o, "protocol_features", s->protocol_features);
	add_u64(memory, "regions", s->nr_regions);
	add_u64(memory, "bytes", s->memory_bytes);
	json_object_object_add(o, "memory", memory);
	for (unsigned i = 0; i < f->served.nr_queues; i++)
		json_object_array_add(queues, queue_of(&f->served.queues[i]));
	json_object_object_add(o, "queues", queues);
	return o;
}

static struct json_object *make_show(const struct report *r)
{
	const struct target_facts *f = &r->items[0].facts;
	const struct config_target *c = target_config(f->target);
	struct json_object *o = json_object_new_object();

	add_str(o, "name", c->name);
	add_str(o, "device", "blk");
	add_str(o, "state", state_name(f));
	add_str(o, "reason", f->reason);
	add_str(o, "socket", c->socket);
	add_str(o, "serial", c->serial);
	json_object_object_add(o, "backend", backend_of(f));
	json_object_object_add(o, "session",
			       f->served.connected ? session_of(f) : NULL);
	return o;
}

/* stats */

/* A time that the buckets cannot tell is null. */
static void add_percentile(struct json_object *o, const char *key,
			   const struct counters_latency *l, double percent)
{
	uint64_t us = counters_percentile(l, percent);

	json_object_object_add(
		o, key, us == UINT64_MAX ? NULL : json_object_new_uint64(us));
}

/* One row for each kind of request that there was. */
static struct json_object *latency_of(const struct counters *c)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < COUNTERS_NR_LATENCIES; i++) {
		const struct counters_latency *l =
			counters_get_latency(c, &counters_latencies[i]);
		struct json_object *o;

		if (!counters_percentile(l, 100))
			continue;
		o = json_object_new_object();
		add_str(o, "op", counters_latencies[i].name);
		add_percentile(o, "p50_us", l, 50);
		add_percentile(o, "p90_us", l, 90);
		add_percentile(o, "p99_us", l, 99);
		add_percentile(o, "p999_us", l, 99.9);
		add_percentile(o, "p100_us", l, 100);
		json_object_array_add(a, o);
	}
	return a;
}

/* How many workers serve it at the moment. */
static unsigned nr_workers_of(const struct report *r,
			      const struct target_facts *f)
{
	unsigned n = 0;

	for (unsigned w = 0; w < r->src->nr_workers; w++)
		for (unsigned i = 0; i < f->served.nr_queues; i++)
			if (f->served.queues[i].facts.worker == w) {
				n++;
				break;
			}
	return n;
}

static struct json_object *stats_of(const struct report *r,
				    const struct target_facts *f)
{
	struct json_object *o = json_object_new_object();
	struct counters sum;

	target_counters(f->target, &sum);
	add_str(o, "name", target_config(f->target)->name);
	add_u64(o, "counted_us", now_us() - r->src->started * 1000000ULL);
	add_u64(o, "workers", nr_workers_of(r, f));
	json_object_object_add(o, "counters", control_counters(&sum));
	json_object_object_add(o, "latency", latency_of(&sum));
	return o;
}

static struct json_object *make_stats(const struct report *r)
{
	struct json_object *a = json_object_new_array_ext(r->nr);

	for (unsigned i = 0; i < r->nr; i++)
		json_object_array_add(a, stats_of(r, &r->items[i].facts));
	return a;
}

/* status */

/* Queues lent to worker @id, whichever target they belong to. */
static unsigned nr_lent_to(const struct report *r, unsigned id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->nr; i++)
		for (unsigned q = 0; q < r->items[i].facts.served.nr_queues;
		     q++)
			n += r->items[i].facts.served.queues[q].facts.worker ==
			     id;
	return n;
}

static struct json_object *workers_of(const struct report *r)
{
	const struct report_source *src = r->src;
	struct json_object *a = json_object_new_array_ext(src->nr_workers);

	for (unsigned i = 0; i < src->nr_workers; i++) {
		struct json_object *o = json_object_new_object();
		int cpu = worker_cpu(src->workers[i]);

		add_u64(o, "id", i);
		json_object_object_add(o, "cpu",
				       cpu < 0 ? NULL
					       : json_object_new_int(cpu));
		add_str(o, "ring", src->config->sqpoll ? "sqpoll" : "direct");
		add_u64(o, "queues", nr_lent_to(r, i));
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *make_status(const struct report *r)
{
	struct json_object *o = json_object_new_object();
	unsigned connected = 0, failed = 0;
	struct counters sum = {0};

	for (unsigned i = 0; i < r->nr; i++) {
		struct counters part;

		target_counters(r->items[i].facts.target, &part);
		counters_sum(&sum, &part);
		connected += r->items[i].facts.served.connected;
		failed += r->items[i].facts.state == TARGET_FAILED;
	}
	add_str(o, "version", PACKAGE_VERSION);
	add_u64(o, "pid", getpid());
	add_u64(o, "uptime_s", now_us() / 1000000 - r->src->started);
	json_object_object_add(o, "workers", workers_of(r));
	add_u64(o, "targets", r->nr);
	add_u64(o, "connected", connected);
	add_u64(o, "failed", failed);
	add_u64(o, "errors", sum.errors);
	return o;
}

/* Asking */

static void finish(struct report *r)
{
	control_reply_send(r->reply, r->make(r));
	for (unsigned i = 0; i < r->nr; i++)
		target_facts_fini(&r->items[i].facts);
	free(r);
}

static void note_facts(struct target_facts *f)
{
	struct report *r = container_of(f, struct report_item, facts)->report;

	if (--r->pending == 0)
		finish(r);
}

static bool is_wanted(const struct target *t, const char *name)
{
	return !name || strcmp(target_config(t)->name, name) == 0;
}

static void collect(struct report *r, const char *name)
{
	const struct report_source *src = r->src;

	/* One too many, so that no answer finishes it while we still ask. */
	r->pending = 1;
	for (unsigned i = 0; i < roster_nr(src->roster); i++) {
		struct target *t = roster_target(src->roster, i);

		if (!is_wanted(t, name))
			continue;
		struct report_item *item = &r->items[r->nr++];

		item->report = r;
		r->pending++;
		target_collect(t, &item->facts, note_facts);
	}
	if (--r->pending == 0)
		finish(r);
}

/* Asks all targets, or the one called @name, and answers with make(). */
static void begin(const struct report_source *src, const char *name,
		  struct control_reply *reply,
		  struct json_object *(*make)(const struct report *r))
{
	unsigned nr = roster_nr(src->roster);
	struct report *r;

	if (name && !roster_find(src->roster, name)) {
		control_reply_fail(reply, "no target is called %s", name);
		return;
	}
	r = calloc(1, sizeof(*r) + nr * sizeof(r->items[0]));
	if (!r) {
		control_reply_fail(reply, "out of memory");
		return;
	}
	r->src = src;
	r->make = make;
	r->reply = reply;
	collect(r, name);
}

static void report_status(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	begin(ctx, args->target, reply, make_status);
}

static void report_list(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	begin(ctx, args->target, reply, make_list);
}

static void report_show(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	begin(ctx, args->target, reply, make_show);
}

static void report_stats(void *ctx, const struct command_args *args,
			 struct control_reply *reply)
{
	begin(ctx, args->target, reply, make_stats);
}

/* log-level */

static struct json_object *log_level_now(void)
{
	struct json_object *o = json_object_new_object();
	struct json_object *debug = json_object_new_array();
	enum log_level level;
	unsigned mask;

	log_get(&level, &mask);
	add_str(o, "level", log_level_name(level));
	for (enum log_category c = 0; c < LOG_NR_CATEGORIES; c++)
		if (mask & 1U << c)
			json_object_array_add(
				debug,
				json_object_new_string(log_category_name(c)));
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

const struct control_ops report_ops = {
	.status = report_status,
	.list = report_list,
	.show = report_show,
	.stats = report_stats,
	.log_level = report_log_level,
};
