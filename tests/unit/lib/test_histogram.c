/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/histogram: buckets, percentiles, merging. */
#include <criterion/criterion.h>

#include "histogram.h"

static struct histogram h, other;

Test(histogram, has_a_bucket_for_every_value_in_order)
{
	unsigned last = 0;

	for (uint64_t v = 1; v < 100000; v++) {
		unsigned b = histogram_bucket(v);

		cr_assert(b == last || b == last + 1);
		last = b;
	}
	cr_assert_eq(histogram_bucket(0), 0);
	cr_assert_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

Test(histogram, is_exact_for_small_values)
{
	for (uint64_t v = 0; v < 64; v++)
		histogram_add(&h, v);
	cr_assert_eq(histogram_percentile(&h, 0.5), 31);
	cr_assert_eq(histogram_percentile(&h, 1), 63);
	cr_assert_eq(histogram_mean(&h), 31.5);
}

Test(histogram, errs_by_less_than_two_percent)
{
	for (uint64_t v = 1; v <= 1000000; v++)
		histogram_add(&h, v);
	for (double p = 0.1; p < 1; p += 0.1) {
		double got = (double)histogram_percentile(&h, p);

		cr_assert_geq(got, p * 1000000 - 1);
		cr_assert_leq(got, p * 1000000 * 1.02);
	}
	cr_assert_eq(h.max, 1000000);
}

Test(histogram, finds_the_rare_slow_one)
{
	for (int i = 0; i < 9990; i++)
		histogram_add(&h, 10);
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 1000000);
	cr_assert_eq(histogram_percentile(&h, 0.99), 10);
	cr_assert_eq(histogram_percentile(&h, 0.999), 10);
	cr_assert_eq(histogram_percentile(&h, 0.9999), 1000000);
}

Test(histogram, merges_what_two_have_counted)
{
	histogram_add(&h, 1);
	histogram_add(&other, 3);
	histogram_add(&other, 500);
	histogram_merge(&h, &other);
	cr_assert_eq(h.count, 3);
	cr_assert_eq(h.max, 500);
	cr_assert_eq(histogram_percentile(&h, 0.5), 3);
	cr_assert_eq(histogram_mean(&h), 168);
}

Test(histogram, has_nothing_to_say_when_empty)
{
	cr_assert_eq(histogram_mean(&h), 0);
	cr_assert_eq(histogram_percentile(&h, 0.99), 0);
}
