/* SPDX-License-Identifier: BSD-2-Clause */
/* Look whether storage has grown: of all targets, or of one. */
#include "daemon/rescan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "daemon/member.h"

struct item {
	struct growth_answer answer;
	struct target *target;
	struct rescan *rescan;
	bool is_answered;
	bool was_open;
};

struct rescan {
	struct rescan_params p;
	struct ev_timer patience;
	unsigned pending; /* items that are not answered */
	bool is_done;	  /* and done() was called, or is not to be */
	unsigned nr;
	struct item items[];
};

static void end(struct rescan *r)
{
	if (!r->is_done) {
		r->is_done = true;
		ev_timer_stop(r->p.loop, &r->patience);
		r->p.done(r->p.ctx, r);
	}
	if (r->pending)
		return;
	for (unsigned i = 0; i < r->nr; i++)
		target_put(r->items[i].target);
	free(r);
}

static void note_answer(struct growth_answer *a)
{
	struct item *item = container_of(a, struct item, answer);
	struct rescan *r = item->rescan;

	item->is_answered = true;
	if (--r->pending == 0)
		end(r);
}

static void patience_over(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	end(w->data);
}

static void look(struct rescan *r, struct target *t)
{
	struct item *item = &r->items[r->nr++];

	item->rescan = r;
	item->target = target_get(t);
	item->was_open = target_state(t) == TARGET_OPEN ||
			 target_state(t) == TARGET_LINGERING;
	r->pending++;
	growth_look(target_growth(t), &item->answer, note_answer);
}

int rescan_begin(const struct rescan_params *p, struct rescan **out)
{
	unsigned nr = p->target ? 1 : roster_nr(p->roster);
	struct target *one =
		p->target ? roster_find(p->roster, p->target) : NULL;
	struct rescan *r;

	if (p->target && !one)
		return -ENOENT;
	r = calloc(1, sizeof(*r) + nr * sizeof(r->items[0]));
	if (!r)
		return -ENOMEM;
	r->p = *p;
	if (out)
		*out = r;
	ev_timer_init(&r->patience, patience_over, RESCAN_PATIENCE_S, 0.);
	r->patience.data = r;
	ev_timer_start(p->loop, &r->patience);
	/* One too many, so that no answer ends it while we still ask. */
	r->pending = 1;
	for (unsigned i = 0; i < nr; i++)
		look(r, one ? one : roster_target(p->roster, i));
	if (--r->pending == 0)
		end(r);
	return 0;
}

void rescan_forget(struct rescan *r)
{
	if (!r)
		return;
	r->is_done = true;
	ev_timer_stop(r->p.loop, &r->patience);
}

/* What went wrong, or NULL. */
static const char *why(const struct item *item)
{
	if (!item->is_answered)
		return "its storage does not answer";
	if (!*item->answer.why)
		return NULL;
	if (!item->was_open && *target_reason(item->target))
		return target_reason(item->target);
	return item->answer.why;
}

static bool has_changed(const struct item *item)
{
	return item->is_answered &&
	       item->answer.new_size != item->answer.old_size;
}

unsigned rescan_failed(const struct rescan *r)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < r->nr; i++)
		nr += why(&r->items[i]) != NULL;
	return nr;
}

static struct json_object *item_answer(const struct item *item)
{
	const struct growth_answer *a = &item->answer;
	struct json_object *o = json_object_new_object();
	bool changed = has_changed(item);
	const char *error = why(item);

	if (!o)
		return NULL;
	member_str(o, "name", target_config(item->target)->name);
	member_u64(o, "old_size", a->old_size);
	member_u64(o, "size", changed ? a->new_size : a->old_size);
	member_bool(o, "changed", changed);
	member_bool(o, "connected", target_is_connected(item->target));
	member_bool(o, "told", changed && a->told);
	member_add(o, "error", error ? json_object_new_string(error) : NULL);
	return o;
}

struct json_object *rescan_answer(const struct rescan *r, bool all)
{
	struct json_object *a = json_object_new_array_ext((int)r->nr);

	for (unsigned i = 0; i < r->nr && a; i++) {
		const struct item *item = &r->items[i];
		bool is_news = has_changed(item) || why(item);

		if (all || (item->was_open && is_news))
			json_object_array_add(a, item_answer(item));
	}
	return a;
}
