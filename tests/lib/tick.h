/* SPDX-License-Identifier: BSD-2-Clause */
/* A clock that is cheap enough to be read in each turn of a polling loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

struct tick {
	bool tsc; /* else CLOCK_MONOTONIC, in nanoseconds */
	uint64_t hz;
};

static inline uint64_t tick_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Any thread, as all here. */
static inline uint64_t tick_now(const struct tick *t)
{
#if defined(__x86_64__)
	if (t->tsc)
		return __rdtsc();
#endif
	(void)t;
	return tick_monotonic_ns();
}

static inline uint64_t tick_from_ms(const struct tick *t, uint64_t ms)
{
	return t->hz / 1000 * ms;
}

static inline double tick_to_s(const struct tick *t, uint64_t ticks)
{
	return (double)ticks / (double)t->hz;
}

/*
 * The time stamp counter where it runs at one speed on all CPUs, measured for
 * 20 ms; elsewhere the system's clock.
 */
static inline void tick_init(struct tick *t)
{
	t->tsc = false;
	t->hz = 1000000000u;
#if defined(__x86_64__)
	unsigned a, b, c, d = 0;
	uint64_t ns, ticks;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d >> 8 & 1))
		return;
	ns = tick_monotonic_ns();
	ticks = __rdtsc();
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	ticks = __rdtsc() - ticks;
	ns = tick_monotonic_ns() - ns;
	t->hz = (uint64_t)((double)ticks * 1e9 / (double)ns);
	t->tsc = true;
#endif
}
