/* SPDX-License-Identifier: BSD-2-Clause */
/* One configured disk: joins socket, session, device, backend and workers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "daemon/config.h"
#include "daemon/loans.h"
#include "run/worker.h"
#include "vhost/session.h"

/*
 * Theory of operation: a target
 *
 * Control opens a target (backend, device, socket) and closes it.  In between
 * it belongs to its home, the worker that has its socket and its session.
 *
 * Before a queue is lent, its loan is settled: see loans.h.
 *
 * A second client is held for a moment, as the first may be just leaving, and
 * as long as the first one's session drains.  Its requests must all be over
 * before anybody else is served.
 *
 *	control:  FAILED <-- open --> OPEN --close--> CLOSING --> freed
 */
enum target_state {
	TARGET_FAILED,		/* to be opened again */
	TARGET_OPEN,
	TARGET_CLOSING,
};

struct target;

struct target_params {
	const struct config_target *config;	/* outlives the target */
	struct worker **workers;		/* to lend queues to */
	unsigned nr_workers;			/* the first one is the home */
	struct mailbox *control;
};

/*
 * Make a target, and try to open it.  Returns 0 or -ENOMEM; a target that
 * cannot be opened is TARGET_FAILED and the reason was logged.
 *
 * Control only, as all here.
 */
int target_new(struct target **out, const struct target_params *p);

/*
 * Free a target that was never started, that failed, or whose close is done.
 * Accepts NULL.
 */
void target_free(struct target *t);

/* Try to open a failed target again; -errno when it still fails. */
int target_open(struct target *t);

/* Serve clients.  The workers run. */
void target_start(struct target *t);

/*
 * Serve no more clients, cut the one that is there, finish its requests, then
 * call closed(@ctx, t) on the control thread.  At once if it is not open.
 */
void target_close(struct target *t, void (*closed)(void *ctx, struct target *t),
		  void *ctx);

const struct config_target *target_config(const struct target *t);
enum target_state target_state(const struct target *t);

/* Sum of the counters of all queues, since the start. */
void target_counters(const struct target *t, struct counters *sum);

/* A queue that is lent. */
struct target_queue {
	unsigned index;
	bool draining;
	struct queue_facts facts;

	/* private to target.c */
	struct mail mail;
	struct queue *queue;
	struct target_facts *all;
};

/* What a target is doing. */
struct target_facts {
	struct target *target;
	enum target_state state;
	char reason[256];	/* why it failed, or waits; "" if neither */
	struct backend_info info; /* when open */
	enum loans_claim claim;
	bool connected;
	struct session_facts session;	/* when connected */
	struct target_queue *queues;	/* nr_queues of them, or NULL */
	unsigned nr_queues;

	/* private to target.c */
	struct mail mail;
	unsigned pending;
	void (*done)(struct target_facts *f);
};

/*
 * Fill @f, which is busy until done(@f) is called on the control thread,
 * perhaps inside this call.  target_facts_fini() frees what it then holds.
 */
void target_collect(struct target *t, struct target_facts *f,
		    void (*done)(struct target_facts *f));
void target_facts_fini(struct target_facts *f);
