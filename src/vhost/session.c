/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost/session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "run/offload.h"
#include "vhost/packed.h"
#include "vhost/ring.h"

#define BIT(n) (UINT64_C(1) << (n))

static void settle(struct session *s);
static void forget_channel(struct session *s);
static void tell_change(struct session *s);

/* ---- descriptors ---- */

void session_keep_fd(int *kept, int fd)
{
	if (*kept >= 0)
		offload_close(*kept);
	*kept = fd;
}

int session_copy_fd(int fd, int *copy)
{
	*copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 && *copy < 0 ? -errno : 0;
}

/* ---- life ---- */

static void map_gone(void *ctx)
{
	struct session *s = ctx;

	assert(s->nr_maps > 0);
	s->nr_maps--;
	settle(s);
}

void session_own_map(struct session *s, struct memmap *m)
{
	s->nr_maps++;
	memmap_on_gone(m, map_gone, s);
}

static void init_queue(struct session *s, unsigned index)
{
	struct session_queue *q = &s->queues[index];

	q->session = s;
	q->index = index;
	q->state = &s->state->queues[index];
	q->kick = -1;
	q->call = -1;
	q->err = -1;
}

static int make_parts(struct session *s)
{
	int err =
		state_new(&s->state, &s->state_fd, s->p.device, s->p.nr_queues);

	if (err)
		return err;
	s->queues = calloc(s->p.nr_queues, sizeof(*s->queues));
	if (!s->queues)
		return -ENOMEM;
	return memmap_new(&s->map, worker_mailbox(s->p.home));
}

int session_new(struct session **out, const struct session_params *p)
{
	struct session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->p = *p;
	err = make_parts(s);
	if (err) {
		state_free(s->state, s->state_fd);
		free(s->queues);
		free(s);
		return err;
	}
	session_own_map(s, s->map);
	for (unsigned i = 0; i < p->nr_queues; i++)
		init_queue(s, i);
	*out = s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	assert(!s->link && s->nr_draining == 0 && !s->channel.call);
	for (unsigned i = 0; i < s->p.nr_queues; i++) {
		struct session_queue *q = &s->queues[i];

		assert(!q->lent);
		session_keep_fd(&q->kick, -1);
		session_keep_fd(&q->call, -1);
		session_keep_fd(&q->err, -1);
		queue_free(q->queue);
	}
	inflight_region_free(s->inflight);
	if (s->map) {
		memmap_on_gone(s->map, NULL, NULL);
		memmap_put(s->map);
	}
	state_free(s->state, s->state_fd);
	free(s->queues);
	free(s);
}

static void deliver_end(struct mail *m)
{
	struct session *s = container_of(m, struct session, end_mail);

	s->end_link(s->link);
}

void session_link_ended(struct session *s)
{
	s->link = NULL;
	s->p.ops->ended(s->p.ctx, s);
}

/* By mail, as whoever is on the stack now may still use the session. */
static void end_when_idle(struct session *s)
{
	struct memmap *map = s->map;

	if (s->nr_draining)
		return;
	inflight_region_free(s->inflight);
	s->inflight = NULL;
	if (map) {
		/* The call may come back here with the map gone. */
		s->map = NULL;
		memmap_put(map);
		return;
	}
	if (s->nr_maps || s->end_mail.deliver)
		return;
	s->end_mail.deliver = deliver_end;
	worker_post(s->p.home, &s->end_mail);
}

void session_close(struct session *s, enum session_end how, const char *why)
{
	if (s->closing)
		return;
	assert(s->link);
	s->closing = true;
	/* Nobody is to go on with it. */
	state_set_busy(s->state, true);
	s->p.ops->closing(s->p.ctx, s, how, why);
	s->wait = SESSION_WAIT_NOTHING;

	/* One more than there are: none may seem the last before all know. */
	s->nr_draining++;
	session_stop_all(s);
	forget_channel(s);
	s->nr_draining--;
	end_when_idle(s);
}

/* ---- waiting ---- */

static bool is_over(const struct session *s, enum session_wait wait)
{
	switch (wait) {
	case SESSION_WAIT_NOTHING:
		break;
	case SESSION_WAIT_QUEUES:
		return s->nr_draining == 0;
	case SESSION_WAIT_MEMORY:
		return s->nr_maps == 1;
	}
	return false;
}

