/* SPDX-License-Identifier: BSD-2-Clause */
/* Ask all targets, or one, what they do, and answer a question with that. */
#pragma once

#include "daemon/control.h"
#include "daemon/roster.h"

/* The facts of some targets, which come in any order. */
struct survey {
	void *ctx;	/* of who asked, as the next one */
	unsigned arg;
	unsigned nr;	/* items that are filled */

	/* private to survey.c */
	struct json_object *(*make)(const struct survey *s);
	int status;
	struct control_reply *reply;
	unsigned pending;

	struct survey_item {
		struct target_facts facts;
		struct survey *survey;
	} items[];
};

struct survey_params {
	const struct roster *roster;
	const char *target;	/* NULL: all */
	void *ctx;
	unsigned arg;

	/* Returns the result, or NULL without memory. */
	struct json_object *(*make)(const struct survey *s);
	int status;	/* of the answer: see vringctl(8) */
};

/*
 * Answers @reply with what make() says of the targets, perhaps inside this
 * call; or with an error if there is no such target.  A name is one target's:
 * where another of that name lingers, it is the configured one's.
 *
 * Control only.
 */
void survey_begin(const struct survey_params *p, struct control_reply *reply);

/* A word for what a target is doing: "connected".  Any thread. */
const char *survey_state(const struct target_facts *f);

/* "file", or what else it is; and the path or, without one, the kind. */
const char *survey_kind(const struct target_facts *f);
const char *survey_backend(const struct target_facts *f);
