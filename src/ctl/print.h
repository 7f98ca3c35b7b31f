/* SPDX-License-Identifier: BSD-2-Clause */
/* Any answer as text for people: labels, tables, units. */
#pragma once

#include <json.h>

/* One value, as people read it. */
struct print_cell {
	char text[1024];
};

/*
 * Returns @v for people, without control characters; @key tells its unit.
 *
 * Any thread.
 */
struct print_cell print_format(const char *key, struct json_object *v);

/*
 * Prints a result of whatever shape: objects with one member a line, lists of
 * flat objects as tables, text as it is.
 *
 * Any thread.
 */
void print_result(struct json_object *result);