/* A drain or a memmap came to its end: go on with what waited for it. */
static void settle(struct session *s)
{
	if (s->closing) {
		end_when_idle(s);
		return;
	}
	if (!is_over(s, s->wait))
		return;
	s->wait = SESSION_WAIT_NOTHING;
	if (s->finish)
		s->finish(s, s->msg);
	s->answer(s->link, 0);
	tell_change(s);
}

int session_wait_for(struct session *s, enum session_wait wait,
		     struct proto_msg *m,
		     void (*finish)(struct session *s, struct proto_msg *m))
{
	if (is_over(s, wait)) {
		if (finish)
			finish(s, m);
		return 0;
	}
	s->wait = wait;
	s->msg = m;
	s->finish = finish;
	return SESSION_LATER;
}

int session_refuse(struct session *s, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->why.text, sizeof(s->why.text), fmt, args);
	va_end(args);
	return err;
}

struct proto_peer session_peer(const struct session *s)
{
	return (struct proto_peer){
		.device = s->p.device,
		.nr_queues = s->p.nr_queues,
		.protocol_features = s->state->protocol_features,
		.owner = s->state->owner,
	};
}

void session_save_device(struct session *s)
{
	size_t len = s->p.ops->save(s->p.ctx, s->state->device_state);

	assert(len <= STATE_DEVICE_MAX);
	s->state->device_len = (uint8_t)len;
	if (s->inflight)
		inflight_region_keep(s->inflight, s->state->device_state, len);
}

/* ---- features ---- */

/*
 * ANY_LAYOUT, for drivers from before virtio 1.0, as our device models take
 * headers and data in any number of pieces.  Not NOTIFY_ON_EMPTY, which the
 * ring does not do.  Not RING_RESET: QEMU passes the bit through to its guest
 * but does not tell a disk's back-end of the reset, which would leave us with
 * memory that the guest has put to other use.
 */
uint64_t session_features(const struct session *s)
{
	return BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ANY_LAYOUT) |
	       BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
	       BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
	       (s->p.packed ? BIT(VIRTIO_F_RING_PACKED) : 0) |
	       s->p.ops->features(s->p.ctx);
}

/* Not CONFIG for SCSI: there the VMM has the config space, and QEMU minds. */
uint64_t session_protocol_features(const struct session *s)
{
	uint64_t features = BIT(VHOST_USER_PROTOCOL_F_MQ) |
			    BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
			    BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |
			    BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
			    BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |
			    BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
			    BIT(VHOST_USER_PROTOCOL_F_STATUS);

	if (s->p.device == PROTO_BLK)
		features |= BIT(VHOST_USER_PROTOCOL_F_CONFIG);
	return features;
}

/* ---- the back-end channel ---- */

/* A write under way that the front-end does not take was cancelled. */
static void write_stopped(void *ctx)
{
	struct session *s = ctx;

	s->nr_draining--;
	settle(s);
}

static void forget_channel(struct session *s)
{
	s->state->has_channel = false;
	if (backchannel_stop(&s->channel, write_stopped, s))
		s->nr_draining++;
}

int session_set_channel(struct session *s, int fd)
{
	int err;

	forget_channel(s);
	err = backchannel_open(&s->channel, fd, s->p.tag);
	if (err)
		return err;
	s->state->has_channel = true;
	tell_change(s);
	return 0;
}

static bool can_tell(const struct session *s)
{
	uint64_t needed = BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
			  BIT(VHOST_USER_PROTOCOL_F_CONFIG);

	return (s->state->protocol_features & needed) == needed &&
	       backchannel_is_open(&s->channel);
}

static bool is_suspended(const struct session *s)
{
	for (unsigned i = 0; i < s->p.nr_queues; i++)
		if (s->queues[i].lent)
			return false;
	return true;
}

static void tell_change(struct session *s)
{
	if (s->channel.is_wanted && !s->closing && can_tell(s) &&
	    s->wait == SESSION_WAIT_NOTHING && !is_suspended(s))
		backchannel_tell(&s->channel, s->p.home);
}

bool session_config_changed(struct session *s)
{
	s->channel.is_wanted = true;
	tell_change(s);
	return !s->closing && can_tell(s);
}

