/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* A target's name and number, to be sorted and found. */
struct entry {
	const char *name;
	unsigned number;
	bool lingering;
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static struct entry *sort_old(const struct plan_target *old, unsigned nr)
{
	struct entry *e = calloc(nr + 1, sizeof(*e));

	for (unsigned i = 0; e && i < nr; i++)
		e[i] = (struct entry){.name = old[i].config->name,
				      .number = i,
				      .lingering = old[i].lingering};
	if (e)
		qsort(e, nr, sizeof(*e), compare_entries);
	return e;
}

__attribute__((format(printf, 3, 4))) static void
settle(struct plan_change *ch, enum plan_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	ch->outcome = outcome;
	va_start(ap, fmt);
	vsnprintf(ch->why, sizeof(ch->why), fmt, ap);
	va_end(ap);
}

static bool is_of_target(const struct config_key *key)
{
	return key->form == CONFIG_FORM_VALUE &&
	       key->scope != CONFIG_SCOPE_TOP &&
	       key->scope != CONFIG_SCOPE_CONTROL;
}

static void compare_targets(struct plan_change *ch,
			    const struct config_target *a,
			    const struct config_target *b)
{
	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		const struct config_key *key = &config_keys[id];

		if (!is_of_target(key) || config_keys_equal(id, a, b))
			continue;
		ch->keys[id] = true;
		if (key->effect != CONFIG_EFFECT_LIVE)
			ch->what = PLAN_REPLACE;
		else if (ch->what == PLAN_KEEP)
			ch->what = PLAN_UPDATE;
	}
}

static void plan_old(struct plan_change *ch, const struct plan_target *old,
		     const struct config_target *t)
{
	char keys[200];

	if (old->lingering) {
		ch->what = PLAN_ADD;
		settle(ch, PLAN_REFUSED,
		       "a removed target of this name still serves its client; "
		       "reload again when it has left, or vringctl disconnect "
		       "%s",
		       t->name);
		return;
	}
	compare_targets(ch, old->config, t);
	if (ch->what != PLAN_REPLACE || !old->connected)
		return;
	plan_print_keys(ch->keys, keys, sizeof(keys));
	settle(ch, PLAN_REFUSED,
	       "cannot change %s while a client is connected; reload again "
	       "when it has left, or vringctl disconnect %s",
	       keys, t->name);
}

static void plan_removed(struct plan_change *ch, const struct plan_target *old)
{
	ch->what = PLAN_REMOVE;
	if (old->connected)
		settle(ch, PLAN_LINGERS,
		       "serves its client until that leaves, or until vringctl "
		       "disconnect %s",
		       old->config->name);
}

/* Keys of the file itself.  Some of them are defaults of the targets' keys. */
static void compare_tops(struct plan *p, const struct config *started,
			 const struct config *accepted,
			 const struct config *new)
{
	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		const struct config_key *key = &config_keys[id];
		bool at_start = key->effect == CONFIG_EFFECT_RESTART;
		const struct config *old = at_start ? started : accepted;

		if (key->form != CONFIG_FORM_VALUE || is_of_target(key))
			continue;
		p->top[id] = !value_equal(&key->rule,
					  (const char *)old + key->offset,
					  (const char *)new + key->offset);
	}
}

static void name_change(struct plan_change *ch, const char *name)
{
	snprintf(ch->name, sizeof(ch->name), "%s", name);
}

static void fill(struct plan *p, struct entry *sorted,
		 const struct plan_target *old, unsigned nr, bool *met,
		 const struct config *new)
{
	for (unsigned i = 0; i < new->nr_targets; i++) {
		struct plan_change *ch = &p->changes[p->nr++];
		const struct entry key = {.name = new->targets[i].name};
		const struct entry *e =
			bsearch(&key, sorted, nr, sizeof(key), compare_entries);

		name_change(ch, new->targets[i].name);
		ch->new = i;
		ch->old = e && !e->lingering ? e->number : PLAN_NONE;
		ch->what = e ? PLAN_KEEP : PLAN_ADD;
		if (!e)
			continue;
		met[e->number] = true;
		plan_old(ch, &old[e->number], &new->targets[i]);
	}
	for (unsigned i = 0; i < nr; i++) {
		if (met[i] || old[i].lingering)
			continue;
		struct plan_change *ch = &p->changes[p->nr++];

		name_change(ch, old[i].config->name);
		ch->old = i;
		ch->new = PLAN_NONE;
		plan_removed(ch, &old[i]);
	}
}

int plan_make(struct plan **out, const struct plan_target *old, unsigned nr,
	      const struct config *started, const struct config *accepted,
	      const struct config *new)
{
	size_t most = (size_t)nr + new->nr_targets;
	struct plan *p = calloc(1, sizeof(*p) + most * sizeof(p->changes[0]));
	struct entry *sorted = sort_old(old, nr);
	bool *met = calloc(nr + 1, sizeof(*met));
	int ret = p && sorted && met ? 0 : -ENOMEM;

	if (ret == 0) {
		compare_tops(p, started, accepted, new);
		fill(p, sorted, old, nr, met, new);
		*out = p;
	} else {
		free(p);
	}
	free(sorted);
	free(met);
	return ret;
}

void plan_find_top(const struct plan *p, enum config_effect effect,
		   bool keys[CONFIG_KEYS])
{
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		keys[id] = p->top[id] && config_keys[id].effect == effect;
}

unsigned plan_count(const struct plan *p, enum plan_what what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->nr; i++)
		n += p->changes[i].what == what &&
		     p->changes[i].outcome != PLAN_REFUSED;
	return n;
}

unsigned plan_count_outcome(const struct plan *p, enum plan_outcome outcome)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->nr; i++)
		n += p->changes[i].outcome == outcome;
	return n;
}

const char *plan_word(enum plan_what what)
{
	static const char *const words[] = {
		[PLAN_KEEP] = "unchanged", [PLAN_ADD] = "added",
		[PLAN_REMOVE] = "removed", [PLAN_REPLACE] = "replaced",
		[PLAN_UPDATE] = "changed",
	};

	return words[what];
}

void plan_print_keys(const bool keys[CONFIG_KEYS], char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned id = 0; id < CONFIG_KEYS && len < size; id++)
		if (keys[id])
			len += (size_t)snprintf(buf + len, size - len, "%s%s%s",
						len ? ", " : "",
						config_keys_prefix(
							config_keys[id].scope),
						config_keys[id].name);
}
