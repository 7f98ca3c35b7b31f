/* SPDX-License-Identifier: BSD-2-Clause */
/* Members of JSON objects, so that what is said reads like a list. */
#include "daemon/member.h"

#include <inttypes.h>
#include <stdio.h>

void member_add(struct json_object *o, const char *key,
		struct json_object *value)
{
	if (!o || json_object_object_add(o, key, value))
		json_object_put(value);
}

void member_str(struct json_object *o, const char *key, const char *value)
{
	member_add(o, key, json_object_new_string(value));
}

void member_text(struct json_object *o, const char *key, const char *value)
{
	member_add(o, key,
		   value && *value ? json_object_new_string(value) : NULL);
}

void member_u64(struct json_object *o, const char *key, uint64_t value)
{
	member_add(o, key, json_object_new_uint64(value));
}

void member_bool(struct json_object *o, const char *key, bool value)
{
	member_add(o, key, json_object_new_boolean(value));
}

void member_hex(struct json_object *o, const char *key, uint64_t value)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	member_str(o, key, text);
}
