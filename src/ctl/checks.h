/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test: what the daemon found, or vringctl in its place. */
#pragma once

#include <json.h>

#include "ctl/args.h"

/* Prints a list of checks for people.  Any thread. */
void checks_print(struct json_object *checks);

/*
 * Looks at the system in the place of a daemon that does not run, with the
 * configuration that is read when none is named.  Returns the list of checks,
 * or NULL without memory; the caller gives it back.
 *
 * Once.
 */
struct json_object *checks_run(void);