/* ---- requests in flight ---- */

static_assert(STATE_DEVICE_MAX <= INFLIGHT_KEEP_MAX,
	      "the device's state fits behind the region");

/*
 * Of a session that has ended: a front-end that comes again tells the features
 * and leaves out what the driver wrote to the configuration.  Of this session
 * the device knows more.
 */
static void load_device(struct session *s)
{
	uint8_t buf[INFLIGHT_KEEP_MAX];
	size_t len = inflight_region_kept(s->inflight, buf);

	if (len && !s->has_config)
		s->p.ops->load(s->p.ctx, buf, len);
	session_save_device(s);
}

void session_set_inflight(struct session *s, struct inflight_region *r,
			  const struct vhost_user_inflight *where)
{
	inflight_region_free(s->inflight);
	s->inflight = r;
	state_set_inflight(s->state, where, false);
	load_device(s);
}

/* Where the front-end brought none; it has room for rings of both formats. */
static int make_own_inflight(struct session *s)
{
	struct vhost_user_inflight where = {
		.num_queues = (uint16_t)s->p.nr_queues,
		.queue_size = (uint16_t)s->p.max_queue_size,
	};
	int fd = inflight_make(where.num_queues, where.queue_size, true,
			       &where.mmap_size);
	int err;

	if (fd < 0)
		return fd;
	err = inflight_region_new(&s->inflight, fd, &where, true, MAPPING_SHMEM,
				  true);
	if (err) {
		offload_close(fd);
		return err;
	}
	state_set_inflight(s->state, &where, true);
	return 0;
}

/* ---- queues: ready, lent, stopped ---- */

/* All but memory is there. */
static bool is_set_up(const struct session *s, unsigned index)
{
	const struct state_queue *q = &s->state->queues[index];

	return q->size && q->has_addr && q->told_kick && q->enabled &&
	       s->state->has_features;
}

void session_say_no_memory(struct session *s)
{
	if (s->said_no_memory)
		return;
	s->said_no_memory = true;
	log_event(LOG_NO_MEMORY, s->p.tag,
		  "no guest memory is shared pid=%d: add share=on to the VMM's "
		  "memory backend",
		  s->creds.pid);
}

void session_look(struct session *s, unsigned index)
{
	struct session_queue *q = &s->queues[index];

	if (s->closing || q->lent || (q->told && !q->failed) ||
	    !is_set_up(s, index))
		return;
	/* QEMU adds no region then, and says nothing. */
	if (!memmap_nr_regions(s->map)) {
		session_say_no_memory(s);
		return;
	}
	q->told = true;
	q->failed = false;
	s->p.ops->queue_ready(s->p.ctx, s, index);
}

void session_look_all(struct session *s)
{
	for (unsigned i = 0; i < s->p.nr_queues; i++)
		session_look(s, i);
}

static void make_tag(const struct session *s, unsigned index, char tag[128])
{
	snprintf(tag, 128, "%s/q%u", s->p.tag, index);
}

static int make_queue(struct session *s, struct session_queue *q)
{
	char tag[128];

	if (q->queue)
		return 0;
	make_tag(s, q->index, tag);
	return queue_new(&q->queue, s->p.home, tag);
}

/* All but the descriptors. */
static struct queue_setup setup_of(const struct session *s,
				   const struct state_queue *q)
{
	uint64_t features = s->state->features;

	return (struct queue_setup){
		.size = q->size,
		.addr = {.desc = q->desc, .avail = q->avail, .used = q->used},
		.base = q->has_base ? (int64_t)q->base : -1,
		.packed = features & BIT(VIRTIO_F_RING_PACKED),
		.event_idx = features & BIT(VIRTIO_RING_F_EVENT_IDX),
		.indirect = features & BIT(VIRTIO_RING_F_INDIRECT_DESC),
		.enabled = q->enabled,
		.call = -1,
		.err = -1,
	};
}

/* A driver begins at 0, and in a packed ring with a wrap counter of 1. */
static bool is_split_used(const struct session *s, const struct state_queue *q)
{
	const struct vring_used *used =
		memmap_uva(s->map, q->used, sizeof(*used));

	return (q->has_base && q->base) ||
	       (used && ring_load(&used->idx, memory_order_relaxed));
}

