/* SPDX-License-Identifier: BSD-2-Clause */
/* All targets: those that are configured, and those that linger. */
#include "daemon/roster.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct entry {
	struct roster *roster;
	struct target *target;
	struct target *next;	    /* to be opened when target is closed */
	struct plan_change *change; /* whose outcome is not known, or NULL */
	unsigned home;		    /* number of a worker */
	bool is_configured;
};

enum step {
	STEP_NONE,
	STEP_BEGIN, /* retiring is being asked for */
	STEP_RETIRE,
	STEP_OPEN,
};

/* What was made for a change: an entry, or a target to follow another. */
struct made {
	struct entry *entry;
	struct target *next; /* NULL: the entry is new */
};

struct roster {
	struct roster_params p;
	struct entry **entries;
	unsigned nr;
	unsigned room;
	unsigned *homes; /* how many targets each worker has */
	struct ev_timer retry;

	/* the plan that is being carried out */
	enum step step;
	unsigned pending; /* entries with a change */
	struct ev_timer patience;
	void (*done)(void *ctx);
	void *ctx;

	/* the end */
	void (*closed)(void *ctx);
	void *closed_ctx;
};

static void target_changed(void *ctx, struct target *t);
static void take_step(struct roster *r);

/* Workers: the targets' own, else the one with the fewest targets */

static unsigned least_used(const struct roster *r)
{
	unsigned least = 0;

	for (unsigned i = 1; i < r->p.nr_workers; i++)
		if (r->homes[i] < r->homes[least])
			least = i;
	return least;
}

static unsigned choose_workers(const struct roster *r,
			       const struct value_cpus *cpus,
			       struct worker **chosen)
{
	unsigned nr = 0;

	for (unsigned k = 0; k < cpus->nr; k++)
		for (unsigned i = 0; i < r->p.nr_workers; i++)
			if (worker_cpu(r->p.workers[i]) == (int)cpus->cpu[k])
				chosen[nr++] = r->p.workers[i];
	if (nr == 0)
		chosen[nr++] = r->p.workers[least_used(r)];
	return nr;
}

/* Entries */

static struct target *make_target(struct entry *e, struct config *c,
				  const struct config_target *t)
{
	struct roster *r = e->roster;
	struct worker **chosen = calloc(r->p.nr_workers, sizeof(*chosen));
	struct target_params p = {
		.owner = c,
		.config = t,
		.workers = chosen,
		.control = r->p.control,
		.changed = target_changed,
		.ctx = e,
	};
	struct target *made = NULL;

	if (!chosen)
		return NULL;
	r->homes[e->home]--;
	p.nr_workers = choose_workers(r, &t->cpus, chosen);
	if (target_new(&made, &p) == 0)
		e->home = worker_id(chosen[0]);
	r->homes[e->home]++;
	free(chosen);
	return made;
}

static void free_entry(struct entry *e)
{
	target_put(e->next);
	target_put(e->target);
	e->roster->homes[e->home]--;
	free(e);
}

static struct entry *new_entry(struct roster *r, struct config *c,
			       const struct config_target *t)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->roster = r;
	r->homes[0]++;
	e->target = make_target(e, c, t);
	if (e->target)
		return e;
	free_entry(e);
	return NULL;
}

static void remove_entry(struct entry *e)
{
	struct roster *r = e->roster;

	for (unsigned i = 0; i < r->nr; i++) {
		if (r->entries[i] != e)
			continue;
		r->nr--;
		memmove(&r->entries[i], &r->entries[i + 1],
			(r->nr - i) * sizeof(*r->entries));
		break;
	}
	free_entry(e);
}

static bool is_closing(const struct roster *r)
{
	return r->closed;
}

/* Outcomes */

static void start_retry(struct roster *r)
{
	if (!is_closing(r) && !ev_is_active(&r->retry))
		ev_timer_again(r->p.loop, &r->retry);
}

#define NO_ANSWER "its storage does not answer"

static void note_failed(struct plan_change *ch, const char *why)
{
	ch->outcome = PLAN_FAILED;
	snprintf(ch->why, sizeof(ch->why), "%s", why);
}

