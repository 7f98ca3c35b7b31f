/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/limits: what is allowed when, on a made-up clock. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/util.h"
#include "vhost/limits.h"

#define S	 1000000000ULL /* nanoseconds */
#define MS	 1000000ULL
#define START_NS (123 * S)

static struct limits *l;
static uint64_t now;

static void setup(void)
{
	cr_assert_eq(limits_new(&l), 0);
	now = START_NS;
}

static void teardown(void)
{
	limits_free(l);
	limits_free(NULL);
}

TestSuite(limits, .init = setup, .fini = teardown, .timeout = 60);

static void set_one(enum limits_bucket b, uint64_t rate, uint64_t burst_us)
{
	struct limits_rates r = {.burst_us = burst_us};

	r.per_s[b] = rate;
	limits_set(l, &r, now);
}

/* Begin requests of @bytes until none is allowed; returns how many. */
static uint64_t drink(enum limits_kind kind, uint64_t bytes)
{
	uint64_t n = 0;

	for (; limits_allow(l, kind, now) && n < 100000000; n++)
		limits_charge(l, kind, bytes, now);
	return n;
}

/* The same for a time, with a look each @step_ns; the bytes or requests. */
static double drink_for(enum limits_kind kind, uint64_t bytes, uint64_t for_ns,
			uint64_t step_ns)
{
	uint64_t end = now + for_ns;
	uint64_t n = 0;

	for (; now < end; now += step_ns)
		n += drink(kind, bytes);
	return n;
}

/* Within 0.3 %; and one request more or less is what a look finds or not. */
static void expect_near(double is, double wanted, double request)
{
	cr_assert(fabs(is - wanted) <= wanted * 0.003 + request,
		  "%.1f, not %.1f", is, wanted);
}

Test(limits, limit_nothing_at_first)
{
	for (unsigned k = 0; k < LIMITS_NR_KINDS; k++) {
		limits_charge(l, k, UINT64_MAX, now);
		cr_assert(limits_allow(l, k, now));
		cr_assert_leq(limits_ready_ns(l, k, S), now);
	}
}

/* All combinations of what is limited and what is done. */
Test(limits, count_for_the_kinds_that_they_are_of)
{
	static const bool counts[LIMITS_NR_BUCKETS][LIMITS_NR_KINDS] = {
		[LIMITS_IOPS] = {true, true},
		[LIMITS_READ_IOPS] = {true, false},
		[LIMITS_WRITE_IOPS] = {false, true},
		[LIMITS_BANDWIDTH] = {true, true},
		[LIMITS_READ_BANDWIDTH] = {true, false},
		[LIMITS_WRITE_BANDWIDTH] = {false, true},
	};

	for (unsigned b = 0; b < LIMITS_NR_BUCKETS; b++) {
		for (unsigned k = 0; k < LIMITS_NR_KINDS; k++) {
			set_one(b, 1000, 100000);
			for (unsigned n = 0; n < 101; n++)
				limits_charge(l, k, 1, now);
			cr_assert_eq(limits_allow(l, LIMITS_READ, now),
				     !counts[b][k] || !counts[b][LIMITS_READ]);
			cr_assert_eq(limits_allow(l, LIMITS_WRITE, now),
				     !counts[b][k] || !counts[b][LIMITS_WRITE]);
			set_one(b, 0, 100000);
		}
	}
}

Test(limits, begin_with_a_burst_and_save_up_no_more)
{
	set_one(LIMITS_IOPS, 1000, 100000);
	cr_assert_eq(drink(LIMITS_READ, 4096), 100);
	cr_assert_eq(drink(LIMITS_WRITE, 4096), 0, "one bucket for both");
	now += 10 * MS;
	cr_assert_eq(drink(LIMITS_READ, 4096), 10);
	now += 1000 * S;
	cr_assert_eq(drink(LIMITS_READ, 4096), 100);
}

Test(limits, charge_the_real_size_and_wait_until_it_is_paid)
{
	set_one(LIMITS_BANDWIDTH, 1 << 20, 1000000);
	/* 1 MiB is there, the second request of 10 MiB is not allowed. */
	cr_assert_eq(drink(LIMITS_WRITE, 10 << 20), 1);
	now += 9 * S;
	cr_assert_not(limits_allow(l, LIMITS_WRITE, now), "0 is nothing");
	now += 1;
	cr_assert(limits_allow(l, LIMITS_WRITE, now));
}

