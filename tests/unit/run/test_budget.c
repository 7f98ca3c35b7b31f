/* SPDX-License-Identifier: BSD-2-Clause */
/* run/budget: what is chosen for patterns of arrivals, and what it costs. */
#include <criterion/criterion.h>

#include "base/util.h"
#include "run/budget.h"

#define US UINT64_C(1000)
#define MS (1000 * US)

#define GUEST	50 * US /* what a sleep costs */
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

/*
 * What a worker saw that looked for 10 ms, so that no gap depends on its
 * sleep: blocks of 4 KiB read at random, by vringbench on another CPU.
 */
static const struct {
	const char *name;
	uint64_t price_ns;
	uint32_t gaps_ns[120];
} recordings[] = {
	{"polls, depth 1", GUEST, {
		522, 368, 452, 348, 340, 347, 505, 476, 362, 337, 473, 330,
		483, 492, 523, 500, 345, 292, 347, 316, 325, 505, 472, 394,
		370, 514, 405, 400, 345, 482, 490, 353, 490, 705, 455, 489,
		433, 363, 441, 478, 41985, 462, 447, 459, 326, 367, 465, 474,
		449, 454, 476, 429, 441, 446, 443, 328, 496, 444, 454, 464,
		323, 472, 444, 476, 464, 453, 430, 318, 340, 453, 448, 420,
		446, 445, 302, 475, 326, 474, 438, 325, 443, 443, 439, 451,
		469, 449, 450, 447, 446, 462, 456, 443, 478, 311, 155, 164,
		173, 184, 170, 187, 169, 307, 288, 297, 301, 328, 296, 333,
		354, 363, 731, 294, 322, 292, 444, 309, 302, 293, 288, 299,
	}},
	{"polls, depth 32", GUEST, {
		461, 1315, 1292, 1764, 1262, 1331, 1328, 1847, 1244, 1332,
		1331, 2559, 1984, 1357, 1203, 2394, 1075, 1162, 1241, 1578,
		676, 1163, 1261, 2031, 1339, 1320, 1385, 2244, 1268, 1352,
		1347, 1897, 1102, 701, 1040, 2076, 1904, 673, 1243, 2176,
		1111, 1240, 1266, 1824, 1172, 1413, 1261, 1889, 1267, 709,
		1274, 2646, 1302, 1322, 1280, 1567, 1080, 1207, 1174, 2320,
		1148, 807, 1152, 2152, 1330, 1170, 1186, 1715, 1045, 1202,
		1219, 2112, 1331, 563, 1238, 2312, 1201, 1127, 1016, 1605,
		1117, 1154, 1100, 2337, 1211, 701, 1181, 2232, 1238, 1190,
		1213, 1422, 1063, 1221, 1206, 2170, 1263, 732, 1129, 2075,
		1027, 1137, 1168, 1220, 1071, 1234, 1180, 18510690, 7915078,
		7855482, 4208, 3176, 2147, 2016, 1084, 3532, 2118, 2072, 2167,
		3638,
	}},
	{"by eventfd, depth 1", GUEST, {
		4386, 4380, 4607, 4772, 5134, 1482, 4440, 831, 5579, 5789,
		4762, 4539, 4910, 5412, 4833, 6311, 5360, 4892, 4719, 5086,
		4457, 4919, 5482, 5319, 5432, 5115, 5903, 3486, 5044, 5230,
		5048, 4997, 5617, 5306, 4252, 3950, 5240, 3186, 5028, 5244,
		5082, 5052, 4475, 4927, 5151, 5450, 5393, 4242, 5443, 5472,
		5376, 5645, 5068, 4731, 5067, 5051, 5105, 5176, 4966, 5366,
		5234, 3911, 5127, 5136, 5565, 5402, 4491, 5265, 4968, 5242,
		5394, 4567, 5179, 5344669, 9534, 1049, 1718, 4407, 5660, 5121,
		4908, 5341, 5493, 4354, 5175, 5130, 3788, 4831, 5328, 4758,
		3778, 5417, 4834, 5283, 5260, 3608, 5081, 5223, 4724, 5141,
		4162, 4496, 5273, 4978, 6534, 5597, 5102, 4458, 5396, 5082,
		4803, 5005, 4700, 4843, 4559, 5331, 4742, 5648, 5600, 4476,
	}},
	{"by eventfd, depth 32, a file", GUEST, {
		256, 0, 0, 0, 0, 8413, 7349, 0, 12462, 0, 0, 7618, 461, 0,
		10045, 16315, 0, 10529, 0, 20187, 0, 0, 6876, 32631, 0, 8736,
		7497, 191, 17431, 7192, 0, 8197, 179, 0, 0, 488, 175, 0, 0,
		7245, 139, 15396, 875, 0, 0, 0, 9192, 146, 7318, 7512, 0,
		9153, 193, 6836, 469, 8789, 8224, 536, 1587, 2515, 7741, 7768,
		740, 8262, 0, 7165, 193, 0, 0, 19386, 3607, 0, 8152, 340,
		8200, 12985, 7024, 13595, 5840, 9193, 0, 15084, 0, 0, 0, 6172,
		10697, 0, 0, 7981, 243, 0, 0, 8331, 5023, 4086, 0, 4760, 4922,
		4987, 5341, 14713, 2796, 4112, 5072, 4391, 33049, 4392, 5218,
		10003, 9797, 10010, 6273, 4748, 4261, 4213, 2128, 2638, 3519,
		3955,
	}},
	{"500 requests a second", GUEST, {
		1977230, 1987796, 1998157, 1979451, 1981875, 1996070, 1978757,
		1987837, 1982089, 2122368, 1851619, 1995331, 1979674, 1977319,
		1994932, 2362321, 1607021, 1994337, 2010142, 1952763, 2003242,
		1970715, 1996586, 1971954, 1985180, 1992280, 1974701, 1983949,
		1997940, 1980397, 1981415, 2001025, 1976063, 1996060, 1976849,
		1981969, 2001431, 1970552, 1985583, 1991773, 1980591, 1993642,
		1978741, 1980436, 2590836, 1379455, 1986456, 1992152, 1978456,
		1983684, 2000232, 1974301, 1983150, 1998116, 1976908, 1988439,
		1985704, 1976739, 1987223, 1993230, 1981737, 1991686, 1978100,
		1984438, 2000526, 1981431, 1995273, 6719169, 1230548, 1985146,
		1977288, 1986932, 1995114, 1976816, 1991109, 1988342, 1974512,
		1982587, 1999600, 1972179, 2001094, 1972230, 1983114, 2000342,
		1971825, 1990768, 1999109, 1972120, 1989802, 1991100, 1981414,
		1991396, 1979059, 1991665, 1981467, 1996005, 1977566, 1985477,
		1994880, 1979753, 1985804, 1996091, 1982283, 1990430, 1980885,
		1986361, 1983509, 1989279, 1979898, 1990211, 1993901, 1971044,
		2001370, 1974878, 1993354, 2225880, 1831092, 1901172, 2002784,
		1842592,
	}},
	{"a file, depth 1", STORAGE, {
		22844, 21597, 29692, 23453, 20964, 22227, 23091, 21020, 19749,
		21432, 23076, 20728, 23978, 24781, 19701, 20742, 22258, 20406,
		22492, 21717, 21821, 23249, 20051, 23187, 20230, 22181, 20627,
		29764, 22686, 22975, 22772, 20373, 20600, 22634, 21661, 21721,
		38933, 18024, 6871, 52225, 22159, 18303, 18322, 18392, 19087,
		18810, 19647, 19424, 18180, 20085, 18798, 17627, 21391, 17161,
		20017, 17797, 17481, 21846, 19048, 17742, 18376, 74598, 27454,
		22126, 22909, 20487, 21708, 23556, 23946, 21229, 23880, 21630,
		21631, 25087, 23498, 22943, 22795, 23488, 21561, 23426, 21347,
		25270, 21263, 22140, 20839, 21815, 28269, 23589, 21386, 23876,
		24047, 23377, 21676, 21520, 20355, 22931, 21947, 78923, 23327,
		20885, 22763, 20412, 20252, 20401, 39541, 19218, 21135, 19791,
		18400, 19389, 17694, 20160, 19182, 18694, 19572, 20634, 29001,
		18699, 19954, 29275,
	}},
	{"a file, depth 32", STORAGE, {
		417440, 387320, 381391, 391675, 393212, 4242908, 1122642,
		402098, 514870, 432390, 414820, 325179, 286973, 517357,
		420088, 418268, 407017, 780616, 642120, 167125, 352387,
		886397, 4839989, 429088, 967969, 534795, 811358, 524607,
		976607, 519973, 876670, 546025, 537202, 534714, 548194,
		651723, 541960, 987478, 752553, 531077, 425748, 727260,
		740194, 351271, 417344, 353770, 694583, 525796, 589117, 23938,
		580535, 476173, 997213, 1504533, 100677, 333100, 352359,
		335236, 586306, 312607, 351371, 1405209, 396103, 328097,
		350762, 381124, 458356, 325337, 333946, 393419, 466942,
		1184499, 3291475, 1009957, 458624, 425723, 449135, 427208,
		419555, 1114615, 503110, 82532, 382657, 590495, 864520,
		907882, 375260, 1313051, 4152186, 979630, 529050, 403653,
		388716, 392498, 511344, 443066, 461697, 496293, 439777,
		790224, 463650, 467403, 851795, 465171, 440537, 218438,
		512501, 438991, 428573, 419507, 467387, 433640, 410732,
		1253547, 471409, 1277927, 282133, 525696, 431765, 452066,
	}},
};

Test(budget, costs_at_most_twice_the_best_for_what_was_recorded)
{
	for (unsigned i = 0; i < ARRAY_SIZE(recordings); i++) {
		struct bill bill = {0};
		struct budget b;

		budget_init(&b, recordings[i].price_ns);
		for (unsigned n = 0; n < ARRAY_SIZE(recordings[i].gaps_ns); n++)
			take_gap(&b, recordings[i].gaps_ns[n], &bill);
		assert_paid_at_most_twice(&bill, &b, recordings[i].name);
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
