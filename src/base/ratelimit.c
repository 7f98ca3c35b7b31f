/* SPDX-License-Identifier: BSD-2-Clause */
/* How often something may be said, by key. */
#include "base/ratelimit.h"

#include <stddef.h>
#include <string.h>

#include "base/util.h"

#define PROBES 32 /* places that a key may have */
#define NEVER  UINT64_MAX

static uint64_t end_of(const struct ratelimit_key *k)
{
	return k->began_ms + k->window_ms;
}

/* What was refused is kept until somebody has collected it. */
static bool is_free(const struct ratelimit_key *k, uint64_t now_ms)
{
	return !k->what || (now_ms >= end_of(k) && !k->skipped);
}

/* A tag without what stands behind a slash. */
static size_t object_len(const char *tag)
{
	return MIN(strcspn(tag, "/"), (size_t)RATELIMIT_TAG - 1);
}

static bool is_key(const struct ratelimit_key *k, const char *tag, size_t len,
		   const char *what)
{
	return k->what == what && !strncmp(k->tag, tag, len) && !k->tag[len];
}

/* FNV-1a. */
static unsigned hash(const char *tag, size_t len, const char *what)
{
	uint32_t h = 2166136261u ^ (uint32_t)(uintptr_t)what;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)tag[i]) * 16777619u;
	return h % RATELIMIT_KEYS;
}

/* The place of the key, or one that it may have, or NULL. */
static struct ratelimit_key *find_place(struct ratelimit *r, const char *tag,
					const char *what, uint64_t now_ms)
{
	struct ratelimit_key *place = NULL;
	size_t len = object_len(tag);
	unsigned first = hash(tag, len, what);

	for (unsigned i = 0; i < PROBES; i++) {
		struct ratelimit_key *k =
			&r->keys[(first + i) % RATELIMIT_KEYS];

		if (is_key(k, tag, len, what))
			return k;
		if (!place && is_free(k, now_ms))
			place = k;
	}
	if (place)
		place->what = NULL;
	return place;
}

static void note_due(struct ratelimit *r, uint64_t ms)
{
	r->due_ms = MIN(r->due_ms, ms);
}

bool ratelimit_take(struct ratelimit *r, const char *tag, const char *what,
		    unsigned kind, uint64_t now_ms)
{
	struct ratelimit_key *k = find_place(r, tag, what, now_ms);

	if (!k) {
		if (!r->skipped_others++)
			note_due(r, now_ms + RATELIMIT_WINDOW);
		return false;
	}
	if (is_free(k, now_ms)) {
		*k = (struct ratelimit_key){
			.what = what,
			.kind = kind,
			.window_ms = RATELIMIT_WINDOW,
			.began_ms = now_ms,
		};
		memcpy(k->tag, tag, object_len(tag));
	}
	if (k->count == RATELIMIT_BURST) {
		if (!k->skipped++)
			note_due(r, end_of(k));
		return false;
	}
	k->count++;
	return true;
}

static void collect_key(struct ratelimit_key *k, uint64_t now_ms,
			struct ratelimit_skipped *s)
{
	*s = (struct ratelimit_skipped){
		.what = k->what,
		.kind = k->kind,
		.nr = k->skipped,
		.ms = (unsigned)(now_ms - k->began_ms),
	};
	memcpy(s->tag, k->tag, sizeof(s->tag));
	k->window_ms = MIN(2 * k->window_ms, (unsigned)RATELIMIT_WINDOW_MAX);
	k->began_ms = now_ms;
	k->count = 0;
	k->skipped = 0;
}

bool ratelimit_collect(struct ratelimit *r, uint64_t now_ms, bool all,
		       struct ratelimit_skipped *s)
{
	if (!all && now_ms < r->due_ms)
		return false;
	r->due_ms = NEVER;
	for (unsigned i = 0; i < RATELIMIT_KEYS; i++) {
		struct ratelimit_key *k = &r->keys[i];

		if (!k->skipped)
			continue;
		if (all || now_ms >= end_of(k)) {
			collect_key(k, now_ms, s);
			r->due_ms = 0; /* there may be more */
			return true;
		}
		note_due(r, end_of(k));
	}
	*s = (struct ratelimit_skipped){.nr = r->skipped_others};
	r->skipped_others = 0;
	return s->nr > 0;
}

int ratelimit_due(const struct ratelimit *r, uint64_t now_ms)
{
	if (r->due_ms == NEVER)
		return -1;
	return r->due_ms > now_ms ? (int)(r->due_ms - now_ms) : 0;
}
