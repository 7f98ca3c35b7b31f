/* SPDX-License-Identifier: BSD-2-Clause */
/* Members of JSON objects, so that what is said reads like a list. */
#pragma once

#include <json.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Adds a member to @o.  Without memory there is none: an answer that lacks one
 * is better than none.
 *
 * Any thread.
 */
void member_str(struct json_object *o, const char *key, const char *value);
void member_u64(struct json_object *o, const char *key, uint64_t value);
void member_bool(struct json_object *o, const char *key, bool value);

/* Null where the text is NULL or "". */
void member_text(struct json_object *o, const char *key, const char *value);

/* As text, as people read features: "0x150000046". */
void member_hex(struct json_object *o, const char *key, uint64_t value);

/* @value is taken over, and may be NULL. */
void member_add(struct json_object *o, const char *key,
		struct json_object *value);
