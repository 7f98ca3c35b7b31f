/* SPDX-License-Identifier: BSD-2-Clause */
/* Cut the client of a target off. */
#pragma once

#include "daemon/control.h"
#include "daemon/target.h"

/*
 * Answers @reply with whom was cut off from @t, never inside this call; or with
 * an error if nobody is connected.
 *
 * Control only.
 */
void disconnect_begin(struct target *t, struct control_reply *reply);
