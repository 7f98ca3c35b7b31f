/* SPDX-License-Identifier: BSD-2-Clause */
/* Tell systemd that every thread lives, so that it restarts us if not. */
#pragma once

#include <ev.h>

#include "run/mailbox.h"
#include "run/worker.h"

/*
 * Theory of operation: a round
 *
 * With WatchdogSec= in the unit, systemd kills us unless it hears from us in
 * time.  Four times in that time the control loop asks every worker by mail.
 * When all have answered, and so lives everybody who matters, systemd is told.
 * Nobody is asked again before that: a worker that hangs has one message to
 * answer, however long it takes.  Who has not answered by the next round is
 * logged, once, and systemd hears nothing.
 *
 * An idle worker wakes for it; without WatchdogSec= there is no timer.
 */

struct watchdog;

struct watchdog_params {
	struct ev_loop *loop;	  /* the control loop */
	struct mailbox *mailbox;  /* where it gets its mail */
	struct worker *const *workers;
	unsigned nr_workers;
};

/*
 * Make one and start it, if systemd asked for it in the environment; else
 * *@out is NULL, which the other functions accept.  Returns 0 or -errno.
 *
 * Main thread.
 */
int watchdog_new(struct watchdog **out, const struct watchdog_params *p);

/* No more rounds: to be called while the loop is still there.  Main thread. */
void watchdog_stop(struct watchdog *d);

/*
 * Free it.  An answer may be on its way for as long as there are workers, so
 * they are freed before, and the mail is delivered.  Main thread.
 */
void watchdog_free(struct watchdog *d);
