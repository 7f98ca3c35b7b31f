/* SPDX-License-Identifier: BSD-2-Clause */
/* Ask all targets, or one, what they do, and answer a question with that. */
#include "daemon/survey.h"

#include <stdlib.h>
#include <string.h>

static void finish(struct survey *s)
{
	control_reply_send_status(s->reply, s->status, s->make(s));
	for (unsigned i = 0; i < s->nr; i++)
		target_facts_fini(&s->items[i].facts);
	free(s);
}

static void note_facts(struct target_facts *f)
{
	struct survey *s = container_of(f, struct survey_item, facts)->survey;

	if (--s->pending == 0)
		finish(s);
}

static void collect(struct survey *s, struct target *t)
{
	struct survey_item *item = &s->items[s->nr++];

	item->survey = s;
	s->pending++;
	target_collect(t, &item->facts, note_facts);
}

void survey_begin(const struct survey_params *p, struct control_reply *reply)
{
	unsigned nr = roster_nr(p->roster);
	struct target *one = NULL;
	struct survey *s;

	if (p->target) {
		one = roster_find(p->roster, p->target);
		nr = 1;
	}
	if (p->target && !one) {
		control_reply_fail(reply, "no target is called %s", p->target);
		return;
	}
	s = calloc(1, sizeof(*s) + nr * sizeof(s->items[0]));
	if (!s) {
		control_reply_fail(reply, "out of memory");
		return;
	}
	s->ctx = p->ctx;
	s->arg = p->arg;
	s->make = p->make;
	s->status = p->status;
	s->reply = reply;
	/* One too many, so that no answer finishes it while we still ask. */
	s->pending = 1;
	for (unsigned i = 0; i < nr; i++)
		collect(s, one ? one : roster_target(p->roster, i));
	if (--s->pending == 0)
		finish(s);
}

/* Words */

const char *survey_state(const struct target_facts *f)
{
	static const char *const names[] = {
		[TARGET_NEW] = "opening",      [TARGET_OPENING] = "opening",
		[TARGET_FAILED] = "failed",    [TARGET_OPEN] = "listening",
		[TARGET_RETIRING] = "closing", [TARGET_LINGERING] = "lingering",
		[TARGET_CLOSED] = "closing",
	};

	if (f->state == TARGET_OPEN && f->served.connected)
		return "connected";
	return names[f->state];
}

const char *survey_kind(const struct target_facts *f)
{
	static const char *const names[] = {
		[CONFIG_KIND_FILE] = "file",
		[CONFIG_KIND_MEM] = "mem",
		[CONFIG_KIND_NULL] = "null",
	};

	return names[target_config(f->target)->backend.kind];
}

const char *survey_backend(const struct target_facts *f)
{
	const char *path = target_config(f->target)->backend.path;

	return path ? path : survey_kind(f);
}
