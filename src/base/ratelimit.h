/* SPDX-License-Identifier: BSD-2-Clause */
/* How often something may be said, by key. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RATELIMIT_BURST	 10
#define RATELIMIT_WINDOW 10000 /* ms */
#define RATELIMIT_KEYS	 256
#define RATELIMIT_TAG	 64

/* One key: a tag and a format.  count is 0 in a free place. */
struct ratelimit_key {
	char tag[RATELIMIT_TAG];
	const void *what;
	uint64_t began_ms;
	unsigned count;	  /* allowed in this window */
	unsigned skipped; /* refused in this window */
};

/* All zero to begin with.  One owner, who calls all of these. */
struct ratelimit {
	struct ratelimit_key keys[RATELIMIT_KEYS];
	unsigned skipped_others; /* refused because no place was free */
};

/*
 * May @what be said of @tag now?  RATELIMIT_BURST times in a window that
 * begins with the first.  Whoever makes up more keys than there are places is
 * refused until windows end, so the number of lines is bounded for all keys
 * together.  Before saying it, collect what was refused in windows that are
 * over with ratelimit_collect().
 */
bool ratelimit_take(struct ratelimit *r, const char *tag, const void *what,
		    uint64_t now_ms);

/*
 * Take out one key whose window is over and in which something was refused;
 * with @all also when its window is not over.  Returns false when there is
 * none left.  The tag is empty for those that had no place.
 */
bool ratelimit_collect(struct ratelimit *r, uint64_t now_ms, bool all,
		       char tag[RATELIMIT_TAG], unsigned *skipped);
