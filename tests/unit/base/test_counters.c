/* SPDX-License-Identifier: BSD-2-Clause */
/* base/counters: the table covers the struct, sums, and one writer. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "base/counters.h"

Test(counters, has_one_row_for_each_field)
{
	size_t offset = 0;

	for (size_t i = 0; i < COUNTERS_NR; i++) {
		cr_assert_eq(counters_table[i].offset, offset);
		cr_assert(*counters_table[i].name);
		cr_assert(*counters_table[i].metric);
		cr_assert(*counters_table[i].help);
		offset += sizeof(uint64_t);
	}
	for (size_t i = 0; i < COUNTERS_NR_LATENCIES; i++) {
		cr_assert_eq(counters_latencies[i].offset, offset);
		offset += sizeof(struct counters_latency);
	}
	cr_assert_eq(offset, sizeof(struct counters));
	cr_assert_str_eq(counters_table[0].name, "reads");
	cr_assert_not(counters_table[0].is_gauge);
	cr_assert_str_eq(counters_table[COUNTERS_PLACE_inflight].name,
			 "inflight");
	cr_assert(counters_table[COUNTERS_PLACE_inflight].is_gauge);
	cr_assert_str_eq(counters_latencies[0].name, "read");
}

Test(counters, sums_every_field)
{
	struct counters part, sum;

	memset(&part, 0, sizeof(part));
	memset(&sum, 0, sizeof(sum));
	counters_add(&part.reads, 3);
	counters_add(&part.broken, 1);
	counters_add_latency(&part.write_zeroes_latency, UINT64_MAX);
	counters_sum(&sum, &part);
	counters_sum(&sum, &part);
	cr_assert_eq(counters_get(&sum, &counters_table[0]), 6);
	cr_assert_eq(counters_get(&sum, &counters_table[COUNTERS_PLACE_broken]),
		     2);
	cr_assert_eq(counters_get_latency(
			     &sum,
			     &counters_latencies[COUNTERS_NR_LATENCIES - 1])
			     ->buckets[COUNTERS_BUCKETS - 1],
		     2);
	cr_assert_eq(sum.writes, 0);
}

/* In two queues, one request more and one less: their sum must be right. */
Test(counters, lets_a_gauge_go_down)
{
	struct counters part, sum;

	memset(&part, 0, sizeof(part));
	memset(&sum, 0, sizeof(sum));
	counters_add(&part.inflight, 2);
	counters_add(&part.inflight, -1);
	counters_sum(&sum, &part);
	cr_assert_eq(sum.inflight, 1);
}

static unsigned bucket_of(uint64_t us)
{
	struct counters_latency l = {{0}};
	unsigned found = 0, nr = 0;

	counters_add_latency(&l, us);
	for (unsigned i = 0; i < COUNTERS_BUCKETS; i++) {
		if (!l.buckets[i])
			continue;
		cr_assert_eq(l.buckets[i], 1);
		found = i;
		nr++;
	}
	cr_assert_eq(nr, 1);
	return found;
}

Test(counters, finds_the_bucket_of_a_latency)
{
	for (unsigned i = 0; i < COUNTERS_LIMITS; i++) {
		cr_assert_eq(bucket_of(counters_limits_us[i]), i);
		cr_assert_eq(bucket_of(counters_limits_us[i] + 1), i + 1);
	}
	for (unsigned bits = 0; bits < 64; bits++) {
		uint64_t us = 1ULL << bits;
		unsigned i = bucket_of(us);

		cr_assert(i == COUNTERS_LIMITS || us <= counters_limits_us[i]);
		cr_assert(i == 0 || us > counters_limits_us[i - 1]);
	}
	cr_assert_eq(bucket_of(0), 0);
	cr_assert_eq(bucket_of(UINT64_MAX), COUNTERS_LIMITS);
}

Test(counters, tells_percentiles)
{
	struct counters_latency l = {{0}};

	cr_assert_eq(counters_percentile(&l, 50), 0);
	for (unsigned i = 0; i < 99; i++)
		counters_add_latency(&l, i < 50 ? 90 : 1500);
	cr_assert_eq(counters_percentile(&l, 50), 100);
	cr_assert_eq(counters_percentile(&l, 99), 2000);
	cr_assert_eq(counters_percentile(&l, 100), 2000);
	counters_add_latency(&l, 20000000);
	cr_assert_eq(counters_percentile(&l, 99), 2000);
	cr_assert_eq(counters_percentile(&l, 99.9), UINT64_MAX);
}

#define ADDS 200000

static void *writer(void *arg)
{
	struct counters *c = arg;

	for (int i = 0; i < ADDS; i++)
		counters_add(&c->kicks, 1);
	return NULL;
}

Test(counters, never_runs_backwards_for_a_reader)
{
	struct counters c;
	pthread_t thread;
	uint64_t last = 0;

	memset(&c, 0, sizeof(c));
	cr_assert_eq(pthread_create(&thread, NULL, writer, &c), 0);
	while (last < ADDS) {
		uint64_t now = counters_read(&c.kicks);

		cr_assert_geq(now, last);
		last = now;
	}
	pthread_join(thread, NULL);
}
