/* SPDX-License-Identifier: BSD-2-Clause */
/* run/chooser: which ring wins, on recorded loads and on made-up ones. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/util.h"
#include "run/chooser.h"

#define STEP_NS	 5000000ULL /* of the simulation, and of the records */
#define STEPS(s) ((unsigned)((s) * 200))
#define NR_STEPS 100

/*
 * How many requests were done in each 5 ms of half a second, on a machine of
 * two CPUs: one worker's, one for its guest and for the kernel thread, with
 * somebody else on both now and then.
 */
static const struct record {
	const char *name;
	unsigned short direct[NR_STEPS];
	unsigned short sqpoll[NR_STEPS];
} records[] = {
	{
		"zram, depth 32, one CPU busy",
		/* direct */
		{
			168, 142, 131, 97, 25, 147, 226, 79, 309, 63, 37, 20,
			205, 146, 91, 240, 22, 173, 176, 91, 135, 275, 55, 27,
			149, 346, 111, 110, 133, 152, 72, 20, 62, 167, 322, 82,
			30, 61, 149, 241, 246, 184, 211, 260, 157, 124, 117,
			112, 127, 155, 170, 265, 87, 36, 94, 132, 111, 26, 113,
			170, 170, 115, 82, 82, 42, 109, 209, 127, 74, 62, 61,
			80, 86, 50, 149, 216, 147, 142, 95, 22, 20, 36, 64, 99,
			162, 39, 27, 19, 133, 167, 142, 32, 191, 214, 242, 132,
			174, 189, 179, 133,
		},
		/* sqpoll */
		{
			400, 223, 218, 201, 177, 163, 160, 278, 313, 329, 371,
			268, 269, 358, 271, 167, 313, 268, 295, 269, 238, 478,
			330, 375, 231, 245, 230, 219, 693, 102, 243, 342, 530,
			180, 235, 270, 143, 258, 432, 319, 287, 347, 385, 298,
			249, 175, 432, 438, 293, 183, 461, 408, 309, 350, 354,
			365, 369, 370, 125, 384, 398, 173, 354, 328, 265, 370,
			151, 441, 369, 296, 260, 243, 242, 301, 343, 274, 405,
			226, 170, 131, 331, 310, 279, 349, 322, 138, 309, 430,
			421, 185, 253, 306, 293, 271, 455, 231, 380, 361, 322,
			309,
		},
	},
	{
		"zram, depth 32, requests of 128 KiB",
		/* direct */
		{
			104, 81, 131, 101, 75, 120, 143, 135, 112, 118, 143,
			145, 119, 137, 154, 108, 93, 150, 117, 117, 115, 86, 90,
			87, 126, 126, 115, 132, 97, 95, 111, 58, 85, 107, 132,
			81, 54, 97, 78, 116, 101, 116, 71, 82, 109, 88, 109,
			113, 89, 102, 145, 129, 137, 142, 141, 139, 117, 49, 99,
			165, 153, 130, 114, 122, 62, 42, 77, 173, 123, 84, 158,
			154, 129, 61, 68, 116, 131, 138, 145, 110, 138, 134, 83,
			172, 149, 147, 136, 138, 23, 33, 58, 60, 53, 84, 163,
			151, 148, 153, 153, 156,
		},
		/* sqpoll */
		{
			86, 102, 145, 145, 143, 143, 138, 125, 143, 127, 71,
			138, 153, 140, 67, 110, 149, 150, 151, 153, 155, 83,
			109, 167, 161, 149, 101, 112, 162, 163, 150, 154, 172,
			123, 118, 160, 150, 165, 160, 148, 141, 145, 164, 72,
			157, 167, 172, 121, 117, 161, 165, 174, 149, 81, 166,
			165, 168, 166, 85, 163, 179, 171, 109, 139, 163, 166,
			121, 96, 186, 171, 172, 151, 72, 155, 166, 169, 157, 95,
			127, 171, 167, 147, 144, 155, 144, 114, 85, 135, 154,
			149, 137, 149, 93, 90, 161, 151, 135, 99, 144, 48,
		},
	},
	{
		"zram, depth 32, both CPUs busy",
		/* direct */
		{
			180, 348, 247, 211, 237, 310, 222, 300, 373, 158, 161,
			294, 262, 219, 215, 262, 264, 180, 294, 135, 264, 252,
			276, 304, 235, 392, 187, 188, 285, 235, 258, 350, 190,
			325, 182, 302, 281, 202, 263, 203, 157, 536, 178, 197,
			220, 504, 164, 196, 304, 336, 233, 353, 103, 289, 404,
			305, 257, 352, 309, 198, 233, 440, 196, 163, 202, 247,
			263, 218, 184, 306, 213, 267, 278, 365, 267, 249, 173,
			92, 64, 45, 44, 59, 137, 59, 210, 138, 147, 214, 190,
			22, 16, 10, 72, 57, 58, 94, 116, 116, 164, 210,
		},
		/* sqpoll */
		{
			59, 37, 102, 58, 29, 43, 39, 4, 5, 5, 4, 5, 4, 10, 16,
			62, 119, 137, 92, 91, 264, 151, 88, 32, 21, 20, 15, 14,
			121, 427, 166, 115, 162, 207, 110, 50, 51, 112, 202,
			197, 198, 45, 9, 9, 12, 23, 26, 24, 22, 18, 18, 19, 24,
			71, 114, 36, 34, 80, 42, 20, 18, 114, 600, 159, 36, 407,
			422, 420, 31, 275, 229, 1139, 301, 49, 20, 101, 135,
			180, 75, 11, 12, 505, 391, 391, 482, 373, 221, 54, 50,
			766, 301, 20, 20, 208, 487, 179, 72, 14, 79, 340,
		},
	},
	{
		"a file, depth 32, both CPUs busy",
		/* direct */
		{
			88, 132, 104, 115, 91, 89, 96, 70, 79, 71, 94, 93, 90,
			91, 92, 71, 58, 74, 93, 96, 127, 157, 153, 223, 66, 152,
			118, 76, 92, 149, 144, 74, 100, 136, 171, 150, 148, 128,
			70, 55, 122, 126, 109, 182, 126, 190, 170, 126, 117,
			121, 118, 134, 63, 86, 82, 80, 183, 110, 88, 115, 131,
			142, 151, 141, 154, 165, 120, 109, 134, 110, 97, 138,
			124, 86, 138, 92, 151, 109, 105, 185, 112, 108, 96, 98,
			82, 46, 76, 131, 142, 98, 144, 61, 236, 75, 89, 112, 52,
			44, 107, 154,
		},
		/* sqpoll */
		{
			59, 43, 12, 12, 61, 72, 1, 12, 15, 11, 11, 11, 18, 19,
			6, 6, 5, 6, 6, 16, 19, 4, 5, 4, 4, 4, 5, 4, 27, 33, 6,
			0, 0, 5, 5, 5, 5, 5, 4, 3, 0, 3, 10, 9, 10, 0, 3, 7, 8,
			8, 12, 21, 16, 14, 7, 0, 0, 0, 0, 13, 21, 12, 12, 10, 7,
			8, 7, 25, 97, 98, 51, 10, 10, 10, 10, 10, 10, 9, 8, 8,
			19, 39, 39, 39, 39, 38, 22, 7, 7, 7, 7, 0, 1, 5, 5, 5,
			5, 5, 5, 9,
		},
	},
	{
		"a file, depth 32, a guest that polls",
		/* direct */
		{
			243, 271, 219, 192, 387, 399, 152, 184, 194, 180, 168,
			160, 444, 232, 329, 387, 376, 410, 410, 355, 346, 345,
			337, 318, 353, 369, 330, 350, 373, 336, 379, 344, 374,
			350, 311, 383, 330, 377, 344, 386, 341, 370, 122, 37,
			338, 217, 130, 74, 74, 44, 94, 139, 195, 206, 127, 298,
			134, 81, 144, 247, 348, 317, 208, 63, 131, 223, 116, 20,
			219, 253, 264, 175, 145, 154, 136, 230, 218, 253, 328,
			310, 290, 254, 178, 240, 330, 351, 289, 318, 331, 338,
			316, 273, 429, 405, 347, 191, 156, 154, 190, 286,
		},
		/* sqpoll */
		{
			69, 68, 68, 69, 69, 70, 154, 23, 13, 45, 101, 101, 134,
			272, 130, 60, 59, 59, 59, 115, 130, 130, 108, 82, 74,
			177, 302, 171, 82, 82, 91, 98, 98, 98, 199, 249, 10, 10,
			10, 44, 53, 76, 75, 75, 76, 76, 75, 76, 76, 75, 75, 75,
			61, 60, 59, 60, 58, 47, 47, 47, 47, 47, 149, 184, 26,
			12, 8, 7, 8, 192, 139, 11, 11, 35, 39, 140, 200, 71,
			106, 133, 123, 81, 80, 81, 80, 90, 104, 104, 121, 122,
			123, 34, 11, 12, 11, 11, 11, 12, 11, 11,
		},
	},
	{
		"zram, depth 1",
		/* direct */
		{
			106, 43, 43, 61, 116, 50, 27, 48, 28, 134, 51, 38, 12,
			3, 64, 50, 13, 66, 5, 91, 72, 29, 57, 109, 62, 29, 49,
			76, 6, 5, 17, 43, 11, 21, 11, 17, 100, 42, 42, 31, 2,
			36, 53, 34, 13, 81, 128, 59, 5, 1, 35, 21, 20, 82, 60,
			29, 3, 68, 102, 106, 36, 62, 74, 33, 0, 1, 0, 0, 5, 103,
			80, 70, 64, 1, 20, 99, 73, 58, 126, 77, 89, 8, 19, 123,
			90, 66, 116, 75, 22, 8, 55, 139, 173, 74, 6, 1, 33, 115,
			21, 27,
		},
		/* sqpoll */
		{
			140, 9, 8, 7, 46, 131, 64, 41, 35, 41, 43, 46, 80, 80,
			64, 51, 51, 34, 11, 35, 74, 50, 1, 66, 86, 87, 48, 22,
			67, 66, 50, 39, 36, 109, 77, 12, 15, 82, 95, 5, 23, 60,
			74, 73, 1, 22, 63, 75, 95, 37, 24, 55, 20, 31, 48, 35,
			48, 51, 17, 1, 33, 33, 32, 20, 29, 82, 22, 32, 37, 12,
			44, 53, 1, 25, 63, 63, 29, 25, 23, 36, 36, 26, 42, 52,
			48, 37, 33, 31, 31, 31, 33, 33, 1, 39, 95, 53, 50, 52,
			36, 24,
		},
	},
};

