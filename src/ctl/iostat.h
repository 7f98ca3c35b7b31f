/* SPDX-License-Identifier: BSD-2-Clause */
/* What targets did in an interval, in the columns of iostat. */
#pragma once

#include <json.h>
#include <stdbool.h>

#include "ctl/args.h"

/*
 * Returns a list with an object for each target of @now, an answer of stats:
 * its name and a number for each column.  They are about the time since @then,
 * an earlier answer; or about all that was counted, where @then is NULL, has no
 * such target, or has counted more.  The caller gives the list back.
 *
 * Any thread.
 */
struct json_object *iostat_rates(struct json_object *then,
				 struct json_object *now);

/*
 * Prints a list of iostat_rates() for people, with the titles of the columns
 * or without.
 *
 * Any thread.
 */
void iostat_print(struct json_object *rates, bool titles);

/*
 * Asks again and again, as @a says, and prints what was done meanwhile.
 * Returns how to exit.
 *
 * Once.
 */
int iostat_run(const struct args *a);
