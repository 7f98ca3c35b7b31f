/* SPDX-License-Identifier: BSD-2-Clause */
/* What targets did in an interval, in the columns of iostat. */
#include "ctl/iostat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "ctl/ask.h"
#include "ctl/complain.h"
#include "ctl/print.h"

/* The titles come again after so many lines of one target. */
#define LINES_A_SCREEN 20

#define INTERVAL_MAX_S 86400
#define COUNT_MAX      1000000000

/* What was counted in an interval; see vringctl(8). */
struct delta {
	struct json_object *then; /* counters, or NULL */
	struct json_object *now;
	double seconds;
	double workers;
};

static double number(struct json_object *o, const char *key)
{
	return (double)json_object_get_uint64(json_object_object_get(o, key));
}

static double grown(const struct delta *d, const char *key)
{
	return number(d->now, key) - (d->then ? number(d->then, key) : 0);
}

static double per_second(const struct delta *d, const char *key)
{
	return d->seconds > 0 ? grown(d, key) / d->seconds : 0;
}

static double kib_per_second(const struct delta *d, const char *key)
{
	return per_second(d, key) / 1024;
}

/* Milliseconds that each of @requests took of @us. */
static double await_ms(const struct delta *d, const char *us,
		       const char *requests)
{
	double n = grown(d, requests);

	return n > 0 ? grown(d, us) / n / 1000 : 0;
}

/* Columns: one function each, so that the table below tells all of them */

static double reads(const struct delta *d)
{
	return per_second(d, "reads");
}

static double read_kib(const struct delta *d)
{
	return kib_per_second(d, "read_bytes");
}

static double read_await(const struct delta *d)
{
	return await_ms(d, "read_us", "reads");
}

static double writes(const struct delta *d)
{
	return per_second(d, "writes");
}

static double written_kib(const struct delta *d)
{
	return kib_per_second(d, "written_bytes");
}

static double write_await(const struct delta *d)
{
	return await_ms(d, "write_us", "writes");
}

static double flushes(const struct delta *d)
{
	return per_second(d, "flushes");
}

static double flush_await(const struct delta *d)
{
	return await_ms(d, "flush_us", "flushes");
}

static double discards(const struct delta *d)
{
	return per_second(d, "discards") + per_second(d, "write_zeroes");
}

static double depth(const struct delta *d)
{
	return per_second(d, "weighted_us") / 1e6;
}

/* A little more than all the time is an answer that came late. */
static double utilization(const struct delta *d)
{
	return MIN(per_second(d, "busy_us") / d->workers / 1e4, 100.);
}

static const struct {
	const char *title; /* for people */
	const char *key;   /* in JSON */
	int width;
	double (*get)(const struct delta *d);
} columns[] = {
	{"r/s", "reads_per_s", 10, reads},
	{"rkB/s", "read_kib_per_s", 11, read_kib},
	{"r_await", "read_await_ms", 8, read_await},
	{"w/s", "writes_per_s", 10, writes},
	{"wkB/s", "written_kib_per_s", 11, written_kib},
	{"w_await", "write_await_ms", 8, write_await},
	{"f/s", "flushes_per_s", 8, flushes},
	{"f_await", "flush_await_ms", 8, flush_await},
	{"d/s", "discards_per_s", 8, discards},
	{"aqu-sz", "queue_size", 7, depth},
	{"%util", "utilization_percent", 6, utilization},
};

static struct json_object *find_target(struct json_object *answer,
				       const char *name)
{
	for (size_t i = 0; i < json_object_array_length(answer); i++) {
		struct json_object *t = json_object_array_get_idx(answer, i);
		struct json_object *n = json_object_object_get(t, "name");

		if (!strcmp(json_object_get_string(n), name))
			return t;
	}
	return NULL;
}

/* Was @now counted by the same target that @then is of? */
static bool is_later(struct json_object *then, struct json_object *now)
{
	return number(then, "counted_us") < number(now, "counted_us");
}

static struct json_object *rates_of(struct json_object *then,
				    struct json_object *now)
{
	struct json_object *o = json_object_new_object();
	struct delta d = {
		.now = json_object_object_get(now, "counters"),
		.seconds = number(now, "counted_us") / 1e6,
		.workers = MAX(number(now, "workers"), 1.),
	};

	if (then && is_later(then, now)) {
		d.then = json_object_object_get(then, "counters");
		d.seconds -= number(then, "counted_us") / 1e6;
	}
	json_object_object_add(o, "name",
			       json_object_get(
				       json_object_object_get(now, "name")));
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		double v = columns[i].get(&d);
		char text[32];

