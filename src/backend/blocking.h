/* SPDX-License-Identifier: BSD-2-Clause */
/* Ios that need a blocking call: one at a time for each port. */
#pragma once

#include "backend/io.h"
#include "run/offload.h"

/* Embedded in a port. */
struct blocking {
	/* set by blocking_init() */
	struct worker *worker;
	int (*call)(struct io *io);
	void (*done)(struct io *io, int res);

	/* worker only; the job is the offload thread's while it runs */
	struct list waiting;	/* of io.item.link */
	struct io *current;
	struct offload_job job;
};

/*
 * call() runs on an offload thread and returns 0 or -errno, which done() is
 * told on the worker's thread.  Worker only.
 */
void blocking_init(struct blocking *b, struct worker *w,
		   int (*call)(struct io *io),
		   void (*done)(struct io *io, int res));

/*
 * Have the call made for @io when those before it are done.  So the slow
 * ones of one disk never take all the threads.  Worker only.
 */
void blocking_submit(struct blocking *b, struct io *io);
