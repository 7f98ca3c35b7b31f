/* SPDX-License-Identifier: BSD-2-Clause */
/* A target in the test's own process, and a guest that uses it. */
#pragma once

#include "daemon/target.h"
#include "frontend.h"
#include "guestblk.h"
#include "run/mailbox.h"
#include "run/worker.h"

#define TESTTARGET_MEM (16u << 20)

/*
 * Workers, a control loop without a thread, and one target on a socket in a
 * folder of its own.  What a test wants otherwise it changes in @config
 * between init and start.  Failures end the test.
 */
struct testtarget {
	char dir[64];
	char socket[96];
	struct config_target config;
	unsigned nr_workers;
	struct ev_loop *loop;
	struct mailbox control;
	struct worker *workers[2];
	struct target *target;
};

/* One worker, a mem backend of 1 MiB, 4 queues. */
void testtarget_init(struct testtarget *t);
void testtarget_start(struct testtarget *t);
void testtarget_stop(struct testtarget *t);

/*
 * Another target beside it, on the same workers, from @config, which outlives
 * it; and its end.  What the control thread has to do is done here.
 */
void testtarget_open(struct testtarget *t, struct target **out,
		     const struct config_target *config);
void testtarget_close(struct testtarget *t, struct target *target);

/* The control thread's work, until @f was filled. */
void testtarget_facts(struct testtarget *t, struct target_facts *f);

/* A guest with @nr started queues of 128 entries and 16 MiB at address 0. */
struct testguest {
	struct frontend f;
	struct guestmem mem;
	struct frontend_queue q[4];
	unsigned nr_queues;
};

/* @features are accepted as far as offered. */
void testguest_start(struct testguest *g, const struct testtarget *t,
		     unsigned nr, uint64_t features);

/* Closes its connection and frees it. */
void testguest_stop(struct testguest *g);
