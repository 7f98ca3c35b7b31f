/* SPDX-License-Identifier: BSD-2-Clause */
/* run/budget: what is chosen for patterns of arrivals, and what it costs. */
#include <criterion/criterion.h>

#include "base/util.h"
#include "run/budget.h"

#define US UINT64_C(1000)
#define MS (1000 * US)

#define GUEST	50 * US /* prices as workers have them */
#define STORAGE 10 * US

/* Runs of equal gaps, all of them @repeat times over. */
struct pattern {
	const char *name;
	uint64_t price_ns;
	struct {
		uint64_t gap_ns;
		unsigned nr;
	} runs[4];
	unsigned repeat;
	uint64_t least_ns, most_ns; /* what is right at the end */
};

static const struct pattern patterns[] = {
	{"a guest that polls, depth 1",
	 GUEST,
	 {{1 * US, 1}},
	 500,
	 1 * US,
	 2 * US},
	{"a guest by eventfd, depth 1",
	 GUEST,
	 {{10 * US, 1}},
	 500,
	 10 * US,
	 20 * US},
	{"a guest that thinks for 30 us",
	 GUEST,
	 {{30 * US, 1}},
	 500,
	 30 * US,
	 50 * US},
	{"a guest that thinks for 60 us", GUEST, {{60 * US, 1}}, 500, 0, 0},
	{"a fast disk", STORAGE, {{5 * US, 1}}, 500, 5 * US, 10 * US},
	{"a disk", STORAGE, {{25 * US, 1}}, 500, 0, 0},
	{"a slow disk", STORAGE, {{8 * MS, 1}}, 500, 0, 0},
	{"a cache in front of a disk",
	 STORAGE,
	 {{1 * US, 1}, {24 * US, 1}},
	 500,
	 1 * US,
	 2 * US},
	{"a cache that seldom hits",
	 STORAGE,
	 {{1 * US, 1}, {24 * US, 30}},
	 100,
	 0,
	 0},
	{"a disk at depth 32",
	 STORAGE,
	 {{700, 31}, {80 * US, 1}},
	 100,
	 700,
	 2 * US},
	{"one request in 5 ms", GUEST, {{5 * MS, 1}}, 500, 0, 0},
	{"pairs of requests",
	 GUEST,
	 {{2 * US, 1}, {5 * MS, 1}},
	 500,
	 2 * US,
	 4 * US},
	{"bursts", GUEST, {{1 * US, 31}, {10 * MS, 1}}, 100, 1 * US, 2 * US},
	{"slow bursts",
	 GUEST,
	 {{12 * US, 4}, {10 * MS, 1}},
	 100,
	 12 * US,
	 20 * US},
	{"a load that begins",
	 GUEST,
	 {{5 * MS, 200}, {10 * US, 16}},
	 1,
	 10 * US,
	 20 * US},
	{"a load that ends", GUEST, {{1 * US, 200}, {5 * MS, 16}}, 1, 0, 0},
	{"loads that come and go",
	 GUEST,
	 {{10 * US, 20}, {5 * MS, 20}},
	 50,
	 0,
	 0},
	{"a load that gets slower",
	 GUEST,
	 {{1 * US, 500}, {20 * US, 100}},
	 1,
	 20 * US,
	 40 * US},
	{"a load that gets faster",
	 GUEST,
	 {{20 * US, 500}, {1 * US, 200}, {5 * MS, 1}},
	 1,
	 1 * US,
	 2 * US},
	{"gaps as long as an edge", GUEST, {{4096, 1}}, 500, 4096, 4096},
	{"no gaps", GUEST, {{0, 1}}, 500, 0, 2 * US},
	{"no gaps, then silence", GUEST, {{0, 200}, {5 * MS, 16}}, 1, 0, 0},
	{"the end of time", GUEST, {{UINT64_MAX, 1}}, 500, 0, 0},
	{"load, and the end of time",
	 GUEST,
	 {{1 * US, 50}, {UINT64_MAX, 1}},
	 20,
	 1 * US,
	 2 * US},
};

/* What one gap costs who spins for @ns. */
static uint64_t cost_of(uint64_t gap_ns, uint64_t ns, uint64_t price_ns)
{
	return gap_ns <= ns ? gap_ns : ns + price_ns;
}

/* What was paid, and what those would have paid who never change. */
struct bill {
	uint64_t paid;
	uint64_t sleeper;
	uint64_t spinners[BUDGET_NR_EDGES];
};