static double mean(const unsigned short *done)
{
	double sum = 0;

	for (unsigned i = 0; i < NR_STEPS; i++)
		sum += done[i];
	return sum / NR_STEPS;
}

/* -- a worker, in steps of 5 ms */

static struct chooser c;
static struct chooser_sample now;
static double done;		/* by now */
static unsigned steps[URING_NR_KINDS];
static unsigned nr_trials;
static unsigned trying;		/* steps */
static bool is_starved;		/* entries wait, and none is taken */
static bool is_stuck;		/* all were taken, and none is done */

static void begin(void)
{
	memset(&now, 0, sizeof(now));
	memset(steps, 0, sizeof(steps));
	now.now_ns = 3600 * 1000000000ULL;
	now.nr_in_flight = 32;
	done = 0;
	nr_trials = 0;
	trying = 0;
	is_starved = false;
	is_stuck = false;
	chooser_init(&c, now.now_ns);
}

TestSuite(chooser, .init = begin, .timeout = 60);

static void look(void)
{
	bool was_trying = c.facts.reason == CHOOSER_TRYING;

	if (now.now_ns < c.due_ns)
		return;
	now.nr_done = (uint64_t)done;
	now.nr_waiting = is_starved ? 7 : 0;
	chooser_look(&c, &now);
	nr_trials += !was_trying && c.facts.reason == CHOOSER_TRYING;
}

