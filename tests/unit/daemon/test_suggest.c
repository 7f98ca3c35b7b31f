/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/suggest: distances, and which words are near enough. */
#include <criterion/criterion.h>
#include <limits.h>

#include "base/util.h"
#include "daemon/suggest.h"

Test(suggest, counts_letters_that_differ)
{
	static const struct {
		const char *a;
		const char *b;
		unsigned distance;
	} cases[] = {
		{"", "", 0},
		{"abc", "abc", 0},
		{"abc", "ab", 1},
		{"ab", "abc", 1},
		{"abc", "axc", 1},
		{"abc", "acb", 1},
		{"", "abc", 3},
		{"abcd", "badc", 2},
		{"kitten", "sitting", 3},
		{"queus", "queues", 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(suggest_distance(cases[i].a, cases[i].b),
			     cases[i].distance, "%s %s", cases[i].a,
			     cases[i].b);
		cr_assert_eq(suggest_distance(cases[i].b, cases[i].a),
			     cases[i].distance);
	}
	cr_assert_eq(suggest_distance("a", "12345678901234567890123456789012345"
					   "67890"),
		     40);
	cr_assert_eq(suggest_distance("a", "12345678901234567890123456789012345"
					   "678901"),
		     UINT_MAX);
}

static const char *nearest(const char *word)
{
	static const char *const words[] = {"queues", "queue-size", "serial",
					    "cpus"};
	const char *best = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		suggest_offer(&best, word, words[i]);
	return best;
}

Test(suggest, offers_the_nearest_word_only_if_it_is_near)
{
	cr_assert_str_eq(nearest("queus"), "queues");
	cr_assert_str_eq(nearest("queue_size"), "queue-size");
	cr_assert_str_eq(nearest("cpu"), "cpus");
	cr_assert_str_eq(nearest("sreial"), "serial");
	cr_assert_null(nearest("memory"));
	cr_assert_null(nearest("x"));
	cr_assert_null(nearest(""));
}
