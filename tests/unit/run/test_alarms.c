/* SPDX-License-Identifier: BSD-2-Clause */
/* run/alarms: order, setting anew, clearing, the timer; on a made-up clock. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "run/alarms.h"

#define NR 200

static struct alarms as;
static struct alarm alarms[NR];

/* Which ones fired, in order. */
static struct alarm *fired[NR * 100];
static unsigned nr_fired;

static void note(struct alarm *a)
{
	cr_assert_eq(a->at_ns, 0, "a fired alarm is not set");
	fired[nr_fired++] = a;
}

static void setup(void)
{
	cr_assert_eq(alarms_init(&as), 0);
	for (unsigned i = 0; i < NR; i++)
		alarm_init(&alarms[i], note);
	nr_fired = 0;
}

static void teardown(void)
{
	alarms_fini(&as);
	alarms_fini(&as);
}

TestSuite(alarms, .init = setup, .fini = teardown, .timeout = 30);

static bool is_armed_within(int ms)
{
	struct pollfd p = {as.fd, POLLIN, 0};

	return poll(&p, 1, ms) == 1;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

Test(alarms, fire_in_the_order_of_their_times)
{
	static const unsigned at[] = {50, 10, 40, 20, 30};

	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		alarms_set(&as, &alarms[i], at[i]);
	alarms_run(&as, 9);
	cr_assert_eq(nr_fired, 0);
	alarms_run(&as, 30);
	cr_assert_eq(nr_fired, 3);
	cr_assert_eq(fired[0], &alarms[1]);
	cr_assert_eq(fired[1], &alarms[3]);
	cr_assert_eq(fired[2], &alarms[4]);
	alarms_run(&as, 1000);
	cr_assert_eq(nr_fired, 5);
	alarms_run(&as, 1000);
	cr_assert_eq(nr_fired, 5, "each fires once");
}

Test(alarms, can_be_set_anew_and_cleared)
{
	alarms_set(&as, &alarms[0], 10);
	alarms_set(&as, &alarms[1], 20);
	alarms_set(&as, &alarms[0], 30);
	alarms_run(&as, 20);
	cr_assert_eq(nr_fired, 1);
	cr_assert_eq(fired[0], &alarms[1]);
	alarms_clear(&as, &alarms[0]);
	alarms_clear(&as, &alarms[0]);
	alarms_clear(&as, &alarms[2]);
	alarms_run(&as, 1000);
	cr_assert_eq(nr_fired, 1);
	cr_assert_null(as.first);
}

static uint64_t random_time(void)
{
	return 1 + (uint64_t)rand() % 50;
}

/* The heap against the plainest of models, an array. */
Test(alarms, are_those_that_were_set_whatever_came_before)
{
	uint64_t model[NR] = {0};

	srand(7);
	for (uint64_t now = 0, step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand() % NR;

		if (rand() % 3) {
			model[i] = now + random_time();
			alarms_set(&as, &alarms[i], model[i]);
		} else if (rand() % 8) {
			model[i] = 0;
			alarms_clear(&as, &alarms[i]);
		} else {
			uint64_t last = 0;

			now += random_time();
			nr_fired = 0;
			alarms_run(&as, now);
			for (unsigned n = 0; n < nr_fired; n++) {
				uint64_t *at = &model[fired[n] - alarms];

				cr_assert(*at && *at <= now && *at >= last);
				last = *at;
				*at = 0;
			}
			for (unsigned n = 0; n < NR; n++)
				cr_assert(!model[n] || model[n] > now);
		}
		cr_assert_eq(alarms[i].at_ns, model[i]);
	}
}

static void set_again(struct alarm *a)
{
	note(a);
	alarms_set(&as, a, 5);
	alarms_clear(&as, &alarms[2]);
	alarms_set(&as, &alarms[3], 1);
}

Test(alarms, may_set_and_clear_alarms_when_they_fire)
{
	alarm_init(&alarms[0], set_again);
	alarms_set(&as, &alarms[0], 10);
	alarms_set(&as, &alarms[1], 11);
	alarms_set(&as, &alarms[2], 12);
	alarms_run(&as, 20);
	cr_assert_eq(nr_fired, 2, "what is set meanwhile waits");
	cr_assert_eq(fired[1], &alarms[1]);
	alarms_clear(&as, &alarms[0]);
	alarms_run(&as, 21);
	cr_assert_eq(nr_fired, 3);
	cr_assert_eq(fired[2], &alarms[3]);
}

Test(alarms, can_be_set_for_any_time)
{
	alarms_run(&as, 100);
	alarms_set(&as, &alarms[0], 0);
	alarms_set(&as, &alarms[1], UINT64_MAX);
	alarms_run(&as, 101);
	cr_assert_eq(nr_fired, 1);
	cr_assert_eq(fired[0], &alarms[0]);
	alarms_arm(&as);
	cr_assert_not(is_armed_within(1));
}

Test(alarms, wake_by_the_timer_when_armed)
{
	uint64_t now = clock_ns();

	cr_assert_not(is_armed_within(0));
	alarms_set(&as, &alarms[0], now + 300000);
	alarms_set(&as, &alarms[1], now + 1000000000000);
	cr_assert_not(is_armed_within(2), "nobody has armed it");
	alarms_arm(&as);
	cr_assert(is_armed_within(10000), "it is due already");
	alarms_run(&as, clock_ns());
	cr_assert_eq(nr_fired, 1);
	alarms_arm(&as);
	cr_assert_not(is_armed_within(2));
}

Test(alarms, do_not_wake_when_none_is_set)
{
	alarms_set(&as, &alarms[0], clock_ns() + 1000000);
	alarms_arm(&as);
	alarms_clear(&as, &alarms[0]);
	alarms_arm(&as);
	cr_assert_not(is_armed_within(5));
}
