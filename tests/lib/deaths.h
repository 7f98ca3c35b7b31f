/* SPDX-License-Identifier: BSD-2-Clause */
/* Every state in which a process can leave shared memory when it dies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define DEATHS_AREAS 2

/*
 * Memory that parent and child share, of which the states are kept; all zeroes
 * but for the areas at first.
 */
struct deaths {
	struct deaths_area {
		void *start;
		size_t len;
	} areas[DEATHS_AREAS];

	unsigned nr; /* states, in their order; the first is from before */
	unsigned char *states;
};

/*
 * Have @fn run in a child, one instruction after the other, and keep what is in
 * the areas whenever that changed, as a death right there would leave it.
 * Returns 0, -errno when no process can be traced here, or -EPROTO when the
 * child did not come to the end of @fn.
 */
int deaths_collect(struct deaths *d, void (*fn)(void *arg), void *arg);

/* Put state @i into the areas; is it what is in them? */
void deaths_restore(const struct deaths *d, unsigned i);
bool deaths_is_now(const struct deaths *d, unsigned i);

void deaths_free(struct deaths *d);

/*
 * Have @fn run in a child, so that nothing of it stays but what it does to
 * shared memory.  Did it come to its end?
 */
bool deaths_try(void (*fn)(void *arg), void *arg);
