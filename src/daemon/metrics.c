/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of the daemon as Prometheus reads it. */
#include "daemon/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* One sample under way. */
struct out {
	FILE *f;
	const struct metrics_facts *facts;
	const char *metric;
	unsigned nr_labels;
};

/* Labels and values */

/* In a value, backslash, quote and line feed are escaped, and nothing else. */
static void put_escaped(FILE *f, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\n')
			fputs("\\n", f);
		else if (*p == '\\' || *p == '"')
			fprintf(f, "\\%c", *p);
		else
			fputc(*p, f);
	}
}

static void begin_sample(struct out *o, const char *suffix)
{
	fprintf(o->f, "%s%s", o->metric, suffix);
	o->nr_labels = 0;
}

static void label(struct out *o, const char *name, const char *value)
{
	fprintf(o->f, "%s%s=\"", o->nr_labels++ ? "," : "{", name);
	put_escaped(o->f, value);
	fputc('"', o->f);
}

static void label_number(struct out *o, const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	label(o, name, text);
}

static void end_labels(struct out *o)
{
	fputs(o->nr_labels ? "} " : " ", o->f);
}

static void end_sample(struct out *o, uint64_t value)
{
	end_labels(o);
	fprintf(o->f, "%" PRIu64 "\n", value);
}

/* Microseconds as seconds, without losing any. */
static void end_sample_us(struct out *o, uint64_t us)
{
	end_labels(o);
	fprintf(o->f, "%" PRIu64 ".%06u\n", us / 1000000,
		(unsigned)(us % 1000000));
}

static void begin_family(struct out *o, const char *metric, const char *type,
			 const char *help)
{
	o->metric = metric;
	fprintf(o->f, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric,
		type);
}

/* Counters of targets */

static bool ends_with(const char *text, const char *end)
{
	size_t lt = strlen(text), le = strlen(end);

	return lt >= le && !strcmp(text + lt - le, end);
}

static void put_counter(struct out *o, const struct counters_row *row)
{
	bool is_time = ends_with(row->name, "_us");
	char metric[96];

	snprintf(metric, sizeof(metric), "vringd_%s", row->metric);
	begin_family(o, metric, row->is_gauge ? "gauge" : "counter", row->help);
	for (size_t i = 0; i < o->facts->nr_targets; i++) {
		const struct metrics_target *t = &o->facts->targets[i];
		uint64_t n = counters_get(&t->counters, row);

		begin_sample(o, "");
		label(o, "target", t->name);
		if (is_time)
			end_sample_us(o, n);
		else
			end_sample(o, n);
	}
}

/* Latencies: buckets are cumulative, the last one has all */

static void put_bucket(struct out *o, const struct metrics_target *t,
		       const char *op, const char *le, uint64_t n)
{
	begin_sample(o, "_bucket");
	label(o, "target", t->name);
	label(o, "op", op);
	label(o, "le", le);
	end_sample(o, n);
}

static void put_latency(struct out *o, const struct metrics_target *t,
			const struct counters_latency_row *row)
{
	const struct counters_latency *l =
		counters_get_latency(&t->counters, row);
	uint64_t n = 0;

	for (unsigned i = 0; i < COUNTERS_LIMITS; i++) {
		char le[32];

		n += l->buckets[i];
		snprintf(le, sizeof(le), "%g", counters_limits_us[i] / 1e6);
		put_bucket(o, t, row->name, le, n);
	}
	n += l->buckets[COUNTERS_LIMITS];
	put_bucket(o, t, row->name, "+Inf", n);
	begin_sample(o, "_sum");
	label(o, "target", t->name);
	label(o, "op", row->name);
	end_sample_us(o, counters_get_sum_us(&t->counters, row));
	begin_sample(o, "_count");
	label(o, "target", t->name);
	label(o, "op", row->name);
	end_sample(o, n);
}

/* An idle target is not worth hundreds of lines. */
static void put_latencies(struct out *o)
{
	begin_family(o, "vringd_request_duration_seconds", "histogram",
		     "how long requests took, by kind, once there was one");
	for (size_t i = 0; i < o->facts->nr_targets; i++) {
		const struct metrics_target *t = &o->facts->targets[i];

		for (unsigned k = 0; k < COUNTERS_NR_LATENCIES; k++)
			if (counters_nr_latencies(counters_get_latency(
				    &t->counters, &counters_latencies[k])))
				put_latency(o, t, &counters_latencies[k]);
	}
}

/* What one sample says: a function for each row of metrics.def */

static void say_vringd_build_info(struct out *o)
{
	label(o, "version", o->facts->version);
	end_sample(o, 1);
}

