/* SPDX-License-Identifier: BSD-2-Clause */
/* base/ratelimit: bursts, windows, what was held back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/ratelimit.h"

static struct ratelimit r;
static struct ratelimit_skipped s;
static const char what[] = "a format", other[] = "another";

static unsigned take_many(const char *tag, const char *w, uint64_t now, int n)
{
	unsigned taken = 0;

	for (int i = 0; i < n; i++)
		taken += ratelimit_take(&r, tag, w, 3, now);
	return taken;
}

static bool collect(uint64_t now)
{
	return ratelimit_collect(&r, now, false, &s);
}

Test(ratelimit, allows_a_burst_and_counts_the_rest)
{
	cr_assert_eq(take_many("vm1", what, 5, 25), RATELIMIT_BURST);
	cr_assert_not(collect(6));
	cr_assert(collect(7 + RATELIMIT_WINDOW));
	cr_assert_str_eq(s.tag, "vm1");
	cr_assert_eq(s.what, what);
	cr_assert_eq(s.kind, 3);
	cr_assert_eq(s.nr, 15);
	cr_assert_eq(s.ms, RATELIMIT_WINDOW + 2);
	cr_assert_not(collect(7 + RATELIMIT_WINDOW));
}

Test(ratelimit, keeps_tags_and_formats_apart)
{
	cr_assert_eq(take_many("vm1", what, 0, 20), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm2", what, 0, 20), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm", what, 0, 20), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm1", other, 0, 20), RATELIMIT_BURST);
}

Test(ratelimit, counts_the_queues_of_a_target_together)
{
	cr_assert_eq(take_many("vm1/q0", what, 0, 6), 6);
	cr_assert_eq(take_many("vm1/q1", what, 0, 6), RATELIMIT_BURST - 6);
	cr_assert_eq(take_many("vm1", what, 0, 6), 0);
}

Test(ratelimit, begins_anew_when_the_window_is_over)
{
	cr_assert_eq(take_many("vm1", what, 0, 10), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm1", what, RATELIMIT_WINDOW - 1, 1), 0);
	cr_assert(collect(RATELIMIT_WINDOW));
	cr_assert_eq(take_many("vm1", what, RATELIMIT_WINDOW, 11),
		     RATELIMIT_BURST);
}

/* An hour of it, a hundred times a second. */
Test(ratelimit, says_ever_less_of_what_never_ends)
{
	unsigned taken = 0, told = 0;
	uint64_t skipped = 0;

	for (uint64_t now = 0; now < 3600000; now += 10) {
		if (collect(now)) {
			told++;
			skipped += s.nr;
		}
		taken += take_many("vm1", what, now, 1);
	}
	while (ratelimit_collect(&r, 3600000, true, &s))
		skipped += s.nr;
	cr_assert_eq(taken + skipped, 360000);
	/* 10, 20, 40, ... 640 s, and then that again and again */
	cr_assert_eq(told, 10);
	cr_assert_eq(taken, (told + 1) * RATELIMIT_BURST);
}

Test(ratelimit, forgives_who_was_quiet_for_a_window)
{
	take_many("vm1", what, 0, 11);
	cr_assert(collect(RATELIMIT_WINDOW));
	/* that one is twice as long, and nothing happens in it */
	cr_assert_eq(take_many("vm1", what, 3 * RATELIMIT_WINDOW, 11),
		     RATELIMIT_BURST);
	cr_assert(collect(4 * RATELIMIT_WINDOW));
}

Test(ratelimit, bounds_who_makes_up_many_tags)
{
	char tag[RATELIMIT_TAG];
	unsigned taken = 0;

	for (int i = 0; i < 3 * RATELIMIT_KEYS; i++) {
		snprintf(tag, sizeof(tag), "vm%d", i);
		taken += take_many(tag, what, 0, 1);
	}
	cr_assert_leq(taken, RATELIMIT_KEYS);
	cr_assert_gt(taken, RATELIMIT_KEYS * 9 / 10);
	cr_assert(collect(RATELIMIT_WINDOW));
	cr_assert_null(s.what);
	cr_assert_str_eq(s.tag, "");
	cr_assert_eq(s.nr, 3 * RATELIMIT_KEYS - taken);
	/* Places come free with time. */
	cr_assert_eq(take_many("late", what, RATELIMIT_WINDOW, 1), 1);
}

/* All of them come back at once after a restart. */
Test(ratelimit, has_room_for_a_thousand_targets)
{
	static const char *const formats[] = {"connected", "started", "left"};
	char tag[RATELIMIT_TAG];
	unsigned taken = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(tag, sizeof(tag), "vm%d-root", i);
		for (int k = 0; k < 3; k++)
			taken += take_many(tag, formats[k], 0, 1);
	}
	cr_assert_gt(taken, 2950, "%u", taken);
}

Test(ratelimit, gives_up_all_when_asked)
{
	take_many("vm1", what, 0, 11);
	cr_assert(ratelimit_collect(&r, 1, true, &s));
	cr_assert_eq(s.nr, 1);
}

Test(ratelimit, says_when_there_is_something_to_collect)
{
	cr_assert_not(collect(0));
	cr_assert_eq(ratelimit_due(&r, 0), -1);
	take_many("vm1", what, 100, 11);
	take_many("vm2", what, 50, 11);
	cr_assert_eq(ratelimit_due(&r, 1050), RATELIMIT_WINDOW - 1000);
	cr_assert(collect(RATELIMIT_WINDOW + 60));
	cr_assert_str_eq(s.tag, "vm2");
	cr_assert_not(collect(RATELIMIT_WINDOW + 60));
	cr_assert_eq(ratelimit_due(&r, RATELIMIT_WINDOW + 60), 40);
	cr_assert(collect(RATELIMIT_WINDOW + 100));
	cr_assert_not(collect(RATELIMIT_WINDOW + 100));
	cr_assert_eq(ratelimit_due(&r, RATELIMIT_WINDOW + 100), -1);
}

Test(ratelimit, cuts_long_tags)
{
	char tag[200];

	memset(tag, 'x', sizeof(tag));
	tag[199] = '\0';
	cr_assert_eq(take_many(tag, what, 0, 20), RATELIMIT_BURST);
}
