/* SPDX-License-Identifier: BSD-2-Clause */
/* How often something may be said, by key. */
#include "base/ratelimit.h"

#include <string.h>

static bool is_over(const struct ratelimit_key *k, uint64_t now_ms)
{
	return now_ms - k->began_ms >= RATELIMIT_WINDOW;
}

static bool is_key(const struct ratelimit_key *k, const char *tag,
		   const void *what)
{
	return k->count && k->what == what &&
	       !strncmp(k->tag, tag, sizeof(k->tag) - 1);
}

/* What was refused is kept until somebody has collected it. */
static bool is_free(const struct ratelimit_key *k, uint64_t now_ms)
{
	return !k->count || (is_over(k, now_ms) && !k->skipped);
}

/* The place of the key, or one that it may have, or NULL. */
static struct ratelimit_key *find_place(struct ratelimit *r, const char *tag,
					const void *what, uint64_t now_ms)
{
	struct ratelimit_key *place = NULL;

	for (unsigned i = 0; i < RATELIMIT_KEYS; i++) {
		struct ratelimit_key *k = &r->keys[i];

		if (is_key(k, tag, what))
			return k;
		if (!place && is_free(k, now_ms))
			place = k;
	}
	if (place)
		place->count = 0;
	return place;
}

bool ratelimit_take(struct ratelimit *r, const char *tag, const void *what,
		    uint64_t now_ms)
{
	struct ratelimit_key *k = find_place(r, tag, what, now_ms);

	if (!k) {
		r->skipped_others++;
		return false;
	}
	if (is_free(k, now_ms)) {
		*k = (struct ratelimit_key){.what = what, .began_ms = now_ms};
		strncpy(k->tag, tag, sizeof(k->tag) - 1);
	}
	if (k->count == RATELIMIT_BURST) {
		k->skipped++;
		return false;
	}
	k->count++;
	return true;
}

bool ratelimit_collect(struct ratelimit *r, uint64_t now_ms, bool all,
		       char tag[RATELIMIT_TAG], unsigned *skipped)
{
	for (unsigned i = 0; i < RATELIMIT_KEYS; i++) {
		struct ratelimit_key *k = &r->keys[i];

		if (!k->skipped || !(all || is_over(k, now_ms)))
			continue;
		memcpy(tag, k->tag, sizeof(k->tag));
		*skipped = k->skipped;
		*k = (struct ratelimit_key){0};
		return true;
	}
	tag[0] = '\0';
	*skipped = r->skipped_others;
	r->skipped_others = 0;
	return *skipped;
}
