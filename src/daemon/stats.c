/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to stats: what was counted, and how long requests took. */
#include "daemon/stats.h"

#include <time.h>

#include "base/counters.h"
#include "daemon/member.h"

static struct json_object *counters_of(const struct counters *c)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < COUNTERS_NR; i++)
		member_u64(o, counters_table[i].name,
			   counters_get(c, &counters_table[i]));
	return o;
}

/* A time that the buckets cannot tell is null. */
static void add_percentile(struct json_object *o, const char *key,
			   const struct counters_latency *l, double percent)
{
	uint64_t us = counters_percentile(l, percent);

	member_add(o, key,
		   us == UINT64_MAX ? NULL : json_object_new_uint64(us));
}

/* One row for each kind of request that there was. */
static struct json_object *latency_of(const struct counters *c)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < COUNTERS_NR_LATENCIES; i++) {
		const struct counters_latency *l =
			counters_get_latency(c, &counters_latencies[i]);
		struct json_object *o;

		if (!counters_nr_latencies(l))
			continue;
		o = json_object_new_object();
		member_str(o, "op", counters_latencies[i].name);
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
static unsigned nr_workers(const struct served *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->nr_queues; i++) {
		bool is_new = true;

		for (unsigned k = 0; k < i && is_new; k++)
			is_new = f->queues[k].facts.worker !=
				 f->queues[i].facts.worker;
		n += is_new;
	}
	return n;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

static struct json_object *stats_of(const struct target_facts *f)
{
	struct json_object *o = json_object_new_object();
	struct counters sum;

	target_counters(f->target, &sum);
	member_str(o, "name", target_config(f->target)->name);
	member_u64(o, "counted_us", f->opened_us ? now_us() - f->opened_us : 0);
	member_u64(o, "workers", nr_workers(&f->served));
	member_add(o, "counters", counters_of(&sum));
	member_add(o, "latency", latency_of(&sum));
	return o;
}

struct json_object *stats_make(const struct survey *s)
{
	struct json_object *a = json_object_new_array_ext(s->nr);

	for (unsigned i = 0; i < s->nr; i++)
		json_object_array_add(a, stats_of(&s->items[i].facts));
	return a;
}
