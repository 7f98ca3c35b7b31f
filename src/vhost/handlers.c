/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost/handlers.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdkind.h"
#include "base/log.h"
#include "base/util.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Where device config begins for front-ends that count the MMIO registers. */
#define MMIO_CONFIG 0x100u

/* The descriptor of a message that has one, now ours; -1 if it has none. */
static int take_fd(struct proto_msg *m, unsigned i)
{
	int fd = i < m->nr_fds ? m->fds[i] : -1;

	if (fd >= 0)
		m->fds[i] = -1;
	return fd;
}

static int reply_u64(struct proto_msg *m, uint64_t value)
{
	m->p.u64 = value;
	m->reply_size = sizeof(m->p.u64);
	return 0;
}

static struct session_queue *queue_of(struct session *s,
				      const struct proto_msg *m)
{
	return &s->queues[proto_ring_index(m)];
}

/* ---- features ---- */

static int get_features(struct session *s, struct proto_msg *m)
{
	return reply_u64(m, session_features(s));
}

/* Of a front-end that cannot enable rings one by one all are enabled. */
static int enable_all(struct session *s)
{
	const struct queue_change change = {
		.what = QUEUE_CHANGE_ENABLED,
		.fd = -1,
		.enabled = true,
	};
	int err = 0;

	for (unsigned i = 0; i < s->p.nr_queues && !err; i++) {
		bool was = s->state->queues[i].enabled;

		s->state->queues[i].enabled = true;
		if (!was && s->queues[i].lent)
			err = session_change(s, i, &change);
	}
	return err;
}

static bool is_any_lent(const struct session *s)
{
	for (unsigned i = 0; i < s->p.nr_queues; i++)
		if (s->queues[i].lent)
			return true;
	return false;
}

/*
 * Those that a user turns on or off, by the name that the standard has; and
 * what to do, where it is a key of ours.
 */
static const char *feature_name(unsigned bit)
{
	switch (bit) {
	case VHOST_F_LOG_ALL:
		return " (LOG_ALL, for live migration)";
	case VIRTIO_F_ACCESS_PLATFORM:
		return " (ACCESS_PLATFORM, for a guest's IOMMU)";
	case VIRTIO_F_RING_PACKED:
		return " (RING_PACKED)";
	case VIRTIO_F_IN_ORDER:
		return " (IN_ORDER)";
	case VIRTIO_F_RING_RESET:
		return " (RING_RESET)";
	}
	return "";
}

static int refuse_feature(struct session *s, uint64_t unknown)
{
	unsigned bit = (unsigned)__builtin_ctzll(unknown);

	return session_refuse(s, -EINVAL, "feature bit %u%s was not offered%s",
			      bit, feature_name(bit),
			      bit == VIRTIO_F_RING_PACKED
				      ? "; set packed: on of the target, or "
					"restart the guest without them"
				      : "");
}

static int accept_features(struct session *s, const struct proto_msg *m)
{
	uint64_t unknown = m->p.u64 & ~session_features(s);
	int err;

	if (unknown)
		return refuse_feature(s, unknown);
	if (m->p.u64 != s->state->features && is_any_lent(s))
		return session_refuse(s, -EBUSY,
				      "other features while rings run; "
				      "GET_VRING_BASE must stop them first");
	err = s->p.ops->accept(s->p.ctx, m->p.u64);
	if (err)
		return session_refuse(s, err,
				      "the device cannot do with 0x%llx",
				      (unsigned long long)m->p.u64);
	return 0;
}

