/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the log on the control thread's loop, see base/log.h. */
#include "daemon/logwriter.h"

#include "base/log.h"

static void wake(void *arg)
{
	struct logwriter *w = arg;

	ev_async_send(w->loop, &w->due);
}

/* A timer only while lines are held back: an idle daemon sleeps. */
static void flush(struct logwriter *w)
{
	int ms = log_flush();

	ev_timer_stop(w->loop, &w->again);
	if (ms < 0)
		return;
	ev_timer_set(&w->again, ms / 1000., 0.);
	ev_timer_start(w->loop, &w->again);
}

static void flush_due(struct ev_loop *loop, struct ev_async *a, int revents)
{
	(void)loop;
	(void)revents;
	flush(a->data);
}

static void flush_again(struct ev_loop *loop, struct ev_timer *t, int revents)
{
	(void)loop;
	(void)revents;
	flush(t->data);
}

void logwriter_start(struct logwriter *w, struct ev_loop *loop)
{
	w->loop = loop;
	ev_async_init(&w->due, flush_due);
	ev_timer_init(&w->again, flush_again, 0., 0.);
	w->due.data = w;
	w->again.data = w;
	ev_async_start(loop, &w->due);
	log_start(wake, w);
}

void logwriter_stop(struct logwriter *w)
{
	if (!w->loop)
		return;
	log_stop();
	ev_async_stop(w->loop, &w->due);
	ev_timer_stop(w->loop, &w->again);
	w->loop = NULL;
}
