/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/growth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const char *who_was_told(const struct server_growth *s)
{
	if (s->told)
		return "told";
	return s->connected ? "not-told: the VMM has no channel for that, and "
			      "must ask by itself or connect again"
			    : "none";
}

static void answer_all(struct growth *g)
{
	struct list *l;

	g->p.hold(g->p.ctx); /* an answer may be its last user */
	while ((l = list_pop(&g->answers))) {
		struct growth_answer *a =
			list_entry(l, struct growth_answer, link);

		a->new_size = g->size;
		a->connected = g->served.connected;
		a->told = g->served.told;
		a->done(a);
		g->p.release(g->p.ctx);
	}
	g->p.release(g->p.ctx);
}

static void start_growing(struct growth *g);

static void home_done(struct server_growth *s)
{
	struct growth *g = container_of(s, struct growth, served);

	g->is_growing = false;
	if (g->backend) {
		log_event(LOG_TARGET_GREW, g->p.tag,
			  "grew size=%llu was=%llu client=%s",
			  (unsigned long long)s->size,
			  (unsigned long long)g->size, who_was_told(s));
		g->size = s->size;
	}
	if (g->backend && g->backend->info.size > g->size)
		start_growing(g);
	else
		answer_all(g);
	g->p.release(g->p.ctx);
}

static void start_growing(struct growth *g)
{
	g->is_growing = true;
	g->p.hold(g->p.ctx);
	server_grow(g->server, &g->served, g->backend->info.size, home_done);
}

static void backend_grew(struct backend_watch *w)
{
	struct growth *g = container_of(w, struct growth, watch);

	if (!g->is_growing)
		start_growing(g);
}

void growth_init(struct growth *g, const struct growth_params *p)
{
	*g = (struct growth){.p = *p, .watch.grew = backend_grew};
	list_init(&g->watch.link);
	list_init(&g->answers);
}

void growth_begin(struct growth *g, struct backend *b, struct server *s)
{
	g->backend = b;
	g->server = s;
	g->size = b->info.size;
	g->shrunk = 0;
	backend_watch(b, &g->watch);
}

void growth_end(struct growth *g)
{
	list_del(&g->watch.link);
	g->backend = NULL;
}

/* Said once, although each reload looks. */
static void complain_of_shrinking(struct growth_answer *a)
{
	struct growth *g = a->growth;

	snprintf(a->why, sizeof(a->why),
		 "the storage has shrunk to %llu bytes; the guest keeps its "
		 "size, and gets errors beyond the end: grow the storage "
		 "again, or restart vringd while the guest is off",
		 (unsigned long long)a->look.size);
	if (g->shrunk != a->look.size)
		log_event(LOG_TARGET_SHRANK, g->p.tag,
			  "cannot shrink size=%llu: %s",
			  (unsigned long long)g->size, a->why);
	g->shrunk = a->look.size;
}

static void look_done(struct look *l)
{
	struct growth_answer *a = container_of(l, struct growth_answer, look);
	struct growth *g = a->growth;

	if (!g->backend)
		snprintf(a->why, sizeof(a->why), "was closed meanwhile");
	else if (l->ret < 0)
		snprintf(a->why, sizeof(a->why),
			 "cannot learn the size of %s: %s", g->backend->name,
			 strerror(-l->ret));
	else if (l->size < g->backend->info.size)
		complain_of_shrinking(a);
	else
		g->shrunk = 0;
	list_add_tail(&g->answers, &a->link);
	if (!g->is_growing)
		answer_all(g);
}

void growth_look(struct growth *g, struct growth_answer *a,
		 void (*done)(struct growth_answer *a))
{
	*a = (struct growth_answer){
		.old_size = g->size,
		.new_size = g->size,
		.growth = g,
		.done = done,
	};
	if (!g->backend)
		snprintf(a->why, sizeof(a->why), "is not open");
	else if (look_begin(&a->look, g->backend, g->p.control, look_done) < 0)
		snprintf(a->why, sizeof(a->why), "%s", strerror(ENOMEM));
	if (*a->why)
		done(a);
	else
		g->p.hold(g->p.ctx);
}
