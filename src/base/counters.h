/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted: one writer per counter, readers on any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Latencies are counted in buckets: bucket i is for those that the one before
 * is too small for and that are at most counters_limits_us[i], 1, 2, 5, 10 us
 * and so on up to 10 s; the last one is for all others.
 */
#define COUNTERS_LIMITS	 22
#define COUNTERS_BUCKETS (COUNTERS_LIMITS + 1)

extern const uint32_t counters_limits_us[COUNTERS_LIMITS];

struct counters_latency {
	uint64_t buckets[COUNTERS_BUCKETS];
};

/*
 * One of these for each writer, that is for each queue.  All of it are numbers
 * of 64 bits that are summed one by one.
 */
struct counters {
#define COUNTER(name, metric, help) uint64_t name;
#include "base/counters.def"
#define LATENCY(name, help) struct counters_latency name##_latency;
#include "base/counters.def"
};

enum counters_place {
#define COUNTER(name, metric, help) COUNTERS_PLACE_##name,
#include "base/counters.def"
	COUNTERS_NR,
};

enum counters_latency_place {
#define LATENCY(name, help) COUNTERS_LATENCY_##name,
#include "base/counters.def"
	COUNTERS_NR_LATENCIES,
};

/* A row of counters.def; @offset is that of its field in struct counters. */
struct counters_row {
	const char *name;
	const char *metric; /* without "vringd_" */
	const char *help;
	size_t offset;
	bool is_gauge;
};

struct counters_latency_row {
	const char *name;
	const char *help;
	size_t offset;
	size_t sum_offset; /* of the counter of their sum */
};

extern const struct counters_row counters_table[COUNTERS_NR];
extern const struct counters_latency_row
	counters_latencies[COUNTERS_NR_LATENCIES];

/*
 * Adds @n to *@counter.  There is one writer, so a load and a store will do;
 * nothing is ordered by a counter, so both are relaxed.
 *
 * The counter's one writer.
 */
static inline void counters_add(uint64_t *counter, uint64_t n)
{
	uint64_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	__atomic_store_n(counter, old + n, __ATOMIC_RELAXED);
}

/* Sets a gauge; as above. */
static inline void counters_set(uint64_t *gauge, uint64_t n)
{
	__atomic_store_n(gauge, n, __ATOMIC_RELAXED);
}

/* Any thread: the value lies a moment back, but it is never torn. */
static inline uint64_t counters_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/*
 * Counts a latency of @us microseconds.
 *
 * The counter's one writer.
 */
void counters_add_latency(struct counters_latency *l, uint64_t us);

/*
 * Returns the value of the counter of row @row in @c.
 *
 * Any thread.
 */
uint64_t counters_get(const struct counters *c, const struct counters_row *row);

/*
 * Adds all counters of @part, which another thread may be writing, to those
 * of @sum.
 *
 * @sum's one writer.
 */
void counters_sum(struct counters *sum, const struct counters *part);

/*
 * The latencies of row @row in @c, and their sum.
 *
 * Any thread.
 */
const struct counters_latency *
counters_get_latency(const struct counters *c,
		     const struct counters_latency_row *row);
uint64_t counters_get_sum_us(const struct counters *c,
			     const struct counters_latency_row *row);

/*
 * Returns how many latencies are in @l, which is nobody's, as below.
 *
 * Any thread.
 */
uint64_t counters_nr_latencies(const struct counters_latency *l);

/*
 * Returns a time in microseconds that @percent of the latencies in @l did not
 * exceed, the lowest that the buckets tell apart; UINT64_MAX if those took
 * longer than the last limit, and 0 if there are none.
 *
 * Any thread.
 */
uint64_t counters_percentile(const struct counters_latency *l, double percent);