static void note_outcome(struct entry *e)
{
	struct plan_change *ch = e->change;

	switch (target_state(e->target)) {
	case TARGET_LINGERING:
	case TARGET_RETIRING:
		ch->outcome = PLAN_LINGERS;
		snprintf(ch->why, sizeof(ch->why),
			 "serves its client until that leaves, or until "
			 "vringctl disconnect %s",
			 target_config(e->target)->name);
		break;
	case TARGET_OPEN:
	case TARGET_FAILED:
		ch->outcome = PLAN_OK;
		ch->why[0] = '\0';
		if (*target_reason(e->target))
			note_failed(ch, target_reason(e->target));
		break;
	case TARGET_OPENING:
	case TARGET_NEW:
		note_failed(ch, NO_ANSWER);
		break;
	case TARGET_CLOSED:
		break;
	}
}

static void end_change(struct entry *e)
{
	e->change = NULL;
	e->roster->pending--;
}

/* The target is closed: another one follows it, or nothing. */
static void replace(struct entry *e)
{
	struct roster *r = e->roster;

	target_put(e->target);
	e->target = e->next;
	e->next = NULL;
	/* While a plan retires others, their disks may be what this opens. */
	if (r->step != STEP_BEGIN && r->step != STEP_RETIRE)
		target_open(e->target);
}

/* A client came between the plan and the home: the old target goes on. */
static void refuse_replace(struct entry *e)
{
	char keys[200];

	target_put(e->next);
	e->next = NULL;
	if (!e->change)
		return;
	plan_print_keys(e->change->keys, keys, sizeof(keys));
	e->change->outcome = PLAN_REFUSED;
	snprintf(e->change->why, sizeof(e->change->why),
		 "cannot change %s while a client is connected", keys);
	end_change(e);
}

static void target_closed(struct entry *e)
{
	struct roster *r = e->roster;

	if (e->next) {
		replace(e);
		return;
	}
	if (e->change) {
		e->change->outcome = PLAN_OK;
		e->change->why[0] = '\0';
		end_change(e);
	}
	remove_entry(e);
	if (is_closing(r) && r->nr == 0)
		r->closed(r->closed_ctx);
}

/* An operation came to its end, and the target is not closed. */
static void settle(struct entry *e)
{
	enum target_state state = target_state(e->target);

	if (e->next) {
		if (state == TARGET_OPEN)
			refuse_replace(e);
		return;
	}
	/* One that is to be opened in a later step is not settled. */
	if (!e->change || state == TARGET_NEW)
		return;
	note_outcome(e);
	end_change(e);
}

/*
 * Its path leads to other storage by now, and nobody is served: open that.  Not
 * while a plan is carried out, which may mean it for another target.
 */
static void renew(struct entry *e)
{
	const struct target *t = e->target;

	if (e->next || !e->is_configured || e->roster->step != STEP_NONE ||
	    is_closing(e->roster) || target_state(t) != TARGET_OPEN ||
	    target_is_busy(t) || target_is_connected(t) ||
	    !target_is_outdated(t))
		return;
	e->next = make_target(e, target_owner(t), target_config(t));
	if (e->next)
		target_retire(e->target, SERVER_IF_FREE);
}

static void target_changed(void *ctx, struct target *t)
{
	struct entry *e = ctx;
	struct roster *r = e->roster;

	if (t != e->target)
		return;
	if (target_state(t) == TARGET_FAILED)
		start_retry(r);
	if (target_state(t) == TARGET_CLOSED) {
		target_closed(e);
	} else if (!target_is_busy(t)) {
		settle(e);
		renew(e);
	}
	if (is_closing(r))
		return;
	r->p.changed(r->p.ctx);
	take_step(r);
}

static void retry_failed(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct roster *r = w->data;

	(void)revents;
	ev_timer_stop(loop, w);
	for (unsigned i = 0; i < r->nr; i++)
		if (target_state(r->entries[i]->target) == TARGET_FAILED)
			target_open(r->entries[i]->target);
}

/* Carrying a plan out */