/* After a crash QEMU tells a base from before, so the ring says more. */
static bool is_packed_used(const struct session *s, const struct state_queue *q)
{
	const uint16_t begin = 1u << VRING_PACKED_EVENT_F_WRAP_CTR;
	const struct vring_packed_desc *desc =
		memmap_uva(s->map, q->desc, q->size * sizeof(*desc));

	return (q->has_base && (uint16_t)q->base != begin) ||
	       (desc && packed_has_answers(desc, q->size));
}

bool session_rings_are_used(const struct session *s)
{
	bool packed = s->state->features & BIT(VIRTIO_F_RING_PACKED);

	for (unsigned i = 0; i < s->p.nr_queues; i++) {
		const struct state_queue *q = &s->state->queues[i];

		if (!q->size || !q->has_addr)
			continue;
		if (packed ? is_packed_used(s, q) : is_split_used(s, q))
			return true;
	}
	return false;
}

/* Where the queue notes what is in flight. */
static int find_part(struct session *s, const struct session_queue *q,
		     struct queue_setup *setup)
{
	int err = s->inflight ? 0 : make_own_inflight(s);

	if (err)
		return err;
	setup->inflight =
		inflight_region_part(s->inflight, q->index, setup->packed);
	setup->inflight.resume = q->state->resumes;
	return 0;
}

/* Start the queue with copies of the call and err descriptors. */
static int lend(struct session *s, struct session_queue *q, struct worker *w,
		const struct queue_user *user)
{
	struct queue_setup setup = setup_of(s, q->state);
	uint8_t resumes = q->state->resumes;
	int err = make_queue(s, q);

	setup.kick = q->kick;
	if (!err)
		err = find_part(s, q, &setup);
	if (!err)
		err = session_copy_fd(q->call, &setup.call);
	if (!err)
		err = session_copy_fd(q->err, &setup.err);
	/* Before it takes the first request. */
	q->state->resumes = true;
	if (!err)
		err = queue_start(q->queue, w, s->map, &setup, user);
	if (err) {
		q->state->resumes = resumes;
		session_keep_fd(&setup.call, -1);
		session_keep_fd(&setup.err, -1);
		return err;
	}
	/* The kick went with it. */
	q->kick = -1;
	return 0;
}

static void say_started(struct session *s)
{
	struct session_facts f;

	if (s->said_started)
		return;
	s->said_started = true;
	session_facts(s, &f);
	log_event(LOG_SESSION_STARTED, s->p.tag,
		  "session started features=0x%llx protocol-features=0x%llx "
		  "memory=%llu inflight-region=%s pid=%d",
		  (unsigned long long)f.features,
		  (unsigned long long)f.protocol_features,
		  (unsigned long long)f.memory_bytes,
		  f.own_inflight ? "own" : "front-end", f.pid);
}

/* A record that makes no sense stays so until the VMM asks for another one. */
static void say_not_started(struct session *s, struct session_queue *q, int err)
{
	const char *why = q->queue ? queue_why(q->queue) : "";
	char tag[128];

	make_tag(s, q->index, tag);
	log_warn(tag, "cannot start: %s%s%s", why, *why ? ": " : "",
		 err == -EPROTO ? "start the virtual machine again"
				: strerror(-err));
}

/* The error descriptor says that the queue does not run. */
static void tell_failure(struct session *s, struct session_queue *q)
{
	int fd;

	if (!q->failure && session_copy_fd(q->err, &fd) == 0 &&
	    call_new(&q->failure, fd) < 0)
		session_keep_fd(&fd, -1);
	if (q->failure)
		call_send(q->failure, s->p.home);
}

static void forget_failure(struct session *s, struct session_queue *q)
{
	if (call_stop(q->failure, write_stopped, s))
		s->nr_draining++;
	q->failure = NULL;
}

int session_start_queue(struct session *s, unsigned index, struct worker *w,
			const struct queue_user *user)
{
	struct session_queue *q = &s->queues[index];

	assert(q->told && !q->failed && !q->lent);

	int err = lend(s, q, w, user);

	if (err) {
		q->failed = true;
		say_not_started(s, q, err);
		tell_failure(s, q);
		return err;
	}
	q->lent = true;
	say_started(s);
	tell_change(s);
	return 0;
}

