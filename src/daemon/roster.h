/* SPDX-License-Identifier: BSD-2-Clause */
/* All targets: those that are configured, and those that linger. */
#pragma once

#include <ev.h>

#include "daemon/plan.h"
#include "daemon/target.h"

/*
 * Theory of operation: carrying a plan out
 *
 *	1. make	     every target that is added or replaces another, without
 *		     opening anything.  Only here can it fail, for lack of
 *		     memory, and then nothing has changed.
 *	2. retire    what is removed or replaced; apply live changes.
 *	3. open	     what was made, once step 2 is over: a disk or a socket may
 *		     go from one target to another.
 *
 * From step 2 on nothing is undone: what the world refuses (a missing drive) is
 * the state of one target, which has failed and is opened again every
 * ROSTER_RETRY_S, while the others go on.
 *
 * Steps 2 and 3 wait for the world no longer than the patience, each.  What
 * is not over by then goes on without the plan: a target that replaces another
 * is opened whenever that one is closed.
 */
#define ROSTER_RETRY_S	  5.
#define ROSTER_PATIENCE_S 10.

struct roster;

struct roster_params {
	struct worker **workers; /* as long as the roster */
	unsigned nr_workers;
	struct ev_loop *loop;	 /* of the control thread */
	struct mailbox *control;
	double patience_s;	 /* usually ROSTER_PATIENCE_S */
	void (*changed)(void *ctx); /* a target, or its client */
	void *ctx;
};

/*
 * Make a roster without targets.  Returns 0 or -ENOMEM.  roster_free() accepts
 * NULL, and a roster with targets when nothing of them runs any more.
 *
 * Control only, as all here.
 */
int roster_new(struct roster **out, const struct roster_params *p);
void roster_free(struct roster *r);

/* The targets, in no order that means anything. */
unsigned roster_nr(const struct roster *r);
struct target *roster_target(const struct roster *r, unsigned i);

/* The target called @name: a configured one, else one that lingers, or NULL. */
struct target *roster_find(const struct roster *r, const char *name);

/* How many targets are in @state, and how many have a client. */
unsigned roster_count(const struct roster *r, enum target_state state);
unsigned roster_connected(const struct roster *r);

/*
 * Plan what @new changes; the numbers of old targets are those of
 * roster_target().  @started and @accepted are those of plan_make().  Returns 0
 * or -ENOMEM.
 */
int roster_plan(const struct roster *r, const struct config *started,
		const struct config *accepted, const struct config *new,
		struct plan **out);

/*
 * Carry @plan out, which was just made from @config by roster_plan() and which
 * the caller frees after done(@ctx).  That follows, perhaps inside this call,
 * with the outcome of each change noted in the plan.  Returns 0, or -ENOMEM
 * with nothing changed and done() never called.  One plan at a time.
 */
int roster_apply(struct roster *r, struct config *config, struct plan *plan,
		 void (*done)(void *ctx), void *ctx);

/*
 * Cut all clients off and close all targets; then done(@ctx) is called, perhaps
 * inside this call.  A plan that is being carried out is given up: its done()
 * is not called.
 */
void roster_close(struct roster *r, void (*done)(void *ctx), void *ctx);
