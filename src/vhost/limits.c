/* SPDX-License-Identifier: BSD-2-Clause */
/* How much a target may do in a second: token buckets shared by all workers. */
#include "vhost/limits.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/util.h"

#define CACHE_LINE 64

/*
 * Time is counted in ticks, a sixteenth of a nanosecond: 64 bits of them are 36
 * years of uptime, and rounding is no matter even for 100 million requests a
 * second.
 */
#define TICKS_PER_NS 16
#define TICKS_PER_S  (1e9 * TICKS_PER_NS)

/* 52 days.  Only there so that no sum can run over. */
#define MOST_DEBT (1ULL << 56)

/* Each bucket for both kinds is followed by those for one. */
#define BIT(bucket) (1u << (bucket))
#define READS                                                              \
	(BIT(LIMITS_IOPS) | BIT(LIMITS_READ_IOPS) | BIT(LIMITS_BANDWIDTH) | \
	 BIT(LIMITS_READ_BANDWIDTH))
#define WRITES                                                              \
	(BIT(LIMITS_IOPS) | BIT(LIMITS_WRITE_IOPS) | BIT(LIMITS_BANDWIDTH) | \
	 BIT(LIMITS_WRITE_BANDWIDTH))

static const unsigned buckets_of[LIMITS_NR_KINDS] = {
	[LIMITS_READ] = READS,
	[LIMITS_WRITE] = WRITES,
};

struct limits {
	/* control's */
	struct limits_rates rates;

	/* written by control, read by workers for each request */
	_Alignas(CACHE_LINE) atomic_uint active; /* BIT() of buckets in use */
	_Atomic double price[LIMITS_NR_BUCKETS]; /* of one, in ticks */
	_Atomic uint64_t burst;			 /* ticks */

	/* the workers' */
	_Alignas(CACHE_LINE) _Atomic uint64_t paid[LIMITS_NR_BUCKETS];
	atomic_uint nr_waiting;
};

#define load(p)	    atomic_load_explicit(p, memory_order_relaxed)
#define store(p, v) atomic_store_explicit(p, v, memory_order_relaxed)

int limits_new(struct limits **out)
{
	struct limits *l = aligned_alloc(CACHE_LINE, sizeof(*l));

	if (!l)
		return -ENOMEM;
	*l = (struct limits){.rates.burst_us = 0};
	*out = l;
	return 0;
}

void limits_free(struct limits *l)
{
	free(l);
}

static unsigned active_of(const struct limits *l, enum limits_kind kind)
{
	return load(&l->active) & buckets_of[kind];
}

/* Takes the lowest bucket out of @buckets. */
static unsigned next_bucket(unsigned *buckets)
{
	unsigned b = (unsigned)__builtin_ctz(*buckets);

	*buckets &= *buckets - 1;
	return b;
}

/* -- for each request ---------------------------------------------------- */

bool limits_allow(const struct limits *l, enum limits_kind kind,
		  uint64_t now_ns)
{
	unsigned buckets = active_of(l, kind);

	if (likely(!buckets))
		return true;

	uint64_t empty = now_ns * TICKS_PER_NS + load(&l->burst);

	while (buckets)
		if (load(&l->paid[next_bucket(&buckets)]) >= empty)
			return false;
	return true;
}

/* The clock of another worker's turn may be a moment ahead of @now. */
static void take(_Atomic uint64_t *paid, uint64_t now, double ticks)
{
	uint64_t cost = ticks < MOST_DEBT ? (uint64_t)(ticks + 0.5) : MOST_DEBT;
	uint64_t old = load(paid);
	uint64_t new;

	do {
		new = MIN(MAX(old, now) + cost, now + MOST_DEBT);
	} while (!atomic_compare_exchange_weak_explicit(paid, &old, new,
							memory_order_relaxed,
							memory_order_relaxed));
}

void limits_charge(struct limits *l, enum limits_kind kind, uint64_t bytes,
		   uint64_t now_ns)
{
	unsigned buckets = active_of(l, kind);

	while (buckets) {
		unsigned b = next_bucket(&buckets);
		double n = b < LIMITS_BANDWIDTH ? 1 : bytes;

		take(&l->paid[b], now_ns * TICKS_PER_NS,
		     n * load(&l->price[b]));
	}
}

/* -- waiting ------------------------------------------------------------- */

uint64_t limits_ready_ns(const struct limits *l, enum limits_kind kind,
			 uint64_t share_ns)
{
	unsigned buckets = active_of(l, kind);
	uint64_t burst = load(&l->burst);
	uint64_t share = MIN(share_ns * TICKS_PER_NS, burst / 2);
	uint64_t paid = 0;

	while (buckets) {
		uint64_t p = load(&l->paid[next_bucket(&buckets)]);

		paid = MAX(paid, p);
	}
	/* Empty at this very tick, so something is left in the next one. */
	return paid < burst ? 0 : (paid - burst + share) / TICKS_PER_NS + 1;
}

unsigned limits_wait(struct limits *l, int n)
{
	return atomic_fetch_add_explicit(&l->nr_waiting, (unsigned)n,
					 memory_order_relaxed) +
	       (unsigned)n;
}

/* -- setting ------------------------------------------------------------- */

/* What was taken at @old a second is paid for at @new a second. */
static void scale(_Atomic uint64_t *paid, uint64_t now, uint64_t old,
		  uint64_t new)
{
	uint64_t was = load(paid);
	uint64_t is;

	do {
		if (was <= now)
			return;
		is = now + (uint64_t)((double)(was - now) * old / new);
	} while (!atomic_compare_exchange_weak_explicit(paid, &was, is,
							memory_order_relaxed,
							memory_order_relaxed));
}

static void set_bucket(struct limits *l, unsigned b, uint64_t rate,
		       uint64_t now_ns)
{
	uint64_t old = l->rates.per_s[b];

	if (!rate) {
		atomic_fetch_and(&l->active, ~BIT(b));
		return;
	}
	if (!old)
		store(&l->paid[b], 0);
	else if (rate > old)
		scale(&l->paid[b], now_ns * TICKS_PER_NS, old, rate);
	store(&l->price[b], TICKS_PER_S / rate);
	atomic_fetch_or(&l->active, BIT(b));
}

void limits_set(struct limits *l, const struct limits_rates *r, uint64_t now_ns)
{
	store(&l->burst, r->burst_us * 1000 * TICKS_PER_NS);
	for (unsigned b = 0; b < LIMITS_NR_BUCKETS; b++)
		set_bucket(l, b, r->per_s[b], now_ns);
	l->rates = *r;
}

const struct limits_rates *limits_rates(const struct limits *l)
{
	return &l->rates;
}
