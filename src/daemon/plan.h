/* SPDX-License-Identifier: BSD-2-Clause */
/* What a new configuration changes: a list, made without touching anything. */
#pragma once

#include <stdbool.h>

#include "daemon/config.h"

/*
 * Theory of operation: a plan
 *
 * Targets are the same when their names are.  What becomes of one follows from
 * the keys that differ, by their effect in keys.def, and from whether a VMM
 * uses it, as far as that is known when the plan is made:
 *
 *	                          nobody connected     connected
 *	only in the new one       ADD                  -
 *	only in the old one       REMOVE               REMOVE, it lingers
 *	no key differs            KEEP                 KEEP
 *	only keys of effect live  UPDATE               UPDATE
 *	another key differs       REPLACE              REPLACE, refused
 *
 * A disk is never swapped under a guest, nor taken away while it is used.  A
 * name whose old target lingers cannot be added: that is refused, too.
 *
 * Whoever carries the plan out notes in each change what came of it.
 */
enum plan_what {
	PLAN_KEEP,
	PLAN_ADD,
	PLAN_REMOVE,
	PLAN_REPLACE,
	PLAN_UPDATE,
};

enum plan_outcome {
	PLAN_OK,
	PLAN_LINGERS,	/* gone from the configuration, in use all the same */
	PLAN_REFUSED,	/* not done, the old target goes on */
	PLAN_FAILED,	/* done, but the target does not work: why says it */
};

/* No target of this number. */
#define PLAN_NONE ((unsigned)-1)

struct plan_change {
	char name[65]; /* of the target */
	enum plan_what what;
	unsigned old;		/* number of the target before, or PLAN_NONE */
	unsigned new;		/* in the new configuration, or PLAN_NONE */
	bool keys[CONFIG_KEYS]; /* that differ: UPDATE, REPLACE */
	enum plan_outcome outcome;
	char why[512];		/* LINGERS, REFUSED, FAILED */
};

struct plan {
	bool top[CONFIG_KEYS];	/* keys of the file itself that are new */
	unsigned nr;
	struct plan_change changes[];
};

/* A target that there is. */
struct plan_target {
	const struct config_target *config;
	bool connected;
	bool lingering;
};

/*
 * Compare the @nr targets at @old, and the file's own keys, with the
 * configuration @new.  Those keys that take a restart are compared with
 * @started, which the workers were made from, the others with @accepted, which
 * is in force.  The changes are in the order of @new, then what is removed in
 * the order of @old.  Returns 0 and fills @out, which the caller frees with
 * free(), or -ENOMEM.
 *
 * Any thread that owns all of it.
 */
int plan_make(struct plan **out, const struct plan_target *old, unsigned nr,
	      const struct config *started, const struct config *accepted,
	      const struct config *new);

/*
 * Mark in @keys those of the file itself that are new and have this effect.
 * Any thread that owns @p.
 */
void plan_find_top(const struct plan *p, enum config_effect effect,
		   bool keys[CONFIG_KEYS]);

/*
 * How many changes are of this kind and came true, more or less; and how many
 * have this outcome.  Any thread that owns @p.
 */
unsigned plan_count(const struct plan *p, enum plan_what what);
unsigned plan_count_outcome(const struct plan *p, enum plan_outcome outcome);

/* "added", "removed", ...: what a change does.  Any thread. */
const char *plan_word(enum plan_what what);

/*
 * Print the keys of @keys, such as "queues, backend.path", into @buf, cut short
 * if need be.  Any thread.
 */
void plan_print_keys(const bool keys[CONFIG_KEYS], char *buf, size_t size);