static void take_gap(struct budget *b, uint64_t gap_ns, struct bill *bill)
{
	bill->paid += cost_of(gap_ns, budget_ns(b), b->price_ns);
	bill->sleeper += cost_of(gap_ns, 0, b->price_ns);
	for (unsigned i = 0; i < BUDGET_NR_EDGES; i++)
		bill->spinners[i] +=
			cost_of(gap_ns, BUDGET_EDGE_NS(i), b->price_ns);
	budget_note(b, gap_ns);
}

static uint64_t best_of(const struct bill *bill)
{
	uint64_t best = bill->sleeper;

	for (unsigned i = 0; i < BUDGET_NR_EDGES; i++)
		best = MIN(best, bill->spinners[i]);
	return best;
}

/* The first gaps have to be learnt from. */
static void assert_paid_at_most_twice(const struct bill *bill,
				      const struct budget *b, const char *name)
{
	cr_expect_leq(bill->paid, 2 * (best_of(bill) + b->price_ns),
		      "%s: paid %lu, the best %lu", name, bill->paid,
		      best_of(bill));
}

static void replay(const struct pattern *p, struct budget *b, struct bill *bill)
{
	budget_init(b, p->price_ns);
	for (unsigned n = 0; n < p->repeat; n++)
		for (unsigned i = 0; i < ARRAY_SIZE(p->runs); i++)
			for (unsigned k = 0; k < p->runs[i].nr; k++)
				take_gap(b, p->runs[i].gap_ns, bill);
}

Test(budget, chooses_what_fits_the_pattern)
{
	for (unsigned i = 0; i < ARRAY_SIZE(patterns); i++) {
		const struct pattern *p = &patterns[i];
		struct bill bill = {0};
		struct budget b;

		replay(p, &b, &bill);
		cr_expect(budget_ns(&b) >= p->least_ns &&
				  budget_ns(&b) <= p->most_ns,
			  "%s: %lu ns", p->name, budget_ns(&b));
	}
}

Test(budget, costs_at_most_twice_the_best)
{
	for (unsigned i = 0; i < ARRAY_SIZE(patterns); i++) {
		const struct pattern *p = &patterns[i];
		struct bill bill = {0};
		struct budget b;

		replay(p, &b, &bill);
		assert_paid_at_most_twice(&bill, &b, p->name);
	}
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Three lengths of gaps, each as likely as it happens to be. */
static void take_mixture(struct budget *b, struct bill *bill, uint64_t *state)
{
	static const uint64_t lengths[] = {
		500,	 900,	  1500,	   3 * US,   6 * US,   9 * US, 12 * US,
		20 * US, 30 * US, 40 * US, 100 * US, 300 * US, 5 * MS,
	};
	uint64_t gaps[3], stays = next_random(state) % 100;
	unsigned now = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(gaps); i++)
		gaps[i] = lengths[next_random(state) % ARRAY_SIZE(lengths)];
	for (unsigned n = 0; n < 1000; n++) {
		if (next_random(state) % 100 >= stays)
			now = next_random(state) % ARRAY_SIZE(gaps);
		take_gap(b, gaps[now], bill);
	}
}

Test(budget, costs_at_most_twice_the_best_in_any_mixture)
{
	uint64_t state = 1;

	for (unsigned n = 0; n < 500; n++) {
		struct bill bill = {0};
		struct budget b;

		budget_init(&b, n % 2 ? GUEST : STORAGE);
		take_mixture(&b, &bill, &state);
		assert_paid_at_most_twice(&bill, &b, "a mixture");
	}
}

/*
 * A guest that has to run on our CPU: its next request comes when we have slept
 * for as long as it takes to make one.  Gaps here and there that we do not
 * cause, such as while it has the other CPU, keep the hope up.
 */
static uint64_t gap_on_our_cpu(const struct budget *b, unsigned n,
			       unsigned other)
{
	return other && n % other == 0 ? 4 * US : budget_ns(b) + 6 * US;
}

Test(budget, gives_up_where_spinning_makes_the_gaps)
{
	static const uint64_t prices[] = {GUEST, STORAGE};
	static const unsigned others[] = {0, 5, 100};

	for (unsigned i = 0; i < 6; i++) {
		struct bill bill = {0};
		struct budget b;

		budget_init(&b, prices[i % 2]);
		for (unsigned n = 1; n < 5000; n++)
			take_gap(&b, gap_on_our_cpu(&b, n, others[i / 2]),
				 &bill);
		cr_expect_leq(bill.paid, bill.sleeper + bill.sleeper / 20,
			      "%u: paid %lu, sleeping %lu", i, bill.paid,
			      bill.sleeper);
		/* It has the other CPU now. */
		for (unsigned n = 0; n < 1100; n++)
			budget_note(&b, 4 * US);
		cr_expect_gt(budget_ns(&b), 0);
	}
}

