/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to show: one target with all that is known of it. */
#include "daemon/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/engine.h"
#include "daemon/features.h"
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
	const struct backend_info *i = &f->info;
	struct json_object *o = json_object_new_object();

	member_str(o, "kind", survey_kind(f));
	member_text(o, "path", b->path);
	member_u64(o, "size", i->size);
	member_u64(o, "block_size", i->block_size);
	member_u64(o, "physical_block_size", i->physical_block_size);
	member_bool(o, "read_only", i->read_only);
	member_bool(o, "shared", b->shared);
	member_bool(o, "direct", i->direct);
	member_bool(o, "discard", i->can_discard);
	member_bool(o, "unmap", i->can_unmap);
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

/* The session */

static struct json_object *names_of(enum features_set set, uint64_t bits)
{
	struct json_object *a = json_object_new_array();

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = features_name(set, bit);
		char number[8];

		if (!(bits >> bit & 1))
			continue;
		snprintf(number, sizeof(number), "bit%u", bit);
		json_object_array_add(a, json_object_new_string(name ? name
								     : number));
	}
	return a;
}

/* The name of a process, if we may see it; it may lie. */
static void add_command(struct json_object *o, pid_t pid)
{
	char path[40], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
	member_text(o, "peer_command", name);
}

static struct json_object *region_of(const struct memmap_region_facts *r)
{
	struct json_object *o = json_object_new_object();

	member_hex(o, "address", r->gpa);
	member_u64(o, "bytes", r->size);
	member_u64(o, "page_size", r->page);
	return o;
}

static struct json_object *fixed_of(const struct queue_facts *f)
{
	struct json_object *o = json_object_new_object();

	member_u64(o, "worker", f->worker);
	member_u64(o, "bytes", f->fixed_bytes);
	member_text(o, "reason", f->fixed_why);
	return o;
}

/* Did a queue before @i tell of the same worker? */
static bool is_told(const struct served *f, unsigned i)
{
	for (unsigned n = 0; n < i; n++)
		if (f->queues[n].facts.has_fixed &&
		    f->queues[n].facts.worker == f->queues[i].facts.worker)
			return true;
	return false;
}

/* What each worker has of it in fixed buffers, or NULL where none is to be. */
static struct json_object *all_fixed_of(const struct served *f)
{
	struct json_object *a = NULL;

	for (unsigned i = 0; i < f->nr_queues; i++) {
		if (!f->queues[i].facts.has_fixed || is_told(f, i))
			continue;
		if (!a)
			a = json_object_new_array();
		json_object_array_add(a, fixed_of(&f->queues[i].facts));
	}
	return a;
}

static struct json_object *memory_of(const struct served *f)
{
	struct json_object *o = json_object_new_object();
	struct json_object *regions = json_object_new_array();

	member_u64(o, "bytes", f->session.memory_bytes);
	for (unsigned i = 0; i < f->nr_regions; i++)
		json_object_array_add(regions, region_of(&f->regions[i]));
	member_add(o, "regions", regions);
	member_add(o, "fixed", all_fixed_of(f));
	return o;
}

static const char *queue_state_name(const struct served_queue *q)
{
	if (q->facts.broken)
		return "broken";
	if (q->facts.throttled)
		return "throttled";
	if (q->draining)
		return "draining";
	return q->facts.enabled ? "running" : "disabled";
}

static struct json_object *queue_of(const struct served_queue *q)
{
	const struct queue_facts *f = &q->facts;
	struct json_object *o = json_object_new_object();

	member_u64(o, "index", q->index);
	member_str(o, "state", queue_state_name(q));
	member_u64(o, "worker", f->worker);
	member_str(o, "ring", engine_ring(&f->io));
	member_str(o, "format", f->packed ? "packed" : "split");
	member_u64(o, "entries", f->size);
	member_bool(o, "event_index", f->event_idx);
	member_bool(o, "indirect", f->indirect);
	member_str(o, "kick", f->has_kick ? "eventfd" : "polled");
	member_str(o, "call", f->has_call ? "eventfd" : "none");
	member_u64(o, "pending", f->pending);
	member_u64(o, "inflight", f->in_flight);
	member_text(o, "broken_reason", f->broken ? f->why : NULL);
	return o;
}

static struct json_object *queues_of(const struct served *f)
{
	struct json_object *a = json_object_new_array_ext(f->nr_queues);

	for (unsigned i = 0; i < f->nr_queues; i++)
		json_object_array_add(a, queue_of(&f->queues[i]));
	return a;
}

/* Of the worker of the first queue that one told about. */
static struct json_object *engine_of(const struct served *f)
{
	for (unsigned i = 0; i < f->nr_queues; i++)
		if (!f->queues[i].draining)
			return engine_make(&f->queues[i].facts.io);
	return NULL;
}

/* Whose memory tells what is in flight; null before a queue runs. */
static const char *inflight_region(const struct session_facts *s)
{
	if (!s->has_inflight)
		return NULL;
	return s->own_inflight ? "own" : "front-end";
}

static struct json_object *session_of(const struct served *f)
{
	const struct session_facts *s = &f->session;
	struct json_object *o = json_object_new_object();

	member_u64(o, "peer_pid", s->pid);
	add_command(o, s->pid);
	member_u64(o, "peer_uid", s->uid);
	member_u64(o, "peer_gid", s->gid);
	member_hex(o, "features", s->features);
	member_add(o, "feature_names", names_of(FEATURES_DEVICE, s->features));
	member_hex(o, "protocol_features", s->protocol_features);
	member_add(o, "protocol_feature_names",
		   names_of(FEATURES_PROTOCOL, s->protocol_features));
	member_add(o, "engine", engine_of(f));
	member_add(o, "memory", memory_of(f));
	member_text(o, "inflight_region", inflight_region(s));
	member_add(o, "queues", queues_of(f));
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
	member_text(o, "reason", f->reason);
	member_str(o, "socket", c->socket);
	member_str(o, "serial", c->serial);
	member_u64(o, "queues_max", c->queues);
	member_u64(o, "queue_size_max", c->queue_size);
	member_add(o, "backend", backend_of(f));
	member_add(o, "limits", limits_of(f));
	member_add(o, "session",
		   f->served.connected ? session_of(&f->served) : NULL);
	return o;
}