static void say_vringd_config_last_reload_successful(struct out *o)
{
	end_sample(o, o->facts->reload_ok);
}

static void
say_vringd_config_last_reload_success_timestamp_seconds(struct out *o)
{
	end_sample(o, o->facts->reload_s);
}

static void say_vringd_config_from_last_good(struct out *o)
{
	end_sample(o, o->facts->from_last_good);
}

static void say_vringd_process_cpu_seconds_total(struct out *o)
{
	end_sample_us(o, o->facts->usage.cpu_us);
}

static void say_vringd_process_open_fds(struct out *o)
{
	end_sample(o, o->facts->usage.open_fds);
}

static void say_vringd_process_max_fds(struct out *o)
{
	end_sample(o, o->facts->usage.max_fds);
}

static void say_vringd_process_virtual_memory_bytes(struct out *o)
{
	end_sample(o, o->facts->usage.virtual_bytes);
}

static void say_vringd_process_resident_memory_bytes(struct out *o)
{
	end_sample(o, o->facts->usage.resident_bytes);
}

static void say_vringd_process_anonymous_memory_bytes(struct out *o)
{
	end_sample(o, o->facts->usage.anonymous_bytes);
}

static void say_vringd_process_threads(struct out *o)
{
	end_sample(o, o->facts->usage.threads);
}

static void say_vringd_process_start_time_seconds(struct out *o)
{
	end_labels(o);
	fprintf(o->f, "%.2f\n", o->facts->usage.started_s);
}

static void say_vringd_worker_info(struct out *o,
				   const struct metrics_worker *w)
{
	if (w->cpu >= 0)
		label_number(o, "cpu", (unsigned)w->cpu);
	label(o, "ring", w->ring);
	end_sample(o, 1);
}

static void
say_vringd_worker_ring_switches_total(struct out *o,
				      const struct metrics_worker *w)
{
	end_sample(o, w->switches);
}

static void say_vringd_worker_queues(struct out *o,
				     const struct metrics_worker *w)
{
	end_sample(o, w->queues);
}

static void say_vringd_worker_sleeps_total(struct out *o,
					   const struct metrics_worker *w)
{
	end_sample(o, w->sleeps);
}

static void say_vringd_worker_poll_seconds_total(struct out *o,
						 const struct metrics_worker *w)
{
	end_sample_us(o, w->polled_us);
}

static void say_vringd_target_info(struct out *o,
				   const struct metrics_target *t)
{
	label(o, "device", t->device);
	label(o, "backend", t->backend);
	label(o, "socket", t->socket);
	label(o, "read_only", t->read_only ? "true" : "false");
	end_sample(o, 1);
}

static void say_vringd_target_up(struct out *o, const struct metrics_target *t)
{
	end_sample(o, t->up);
}

static void say_vringd_target_connected(struct out *o,
					const struct metrics_target *t)
{
	end_sample(o, t->connected);
}

static void say_vringd_target_size_bytes(struct out *o,
					 const struct metrics_target *t)
{
	end_sample(o, t->size);
}

/* All of them */

static void put_of_process(struct out *o, void (*say)(struct out *o))
{
	begin_sample(o, "");
	say(o);
}

static void put_of_workers(struct out *o,
			   void (*say)(struct out *o,
				       const struct metrics_worker *w))
{
	for (size_t i = 0; i < o->facts->nr_workers; i++) {
		begin_sample(o, "");
		label_number(o, "worker", o->facts->workers[i].id);
		say(o, &o->facts->workers[i]);
	}
}

static void put_of_targets(struct out *o,
			   void (*say)(struct out *o,
				       const struct metrics_target *t))
{
	for (size_t i = 0; i < o->facts->nr_targets; i++) {
		begin_sample(o, "");
		label(o, "target", o->facts->targets[i].name);
		say(o, &o->facts->targets[i]);
	}
}

#define PUT_OF_PROCESS put_of_process
#define PUT_OF_WORKER  put_of_workers
#define PUT_OF_TARGET  put_of_targets

static void put_all(struct out *o)
{
#define METRIC(name, type, of, help)         \
	begin_family(o, #name, #type, help); \
	PUT_OF_##of(o, say_##name);
#include "daemon/metrics.def"
#undef METRIC
	for (unsigned i = 0; i < COUNTERS_NR; i++)
		put_counter(o, &counters_table[i]);
	put_latencies(o);
}

char *metrics_text(const struct metrics_facts *f)
{
	struct out o = {.facts = f};
	char *text = NULL;
	size_t len;
	bool failed;

	o.f = open_memstream(&text, &len);
	if (!o.f)
		return NULL;
	put_all(&o);
	failed = ferror(o.f);
	if (fclose(o.f) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
