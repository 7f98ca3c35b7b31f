/* SPDX-License-Identifier: BSD-2-Clause */
/* device/device: what is in flight, for how long, and how much of it. */
#include <criterion/criterion.h>

#include "base/counters.h"
#include "device/device.h"

static struct counters a, b, other;
static struct device_load load, other_load;

/* Two queues of one worker, and one of another. */
static struct device_queue qa = {.counters = &a, .load = &load};
static struct device_queue qb = {.counters = &b, .load = &load};
static struct device_queue qo = {.counters = &other, .load = &other_load};

static struct counters sum(void)
{
	struct counters s = {0};

	counters_sum(&s, &a);
	counters_sum(&s, &b);
	counters_sum(&s, &other);
	return s;
}

static void check(uint64_t inflight, uint64_t busy_us, uint64_t weighted_us)
{
	struct counters s = sum();

	cr_assert_eq(s.inflight, inflight);
	cr_assert_eq(s.busy_us, busy_us, "busy for %llu us",
		     (unsigned long long)s.busy_us);
	cr_assert_eq(s.weighted_us, weighted_us, "weighted %llu us",
		     (unsigned long long)s.weighted_us);
}

Test(device, counts_no_time_while_nothing_is_in_flight)
{
	device_begin(&qa, 1000000);
	device_end(&qa, 1000000);
	check(0, 0, 0);
	device_begin(&qa, 5000000);
	check(1, 0, 0);
	device_end(&qa, 5000010);
	check(0, 10, 10);
}

Test(device, counts_time_of_two_queues_of_a_worker_once)
{
	device_begin(&qa, 100);
	device_begin(&qb, 110);
	device_begin(&qb, 110);
	check(3, 10, 10);
	device_end(&qa, 130);
	check(2, 30, 10 + 3 * 20);
	device_end(&qb, 130);
	device_end(&qb, 150);
	check(0, 50, 10 + 3 * 20 + 20);
	cr_assert_eq(a.inflight, 0);
	cr_assert_eq(b.inflight, 0);
}

Test(device, counts_time_of_each_worker)
{
	device_begin(&qa, 100);
	device_begin(&qo, 100);
	device_end(&qa, 150);
	device_end(&qo, 160);
	check(0, 110, 110);
}

/* A request that takes long is seen before it ends, when others do. */
Test(device, counts_time_of_what_is_not_over)
{
	device_begin(&qa, 100);
	for (unsigned i = 1; i <= 10; i++) {
		device_begin(&qb, 100 + i * 10);
		device_end(&qb, 100 + i * 10);
	}
	check(1, 100, 100);
}