static void drained(void *ctx, struct queue *queue)
{
	struct session_queue *q = ctx;
	struct session *s = q->session;

	assert(q->lent && s->nr_draining > 0);
	q->told = false;
	q->lent = false;
	q->draining = false;
	q->state->last_base = queue_base(queue);
	q->state->has_last_base = true;
	q->state->resumes = false;
	s->nr_draining--;
	s->p.ops->queue_idle(s->p.ctx, s, q->index);
	settle(s);
}

/*
 * Without a new kick it will not start again, and without a new base where the
 * ring says: it may be another one by then.
 */
void session_stop_queue(struct session *s, unsigned index)
{
	struct session_queue *q = &s->queues[index];

	if (q->draining)
		return;
	q->state->told_kick = false;
	q->state->has_kick = false;
	q->state->has_base = false;
	session_keep_fd(&q->kick, -1);
	forget_failure(s, q);
	if (q->lent) {
		q->draining = true;
		s->nr_draining++;
		queue_drain(q->queue, drained, q);
	} else if (q->told) {
		q->told = false;
		q->failed = false;
		s->p.ops->queue_idle(s->p.ctx, s, index);
	}
}

void session_stop_all(struct session *s)
{
	for (unsigned i = 0; i < s->p.nr_queues; i++)
		session_stop_queue(s, i);
}

/* Its kick went when it was stopped. */
static void forget_driver(struct session_queue *q)
{
	assert(!q->told && !q->lent && !q->state->told_kick);
	*q->state = (struct state_queue){
		.has_call = q->state->has_call,
		.has_err = q->state->has_err,
	};
}

void session_reset_device(struct session *s)
{
	s->p.ops->reset(s->p.ctx);
	session_save_device(s);
}

void session_reset(struct session *s)
{
	for (unsigned i = 0; i < s->p.nr_queues; i++)
		forget_driver(&s->queues[i]);
	s->state->has_features = false;
	s->state->features_refused = false;
	s->state->features = 0;
	s->state->status = 0;
	session_reset_device(s);
}

int session_change(struct session *s, unsigned index,
		   const struct queue_change *change)
{
	struct session_queue *q = &s->queues[index];

	assert(q->lent);
	return queue_change(q->queue, change);
}

/* ---- memory ---- */

/* The old map lives on until its last request is done, see memmap.h. */
int session_set_map(struct session *s, struct memmap *m)
{
	struct memmap *old = s->map;
	int err = 0;

	s->map = m;
	state_set_memory(s->state, m);
	for (unsigned i = 0; i < s->p.nr_queues && !err; i++) {
		const struct queue_change change = {
			.what = QUEUE_CHANGE_MAP,
			.fd = -1,
			.map = m,
		};

		if (s->queues[i].lent && !s->queues[i].draining)
			err = session_change(s, i, &change);
	}
	memmap_put(old);
	return err;
}

/* ---- facts ---- */

struct queue *session_queue(const struct session *s, unsigned index)
{
	return s->queues[index].queue;
}

void session_facts(const struct session *s, struct session_facts *f)
{
	*f = (struct session_facts){
		.pid = s->creds.pid,
		.uid = s->creds.uid,
		.gid = s->creds.gid,
		.features = s->state->features,
		.protocol_features = s->state->protocol_features,
		.nr_queues = s->p.nr_queues,
		.closing = s->closing,
	};
	if (s->inflight) {
		struct inflight_region_facts facts;

		inflight_region_facts(s->inflight, &facts);
		f->has_inflight = true;
		f->own_inflight = facts.own;
	}
	if (s->map) {
		f->nr_regions = memmap_nr_regions(s->map);
		f->memory_bytes = memmap_bytes(s->map);
	}
	for (unsigned i = 0; i < s->p.nr_queues; i++) {
		f->nr_waiting += s->queues[i].told && !s->queues[i].lent;
		f->nr_lent += s->queues[i].lent;
	}
}

unsigned session_regions(const struct session *s,
			 struct memmap_region_facts *regions, unsigned max)
{
	unsigned nr = s->map ? MIN(memmap_nr_regions(s->map), max) : 0;

	for (unsigned i = 0; i < nr; i++)
		memmap_region_facts(s->map, i, &regions[i]);
	return nr;
}
