/* SPDX-License-Identifier: BSD-2-Clause */
/* One configured disk, from its opening to its end, as control sees it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/unixsock.h"
#include "daemon/config.h"
#include "daemon/growth.h"
#include "daemon/served.h"
#include "run/worker.h"

/*
 * Theory of operation: a target
 *
 * Control owns the target.  What can block (storage, socket, user database) is
 * done by an offload thread, and clients are served by the target's home (see
 * server.h); changed() tells when something came of it:
 *
 *	NEW --open--> OPENING --> OPEN --retire--> RETIRING --> CLOSED
 *	                 |         ^                  |            ^
 *	                 v         '-- still used ----+            |
 *	              FAILED --open--> ...            '-> LINGERING'
 *
 * A target is retired for good: one whose storage or device changes is followed
 * by another target.  Who retires a target that is not open has it CLOSED at
 * once; an offload thread that is stuck with it cleans up when it comes back.
 *
 * A target lives as long as it has users: its owner, a thread that opens it,
 * facts that are collected, a look at its storage.
 */
enum target_state {
	TARGET_NEW,
	TARGET_OPENING,
	TARGET_FAILED,		/* to be opened again */
	TARGET_OPEN,
	TARGET_RETIRING,
	TARGET_LINGERING,	/* no socket any more, but a client */
	TARGET_CLOSED,
};

struct target;

struct target_params {
	struct config *owner;	/* of @config; NULL if that outlives us */
	const struct config_target *config;
	struct worker **workers;		/* to lend queues to */
	unsigned nr_workers;			/* the first one is the home */
	struct mailbox *control;

	/*
	 * NULL, or a socket that is there already, which becomes the target's:
	 * listening, or connected to the only client.
	 */
	const struct unixsock *given;

	/*
	 * An operation is over, and the state says what came of it; or a client
	 * came or went.
	 */
	void (*changed)(void *ctx, struct target *t);
	void *ctx;
};

/*
 * Make a target, of which the caller is the first user.  Returns 0 or -ENOMEM.
 * target_put() frees it with the last one, and accepts NULL; by then it is NEW,
 * FAILED or CLOSED.
 *
 * Control only, as all here.
 */
int target_new(struct target **out, const struct target_params *p);
struct target *target_get(struct target *t);
void target_put(struct target *t);

/*
 * Begin to open a target that is NEW or FAILED.  changed() follows, never
 * inside this call: it is OPEN then, and serves clients, or FAILED, and the
 * reason was logged unless it is the same as before.
 */
void target_open(struct target *t);

/*
 * Go on with another configuration, of which only keys whose effect is "live"
 * differ.  changed() follows, perhaps inside this call; if something could not
 * be changed, target_reason() says what, and it was logged.
 */
void target_update(struct target *t, struct config *owner,
		   const struct config_target *config);

/*
 * Begin to let the target go, for good; how is said in server.h.  changed()
 * follows, perhaps inside this call.  A target that was opening, failed or new
 * is CLOSED then.  May be asked for again, CUT above all.
 */
void target_retire(struct target *t, enum server_retire how);

/* Is an operation under way, whose end changed() will tell? */
bool target_is_busy(const struct target *t);

/* The configuration, and what it is of, both as long as the target has it. */
const struct config_target *target_config(const struct target *t);
struct config *target_owner(const struct target *t);
enum target_state target_state(const struct target *t);

/* Why it failed, or what could not be changed; "" if nothing. */
const char *target_reason(const struct target *t);

bool target_is_connected(const struct target *t);

/* Has the only client left, which was given?  It is to be retired then. */
bool target_is_over(const struct target *t);

/* Was it found that its path leads to other storage than when it was opened? */
bool target_is_outdated(const struct target *t);

/* The limits in force. */
const struct limits_rates *target_limits(const struct target *t);
/* The number of the worker that has its socket and its session. */
unsigned target_home(const struct target *t);

/* The size of its disk; a look at the storage is a user of the target. */
struct growth *target_growth(struct target *t);

/* Sum of the counters of all queues, since it was opened. */
void target_counters(const struct target *t, struct counters *sum);

/* What a target is doing. */
struct target_facts {
	struct target *target;
	enum target_state state;
	char reason[512];	/* why it failed, or waits; "" if neither */
	uint64_t opened_us;	/* CLOCK_MONOTONIC; 0: not yet */
	struct backend_info info; /* when open */
	struct served served; /* all zero unless it is open */

	/* private to target.c */
	void (*done)(struct target_facts *f);
};

/*
 * Fill @f, which is busy until done(@f) is called on the control thread,
 * perhaps inside this call.  target_facts_fini() frees what it then holds; the
 * target lives at least until then.
 */
void target_collect(struct target *t, struct target_facts *f,
		    void (*done)(struct target_facts *f));
void target_facts_fini(struct target_facts *f);

/* Whom target_cut() has cut off. */
struct target_cut {
	struct target *target;
	struct server_cut peer;

	/* private to target.c */
	void (*done)(struct target_cut *c);
};

/*
 * Cut the client off, as server_disconnect() does; @c is busy until done(@c) is
 * called on the control thread, perhaps inside this call.  The target lives at
 * least until target_cut_fini().
 */
void target_cut(struct target *t, struct target_cut *c,
		void (*done)(struct target_cut *c));
void target_cut_fini(struct target_cut *c);
