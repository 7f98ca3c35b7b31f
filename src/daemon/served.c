/* SPDX-License-Identifier: BSD-2-Clause */
/* What the home and the workers of a target know, collected for control. */
#include "daemon/served.h"

#include <stdlib.h>
#include <string.h>

static void tell_facts(struct mail *m)
{
	struct served *f = container_of(m, struct served, mail);

	f->done(f);
}

/* One answer less to wait for. */
static void note_facts(struct served *f)
{
	struct server *s = f->server;

	if (--f->pending > 0)
		return;
	f->mail.deliver = tell_facts;
	mailbox_post(server_control(s), &f->mail);
	server_stay_no_more(s);
}

static void queue_facts_done(struct mail *m)
{
	note_facts(container_of(m, struct served_queue, mail)->all);
}

static void deliver_queue_facts(struct mail *m)
{
	struct served_queue *q = container_of(m, struct served_queue, mail);

	queue_facts(q->queue, &q->facts);
	q->mail.deliver = queue_facts_done;
	worker_post(server_home(q->all->server), &q->mail);
}

/*
 * Only a running queue is asked: mail of one sender stays in order, so its
 * worker answers before it can have been asked to give the queue back, and the
 * queue cannot have become another's, or be freed, by then.
 */
static void ask_queue(struct served *f, unsigned index, struct queue *q)
{
	struct served_queue *tq = &f->queues[f->nr_queues++];

	tq->index = index;
	tq->facts.worker = worker_id(queue_worker(q));
	if (queue_state(q) == QUEUE_DRAINING) {
		tq->draining = true;
		return;
	}
	tq->queue = q;
	tq->all = f;
	tq->mail.deliver = deliver_queue_facts;
	f->pending++;
	worker_post(queue_worker(q), &tq->mail);
}

static void ask_queues(struct served *f)
{
	const struct session *s = server_session(f->server);
	unsigned max = f->session.nr_queues;

	f->queues = calloc(max, sizeof(*f->queues));
	for (unsigned i = 0; i < max && f->queues; i++) {
		struct queue *q = session_queue(s, i);

		if (q && queue_state(q) != QUEUE_IDLE)
			ask_queue(f, i, q);
	}
}

static void look_at_memory(struct served *f)
{
	unsigned max = f->session.nr_regions;

	f->regions = calloc(max, sizeof(*f->regions));
	if (f->regions)
		f->nr_regions = session_regions(server_session(f->server),
						f->regions, max);
}

static void deliver_facts(struct mail *m)
{
	struct served *f = container_of(m, struct served, mail);
	struct server *s = f->server;

	const struct session *session = server_session(s);

	server_stay(s);
	f->claim = server_reason(s, f->reason, sizeof(f->reason));
	f->pending = 1;
	f->connected = session;
	if (f->connected) {
		session_facts(session, &f->session);
		look_at_memory(f);
		ask_queues(f);
	}
	note_facts(f);
}

void served_collect(struct server *s, struct served *f,
		    void (*done)(struct served *f))
{
	memset(f, 0, sizeof(*f));
	f->server = s;
	f->done = done;
	f->mail.deliver = deliver_facts;
	worker_post(server_home(s), &f->mail);
}

void served_fini(struct served *f)
{
	free(f->queues);
	f->queues = NULL;
	f->nr_queues = 0;
	free(f->regions);
	f->regions = NULL;
	f->nr_regions = 0;
}