/* So much would be done with either ring. */
static void step(double direct, double sqpoll)
{
	look();
	steps[c.facts.ring]++;
	trying += c.facts.reason == CHOOSER_TRYING;
	done += c.facts.ring == URING_SQPOLL ? sqpoll : direct;
	now.nr_taken += c.facts.ring == URING_SQPOLL && !is_starved &&
			!is_stuck;
	now.now_ns += STEP_NS;
}

static void go(unsigned n, double direct, double sqpoll)
{
	while (n--)
		step(direct, sqpoll);
}

/* Nothing happens, so the worker sleeps and does not look. */
static void doze(double s)
{
	now.nr_in_flight = 0;
	now.now_ns += (uint64_t)(s * 1e9);
	look();
	now.nr_in_flight = 32;
}

static void expect(enum uring_kind ring, enum chooser_reason reason)
{
	struct chooser_facts f;

	chooser_read(&c, &f);
	cr_assert_eq(f.ring, ring, "ring %d: %s", f.ring,
		     chooser_explain(f.reason));
	cr_assert_eq(f.reason, reason, "%s", chooser_explain(f.reason));
}

/* -- records */

static void replay(const struct record *r, unsigned n, unsigned first)
{
	for (unsigned i = first; i < first + n; i++)
		step(r->direct[i % NR_STEPS], r->sqpoll[i % NR_STEPS]);
}

