/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts values in buckets that are never wider than 1/64 of the value. */
#include "histogram.h"

#include "base/util.h"

void histogram_merge(struct histogram *h, const struct histogram *from)
{
	h->count += from->count;
	h->sum += from->sum;
	h->max = MAX(h->max, from->max);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		h->buckets[i] += from->buckets[i];
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}

/* The largest value that falls in bucket @i. */
static uint64_t upper_end(unsigned i)
{
	unsigned shift;

	if (i < HISTOGRAM_SUB)
		return i;
	shift = i / HISTOGRAM_SUB - 1;
	return ((uint64_t)(i - shift * HISTOGRAM_SUB + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *h, double p)
{
	double want = p * (double)h->count;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen && (double)seen >= want)
			return MIN(upper_end(i), h->max);
	}
	return h->max;
}
