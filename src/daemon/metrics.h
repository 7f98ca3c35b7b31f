/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of the daemon as Prometheus reads it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "daemon/usage.h"

struct metrics_target {
	const char *name;
	const char *device;
	const char *backend;	/* path or kind */
	const char *socket;
	bool read_only;
	bool up;		/* can be served */
	bool connected;
	uint64_t size;
	struct counters counters;
};

struct metrics_worker {
	unsigned id;
	int cpu;		/* -1: not pinned */
	const char *ring;
	uint64_t switches;	/* of the ring */
	unsigned queues;
	uint64_t sleeps;
	uint64_t polled_us;
};

struct metrics_facts {
	const char *version;
	bool reload_ok;		/* the last one, or the start */
	uint64_t reload_s;	/* since 1970, of the last that was good */
	bool from_last_good;	/* what runs is not what the file says */
	struct usage usage;
	const struct metrics_worker *workers;
	size_t nr_workers;
	const struct metrics_target *targets; /* no two of one name */
	size_t nr_targets;
};

/*
 * Returns the text, format 0.0.4 of Prometheus, which the caller frees; or NULL
 * without memory.  Names follow those of node_exporter for disks.
 *
 * Any thread.
 */
char *metrics_text(const struct metrics_facts *f);
