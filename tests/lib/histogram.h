/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts values in buckets that are never wider than 1/64 of the value. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB	   (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

/* All zeroes is an empty one. */
struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/*
 * Values below 64 have a bucket each; above, each power of two has 64 buckets
 * of equal width.
 */
static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return shift * HISTOGRAM_SUB + (unsigned)(value >> shift);
}

/* One thread at a time, as all here. */
static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	h->buckets[histogram_bucket(value)]++;
}

/* Adds all that @from has counted. */
void histogram_merge(struct histogram *h, const struct histogram *from);

/* 0 of an empty histogram, as the next one. */
double histogram_mean(const struct histogram *h);

/*
 * A value that the share @p (0 to 1) of all values does not exceed, as exact as
 * the buckets are.
 */
uint64_t histogram_percentile(const struct histogram *h, double p);
