/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about io_uring in a worker. */
#include "daemon/engine.h"

#include "daemon/member.h"

const char *engine_ring(const struct io_facts *f)
{
	return f->choice.ring == URING_SQPOLL ? "sqpoll" : "direct";
}

const char *engine_why(const struct io_facts *f)
{
	return chooser_explain(f->choice.reason);
}

struct json_object *engine_sqpoll(const struct io_facts *f)
{
	if (!f->has_thread)
		return NULL;
	return json_object_new_string(f->thread_asleep ? "asleep" : "awake");
}

static struct json_object *setup_of(const struct io_facts *f)
{
	struct json_object *a = json_object_new_array();

	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name = uring_setup_name(bit);

		if (name && f->ring.setup >> bit & 1)
			json_object_array_add(a, json_object_new_string(name));
	}
	return a;
}

struct json_object *engine_make(const struct io_facts *f)
{
	struct json_object *o = json_object_new_object();

	member_str(o, "ring", engine_ring(f));
	member_str(o, "why", engine_why(f));
	member_u64(o, "switches", f->choice.nr_switches);
	member_add(o, "sqpoll", engine_sqpoll(f));
	member_add(o, "setup", setup_of(f));
	return o;
}
