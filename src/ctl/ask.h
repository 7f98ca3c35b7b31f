/* SPDX-License-Identifier: BSD-2-Clause */
/* One question to the daemon, and its answer. */
#pragma once

#include "ctl/args.h"

/*
 * Asks what @a says.  Returns 0, the result, which the caller gives back, and
 * how to exit in @status (NULL: who cares); or the exit status when it has
 * said what is wrong.
 *
 * Any thread.
 */
int ask(const struct args *a, struct json_object **result, int *status);
