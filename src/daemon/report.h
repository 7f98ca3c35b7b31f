/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about the daemon, as JSON. */
#pragma once

#include <time.h>

#include "daemon/control.h"
#include "daemon/reload.h"

/* What is there to report on: the context of report_ops. */
struct report_source {
	const struct config *config;	/* what the workers were made from */
	const struct roster *roster;
	struct reload *reload;
	struct ev_loop *loop;		/* of the control thread */
	struct mailbox *control;
	struct worker **workers;
	unsigned nr_workers;
	time_t started;			/* CLOCK_MONOTONIC, seconds */
};

/* The answers to all commands.  Control only. */
extern const struct control_ops report_ops;
