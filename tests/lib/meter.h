/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU time that other processes use, while we look. */
#pragma once

#include <stdbool.h>

struct meter_process {
	int pid;
	double first_s;
	double last_s;
};

/* All zeroes is an empty one.  One thread at a time. */
struct meter {
	struct meter_process *all;
	unsigned nr;
};

/*
 * Counts process @pid from now on or, if it began while we looked, all of it.
 * Without memory it is left out.  A process that is known is not added again.
 */
void meter_add(struct meter *m, int pid, bool from_its_beginning);

/*
 * Reads the clocks.  What a process used after the last time is not seen once
 * it has ended.
 */
void meter_sample(struct meter *m);

/* Seconds of all of them, or negative if there is none that could be read. */
double meter_sum(const struct meter *m);

/* Frees. */
void meter_fini(struct meter *m);
