/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about a ring of io_uring. */
#include "daemon/engine.h"

#include "daemon/member.h"

const char *engine_ring(const struct uring_facts *f)
{
	return f->kind == URING_SQPOLL ? "sqpoll" : "direct";
}

struct json_object *engine_sqpoll(const struct uring_facts *f)
{
	if (f->kind != URING_SQPOLL)
		return NULL;
	return json_object_new_string(f->thread_asleep ? "asleep" : "awake");
}

static struct json_object *setup_of(const struct uring_facts *f)
{
	struct json_object *a = json_object_new_array();

	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name = uring_setup_name(bit);

		if (name && f->setup >> bit & 1)
			json_object_array_add(a, json_object_new_string(name));
	}
	return a;
}

/* The configuration decides alone: a ring that cannot be made ends us. */
static const char *reason_of(const struct uring_facts *f)
{
	return f->kind == URING_SQPOLL ? "sqpoll is on in the configuration"
				       : "sqpoll is off in the configuration";
}

struct json_object *engine_make(const struct uring_facts *f)
{
	struct json_object *o = json_object_new_object();

	member_str(o, "ring", engine_ring(f));
	member_str(o, "why", reason_of(f));
	member_add(o, "sqpoll", engine_sqpoll(f));
	member_add(o, "setup", setup_of(f));
	return o;
}