/* Whatever wins, nearly as much is done as with it alone. */
Test(chooser, does_nine_tenths_of_the_better_at_least)
{
	for (unsigned i = 0; i < ARRAY_SIZE(records); i++) {
		const struct record *r = &records[i];
		double best = MAX(mean(r->direct), mean(r->sqpoll));

		for (unsigned first = 0; first < NR_STEPS; first += 7) {
			begin();
			replay(r, STEPS(10), first);
			cr_expect_gt(done, 0.9 * best * STEPS(10),
				     "%s from %u: %.3f", r->name, first,
				     done / best / STEPS(10));
		}
	}
}

static void expect_mostly(enum uring_kind ring)
{
	for (unsigned i = 0; i < ARRAY_SIZE(records); i++) {
		const struct record *r = &records[i];
		double ratio = mean(r->sqpoll) / mean(r->direct);

		/* A draw is nobody's. */
		if (ring == URING_SQPOLL ? ratio < 1.2 : ratio > 0.95)
			continue;
		begin();
		replay(r, STEPS(10), 0);
		cr_expect_gt(steps[ring], STEPS(10) * 3 / 4, "%s: %u, %u",
			     r->name, steps[0], steps[1]);
	}
}

Test(chooser, uses_sqpoll_where_it_won)
{
	expect_mostly(URING_SQPOLL);
}

Test(chooser, leaves_sqpoll_where_it_lost)
{
	expect_mostly(URING_DIRECT);
}

/* -- the verdict */

Test(chooser, begins_with_direct)
{
	expect(URING_DIRECT, CHOOSER_NO_LOAD);
}

Test(chooser, takes_what_is_clearly_faster)
{
	go(STEPS(1), 1000, 1200);
	expect(URING_SQPOLL, CHOOSER_WON);
	cr_expect_eq(nr_trials, 1);
	cr_expect_lt(trying, STEPS(0.3));
}

Test(chooser, leaves_what_is_not_clearly_faster)
{
	go(STEPS(1), 1000, 1040);
	expect(URING_DIRECT, CHOOSER_LOST);
	cr_expect_eq(nr_trials, 1);
}

Test(chooser, loses_little_to_what_is_far_slower)
{
	go(STEPS(1), 1000, 100);
	expect(URING_DIRECT, CHOOSER_LOST);
	cr_expect_lt(steps[URING_SQPOLL], STEPS(0.06));
}

static void expect_after_trend(double each_step, double sqpoll,
			       enum chooser_reason reason)
{
	double load = 20000;

	begin();
	while (!nr_trials || c.facts.reason == CHOOSER_TRYING) {
		step(load, load * sqpoll);
		load *= each_step;
	}
	cr_expect_eq(c.facts.reason, reason, "%g, %g: %s", each_step, sqpoll,
		     chooser_explain(c.facts.reason));
}

/* A load that grows or wanes is no merit of the ring that comes later. */
Test(chooser, is_not_fooled_by_a_trend)
{
	expect_after_trend(1.02, 1, CHOOSER_LOST);
	expect_after_trend(1.02, 1.2, CHOOSER_WON);
	expect_after_trend(0.98, 1, CHOOSER_LOST);
	expect_after_trend(0.98, 1.2, CHOOSER_WON);
}

/* Between 0.3 and 1.7, 1 on average. */
static double noise(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return 0.3 + 1.4 * (double)(*state >> 40) / (1 << 24);
}

/* Returns in how many of 100 cases SQPOLL had won after 2 seconds. */
static unsigned wins_in_noise(double sqpoll)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t state = i * 0x9e3779b97f4a7c15ULL;

		begin();
		/* For 10 ms, a scheduler gives a CPU to somebody. */
		for (unsigned k = 0; k < STEPS(2); k += 2) {
			double luck = noise(&state);

			go(2, 1000 * luck,
			   1000 * luck * sqpoll * noise(&state));
		}
		n += c.facts.ring == URING_SQPOLL;
	}
	return n;
}

Test(chooser, tells_in_noise)
{
	cr_expect_lt(wins_in_noise(0.8), 5);
	cr_expect_lt(wins_in_noise(1), 20);
	cr_expect_gt(wins_in_noise(1.5), 80);
}

