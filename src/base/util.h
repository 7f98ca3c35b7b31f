/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that C lacks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The object of @type whose @member lies at @ptr. */
#define container_of(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* The same for an object that is not to be changed. */
#define container_of_const(ptr, type, member)                                  \
	((const type *)(const void *)((const char *)(ptr)-offsetof(type,       \
								   member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MIN(a, b)                                                              \
	__extension__({                                                        \
		__typeof__(a) min_a_ = (a);                                    \
		__typeof__(b) min_b_ = (b);                                    \
		min_a_ < min_b_ ? min_a_ : min_b_;                             \
	})
#define MAX(a, b)                                                              \
	__extension__({                                                        \
		__typeof__(a) max_a_ = (a);                                    \
		__typeof__(b) max_b_ = (b);                                    \
		max_a_ > max_b_ ? max_a_ : max_b_;                             \
	})

/* Any thread.  0 is no power of two. */
static inline bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* Any thread.  @align is a power of two. */
static inline bool is_aligned(uint64_t n, uint64_t align)
{
	return !(n & (align - 1));
}

/* Any thread.  @align is a power of two; the caller rules out overflow. */
static inline uint64_t align_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Any thread.  @align is a power of two. */
static inline uint64_t align_down(uint64_t n, uint64_t align)
{
	return n & ~(align - 1);
}
