/* SPDX-License-Identifier: BSD-2-Clause */
/* Tell systemd that every thread lives, so that it restarts us if not. */
#include "daemon/watchdog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "base/util.h"

#define ROUNDS 4 /* in the time after which systemd loses patience */

/* A question to one worker, and its answer. */
struct probe {
	struct mail mail;
	struct watchdog *dog;
	struct worker *worker;
	bool asked;	/* and not answered yet */
	bool silent;	/* that was logged */
	char tag[24];	/* an answer may outlive its worker */
};

struct watchdog {
	struct ev_loop *loop;
	struct mailbox *mailbox;
	struct ev_timer timer;
	double limit_s;		/* systemd's patience */
	ev_tstamp began;	/* the round */
	unsigned nr_asked;
	unsigned nr_probes;
	struct probe probes[];
};

static void note_answer(struct mail *m)
{
	struct probe *p = container_of(m, struct probe, mail);
	struct watchdog *d = p->dog;

	p->asked = false;
	if (p->silent) {
		log_info(p->tag, "answers again seconds=%.1f",
			 ev_now(d->loop) - d->began);
		p->silent = false;
	}
	if (--d->nr_asked == 0)
		sd_notify(0, "WATCHDOG=1");
}

/* On the worker, which lives. */
static void answer(struct mail *m)
{
	struct probe *p = container_of(m, struct probe, mail);

	m->deliver = note_answer;
	mailbox_post(p->dog->mailbox, m);
}

static void ask(struct watchdog *d)
{
	d->began = ev_now(d->loop);
	d->nr_asked = d->nr_probes;
	for (unsigned i = 0; i < d->nr_probes; i++) {
		struct probe *p = &d->probes[i];

		p->asked = true;
		p->mail.deliver = answer;
		worker_post(p->worker, &p->mail);
	}
}

static void complain(struct watchdog *d)
{
	for (unsigned i = 0; i < d->nr_probes; i++) {
		struct probe *p = &d->probes[i];

		if (!p->asked || p->silent)
			continue;
		p->silent = true;
		log_event(LOG_WORKER_SILENT, p->tag,
			  "does not answer seconds=%.1f: systemd restarts the "
			  "daemon after %g s of this",
			  ev_now(d->loop) - d->began, d->limit_s);
	}
}

static void next_round(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct watchdog *d = w->data;

	(void)loop;
	(void)revents;
	if (d->nr_asked)
		complain(d);
	else
		ask(d);
}

int watchdog_new(struct watchdog **out, const struct watchdog_params *p)
{
	uint64_t limit_us;
	int ret = sd_watchdog_enabled(0, &limit_us);
	struct watchdog *d;

	*out = NULL;
	if (ret < 0)
		log_err("vringd", "cannot read WATCHDOG_USEC and WATCHDOG_PID: "
				  "%s",
			strerror(-ret));
	if (ret <= 0)
		return ret;
	d = calloc(1, sizeof(*d) + p->nr_workers * sizeof(d->probes[0]));
	if (!d)
		return -ENOMEM;
	d->loop = p->loop;
	d->mailbox = p->mailbox;
	d->limit_s = limit_us / 1e6;
	d->nr_probes = p->nr_workers;
	for (unsigned i = 0; i < d->nr_probes; i++) {
		struct probe *probe = &d->probes[i];

		probe->dog = d;
		probe->worker = p->workers[i];
		snprintf(probe->tag, sizeof(probe->tag), "vringd/worker%u",
			 worker_id(probe->worker));
	}
	ev_timer_init(&d->timer, next_round, 0., d->limit_s / ROUNDS);
	d->timer.data = d;
	ev_timer_start(d->loop, &d->timer);
	*out = d;
	return 0;
}

void watchdog_stop(struct watchdog *d)
{
	if (d)
		ev_timer_stop(d->loop, &d->timer);
}

void watchdog_free(struct watchdog *d)
{
	free(d);
}