/* Gaps on our CPU until there is no spinning, and then until there is. */
static unsigned rest_on_our_cpu(struct budget *b)
{
	unsigned n = 0;

	while (!b->rest)
		budget_note(b, gap_on_our_cpu(b, 0, 0));
	for (; !budget_ns(b); n++)
		budget_note(b, gap_on_our_cpu(b, 0, 0));
	return n;
}

Test(budget, gives_up_for_ever_longer_until_it_wins)
{
	struct budget b;
	unsigned first;

	budget_init(&b, GUEST);
	first = rest_on_our_cpu(&b);
	cr_assert_eq(rest_on_our_cpu(&b), 2 * first);
	cr_assert_eq(rest_on_our_cpu(&b), 4 * first);
	for (unsigned n = 0; n < 100; n++)
		budget_note(&b, 4 * US);
	cr_assert_eq(rest_on_our_cpu(&b), first);
}

/*
 * Who knows the budget takes the gap that it is worst for, and now and then one
 * that it is good for, to keep the hope up.
 */
static void take_gaps_of_enemy(struct budget *b, struct bill *bill,
			       uint64_t edge_ns, unsigned hope)
{
	for (unsigned n = 1; n < 20000; n++) {
		bool is_good = hope && n % hope == 0;
		bool is_bait = is_good || budget_ns(b) < edge_ns;

		take_gap(b, is_bait ? edge_ns : edge_ns + 60 * US, bill);
	}
}

Test(budget, costs_little_more_than_sleeping_against_an_enemy)
{
	for (unsigned edge = 0; edge < BUDGET_NR_EDGES; edge++) {
		for (unsigned hope = 0; hope < 400; hope += 1 + hope) {
			struct bill bill = {0};
			struct budget b;

			budget_init(&b, GUEST);
			take_gaps_of_enemy(&b, &bill, BUDGET_EDGE_NS(edge),
					   hope);
			cr_expect_leq(bill.paid,
				      bill.sleeper + bill.sleeper / 8,
				      "%u, %u: paid %lu, sleeping %lu", edge,
				      hope, bill.paid, bill.sleeper);
		}
	}
}

Test(budget, sleeps_until_it_has_seen_gaps)
{
	struct budget b;

	budget_init(&b, GUEST);
	cr_assert_eq(budget_ns(&b), 0);
	budget_note(&b, 5 * MS);
	cr_assert_eq(budget_ns(&b), 0);
}

/* How many gaps until there is a budget, or none any more. */
static unsigned count_gaps(struct budget *b, uint64_t gap_ns, bool until_none)
{
	unsigned n = 0;

	for (; (budget_ns(b) == 0) != until_none && n < 1000; n++)
		budget_note(b, gap_ns);
	return n;
}

Test(budget, sees_a_load_begin_and_end_within_a_few_gaps)
{
	static const uint64_t gaps[] = {1 * US, 3 * US, 10 * US, 20 * US};

	for (unsigned i = 0; i < ARRAY_SIZE(gaps); i++) {
		struct budget b;

		budget_init(&b, GUEST);
		for (unsigned n = 0; n < 200; n++)
			budget_note(&b, 5 * MS);
		cr_expect_leq(count_gaps(&b, gaps[i], false), 16);
		for (unsigned n = 0; n < 200; n++)
			budget_note(&b, gaps[i]);
		cr_expect_leq(count_gaps(&b, 5 * MS, true), 10);
	}
}

/* Spinning for longer than a sleep costs is never right in hindsight. */
Test(budget, is_never_above_the_price)
{
	for (uint64_t price_ns = 0; price_ns < 100 * US; price_ns += 500) {
		struct budget b;

		budget_init(&b, price_ns);
		for (uint64_t gap_ns = 100 * US; gap_ns; gap_ns -= 500) {
			budget_note(&b, gap_ns);
			cr_assert_leq(budget_ns(&b), price_ns);
		}
	}
}

Test(budget, can_be_fixed_and_made_to_adapt_again)
{
	static const uint64_t fixed[] = {0, 10 * MS};
	struct budget b;

	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
		budget_fix(&b, fixed[i]);
		for (unsigned n = 0; n < 100; n++)
			budget_note(&b, n % 2 ? 1 * US : 20 * MS);
		cr_assert_eq(budget_ns(&b), fixed[i]);
	}
	budget_init(&b, GUEST);
	cr_assert_eq(budget_ns(&b), 0);
	budget_note(&b, 1 * US);
	cr_assert_gt(budget_ns(&b), 0);
}
