/* SPDX-License-Identifier: BSD-2-Clause */
/* How long it pays to spin before sleeping: learnt from recent gaps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Theory of operation: a budget
 *
 * Who runs out of work can spin, looking for more, or sleep.  Spinning costs
 * its time.  A sleep costs a price, whatever its length: what arming, sleeping
 * and waking take, and what the request that ends it is worth to have sooner.
 * Nobody knows how long the gap until the next work will be, so we spin for a
 * time b and then sleep.  A gap costs itself if it is not longer than b, and
 * b + price if it is.  Which b is best depends on the gaps to come; we take
 * the one that would have been best for those of late.
 *
 * They are counted by length, in powers of two.  The edges between are the
 * times to choose from, and a gap counts as long as the edge above it, so that
 * spinning never looks cheaper than it was.
 *
 *	bucket	  0	 1	2      3      4	     5	    6	   7
 *	gap, us	  ..1	 ..2	..4    ..8    ..16   ..32   ..64   longer
 *
 * Four things keep what we lose small, whoever chooses the gaps:
 *
 * - No b is longer than the price, so we never pay more for a gap than twice
 *   what sleeping costs.
 * - The counts are halved when there are many, so the last few dozen gaps
 *   decide.  They are halved, too, by each gap longer than all edges: what was
 *   before a silence tells little of what comes after.  A load that ends is
 *   forgotten within ten such gaps, and one that begins is seen after a few
 *   gaps of its own.
 * - The choice is made anew after each sleep, and only then.  A gap within b
 *   cannot change it: it costs the same with b and with everything longer, and
 *   no less with anything shorter.  So where spinning works nothing is
 *   computed, and where it does not the sleep costs several hundred times more.
 *
 * - What was won and lost by spinning, compared with sleeping at once, is
 *   kept as a credit.  When that is used up there is no spinning for a while,
 *   each time for longer, until spinning wins again.
 *
 * The last one is for gaps that depend on b.  If the guest that we answered has
 * to run on the CPU that we spin on, its next request comes just after we have
 * given that up, whenever that is.  What is seen after a sleep at once (a short
 * gap) then asks for a short b, with that the gap is a little longer than b,
 * and so on: always in vain, and always promising.
 *
 * A gap that was slept through includes the time it took to wake up.  The price
 * must be well above that, or what comes just after falling asleep will look
 * too long to wait for.
 */

#define BUDGET_NR_EDGES	  7
#define BUDGET_NR_BUCKETS (BUDGET_NR_EDGES + 1)
#define BUDGET_EDGE_NS(i) (UINT64_C(1024) << (i)) /* a us is good enough */

struct budget {
	uint64_t ns;		/* to spin */
	uint64_t price_ns;
	uint64_t credit_ns;	/* what spinning may still lose */
	bool fixed;
	uint16_t rest;		/* gaps to come without spinning */
	uint16_t next_rest;
	uint16_t total;		/* the sum of all counts */
	uint16_t seen[BUDGET_NR_BUCKETS];
};

/*
 * A budget that adapts.  It begins with no gap seen, so it says to sleep.  All
 * here belong to one thread.
 */
void budget_init(struct budget *b, uint64_t price_ns);

/* A budget that is @ns, whatever the gaps are, until it is made anew. */
void budget_fix(struct budget *b, uint64_t ns);

/*
 * There was work again @gap_ns after the last of it was done.  A gap counts
 * once, whether it was slept through or not.
 */
void budget_note(struct budget *b, uint64_t gap_ns);

/* How long to spin before sleeping; 0 means to sleep at once. */
static inline uint64_t budget_ns(const struct budget *b)
{
	return b->ns;
}