		snprintf(text, sizeof(text), "%.3f", v);
		json_object_object_add(o, columns[i].key,
				       json_object_new_double_s(v, text));
	}
	return o;
}

struct json_object *iostat_rates(struct json_object *then,
				 struct json_object *now)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(now); i++) {
		struct json_object *t = json_object_array_get_idx(now, i);
		const char *name = json_object_get_string(
			json_object_object_get(t, "name"));

		json_object_array_add(list,
				      rates_of(then ? find_target(then, name)
						    : NULL,
					       t));
	}
	return list;
}

static struct print_cell name_of(struct json_object *row)
{
	return print_format("name", json_object_object_get(row, "name"));
}

static int name_width(struct json_object *rates)
{
	size_t width = strlen("TARGET");

	for (size_t i = 0; i < json_object_array_length(rates); i++) {
		struct json_object *row = json_object_array_get_idx(rates, i);

		width = MAX(width, strlen(name_of(row).text));
	}
	return (int)width;
}

void iostat_print(struct json_object *rates, bool titles)
{
	int width = name_width(rates);

	if (titles) {
		printf("%-*s", width, "TARGET");
		for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
			printf(" %*s", columns[i].width, columns[i].title);
		putchar('\n');
	}
	for (size_t i = 0; i < json_object_array_length(rates); i++) {
		struct json_object *row = json_object_array_get_idx(rates, i);

		printf("%-*s", width, name_of(row).text);
		for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
			struct json_object *v =
				json_object_object_get(row, columns[c].key);

			printf(" %*.2f", columns[c].width,
			       json_object_get_double(v));
		}
		putchar('\n');
	}
}

/* Reports */

struct reports {
	const struct args *args;
	double interval_s;
	long count; /* 0: no end */
	struct json_object *last;
	unsigned lines; /* since the titles */
};

static int parse_number(double *out, const char *text, double min, double max,
			const char *what)
{
	char *end;

	*out = strtod(text, &end);
	if (end == text || *end || !(*out >= min) || !(*out <= max))
		return complain(COMPLAIN_UNASKED, "%s is no %s", text, what);
	return 0;
}

static int parse_args(struct reports *r)
{
	const char *interval = r->args->value[ARGUMENT_interval];
	const char *count = r->args->value[ARGUMENT_count];
	double n = 0;
	int err = 0;

	if (interval)
		err = parse_number(&r->interval_s, interval, 0.01,
				   INTERVAL_MAX_S, "number of seconds");
	if (!err && count)
		err = parse_number(&n, count, 1, COUNT_MAX,
				   "number of reports");
	r->count = (long)n;
	return err;
}

static void print_json(struct json_object *rates)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "time_s", json_object_new_int64(time(NULL)));
	json_object_object_add(o, "targets", json_object_get(rates));
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* Several targets are a table each time, one target is a line. */
static void print_text(struct reports *r, struct json_object *rates)
{
	bool one = r->args->value[ARGUMENT_target];

	iostat_print(rates, !one || r->lines % LINES_A_SCREEN == 0);
	if (!one)
		putchar('\n');
	r->lines++;
}

static int report(struct reports *r)
{
	struct json_object *now, *rates;
	int status = ask(r->args, &now, NULL);

	if (status)
		return status;
	rates = iostat_rates(r->last, now);
	if (r->args->json)
		print_json(rates);
	else
		print_text(r, rates);
	json_object_put(rates);
	json_object_put(r->last);
	r->last = now;
	return fflush(stdout) ? complain(COMPLAIN_UNASKED, "cannot write: %m")
			      : 0;
}

/* Steps do not add up what each report takes. */
static void step(struct timespec *next, double s)
{
	time_t whole = (time_t)s;

	next->tv_sec += whole;
	next->tv_nsec += (long)((s - (double)whole) * 1e9);
	if (next->tv_nsec >= 1000000000) {
		next->tv_nsec -= 1000000000;
		next->tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) ==
	       EINTR)
		;
}

int iostat_run(const struct args *a)
{
	struct reports r = {.args = a, .interval_s = 1};
	struct timespec next;
	int status = parse_args(&r);

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long i = 0; !status; i++) {
		status = report(&r);
		if (status || i + 1 == r.count)
			break;
		step(&next, r.interval_s);
	}
	json_object_put(r.last);
	return status;
}
