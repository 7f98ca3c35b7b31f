/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reload did, or would do, as text for people. */
#pragma once

#include <json.h>

/*
 * Prints the answer to `reload': a line for each change, errors first.
 *
 * Any thread.
 */
void diff_print(struct json_object *result);
