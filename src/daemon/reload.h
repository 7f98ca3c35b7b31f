/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration that runs, and how another one takes its place. */
#pragma once

#include <time.h>

#include "daemon/control.h"
#include "daemon/roster.h"

/*
 * Theory of operation: reload
 *
 * Somebody asks (SIGHUP, or vringctl, which waits for the answer).  An offload
 * thread reads and checks the file.  Then control makes a plan from it:
 *
 *	the text is wrong        nothing changes                      status 1
 *	a dry run                the plan is the answer                      0
 *	else                     the roster carries the plan out, then all
 *	                         storage is looked at, as it may have grown
 *	    all of it came true                                              0
 *	    a target has failed, a change was refused, or a key
 *	    that differs takes a restart: all else is done                   2
 *
 * Keys that take a restart keep their value, and each reload says so until
 * there is one.  What was accepted is stored (see lastgood.h).
 *
 * One at a time: requests that come meanwhile wait in line.  A second SIGHUP
 * that waits would find the same file, so it is one with the first.
 */
struct reload;

struct reload_params {
	const char *path;	/* of the file; outlives it */
	struct config *config;	/* which the workers were made from */
	struct roster *roster;
	struct worker **workers;
	unsigned nr_workers;
	struct mailbox *control;
	struct ev_loop *loop;	/* of the control thread */
	unsigned debug;		/* categories of the command line */
	bool from_last_good;	/* the file was wrong at the start */
	void (*ready)(void *ctx); /* reload_start() is over */
	void *ctx;
};

/*
 * Returns 0 or -ENOMEM.  reload_free() accepts NULL; no thread works for it any
 * more.  Control only, as all here.
 */
int reload_new(struct reload **out, const struct reload_params *p);
void reload_free(struct reload *r);

/*
 * Open all targets of the first configuration; ready() follows, perhaps inside
 * this call.  Returns 0 or -ENOMEM.
 */
int reload_start(struct reload *r);

/* Nothing more is begun or carried out; who waits is told that we stop. */
void reload_stop(struct reload *r);

/*
 * Ask for a reload; @reply, which may be NULL, is answered when it is over.
 * A dry run changes nothing and says what a reload would do.
 */
void reload_request(struct reload *r, bool dry_run,
		    struct control_reply *reply);

/* What came of it so far. */
struct reload_facts {
	const char *path;
	const struct config *config; /* in force, until the next reload */
	bool from_last_good;	/* what runs is not what the file says */
	bool successful;	/* the last one was: its status was not 1 */
	time_t success_time;	/* of the last one that was, CLOCK_REALTIME */
};

void reload_facts(const struct reload *r, struct reload_facts *f);
