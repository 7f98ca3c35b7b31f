/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process uses of the machine. */
#pragma once

#include <stdint.h>

struct usage {
	uint64_t cpu_us;
	uint64_t virtual_bytes;
	uint64_t resident_bytes;	/* guest memory that we touched, too */
	uint64_t anonymous_bytes;	/* our own */
	uint64_t threads;
	uint64_t open_fds;
	uint64_t max_fds;
	double started_s;		/* since 1970 */
};

/*
 * Fills @u; what cannot be learnt is 0.
 *
 * Any thread.
 */
void usage_read(struct usage *u);