static int make_room(struct roster *r, unsigned nr)
{
	struct entry **more;

	if (r->nr + nr <= r->room)
		return 0;
	more = realloc(r->entries, (r->nr + nr) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->entries = more;
	r->room = r->nr + nr;
	return 0;
}

static void forget_made(struct made *made, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (made[i].next)
			target_put(made[i].next);
		else
			free_entry(made[i].entry);
}

static bool is_refused(const struct plan_change *ch)
{
	return ch->outcome == PLAN_REFUSED;
}

static int make_one(struct roster *r, struct config *c, struct plan_change *ch,
		    struct made *made)
{
	const struct config_target *t = &c->targets[ch->new];

	if (ch->what == PLAN_ADD) {
		made->entry = new_entry(r, c, t);
		if (!made->entry)
			return -ENOMEM;
		made->entry->change = ch;
		return 0;
	}
	made->entry = r->entries[ch->old];
	made->next = make_target(made->entry, c, t);
	return made->next ? 0 : -ENOMEM;
}

/* Returns how many were made, or -ENOMEM with nothing made. */
static int make_all(struct roster *r, struct config *c, struct plan *plan,
		    struct made *made)
{
	unsigned nr = 0;

	if (make_room(r, plan_count(plan, PLAN_ADD)) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < plan->nr; i++) {
		struct plan_change *ch = &plan->changes[i];

		if (is_refused(ch) ||
		    (ch->what != PLAN_ADD && ch->what != PLAN_REPLACE))
			continue;
		if (make_one(r, c, ch, &made[nr]) < 0) {
			forget_made(made, nr);
			return -ENOMEM;
		}
		nr++;
	}
	return (int)nr;
}

/* From here on nothing can fail. */
static void take_made(struct roster *r, const struct made *made, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		struct entry *e = made[i].entry;

		if (made[i].next) {
			target_put(e->next);
			e->next = made[i].next;
			continue;
		}
		e->is_configured = true;
		r->pending++;
		r->entries[r->nr++] = e;
	}
}

static void expect_change(struct entry *e, struct plan_change *ch)
{
	e->change = ch;
	e->roster->pending++;
}

static void update(struct entry *e, struct config *c, struct plan_change *ch)
{
	struct target *t = e->next ? e->next : e->target;

	target_update(t, c, &c->targets[ch->new]);
	/* Whoever reloads may have mended what was wrong. */
	if (target_state(t) == TARGET_FAILED ||
	    (target_state(t) == TARGET_OPEN && target_is_busy(t)))
		expect_change(e, ch);
	/* Whoever opens it now has waited for longer than we would. */
	if (target_state(t) == TARGET_OPENING)
		note_failed(ch, NO_ANSWER);
}

static void carry_out(struct entry *e, struct config *c, struct plan_change *ch)
{
	switch (ch->what) {
	case PLAN_KEEP:
	case PLAN_UPDATE:
		update(e, c, ch);
		break;
	case PLAN_REPLACE:
		expect_change(e, ch);
		target_retire(e->target, SERVER_IF_FREE);
		break;
	case PLAN_REMOVE:
		expect_change(e, ch);
		target_put(e->next);
		e->next = NULL;
		e->is_configured = false;
		target_retire(e->target, SERVER_LINGER);
		break;
	case PLAN_ADD:
		break;
	}
}

static bool is_to_open(const struct entry *e)
{
	enum target_state state = target_state(e->target);

	return e->change && (state == TARGET_NEW || state == TARGET_FAILED);
}

/* Is there still a target that is to be retired or changed? */
static bool is_retiring(const struct roster *r)
{
	for (unsigned i = 0; i < r->nr; i++) {
		const struct entry *e = r->entries[i];

		if (e->change && !is_to_open(e))
			return true;
	}
	return false;
}

static void open_new(struct roster *r)
{
	r->step = STEP_OPEN;
	ev_timer_again(r->p.loop, &r->patience);
	for (unsigned i = 0; i < r->nr; i++) {
		const struct entry *e = r->entries[i];

		/* A plan before this one may have left it to whenever. */
		if (is_to_open(e) || target_state(e->target) == TARGET_NEW)
			target_open(e->target);
	}
}

static void end_plan(struct roster *r)
{
	r->step = STEP_NONE;
	ev_timer_stop(r->p.loop, &r->patience);
	for (unsigned i = 0; i < r->nr; i++)
		renew(r->entries[i]);
	r->done(r->ctx);
}

static void take_step(struct roster *r)
{
	if (r->step == STEP_RETIRE && !is_retiring(r))
		open_new(r);
	if (r->step == STEP_OPEN && r->pending == 0)
		end_plan(r);
}

static void patience_over(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct roster *r = w->data;

	(void)loop;
	(void)revents;
	for (unsigned i = 0; i < r->nr; i++) {
		struct entry *e = r->entries[i];

		if (e->change && !is_to_open(e)) {
			note_outcome(e);
			end_change(e);
		}
	}
	take_step(r);
}

