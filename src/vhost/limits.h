/* SPDX-License-Identifier: BSD-2-Clause */
/* How much a target may do in a second: token buckets shared by all workers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Theory of operation: buckets
 *
 * A bucket is one time: when all that was taken from it is paid for.  Taking n
 * moves that time by n times the price of one, which is a second divided by the
 * rate; time goes on and so pays back.  A bucket whose time has passed is full,
 * one whose time lies @burst ahead is empty, and one further ahead is in debt:
 *
 *	      now            now + burst
 *	-------|------------------|--------------> time
 *	 full       something left     in debt
 *
 * A request is begun if there is anything left in all buckets that count for
 * it, and is charged with its real size, so there may be a debt afterwards.
 * Over any time T no more than (burst + T) * rate is taken and the last request
 * of each worker, and nothing needs to be filled by a timer.
 *
 * Each bucket is one atomic, so workers share it without a lock.  Nothing else
 * depends on what they read there, so all of it is relaxed.
 */
enum limits_kind {
	LIMITS_READ,
	LIMITS_WRITE,
	LIMITS_NR_KINDS,
};

enum limits_bucket {
	LIMITS_IOPS,
	LIMITS_READ_IOPS,
	LIMITS_WRITE_IOPS,
	LIMITS_BANDWIDTH,
	LIMITS_READ_BANDWIDTH,
	LIMITS_WRITE_BANDWIDTH,
	LIMITS_NR_BUCKETS,
};

struct limits_rates {
	uint64_t per_s[LIMITS_NR_BUCKETS]; /* requests, bytes; 0: no limit */
	uint64_t burst_us;
};

struct limits;

/*
 * Make limits that limit nothing.  Returns 0 or -ENOMEM.  limits_free() accepts
 * NULL; no worker uses them.  Control only.
 */
int limits_new(struct limits **out);
void limits_free(struct limits *l);

/*
 * Limit from now on to @r, while workers go on.  A bucket that is new begins
 * full.  One that was there keeps what was taken, and a debt is paid at the
 * higher of both rates, so nobody waits longer because something was changed.
 * What waits at a gate (see gate.h) learns of it in its own time.
 *
 * Control only.
 */
void limits_set(struct limits *l, const struct limits_rates *r,
		uint64_t now_ns);

/* The rates in force.  Control only. */
const struct limits_rates *limits_rates(const struct limits *l);

/* May a request of this kind be begun at @now_ns?  Worker only. */
bool limits_allow(const struct limits *l, enum limits_kind kind,
		  uint64_t now_ns);

/* One was begun that moves @bytes of data.  Worker only. */
void limits_charge(struct limits *l, enum limits_kind kind, uint64_t bytes,
		   uint64_t now_ns);

/*
 * When, if nobody takes anything, there will be as much left for this kind as
 * comes in in @share_ns; half of what fits at the most.  May lie in the past.
 * Worker only.
 */
uint64_t limits_ready_ns(const struct limits *l, enum limits_kind kind,
			 uint64_t share_ns);

/*
 * How many lines (see gate.h) wait for these limits: add @n, return the new
 * number.  Worker only.
 */
unsigned limits_wait(struct limits *l, int n);
