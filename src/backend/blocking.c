/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/blocking.h"

#include <stddef.h>

static void start_next(struct blocking *b);

static void run_job(struct offload_job *job)
{
	struct blocking *b = container_of(job, struct blocking, job);

	b->current->result = b->call(b->current);
}

static void finish_job(struct offload_job *job)
{
	struct blocking *b = container_of(job, struct blocking, job);
	struct io *io = b->current;

	b->current = NULL;
	start_next(b);
	b->done(io, io->result);
}

static void start_next(struct blocking *b)
{
	struct list *l = list_pop(&b->waiting);

	if (!l)
		return;
	b->current = list_entry(l, struct io, item.link);
	offload_run(&b->job, run_job, finish_job, worker_mailbox(b->worker));
}

void blocking_init(struct blocking *b, struct worker *w,
		   int (*call)(struct io *io),
		   void (*done)(struct io *io, int res))
{
	b->worker = w;
	b->call = call;
	b->done = done;
	b->current = NULL;
	list_init(&b->waiting);
}

void blocking_submit(struct blocking *b, struct io *io)
{
	list_add_tail(&b->waiting, &io->item.link);
	if (!b->current)
		start_next(b);
}
