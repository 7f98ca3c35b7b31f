/* SPDX-License-Identifier: BSD-2-Clause */
/* base/ratelimit: bursts, windows, what was held back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/ratelimit.h"

static struct ratelimit r;
static const char what[] = "a format", other[] = "another";

static unsigned take_many(const char *tag, const void *w, uint64_t now, int n)
{
	unsigned taken = 0;

	for (int i = 0; i < n; i++)
		taken += ratelimit_take(&r, tag, w, now);
	return taken;
}

Test(ratelimit, allows_a_burst_and_counts_the_rest)
{
	char tag[RATELIMIT_TAG];
	unsigned skipped;

	cr_assert_eq(take_many("vm1", what, 5, 25), RATELIMIT_BURST);
	cr_assert_not(ratelimit_collect(&r, 6, false, tag, &skipped));
	cr_assert(ratelimit_collect(&r, 5 + RATELIMIT_WINDOW, false, tag,
				    &skipped));
	cr_assert_str_eq(tag, "vm1");
	cr_assert_eq(skipped, 15);
	cr_assert_not(ratelimit_collect(&r, 5 + RATELIMIT_WINDOW, false, tag,
					&skipped));
}

Test(ratelimit, keeps_tags_and_formats_apart)
{
	cr_assert_eq(take_many("vm1", what, 0, 20), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm2", what, 0, 20), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm1", other, 0, 20), RATELIMIT_BURST);
}

Test(ratelimit, begins_anew_when_the_window_is_over)
{
	cr_assert_eq(take_many("vm1", what, 0, 10), RATELIMIT_BURST);
	cr_assert_eq(take_many("vm1", what, RATELIMIT_WINDOW - 1, 1), 0);

	char tag[RATELIMIT_TAG];
	unsigned skipped;

	cr_assert(ratelimit_collect(&r, RATELIMIT_WINDOW, false, tag,
				    &skipped));
	cr_assert_eq(take_many("vm1", what, RATELIMIT_WINDOW, 11),
		     RATELIMIT_BURST);
}

Test(ratelimit, bounds_who_makes_up_many_tags)
{
	char tag[RATELIMIT_TAG];
	unsigned taken = 0, skipped;

	for (int i = 0; i < 3 * RATELIMIT_KEYS; i++) {
		snprintf(tag, sizeof(tag), "vm%d", i);
		taken += take_many(tag, what, 0, 1);
	}
	cr_assert_eq(taken, RATELIMIT_KEYS);
	cr_assert(ratelimit_collect(&r, 1, false, tag, &skipped));
	cr_assert_str_eq(tag, "");
	cr_assert_eq(skipped, 2 * RATELIMIT_KEYS);
	/* Places come free with time. */
	cr_assert_eq(take_many("late", what, RATELIMIT_WINDOW, 1), 1);
}

Test(ratelimit, gives_up_all_when_asked)
{
	char tag[RATELIMIT_TAG];
	unsigned skipped;

	take_many("vm1", what, 0, 11);
	cr_assert(ratelimit_collect(&r, 1, true, tag, &skipped));
	cr_assert_eq(skipped, 1);
}

Test(ratelimit, cuts_long_tags)
{
	char tag[200];

	memset(tag, 'x', sizeof(tag));
	tag[199] = '\0';
	cr_assert_eq(take_many(tag, what, 0, 20), RATELIMIT_BURST);
}