static int set_features(struct session *s, struct proto_msg *m)
{
	int err = accept_features(s, m);

	s->state->features_refused = err != 0;
	if (err)
		return err;
	s->state->features = m->p.u64;
	s->state->has_features = true;
	session_save_device(s);
	if (!(s->state->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		err = enable_all(s);
	session_look_all(s);
	return err;
}

static int get_protocol_features(struct session *s, struct proto_msg *m)
{
	return reply_u64(m, session_protocol_features(s));
}

static int set_protocol_features(struct session *s, struct proto_msg *m)
{
	uint64_t unknown = m->p.u64 & ~session_protocol_features(s);
	unsigned bit = (unsigned)__builtin_ffsll((long long)unknown);

	if (unknown)
		return session_refuse(s, -EINVAL,
				      "protocol feature bit %u (%s) was not "
				      "offered",
				      bit - 1, proto_feature_name(bit - 1));
	s->state->protocol_features = m->p.u64;
	return 0;
}

static int get_queue_num(struct session *s, struct proto_msg *m)
{
	return reply_u64(m, s->p.nr_queues);
}

/*
 * A client that gives us its own end of the link would never be seen to leave,
 * as we would hold it.  That end's peer is this process.  Asking for the peer
 * never blocks, whatever the descriptor is.
 */
static int refuse_link(struct session *s, const struct proto_msg *m)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!m->nr_fds ||
	    getsockopt(m->fds[0], SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    peer.pid != getpid())
		return 0;
	return session_refuse(s, -EINVAL,
			      "the descriptor is a socket of ours, not an "
			      "eventfd");
}

/*
 * Kicks are waited for, calls and errors are written to.  Both can hold a
 * worker up for ever: the first asks a FUSE file's server whether the file is
 * ready, also from inside an epoll descriptor; the second takes the lock of a
 * pipe, or of a network's socket, which whoever writes to it from memory that
 * does not come keeps.  So only those are taken that cannot, eventfds and Unix
 * sockets; User-mode Linux is called through one.  Nothing that is asked here
 * goes to a server.
 */
static int check_event(struct session *s, const struct proto_msg *m)
{
	if (!m->nr_fds)
		return 0;
	if (fdkind_is_unix_socket(m->fds[0]))
		return refuse_link(s, m);
	if (fdkind_is_eventfd(m->fds[0]))
		return 0;
	return session_refuse(s, -EINVAL,
			      "the descriptor is neither an eventfd nor a "
			      "Unix socket");
}

/*
 * The channel on which a front-end is told that the disk grew.  UML cannot do
 * without the offer: it has an interrupt for its rings only if it made one for
 * this channel.
 */
static int set_backend_req_fd(struct session *s, struct proto_msg *m)
{
	int err = refuse_link(s, m);

	if (err)
		return err;
	if (!fdkind_is_unix_socket(m->fds[0]))
		return session_refuse(s, -EINVAL,
				      "the descriptor is no Unix socket");
	err = session_set_channel(s, m->fds[0]);
	if (!err)
		take_fd(m, 0);
	return err;
}

static int set_owner(struct session *s, struct proto_msg *m)
{
	(void)m;
	s->state->owner = true;
	return 0;
}

static void finish_reset_owner(struct session *s, struct proto_msg *m)
{
	(void)m;
	session_reset_device(s);
}

/* Deprecated; who sends it wants all rings to stop. */
static int reset_owner(struct session *s, struct proto_msg *m)
{
	session_stop_all(s);
	return session_wait_for(s, SESSION_WAIT_QUEUES, m, finish_reset_owner);
}

/* ---- reset and status ---- */

static void finish_reset(struct session *s, struct proto_msg *m)
{
	(void)m;
	session_reset(s);
}

static int reset_device(struct session *s, struct proto_msg *m)
{
	session_stop_all(s);
	return session_wait_for(s, SESSION_WAIT_QUEUES, m, finish_reset);
}

#define STATUS_KNOWN                                               \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |    \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

/*
 * The driver's status, which is kept to be read back: rings start when they
 * are ready and need no DRIVER_OK.  The one word that we have in it is
 * FEATURES_OK, which must not be read back unless it is so.
 */
static int set_status(struct session *s, struct proto_msg *m)
{
	uint64_t unknown = m->p.u64 & ~(uint64_t)STATUS_KNOWN;

	if (unknown)
		return session_refuse(s, -EINVAL, "unknown bits 0x%llx",
				      (unsigned long long)unknown);
	if (!m->p.u64)
		return reset_device(s, m);
	s->state->status = (uint8_t)m->p.u64;
	if (!s->state->has_features || s->state->features_refused)
		s->state->status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	return 0;
}

static int get_status(struct session *s, struct proto_msg *m)
{
	return reply_u64(m, s->state->status);
}

/* ---- memory ---- */

static struct memmap_range range_of(const struct vhost_user_mem_region *r)
{
	return (struct memmap_range){
		.gpa = r->guest_addr,
		.size = r->size,
		.uva = r->user_addr,
		.offset = r->mmap_offset,
	};
}

static int refuse_region(struct session *s, int err,
			 const struct vhost_user_mem_region *r)
{
	const char *what;

	switch (err) {
	case -EMEDIUMTYPE:
		what = "is no memory file; use memory-backend-memfd, or allow "
		       "it with memory-files: any";
		break;
	case -EINVAL:
		what = "is empty, or beyond the end of its file";
		break;
	case -EEXIST:
		what = "overlaps another one";
		break;
	case -ENOSPC:
		what = "is one more than there are slots";
		break;
	case -ENOENT:
		what = "was never added";
		break;
	default:
		what = strerrordesc_np(-err);
	}
	return session_refuse(s, err,
			      "memory gpa=0x%llx size=0x%llx uva=0x%llx %s",
			      (unsigned long long)r->guest_addr,
			      (unsigned long long)r->size,
			      (unsigned long long)r->user_addr,
			      what ? what : "failed");
}

/* Replace *@map, which is the caller's, by one with a region more. */
static int add_region(struct session *s, struct memmap **map,
		      const struct vhost_user_mem_region *r, int fd)
{
	struct memmap_range range = range_of(r);
	struct memmap *m;
	int err = memmap_add(&m, *map, &range, fd, s->p.memory_files);

	if (err)
		return refuse_region(s, err, r);
	session_own_map(s, m);
	memmap_put(*map);
	*map = m;
	return 0;
}

/* Does the front-end take any memory away with this table? */
static bool takes_away(struct session *s, const struct vhost_user_mem_table *t)
{
	struct memmap *rest = memmap_get(s->map);
	bool any;

	for (unsigned i = 0; i < t->nr_regions; i++) {
		struct memmap_range range = range_of(&t->regions[i]);
		struct memmap *m;

		if (memmap_remove(&m, rest, &range))
			continue;
		session_own_map(s, m);
		memmap_put(rest);
		rest = m;
	}
	any = memmap_nr_regions(rest) > 0;
	memmap_put(rest);
	return any;
}

/*
 * Adding memory never waits.  Who takes some away will use it for something
 * else once answered, so that waits for requests that are still in it.
 */
static int set_mem_table(struct session *s, struct proto_msg *m)
{
	const struct vhost_user_mem_table *t = &m->p.table;
	struct memmap *map;
	bool wait = takes_away(s, t);
	int err = memmap_new(&map, worker_mailbox(s->p.home));

	if (err)
		return session_refuse(s, err, "out of memory");
	session_own_map(s, map);
	for (unsigned i = 0; i < t->nr_regions; i++) {
		err = add_region(s, &map, &t->regions[i], take_fd(m, i));
		if (err) {
			memmap_put(map);
			return err;
		}
	}
	if (!t->nr_regions)
		session_say_no_memory(s);
	err = session_set_map(s, map);
	session_look_all(s);
	if (err || !wait)
		return err;
	return session_wait_for(s, SESSION_WAIT_MEMORY, m, NULL);
}

static int get_max_mem_slots(struct session *s, struct proto_msg *m)
{
	(void)s;
	return reply_u64(m, MEMMAP_MAX_REGIONS);
}

static int add_mem_reg(struct session *s, struct proto_msg *m)
{
	struct memmap *map = memmap_get(s->map);
	int err = add_region(s, &map, &m->p.region.region, take_fd(m, 0));

	if (err) {
		memmap_put(map);
		return err;
	}
	err = session_set_map(s, map);
	session_look_all(s);
	return err;
}

static int rem_mem_reg(struct session *s, struct proto_msg *m)
{
	const struct vhost_user_mem_region *r = &m->p.region.region;
	struct memmap_range range = range_of(r);
	struct memmap *map;
	int err = memmap_remove(&map, s->map, &range);

	if (err)
		return refuse_region(s, err, r);
	session_own_map(s, map);
	err = session_set_map(s, map);
	if (err)
		return err;
	return session_wait_for(s, SESSION_WAIT_MEMORY, m, NULL);
}

/* ---- rings ---- */

static bool is_packed(const struct session *s)
{
	return s->state->features & BIT(VIRTIO_F_RING_PACKED);
}

/* May come before the features are settled: then the start looks once more. */
static bool may_be_packed(const struct session *s)
{
	return s->state->has_features ? is_packed(s) : s->p.packed;
}

static int set_vring_num(struct session *s, struct proto_msg *m)
{
	uint32_t num = m->p.state.num;

	if (!num || num > 32768)
		return session_refuse(s, -EINVAL, "size %u is not 1 to 32768",
				      num);
	if (!is_power_of_two(num) && !may_be_packed(s))
		return session_refuse(s, -EINVAL,
				      "size %u is no power of two, as a split "
				      "ring has it",
				      num);
	if (num > s->p.max_queue_size)
		return session_refuse(s, -EINVAL,
				      "size %u, the target allows %u; lower "
				      "queue-size of the VMM's device or raise "
				      "queue-size of the target",
				      num, s->p.max_queue_size);
	queue_of(s, m)->state->size = num;
	session_look(s, m->p.state.index);
	return 0;
}

static int set_vring_addr(struct session *s, struct proto_msg *m)
{
	struct session_queue *q = queue_of(s, m);
	const struct vhost_user_vring_addr *a = &m->p.addr;
	struct state_queue *is = q->state;

	if (m->p.addr.flags)
		return session_refuse(s, -EINVAL,
				      "flags 0x%x, but logging was not offered",
				      m->p.addr.flags);
	if (q->lent && (a->desc != is->desc || a->avail != is->avail ||
			a->used != is->used))
		return session_refuse(s, -EBUSY,
				      "other addresses while the ring runs; "
				      "GET_VRING_BASE must stop it first");
	is->desc = a->desc;
	is->avail = a->avail;
	is->used = a->used;
	is->has_addr = true;
	session_look(s, q->index);
	return 0;
}

static int set_vring_base(struct session *s, struct proto_msg *m)
{
	struct state_queue *q = queue_of(s, m)->state;

	if (m->p.state.num > UINT16_MAX && !may_be_packed(s))
		return session_refuse(s, -EINVAL,
				      "0x%x is no index into a split ring",
				      m->p.state.num);
	q->base = m->p.state.num;
	q->has_base = true;
	q->last_base = m->p.state.num;
	q->has_last_base = true;
	return 0;
}

/* Where a driver begins: in a packed ring both counters are 1 there. */
static uint32_t first_base(const struct session *s)
{
	uint32_t wrap = 1u << VRING_PACKED_EVENT_F_WRAP_CTR;

	return is_packed(s) ? wrap | wrap << 16 : 0;
}

static void finish_get_vring_base(struct session *s, struct proto_msg *m)
{
	const struct state_queue *q = queue_of(s, m)->state;

	m->p.state.num = q->has_last_base ? q->last_base : first_base(s);
	m->reply_size = sizeof(m->p.state);
}

static int get_vring_base(struct session *s, struct proto_msg *m)
{
	session_stop_queue(s, m->p.state.index);
	return session_wait_for(s, SESSION_WAIT_QUEUES, m,
				finish_get_vring_base);
}

static int set_vring_kick(struct session *s, struct proto_msg *m)
{
	struct session_queue *q = queue_of(s, m);
	struct queue_change change = {.what = QUEUE_CHANGE_KICK};
	int err = check_event(s, m);
	int fd;

	if (err)
		return err;
	fd = take_fd(m, 0);
	q->state->told_kick = true;
	q->state->has_kick = fd >= 0;
	if (q->lent) {
		change.fd = fd;
		return session_change(s, q->index, &change);
	}
	session_keep_fd(&q->kick, fd);
	session_look(s, q->index);
	return 0;
}

/* A lent queue closes what it has, so it gets a copy. */
static int set_call_or_err(struct session *s, struct proto_msg *m, int *kept,
			   uint8_t *has, enum queue_change_what what)
{
	struct session_queue *q = queue_of(s, m);
	struct queue_change change = {.what = what};
	int err = check_event(s, m);

	if (err)
		return err;
	session_keep_fd(kept, take_fd(m, 0));
	*has = *kept >= 0;
	if (!q->lent)
		return 0;
	err = session_copy_fd(*kept, &change.fd);
	if (err)
		return session_refuse(s, err, "%s", strerrordesc_np(-err));
	return session_change(s, q->index, &change);
}

static int set_vring_call(struct session *s, struct proto_msg *m)
{
	struct session_queue *q = queue_of(s, m);

	return set_call_or_err(s, m, &q->call, &q->state->has_call,
			       QUEUE_CHANGE_CALL);
}

static int set_vring_err(struct session *s, struct proto_msg *m)
{
	struct session_queue *q = queue_of(s, m);

	return set_call_or_err(s, m, &q->err, &q->state->has_err,
			       QUEUE_CHANGE_ERR);
}

static int set_vring_enable(struct session *s, struct proto_msg *m)
{
	struct session_queue *q = queue_of(s, m);
	const struct queue_change change = {
		.what = QUEUE_CHANGE_ENABLED,
		.fd = -1,
		.enabled = m->p.state.num,
	};

	if (m->p.state.num > 1)
		return session_refuse(s, -EINVAL, "%u is neither 0 nor 1",
				      m->p.state.num);
	q->state->enabled = change.enabled;
	if (q->lent)
		return session_change(s, q->index, &change);
	session_look(s, q->index);
	return 0;
}

/* ---- requests in flight ---- */

static int check_inflight(struct session *s,
			  const struct vhost_user_inflight *d)
{
	if (!d->num_queues || d->num_queues > s->p.nr_queues)
		return session_refuse(s, -EINVAL,
				      "%u queues, the target has %u",
				      d->num_queues, s->p.nr_queues);
	if (!d->queue_size || d->queue_size > 32768)
		return session_refuse(s, -EINVAL,
				      "rings of %u, they have 1 to 32768",
				      d->queue_size);
	return 0;
}

/*
 * The region is the front-end's from now on, and it may give us another one.
 * That there is none is said by its size; then it does without, and we note
 * what is in flight where only we find it.
 */
static int get_inflight_fd(struct session *s, struct proto_msg *m)
{
	struct vhost_user_inflight *d = &m->p.inflight;
	int err = check_inflight(s, d);

	if (err)
		return err;
	d->mmap_offset = 0;
	m->reply_size = m->header.size;
	m->reply_fd = inflight_make(d->num_queues, d->queue_size,
				    may_be_packed(s), &d->mmap_size);
	m->has_reply_fd = m->reply_fd >= 0;
	if (!m->has_reply_fd) {
		d->mmap_size = 0;
		log_warn(s->p.tag,
			 "cannot make memory for requests in flight, so those "
			 "are lost if vringd dies: %s",
			 strerrordesc_np(-m->reply_fd));
	}
	return 0;
}

static int refuse_inflight(struct session *s, int err,
			   const struct vhost_user_inflight *d)
{
	const char *what = strerrordesc_np(-err);

	if (err == -EMEDIUMTYPE)
		what = "is no memory file";
	if (err == -EINVAL)
		what = "is too small or large, misaligned, or beyond the end "
		       "of its file";
	return session_refuse(s, err,
			      "in-flight region size=%llu offset=%llu "
			      "queues=%u queue-size=%u %s",
			      (unsigned long long)d->mmap_size,
			      (unsigned long long)d->mmap_offset, d->num_queues,
			      d->queue_size, what ? what : "failed");
}

static int set_inflight_fd(struct session *s, struct proto_msg *m)
{
	const struct vhost_user_inflight *d = &m->p.inflight;
	struct inflight_region *r;
	int err = check_inflight(s, d);

	if (err)
		return err;
	if (is_any_lent(s))
		return session_refuse(s, -EBUSY,
				      "while rings run; GET_VRING_BASE must "
				      "stop them first");
	err = inflight_region_new(&r, m->fds[0], d, is_packed(s),
				  s->p.memory_files, false);
	if (err)
		return refuse_inflight(s, err, d);
	take_fd(m, 0);
	session_set_inflight(s, r, d);
	session_look_all(s);
	return 0;
}

/* ---- config space ---- */

/*
 * Where in config space, or -EINVAL.  Two habits of front-ends are harmless:
 * to call every access one for live migration (Cloud Hypervisor, Firecracker),
 * and to count from the beginning of the MMIO registers (the same in old
 * versions, and Dragonball).
 */
static int config_offset(struct session *s, const struct vhost_user_config *c)
{
	uint32_t off = c->offset;

	if (c->flags > VHOST_USER_CONFIG_LIVE_MIGRATION)
		return session_refuse(s, -EINVAL, "unknown flags 0x%x",
				      c->flags);
	if (off >= MMIO_CONFIG)
		off -= MMIO_CONFIG;
	if (off > VHOST_USER_CONFIG_SPACE_MAX ||
	    c->size > VHOST_USER_CONFIG_SPACE_MAX - off)
		return session_refuse(s, -EINVAL,
				      "offset %u with size %u is beyond %u",
				      c->offset, c->size,
				      VHOST_USER_CONFIG_SPACE_MAX);
	return (int)off;
}

static int get_config(struct session *s, struct proto_msg *m)
{
	struct vhost_user_config *c = &m->p.config;
	int off = config_offset(s, c);

	if (off < 0)
		return off;
	memset(c->payload, 0, c->size);
	s->p.ops->config_get(s->p.ctx, c->payload, (size_t)off, c->size);
	m->reply_size = VHOST_USER_CONFIG_HEADER_SIZE + c->size;
	return 0;
}

static int set_config(struct session *s, struct proto_msg *m)
{
	const struct vhost_user_config *c = &m->p.config;
	int off = config_offset(s, c);
	int err;

	if (off < 0)
		return off;
	err = s->p.ops->config_set(s->p.ctx, c->payload, (size_t)off, c->size);
	if (err)
		return session_refuse(s, err,
				      "offset %u with size %u is read-only",
				      c->offset, c->size);
	s->has_config = true;
	session_save_device(s);
	return 0;
}

/* ---- the table ---- */

typedef int handler(struct session *s, struct proto_msg *m);

#define HANDLER(id, fn) [VHOST_USER_##id] = (fn)

static handler *const handlers[] = {
	HANDLER(GET_FEATURES, get_features),
	HANDLER(SET_FEATURES, set_features),
	HANDLER(SET_OWNER, set_owner),
	HANDLER(RESET_OWNER, reset_owner),
	HANDLER(SET_MEM_TABLE, set_mem_table),
	HANDLER(SET_VRING_NUM, set_vring_num),
	HANDLER(SET_VRING_ADDR, set_vring_addr),
	HANDLER(SET_VRING_BASE, set_vring_base),
	HANDLER(GET_VRING_BASE, get_vring_base),
	HANDLER(SET_VRING_KICK, set_vring_kick),
	HANDLER(SET_VRING_CALL, set_vring_call),
	HANDLER(SET_VRING_ERR, set_vring_err),
	HANDLER(GET_PROTOCOL_FEATURES, get_protocol_features),
	HANDLER(SET_PROTOCOL_FEATURES, set_protocol_features),
	HANDLER(GET_QUEUE_NUM, get_queue_num),
	HANDLER(SET_VRING_ENABLE, set_vring_enable),
	HANDLER(GET_CONFIG, get_config),
	HANDLER(SET_CONFIG, set_config),
	HANDLER(GET_INFLIGHT_FD, get_inflight_fd),
	HANDLER(SET_INFLIGHT_FD, set_inflight_fd),
	HANDLER(SET_BACKEND_REQ_FD, set_backend_req_fd),
	HANDLER(RESET_DEVICE, reset_device),
	HANDLER(GET_MAX_MEM_SLOTS, get_max_mem_slots),
	HANDLER(ADD_MEM_REG, add_mem_reg),
	HANDLER(REM_MEM_REG, rem_mem_reg),
	HANDLER(SET_STATUS, set_status),
	HANDLER(GET_STATUS, get_status),
};

bool handlers_has(uint32_t request)
{
	return request < ARRAY_SIZE(handlers) && handlers[request];
}

int handlers_run(struct session *s, struct proto_msg *m)
{
	const struct proto_row *row = proto_row(m->header.request);

	if (row->ring_stopped && queue_of(s, m)->lent)
		return session_refuse(s, -EBUSY,
				      "queue %u runs; GET_VRING_BASE must "
				      "stop it first",
				      proto_ring_index(m));
	return handlers[m->header.request](s, m);
}
