/* SPDX-License-Identifier: BSD-2-Clause */
/* How often something may be said, by key. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RATELIMIT_BURST	     10
#define RATELIMIT_WINDOW     10000	/* ms */
#define RATELIMIT_WINDOW_MAX 640000	/* ms */
#define RATELIMIT_KEYS	     4096
#define RATELIMIT_TAG	     72

/* One key: an object and a format.  @what is NULL in a free place. */
struct ratelimit_key {
	char tag[RATELIMIT_TAG];
	const char *what;
	unsigned kind;	    /* the caller's, of the first */
	unsigned window_ms;
	uint64_t began_ms;
	unsigned count;	    /* allowed in this window */
	unsigned skipped;   /* refused in this window */
};

/* All zero to begin with.  One owner, who calls all of these. */
struct ratelimit {
	struct ratelimit_key keys[RATELIMIT_KEYS];
	uint64_t due_ms;	 /* nothing is to be collected before */
	unsigned skipped_others; /* refused because no place was free */
};

/* What was refused. */
struct ratelimit_skipped {
	char tag[RATELIMIT_TAG]; /* empty for those that had no place */
	const char *what;	 /* NULL for those */
	unsigned kind;
	unsigned nr;
	unsigned ms;		 /* since their window began */
};

/*
 * May @what be said of @tag now?  RATELIMIT_BURST times in a window that
 * begins with the first.  A tag counts up to its first slash: who has a hundred
 * queues may not say more than who has one.  Where something was refused the
 * next window is twice as long, so that what never ends is said ever less.
 *
 * Whoever makes up more keys than there are places is refused until windows
 * end, so the number of lines is bounded for all keys together.  Before saying
 * it, collect what was refused in windows that are over.
 */
bool ratelimit_take(struct ratelimit *r, const char *tag, const char *what,
		    unsigned kind, uint64_t now_ms);

/*
 * Take out one key whose window is over and in which something was refused;
 * with @all also when its window is not over.  Returns false when there is
 * none left.
 */
bool ratelimit_collect(struct ratelimit *r, uint64_t now_ms, bool all,
		       struct ratelimit_skipped *s);

/*
 * In how many ms there is something to collect: -1 if nothing was refused.
 * Exact after ratelimit_collect() returned false.
 */
int ratelimit_due(const struct ratelimit *r, uint64_t now_ms);
