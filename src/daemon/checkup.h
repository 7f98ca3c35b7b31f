/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test of the running daemon. */
#pragma once

#include "daemon/control.h"
#include "daemon/roster.h"

struct checkup_params {
	const struct roster *roster;
	struct mailbox *control;
	const char *config;	/* the file */
	bool config_ok;		/* it was, when it was read last */
};

/*
 * Has an offload thread look at the system, then answers @reply with what that
 * means for the targets, never inside this call; the status is 1 if a check
 * has failed.
 *
 * Control only.
 */
void checkup_begin(const struct checkup_params *p, struct control_reply *reply);