Test(limits, keep_odd_rates)
{
	static const uint64_t rates[] = {1,	3,	7,	 999,
					 33333, 777777, 3000001, 99999999};

	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		uint64_t for_ns = rates[i] < 1000 ? 1000 * S : S;
		double n;

		set_one(LIMITS_READ_IOPS, 0, 10000);
		set_one(LIMITS_READ_IOPS, rates[i], 10000);
		drink(LIMITS_READ, 0);
		n = drink_for(LIMITS_READ, 0, for_ns, MS);
		expect_near(n, rates[i] * (for_ns / S), 1);
	}
}

Test(limits, keep_odd_bandwidths_whatever_the_size)
{
	static const uint64_t rates[] = {4096, 1234567, 800ULL << 20,
					 1ULL << 40};
	static const uint64_t sizes[] = {512, 4096, 65537, 1 << 20};

	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
			uint64_t for_ns = rates[i] == 4096 ? 100000 * S
					  : rates[i] >> 36 ? MS * 20
							   : 10 * S;
			uint64_t step_ns = for_ns / 100000;
			uint64_t burst_us = MAX(step_ns / 500, 1000U);
			double n;

			/* More than 100 million requests a second. */
			if (rates[i] / sizes[s] > 100000000)
				continue;
			set_one(LIMITS_BANDWIDTH, 0, burst_us);
			set_one(LIMITS_BANDWIDTH, rates[i], burst_us);
			drink(LIMITS_READ, sizes[s]);
			n = drink_for(LIMITS_READ, sizes[s], for_ns, step_ns);
			expect_near(n * sizes[s],
				    (double)rates[i] * for_ns / S, sizes[s]);
		}
	}
}

Test(limits, hold_all_at_the_same_time)
{
	const struct limits_rates r = {
		.per_s = {[LIMITS_IOPS] = 1000,
			  [LIMITS_WRITE_IOPS] = 500,
			  [LIMITS_BANDWIDTH] = 2000 * 4096},
		.burst_us = 10000,
	};

	limits_set(l, &r, now);
	drink(LIMITS_WRITE, 4096);
	drink(LIMITS_READ, 4096);
	expect_near(drink_for(LIMITS_WRITE, 4096, 10 * S, MS), 5000, 1);
	expect_near(drink_for(LIMITS_READ, 4096, 10 * S, MS), 10000, 1);
	expect_near(drink_for(LIMITS_READ, 16384, 10 * S, MS), 5000, 1);
}

Test(limits, say_when_something_will_be_left)
{
	static const uint64_t shares_ns[] = {0, 1, 1000, 200000};

	for (unsigned i = 0; i < ARRAY_SIZE(shares_ns); i++) {
		uint64_t at;

		set_one(LIMITS_IOPS, 0, 100000);
		set_one(LIMITS_IOPS, 30000, 100000);
		drink(LIMITS_READ, 0);
		at = limits_ready_ns(l, LIMITS_READ, 0);
		cr_assert_gt(at, now);
		cr_assert_leq(at, now + S / 30000 + 1);
		cr_assert_not(limits_allow(l, LIMITS_READ, at - 1));
		cr_assert(limits_allow(l, LIMITS_READ, at));
		now = limits_ready_ns(l, LIMITS_READ, shares_ns[i]);
		cr_assert_leq(now - at, shares_ns[i] + 1);
		cr_assert_geq(now - at + 1, shares_ns[i]);
		cr_assert_eq(drink(LIMITS_READ, 0),
			     shares_ns[i] * 30000 / S + 1);
	}
	/* Of a small burst no more than half is waited for. */
	set_one(LIMITS_IOPS, 0, 1000);
	set_one(LIMITS_IOPS, 1000, 1000);
	drink(LIMITS_READ, 0);
	cr_assert_leq(limits_ready_ns(l, LIMITS_READ, S) - now,
		      MS + MS / 2 + 1);
	now += 100 * S;
	cr_assert_leq(limits_ready_ns(l, LIMITS_READ, S), now);
}

Test(limits, can_be_changed_at_any_time)
{
	/* From none to some, to more, to fewer, to none, to some. */
	set_one(LIMITS_IOPS, 1000, 100000);
	cr_assert_eq(drink(LIMITS_READ, 0), 100);
	set_one(LIMITS_IOPS, 2000, 100000);
	/* 100 were taken, 200 may be. */
	cr_assert_eq(drink(LIMITS_READ, 0), 100);
	set_one(LIMITS_IOPS, 10, 100000);
	cr_assert_eq(drink(LIMITS_READ, 0), 0);
	now += 101 * MS;
	cr_assert_eq(drink(LIMITS_READ, 0), 1);
	set_one(LIMITS_IOPS, 0, 100000);
	cr_assert(limits_allow(l, LIMITS_READ, now));
	limits_charge(l, LIMITS_READ, 0, now);
	cr_assert_eq(limits_rates(l)->per_s[LIMITS_IOPS], 0);
	set_one(LIMITS_IOPS, 1000, 100000);
	cr_assert_eq(drink(LIMITS_READ, 0), 100);
	cr_assert_eq(limits_rates(l)->per_s[LIMITS_IOPS], 1000);
	cr_assert_eq(limits_rates(l)->burst_us, 100000);
}

