/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted: one writer per counter, readers on any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* One of these for each writer, that is for each queue or worker. */
struct counters {
#define COUNTER(name, help) uint64_t name;
#include "base/counters.def"
#undef COUNTER
};

/* A row of counters.def; @offset is that of its field in struct counters. */
struct counters_row {
	const char *name;
	const char *help;
	size_t offset;
};

#define COUNTERS_NR (sizeof(struct counters) / sizeof(uint64_t))

extern const struct counters_row counters_table[COUNTERS_NR];

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

/* Any thread: the value lies a moment back, but it is never torn. */
static inline uint64_t counters_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

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
