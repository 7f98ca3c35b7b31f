/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of counters, and sums over their writers. */
#include "base/counters.h"

#include "base/util.h"

const uint32_t counters_limits_us[COUNTERS_LIMITS] = {
	1,	2,	5,	 10,	  20,	   50,	     100,   200,
	500,	1000,	2000,	 5000,	  10000,   20000,    50000, 100000,
	200000, 500000, 1000000, 2000000, 5000000, 10000000,
};

const struct counters_row counters_table[COUNTERS_NR] = {
#define COUNTER(name, metric, help) \
	{#name, metric, help, offsetof(struct counters, name), false},
#define GAUGE(name, metric, help) \
	{#name, metric, help, offsetof(struct counters, name), true},
#include "base/counters.def"
};

const struct counters_latency_row counters_latencies[COUNTERS_NR_LATENCIES] = {
#define LATENCY(name, help)                                      \
	{#name, help, offsetof(struct counters, name##_latency), \
	 offsetof(struct counters, name##_us)},
#include "base/counters.def"
};

/* All fields are an array in all but name. */
#define NR_FIELDS (sizeof(struct counters) / sizeof(uint64_t))

static const void *field(const struct counters *c, size_t offset)
{
	return (const char *)c + offset;
}

/* The first bucket that a number of so many bits can be in. */
static unsigned first_bucket(unsigned bits)
{
	static const unsigned char first[] = {0,  0,  1,  2,  3,  4,  5,
					      6,  7,  8,  9,  10, 11, 11,
					      12, 13, 14, 15, 16, 17, 18,
					      19, 20, 20, 21};

	return bits < ARRAY_SIZE(first) ? first[bits] : COUNTERS_LIMITS;
}

void counters_add_latency(struct counters_latency *l, uint64_t us)
{
	unsigned i = first_bucket(us ? 64 - (unsigned)__builtin_clzll(us) : 0);

	while (i < COUNTERS_LIMITS && us > counters_limits_us[i])
		i++;
	counters_add(&l->buckets[i], 1);
}

uint64_t counters_get(const struct counters *c, const struct counters_row *row)
{
	return counters_read(field(c, row->offset));
}

const struct counters_latency *
counters_get_latency(const struct counters *c,
		     const struct counters_latency_row *row)
{
	return field(c, row->offset);
}

uint64_t counters_get_sum_us(const struct counters *c,
			     const struct counters_latency_row *row)
{
	return counters_read(field(c, row->sum_offset));
}

uint64_t counters_nr_latencies(const struct counters_latency *l)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < COUNTERS_BUCKETS; i++)
		n += l->buckets[i];
	return n;
}

void counters_sum(struct counters *sum, const struct counters *part)
{
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)part;

	for (size_t i = 0; i < NR_FIELDS; i++)
		counters_add(&to[i], counters_read(&from[i]));
}

uint64_t counters_percentile(const struct counters_latency *l, double percent)
{
	uint64_t all = counters_nr_latencies(l), seen = 0;

	if (!all)
		return 0;
	for (unsigned i = 0; i < COUNTERS_LIMITS; i++) {
		seen += l->buckets[i];
		if ((double)seen >= (double)all * percent / 100)
			return counters_limits_us[i];
	}
	return UINT64_MAX;
}