Test(limits, are_not_refilled_by_setting_the_same)
{
	set_one(LIMITS_IOPS, 1000, 100000);
	drink(LIMITS_READ, 0);
	for (unsigned i = 0; i < 10; i++) {
		set_one(LIMITS_IOPS, 1000, 100000);
		cr_assert_eq(drink(LIMITS_READ, 0), 0);
	}
}

Test(limits, shorten_a_debt_when_raised)
{
	set_one(LIMITS_BANDWIDTH, 1 << 20, 100000);
	limits_charge(l, LIMITS_READ, 1 << 30, now);
	cr_assert_gt(limits_ready_ns(l, LIMITS_READ, 0), now + 1000 * S);
	set_one(LIMITS_BANDWIDTH, 1 << 30, 100000);
	cr_assert_lt(limits_ready_ns(l, LIMITS_READ, 0), now + S);
	set_one(LIMITS_BANDWIDTH, 4096, 100000);
	cr_assert_lt(limits_ready_ns(l, LIMITS_READ, 0), now + S,
		     "nor does it grow when lowered");
}

Test(limits, survive_huge_values)
{
	const uint64_t years = 30 * 365 * 24 * 3600 * S;

	now = years;
	set_one(LIMITS_BANDWIDTH, 4096, 60000000);
	for (unsigned i = 0; i < 100000; i++)
		limits_charge(l, LIMITS_WRITE, UINT64_MAX, now);
	cr_assert_not(limits_allow(l, LIMITS_WRITE, now));
	cr_assert_gt(limits_ready_ns(l, LIMITS_WRITE, 0), now);
	cr_assert_lt(limits_ready_ns(l, LIMITS_WRITE, UINT64_MAX), 2 * years,
		     "nor does the time run over");
	now += 60 * 24 * 3600 * S;
	cr_assert(limits_allow(l, LIMITS_WRITE, now), "it is paid some day");
}

Test(limits, take_no_harm_from_a_clock_that_jumps)
{
	set_one(LIMITS_IOPS, 1000, 100000);
	drink(LIMITS_READ, 0);
	/* Another worker's turn began earlier. */
	now -= 5 * MS;
	cr_assert_not(limits_allow(l, LIMITS_READ, now));
	limits_charge(l, LIMITS_READ, 0, now);
	now += 5 * MS;
	cr_assert_not(limits_allow(l, LIMITS_READ, now));
	now += 2 * MS;
	cr_assert_eq(drink(LIMITS_READ, 0), 1);
	/* The machine slept: one burst, not a day's worth. */
	now += 24 * 3600 * S;
	cr_assert_eq(drink(LIMITS_READ, 0), 100);
	/* Near boot, where the burst is longer than the clock. */
	now = 1;
	set_one(LIMITS_IOPS, 0, 60000000);
	set_one(LIMITS_IOPS, 1, 60000000);
	cr_assert_eq(drink(LIMITS_READ, 0), 60);
}

#define CHARGES 200000

static void *charge_many(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < CHARGES; i++)
		limits_charge(l, i & 1 ? LIMITS_READ : LIMITS_WRITE, 512, now);
	return NULL;
}

Test(limits, lose_nothing_between_workers)
{
	pthread_t t[4];
	struct limits_rates r = {
		.per_s = {[LIMITS_IOPS] = 1000,
			  [LIMITS_BANDWIDTH] = 512 * 1000},
		.burst_us = 1000,
	};
	uint64_t wanted = now + (4ULL * CHARGES * MS - MS);

	limits_set(l, &r, now);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_create(&t[i], NULL, charge_many, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(limits_ready_ns(l, LIMITS_READ, 0), wanted + 1);
	r.per_s[LIMITS_BANDWIDTH] = 0;
	limits_set(l, &r, now);
	cr_assert_eq(limits_ready_ns(l, LIMITS_READ, 0), wanted + 1);
}

Test(limits, know_how_many_lines_wait)
{
	cr_assert_eq(limits_wait(l, 1), 1);
	cr_assert_eq(limits_wait(l, 1), 2);
	cr_assert_eq(limits_wait(l, 0), 2);
	cr_assert_eq(limits_wait(l, -1), 1);
	cr_assert_eq(limits_wait(l, -1), 0);
}
