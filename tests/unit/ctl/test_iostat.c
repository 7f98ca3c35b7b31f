/* SPDX-License-Identifier: BSD-2-Clause */
/* ctl/iostat: what two answers of stats say about the time between them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "ctl/iostat.h"

#define NONE                                                               \
	"\"reads\":0,\"read_bytes\":0,\"read_us\":0,\"writes\":0,"         \
	"\"written_bytes\":0,\"write_us\":0,\"flushes\":0,\"flush_us\":0," \
	"\"discards\":0,\"write_zeroes\":0,\"weighted_us\":0,\"busy_us\":0"

#define FIRST                                                       \
	"\"reads\":1000,\"read_bytes\":4096000,\"read_us\":500000," \
	"\"writes\":10,\"written_bytes\":10240,\"write_us\":20000," \
	"\"flushes\":4,\"flush_us\":8000,\"discards\":1,"           \
	"\"write_zeroes\":2,\"weighted_us\":600000,\"busy_us\":500000"

/* Two seconds later. */
#define SECOND                                                        \
	"\"reads\":5000,\"read_bytes\":20480000,\"read_us\":2500000," \
	"\"writes\":10,\"written_bytes\":10240,\"write_us\":20000,"   \
	"\"flushes\":6,\"flush_us\":208000,\"discards\":3,"           \
	"\"write_zeroes\":6,\"weighted_us\":6600000,\"busy_us\":1500000"

static struct json_object *answer(const char *name, long counted_us,
				  unsigned workers, const char *counters)
{
	struct json_object *o;
	char text[512];

	snprintf(text, sizeof(text),
		 "[{\"name\":\"%s\",\"counted_us\":%ld,"
		 "\"workers\":%u,\"counters\":{%s}}]",
		 name, counted_us, workers, counters);
	o = json_tokener_parse(text);
	cr_assert_not_null(o, "%s", text);
	return o;
}

static struct json_object *then, *now, *rates;

static void compare(struct json_object *before, struct json_object *after)
{
	then = before;
	now = after;
	rates = iostat_rates(then, now);
}

static void put(void)
{
	json_object_put(then);
	json_object_put(now);
	json_object_put(rates);
}

TestSuite(iostat, .fini = put);

static void expect(const char *column, double value)
{
	struct json_object *row = json_object_array_get_idx(rates, 0), *v;

	cr_assert(json_object_object_get_ex(row, column, &v), "no %s", column);

	double got = json_object_get_double(v);

	cr_assert_lt(fabs(got - value), 0.001, "%s is %f, not %f", column, got,
		     value);
}

Test(iostat, tells_all_columns_of_an_interval)
{
	compare(answer("a", 10000000, 1, FIRST),
		answer("a", 12000000, 1, SECOND));
	cr_assert_eq(json_object_array_length(rates), 1);
	expect("reads_per_s", 2000);
	expect("read_kib_per_s", 8000);
	expect("read_await_ms", 0.5);
	expect("writes_per_s", 0);
	expect("written_kib_per_s", 0);
	expect("write_await_ms", 0);
	expect("flushes_per_s", 1);
	expect("flush_await_ms", 100);
	expect("discards_per_s", 3);
	expect("queue_size", 3);
	expect("utilization_percent", 50);
}

Test(iostat, begins_with_all_that_was_counted)
{
	compare(NULL, answer("a", 10000000, 0, FIRST));
	expect("reads_per_s", 100);
	expect("read_await_ms", 0.5);
	expect("write_await_ms", 2);
	expect("utilization_percent", 5);
}

Test(iostat, shares_the_time_among_workers)
{
	compare(answer("a", 10000000, 2, FIRST),
		answer("a", 12000000, 2, SECOND));
	expect("utilization_percent", 25);
}

Test(iostat, knows_a_target_that_was_opened_anew)
{
	compare(answer("a", 10000000, 1, SECOND),
		answer("a", 1000000, 1, FIRST));
	expect("reads_per_s", 1000);
	put();
	compare(answer("b", 10000000, 1, FIRST),
		answer("a", 1000000, 1, FIRST));
	expect("reads_per_s", 1000);
}

Test(iostat, is_never_busier_than_all_the_time)
{
	compare(answer("a", 1000000, 1, NONE), answer("a", 1400000, 1, FIRST));
	expect("utilization_percent", 100);
}

Test(iostat, divides_by_nothing)
{
	compare(NULL, answer("a", 0, 0, NONE));
	expect("reads_per_s", 0);
	expect("read_await_ms", 0);
	expect("utilization_percent", 0);
}
