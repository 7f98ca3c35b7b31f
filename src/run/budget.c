/* SPDX-License-Identifier: BSD-2-Clause */
/* How long it pays to spin before sleeping: learnt from recent gaps. */
#include "run/budget.h"

#define LONGER BUDGET_NR_EDGES /* the bucket of what is above all edges */
#define ONE    4 /* a gap in the counts: a quarter is left of it */
#define MANY   (64 * ONE)

#define CREDIT	   8 /* in sleeps, to begin with */
#define MOST	   (2 * CREDIT)
#define SHORT_REST 64
#define LONG_REST  1024

static void give_credit(struct budget *b)
{
	b->credit_ns = CREDIT * b->price_ns;
}

void budget_init(struct budget *b, uint64_t price_ns)
{
	*b = (struct budget){.price_ns = price_ns, .next_rest = SHORT_REST};
	give_credit(b);
}

void budget_fix(struct budget *b, uint64_t ns)
{
	*b = (struct budget){.ns = ns, .fixed = true};
}

static unsigned bucket_of(uint64_t gap_ns)
{
	uint64_t n = gap_ns ? (gap_ns - 1) / BUDGET_EDGE_NS(0) : 0;
	unsigned bits = n ? 64 - __builtin_clzll(n) : 0;

	return bits < LONGER ? bits : LONGER;
}

static void halve(struct budget *b)
{
	b->total = 0;
	for (unsigned i = 0; i < BUDGET_NR_BUCKETS; i++)
		b->total += b->seen[i] /= 2;
}

/* The cost of sleeping at once, and then that of each edge in turn. */
static void choose(struct budget *b)
{
	uint64_t spun = 0, slept = b->total;
	uint64_t least = slept * b->price_ns;

	b->ns = 0;
	if (b->rest)
		return;
	for (unsigned i = 0; i < BUDGET_NR_EDGES; i++) {
		uint64_t edge = BUDGET_EDGE_NS(i);

		if (edge > b->price_ns)
			break;
		spun += b->seen[i] * edge;
		slept -= b->seen[i];
		uint64_t cost = spun + slept * (edge + b->price_ns);

		if (cost < least) {
			least = cost;
			b->ns = edge;
		}
	}
}

static void earn(struct budget *b, uint64_t ns)
{
	b->credit_ns += ns;
	if (b->credit_ns < MOST * b->price_ns)
		return;
	b->credit_ns = MOST * b->price_ns;
	b->next_rest = SHORT_REST;
}

static void lose(struct budget *b, uint64_t ns)
{
	if (b->credit_ns >= ns) {
		b->credit_ns -= ns;
		return;
	}
	give_credit(b);
	b->rest = b->next_rest;
	if (b->next_rest < LONG_REST)
		b->next_rest *= 2;
}

void budget_note(struct budget *b, uint64_t gap_ns)
{
	unsigned i = bucket_of(gap_ns);

	if (b->fixed)
		return;
	if (b->rest)
		b->rest--;
	else if (gap_ns <= b->ns)
		earn(b, b->price_ns - gap_ns);
	else
		lose(b, b->ns);
	if (i == LONGER)
		halve(b);
	b->seen[i] += ONE;
	b->total += ONE;
	if (b->total >= MANY)
		halve(b);
	if (gap_ns > b->ns)
		choose(b);
}
