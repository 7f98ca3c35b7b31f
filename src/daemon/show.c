/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to show: one target with all that is known of it. */
#include "daemon/show.h"

#include "daemon/member.h"

static const char *claim_name(enum loans_claim claim)
{
	static const char *const names[] = {
		[LOANS_CLAIM_NONE] = "none",
		[LOANS_CLAIM_WAITING] = "waiting",
		[LOANS_CLAIM_HELD] = "held",
	};

	return names[claim];
}

static struct json_object *backend_of(const struct target_facts *f)
{
	const struct config_backend *b = &target_config(f->target)->backend;
	struct json_object *o = json_object_new_object();

	member_str(o, "kind", survey_kind(f));
	member_str(o, "path", b->path ? b->path : "");
	member_u64(o, "size", f->info.size);
	member_u64(o, "block_size", f->info.block_size);
	member_bool(o, "read_only", f->info.read_only);
	member_bool(o, "direct", f->info.direct);
	member_bool(o, "discard", f->info.can_discard);
	member_str(o, "claim", claim_name(f->served.claim));
	return o;
}

/* The limits in force, or NULL. */
static struct json_object *limits_of(const struct target_facts *f)
{
	static const char *const names[LIMITS_NR_BUCKETS] = {
		[LIMITS_IOPS] = "iops",
		[LIMITS_READ_IOPS] = "read_iops",
		[LIMITS_WRITE_IOPS] = "write_iops",
		[LIMITS_BANDWIDTH] = "bandwidth",
		[LIMITS_READ_BANDWIDTH] = "read_bandwidth",
		[LIMITS_WRITE_BANDWIDTH] = "write_bandwidth",
	};
	const struct limits_rates *r = target_limits(f->target);
	struct json_object *o = json_object_new_object();
	bool any = false;

	for (unsigned b = 0; b < LIMITS_NR_BUCKETS; b++) {
		if (r->per_s[b])
			member_u64(o, names[b], r->per_s[b]);
		else
			member_add(o, names[b], NULL);
		any |= r->per_s[b];
	}
	member_u64(o, "burst_us", r->burst_us);
	if (any)
		return o;
	json_object_put(o);
	return NULL;
}

static const char *queue_state_name(const struct server_queue *q)
{
	if (q->facts.broken)
		return "broken";
	if (q->facts.throttled)
		return "throttled";
	return q->draining ? "draining" : "running";
}

static struct json_object *queue_of(const struct server_queue *q)
{
	struct json_object *o = json_object_new_object();

	member_u64(o, "index", q->index);
	member_str(o, "state", queue_state_name(q));
	member_u64(o, "entries", q->facts.size);
	member_u64(o, "worker", q->facts.worker);
	member_u64(o, "inflight", q->facts.in_flight);
	member_str(o, "broken_reason", q->facts.broken ? q->facts.why : "");
	return o;
}

static struct json_object *session_of(const struct target_facts *f)
{
	const struct session_facts *s = &f->served.session;
	struct json_object *o = json_object_new_object();
	struct json_object *memory = json_object_new_object();
	struct json_object *queues =
		json_object_new_array_ext(f->served.nr_queues);

	member_u64(o, "peer_pid", s->pid);
	member_u64(o, "peer_uid", s->uid);
	member_u64(o, "peer_gid", s->gid);
	member_hex(o, "features", s->features);
	member_hex(o, "protocol_features", s->protocol_features);
	member_u64(memory, "regions", s->nr_regions);
	member_u64(memory, "bytes", s->memory_bytes);
	member_add(o, "memory", memory);
	for (unsigned i = 0; i < f->served.nr_queues; i++)
		json_object_array_add(queues, queue_of(&f->served.queues[i]));
	member_add(o, "queues", queues);
	return o;
}

struct json_object *show_make(const struct survey *s)
{
	const struct target_facts *f = &s->items[0].facts;
	const struct config_target *c = target_config(f->target);
	struct json_object *o = json_object_new_object();

	member_str(o, "name", c->name);
	member_str(o, "device", "blk");
	member_str(o, "state", survey_state(f));
	member_str(o, "reason", f->reason);
	member_str(o, "socket", c->socket);
	member_str(o, "serial", c->serial);
	member_add(o, "backend", backend_of(f));
	member_add(o, "limits", limits_of(f));
	member_add(o, "session", f->served.connected ? session_of(f) : NULL);
	return o;
}