int roster_plan(const struct roster *r, const struct config *started,
		const struct config *accepted, const struct config *new,
		struct plan **out)
{
	struct plan_target *old = calloc(r->nr + 1, sizeof(*old));
	int ret;

	if (!old)
		return -ENOMEM;
	for (unsigned i = 0; i < r->nr; i++) {
		const struct entry *e = r->entries[i];

		old[i].config = target_config(e->next ? e->next : e->target);
		old[i].connected = target_is_connected(e->target);
		old[i].lingering = !e->is_configured;
	}
	ret = plan_make(out, old, r->nr, started, accepted, new);
	free(old);
	return ret;
}

static void begin(struct roster *r, struct config *config, struct plan *plan,
		  struct entry **old)
{
	r->step = STEP_BEGIN;
	ev_timer_again(r->p.loop, &r->patience);
	for (unsigned i = 0; i < plan->nr; i++) {
		struct plan_change *ch = &plan->changes[i];

		if (ch->old != PLAN_NONE && !is_refused(ch))
			carry_out(old[ch->old], config, ch);
	}
	r->step = STEP_RETIRE;
	take_step(r);
}

int roster_apply(struct roster *r, struct config *config, struct plan *plan,
		 void (*done)(void *ctx), void *ctx)
{
	/* What closes at once leaves the list, so the numbers are kept here. */
	struct entry **old = calloc(r->nr + 1, sizeof(*old));
	struct made *made = calloc(plan->nr + 1, sizeof(*made));
	int nr = -ENOMEM;

	assert(r->step == STEP_NONE);
	if (old && made)
		nr = make_all(r, config, plan, made);
	if (nr >= 0) {
		for (unsigned i = 0; i < r->nr; i++)
			old[i] = r->entries[i];
		take_made(r, made, (unsigned)nr);
		r->done = done;
		r->ctx = ctx;
		begin(r, config, plan, old);
	}
	free(old);
	free(made);
	return nr < 0 ? nr : 0;
}

/* The end */

void roster_close(struct roster *r, void (*done)(void *ctx), void *ctx)
{
	unsigned nr = r->nr;
	struct entry **all = r->entries;

	r->step = STEP_NONE;
	ev_timer_stop(r->p.loop, &r->patience);
	ev_timer_stop(r->p.loop, &r->retry);
	r->closed = done;
	r->closed_ctx = ctx;
	if (nr == 0) {
		done(ctx);
		return;
	}
	for (unsigned i = 0; i < nr; i++) {
		all[i]->change = NULL;
		target_put(all[i]->next);
		all[i]->next = NULL;
	}
	/* From the last one on: what closes at once leaves the list. */
	for (unsigned i = nr; i > 0; i--)
		target_retire(all[i - 1]->target, SERVER_CUT);
}

/* What there is */

unsigned roster_nr(const struct roster *r)
{
	return r->nr;
}

struct target *roster_target(const struct roster *r, unsigned i)
{
	return r->entries[i]->target;
}

struct target *roster_find(const struct roster *r, const char *name)
{
	struct target *found = NULL;

	for (unsigned i = 0; i < r->nr; i++) {
		const struct entry *e = r->entries[i];

		if (strcmp(target_config(e->target)->name, name))
			continue;
		if (e->is_configured)
			return e->target;
		found = e->target;
	}
	return found;
}

unsigned roster_count(const struct roster *r, enum target_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->nr; i++)
		n += target_state(r->entries[i]->target) == state;
	return n;
}

unsigned roster_connected(const struct roster *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->nr; i++)
		n += target_is_connected(r->entries[i]->target);
	return n;
}

/* Life */

int roster_new(struct roster **out, const struct roster_params *p)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->p = *p;
	r->homes = calloc(p->nr_workers, sizeof(*r->homes));
	if (!r->homes) {
		free(r);
		return -ENOMEM;
	}
	ev_init(&r->retry, retry_failed);
	r->retry.repeat = ROSTER_RETRY_S;
	r->retry.data = r;
	ev_init(&r->patience, patience_over);
	r->patience.repeat = p->patience_s;
	r->patience.data = r;
	*out = r;
	return 0;
}

void roster_free(struct roster *r)
{
	if (!r)
		return;
	ev_timer_stop(r->p.loop, &r->retry);
	ev_timer_stop(r->p.loop, &r->patience);
	for (unsigned i = 0; i < r->nr; i++)
		free_entry(r->entries[i]);
	free(r->entries);
	free(r->homes);
	free(r);
}
