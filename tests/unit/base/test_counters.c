/* SPDX-License-Identifier: BSD-2-Clause */
/* base/counters: the table covers the struct, sums, and one writer. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "base/counters.h"

Test(counters, has_one_row_for_each_field)
{
	for (size_t i = 0; i < COUNTERS_NR; i++) {
		cr_assert_eq(counters_table[i].offset, i * sizeof(uint64_t));
		cr_assert(*counters_table[i].name);
		cr_assert(*counters_table[i].help);
	}
	cr_assert_str_eq(counters_table[0].name, "reads");
	cr_assert_str_eq(counters_table[COUNTERS_NR - 1].name, "broken");
}

Test(counters, sums_every_field)
{
	struct counters part, sum;

	memset(&part, 0, sizeof(part));
	memset(&sum, 0, sizeof(sum));
	counters_add(&part.reads, 3);
	counters_add(&part.broken, 1);
	counters_sum(&sum, &part);
	counters_sum(&sum, &part);
	cr_assert_eq(counters_get(&sum, &counters_table[0]), 6);
	cr_assert_eq(counters_get(&sum, &counters_table[COUNTERS_NR - 1]), 2);
	cr_assert_eq(sum.writes, 0);
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