/* -- when there are trials */

Test(chooser, tries_nothing_without_load)
{
	doze(100);
	go(STEPS(10), 0, 0);
	go(STEPS(10), 24, 240);
	expect(URING_DIRECT, CHOOSER_NO_LOAD);
	cr_expect_eq(c.facts.nr_switches, 0);
	/* 5000 a second */
	go(STEPS(1), 26, 52);
	expect(URING_SQPOLL, CHOOSER_WON);
}

Test(chooser, tries_less_and_less_often)
{
	go(STEPS(10), 1000, 900);
	cr_expect_geq(nr_trials, 3);
	go(STEPS(590), 1000, 900);
	expect(URING_DIRECT, CHOOSER_LOST);
	cr_expect_leq(nr_trials, 14);
	cr_expect_lt(trying, STEPS(600 / 100));
	/* Then the other ring wins, and is tried again, too. */
	go(STEPS(70), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
	nr_trials = 0;
	go(STEPS(600), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
	cr_expect_geq(nr_trials, 5);
	cr_expect_leq(nr_trials, 14);
}

Test(chooser, leaves_sqpoll_when_it_wins_no_more)
{
	go(STEPS(1), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
	/* It does as much as before, but direct would do more. */
	go(STEPS(3), 3000, 2000);
	expect(URING_DIRECT, CHOOSER_LOST);
	/* It does less than half, which is seen without waiting. */
	begin();
	go(STEPS(1), 1000, 2000);
	go(STEPS(0.5), 1000, 100);
	expect(URING_DIRECT, CHOOSER_LOST);
}

Test(chooser, tries_again_when_the_load_is_another)
{
	go(STEPS(200), 1000, 900);
	expect(URING_DIRECT, CHOOSER_LOST);
	go(STEPS(1), 4000, 8000);
	expect(URING_SQPOLL, CHOOSER_WON);
}

Test(chooser, does_not_try_the_same_load_after_each_pause)
{
	go(STEPS(60), 1000, 900);
	nr_trials = 0;
	for (unsigned i = 0; i < 20; i++) {
		doze(1);
		go(STEPS(0.5), 1000, 900);
		expect(URING_DIRECT, CHOOSER_LOST);
	}
	cr_expect_leq(nr_trials, 1);
}

/* -- a load that comes and goes */

static void leave(void (*how)(void))
{
	begin();
	go(STEPS(1), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
	how();
	expect(URING_DIRECT, CHOOSER_NO_LOAD);
}

static void at_once(void)
{
	doze(2);
}

static void by_and_by(void)
{
	go(STEPS(1), 1, 1);
}

/* Before a request is made after a sleep: it would wake the thread. */
Test(chooser, lets_the_thread_sleep_when_the_load_is_gone)
{
	leave(at_once);
	leave(by_and_by);
}

static double in_bursts(double s, double direct, double sqpoll)
{
	unsigned n = 0;

	begin();
	for (unsigned i = 0; i < 20; i++) {
		go(STEPS(s), direct, sqpoll);
		n += STEPS(s);
		doze(s);
	}
	return done / MAX(direct, sqpoll) / n;
}

Test(chooser, does_well_in_bursts)
{
	cr_expect_gt(in_bursts(0.05, 1000, 300), 0.9);
	cr_expect_gt(in_bursts(1, 1000, 300), 0.97);
	cr_expect_gt(in_bursts(3, 1000, 1500), 0.93);
	cr_expect_gt(in_bursts(10, 1000, 1500), 0.97);
}

/* What is worth having for one load is not for the other. */
Test(chooser, does_well_with_loads_that_alternate)
{
	for (unsigned i = 0; i < 20; i++) {
		go(STEPS(4), 1000, 1500);
		go(STEPS(4), 200, 100);
	}
	cr_expect_gt(done, 0.9 * 20 * STEPS(4) * (1500 + 200), "%.3f",
		     done / 20 / STEPS(4) / (1500 + 200));
	/* Too fast to follow: as much as the better of the two alone. */
	begin();
	for (unsigned i = 0; i < 400; i++) {
		go(STEPS(0.1), 1000, 900);
		go(STEPS(0.1), 200, 100);
	}
	cr_expect_gt(done, 0.9 * 400 * STEPS(0.1) * (1000 + 200), "%.3f",
		     done / 400 / STEPS(0.1) / (1000 + 200));
}

static void go_until(enum uring_kind ring)
{
	while (c.facts.reason != CHOOSER_TRYING || c.facts.ring != ring)
		step(1000, 2000);
	go(2, 1000, 2000);
}

/* A guest that asks for nothing for a moment says nothing of the ring. */
Test(chooser, leaves_lulls_out_of_a_trial)
{
	go_until(URING_SQPOLL);
	for (unsigned i = 0; i < 4; i++) {
		doze(0.2);
		go(3, 1000, 2000);
	}
	go(STEPS(1), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
	cr_expect_eq(nr_trials, 1);
	/* There is nothing to tell from a guest that hardly does anything. */
	begin();
	go_until(URING_SQPOLL);
	for (unsigned i = 0; i < 20; i++) {
		doze(0.2);
		go(1, 1, 1);
	}
	expect(URING_DIRECT, CHOOSER_NO_LOAD);
	/* If it had asked, the ring would have been slow. */
	begin();
	for (unsigned i = 0; i < 2; i++) {
		go_until(URING_SQPOLL);
		now.now_ns += 200 * 1000000ULL;
		step(1000, 2000);
		go_until(URING_DIRECT);
	}
	go(STEPS(0.2), 1000, 2000);
	expect(URING_DIRECT, CHOOSER_LOST);
}

Test(chooser, gives_a_trial_up_when_the_load_ends)
{
	go_until(URING_SQPOLL);
	doze(5);
	expect(URING_DIRECT, CHOOSER_NO_LOAD);
	begin();
	go_until(URING_SQPOLL);
	go(STEPS(0.1), 0, 0);
	expect(URING_DIRECT, CHOOSER_NO_LOAD);
	go(STEPS(3), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
}

/* -- a thread without a CPU */

Test(chooser, drops_a_starved_thread_at_once)
{
	go(STEPS(1), 1000, 2000);
	is_starved = true;
	go(5, 1000, 0);
	expect(URING_DIRECT, CHOOSER_STARVED);
	cr_expect_eq(nr_trials, 1);
	/* What it has taken late is no reason to go back. */
	is_starved = false;
	go(STEPS(1), 1000, 2000);
	expect(URING_DIRECT, CHOOSER_STARVED);
	go(STEPS(2), 1000, 2000);
	expect(URING_SQPOLL, CHOOSER_WON);
}

Test(chooser, is_patient_with_a_thread_that_is_only_slow)
{
	go(STEPS(1), 1000, 2000);
	for (unsigned i = 0; i < STEPS(0.5); i++) {
		is_starved = i % 3;
		step(1000, 2000);
	}
	expect(URING_SQPOLL, CHOOSER_WON);
	is_starved = false;
	is_stuck = true;
	go(STEPS(0.05), 0, 0);
	expect(URING_SQPOLL, CHOOSER_WON);
}

Test(chooser, leaves_a_starved_thread_alone_for_longer_each_time)
{
	for (unsigned i = 0; i < STEPS(600); i++) {
		is_starved = c.facts.ring == URING_SQPOLL;
		step(1000, 0);
	}
	expect(URING_DIRECT, CHOOSER_STARVED);
	cr_expect_leq(nr_trials, 14);
	cr_expect_gt(done, 0.99 * 1000 * STEPS(600));
}

/* -- no choice */

Test(chooser, stays_with_what_is_configured)
{
	chooser_fix(&c, URING_SQPOLL, CHOOSER_ON);
	go(STEPS(10), 1000, 100);
	expect(URING_SQPOLL, CHOOSER_ON);
	chooser_fix(&c, URING_DIRECT, CHOOSER_NO_CPU);
	go(STEPS(10), 1000, 2000);
	expect(URING_DIRECT, CHOOSER_NO_CPU);
	cr_expect_eq(c.facts.nr_switches, 0);
}

Test(chooser, counts_each_change_of_ring)
{
	uint64_t n = 0;
	enum uring_kind ring = URING_DIRECT;

	for (unsigned i = 0; i < STEPS(10); i++) {
		step(1000, 2000);
		n += c.facts.ring != ring;
		ring = c.facts.ring;
	}
	cr_expect_gt(n, 10);
	cr_expect_eq(c.facts.nr_switches, n);
}

Test(chooser, has_a_sentence_for_each_reason)
{
	for (unsigned i = 0; i < CHOOSER_NR_REASONS; i++)
		cr_expect_gt(strlen(chooser_explain(i)), 10);
}
