/* SPDX-License-Identifier: BSD-2-Clause */
/* Plays a VMM from a script: the messages it sends, in its order. */
#include "clientscript.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"
#include "guestblk.h"
#include "prove.h"

#define CONNECT_TRIES 200
#define QUIET_MS      20

void client_init(struct client *c, const char *path, uint64_t capacity)
{
	memset(c, 0, sizeof(*c));
	c->path = path;
	c->capacity = capacity;
	guestmem_init(&c->mem);
	frontend_init(&c->f);
	/* The VMM makes these, long before there is a driver or a ring. */
	for (unsigned i = 0; i < CLIENT_QUEUES; i++) {
		c->q[i].index = i;
		c->q[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		c->q[i].call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		c->q[i].err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

void client_fini(struct client *c)
{
	frontend_close(&c->f);
	for (unsigned i = 0; i < CLIENT_QUEUES; i++) {
		frontend_queue_fini(&c->q[i]);
		free(c->posted[i]);
	}
	guestmem_fini(&c->mem);
}

/* -- messages ------------------------------------------------------------ */

static bool has_reply_ack(const struct client *c)
{
	return c->protocol_features >> VHOST_USER_PROTOCOL_F_REPLY_ACK & 1;
}

static int tell(struct client *c, uint32_t request, const void *payload,
		size_t size, int fd)
{
	bool ack = c->need_reply && has_reply_ack(c);
	struct frontend_msg m;
	int ret;

	ret = frontend_send(&c->f, request,
			    c->need_reply ? VHOST_USER_NEED_REPLY_MASK : 0,
			    payload, size, &fd, fd >= 0);
	if (ret || !ack)
		return ret;
	ret = frontend_recv(&c->f, c->f.fd, &m);
	if (ret)
		return ret;
	frontend_msg_close(&m);
	if (m.hdr.request != request || m.hdr.size != 8 ||
	    m.hdr.flags != (VHOST_USER_VERSION | VHOST_USER_REPLY_MASK))
		return -EPROTO;
	return m.payload.u64 ? -EREMOTEIO : 0;
}

static int ask(struct client *c, const struct client_step *s)
{
	uint64_t value;
	int ret = frontend_get_u64(&c->f, s->request, &value);

	if (ret)
		return ret;
	if (s->request == VHOST_USER_GET_FEATURES)
		c->offered = value;
	if (s->request == VHOST_USER_GET_PROTOCOL_FEATURES)
		c->offered_protocol = value;
	if (s->op == CLIENT_ASK)
		return (value & s->value) == s->value ? 0 : -EOPNOTSUPP;
	if (s->op == CLIENT_ASK_LACKING)
		return value & s->value ? -EINVAL : 0;
	return value >= s->value ? 0 : -ERANGE;
}

static int tell_u64(struct client *c, const struct client_step *s)
{
	uint64_t value = s->value;
	int ret;

	if (s->request == VHOST_USER_SET_FEATURES)
		value &= c->offered;
	if (s->request == VHOST_USER_SET_PROTOCOL_FEATURES)
		value &= c->offered_protocol;
	/* An ack can be asked for in the very message that agrees on acks. */
	if (s->request == VHOST_USER_SET_PROTOCOL_FEATURES)
		c->protocol_features = value;
	ret = tell(c, s->request, &value, sizeof(value), -1);
	if (!ret && s->request == VHOST_USER_SET_FEATURES)
		c->features = value;
	return ret;
}

static int tell_state(struct client *c, uint32_t request, unsigned ring,
		      uint64_t num)
{
	struct vhost_user_vring_state s = {.index = ring, .num = (uint32_t)num};

	return tell(c, request, &s, sizeof(s), -1);
}

static int tell_addr(struct client *c, unsigned ring)
{
	const struct vring *v = &c->q[ring].ring.vring;
	struct vhost_user_vring_addr a = {
		.index = ring,
		.desc = guestmem_uva(&c->mem, v->desc),
		.used = guestmem_uva(&c->mem, v->used),
		.avail = guestmem_uva(&c->mem, v->avail),
		.log = guestmem_gpa(&c->mem, v->used),
	};

	return tell(c, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1);
}

static int tell_fd(struct client *c, const struct client_step *s)
{
	const struct frontend_queue *q = &c->q[s->ring];
	uint64_t u64 = s->ring;
	int fd = q->kick;

	if (s->request == VHOST_USER_SET_VRING_CALL)
		fd = q->call;
	if (s->request == VHOST_USER_SET_VRING_ERR)
		fd = q->err;
	if (s->op == CLIENT_NO_FD) {
		u64 |= VHOST_USER_VRING_NOFD;
		fd = -1;
	}
	return tell(c, s->request, &u64, sizeof(u64), fd);
}

static int get_base(struct client *c, unsigned ring)
{
	unsigned base;
	int ret = frontend_stop_queue(&c->f, &c->q[ring], &base);

	if (ret)
		return ret;
	return base == guestring_base(&c->q[ring].ring) ? 0 : -EINVAL;
}

/* -- memory and configuration -------------------------------------------- */

static struct vhost_user_mem_region wire_region(const struct guestmem_region *r)
{
	return (struct vhost_user_mem_region){
		.guest_addr = r->gpa,
		.size = r->size,
		.user_addr = r->uva,
		.mmap_offset = r->fd_offset,
	};
}

static int tell_region(struct client *c, uint32_t request, uint64_t nr)
{
	const struct guestmem_region *r = &c->mem.regions[nr];
	struct vhost_user_single_mem_region one = {.region = wire_region(r)};

	return tell(c, request, &one, sizeof(one),
		    request == VHOST_USER_ADD_MEM_REG ? r->fd : -1);
}

/* A table goes with all its descriptors, and as acknowledged as the rest. */
static int tell_table(struct client *c)
{
	uint64_t before = c->f.protocol_features;
	int ret;

	c->f.protocol_features = 0;
	if (c->need_reply && has_reply_ack(c))
		c->f.protocol_features = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	ret = frontend_share_memory(&c->f, &c->mem);
	c->f.protocol_features = before;
	return ret;
}

/* The capacity is known; what lies behind the structure is zeroes. */
static int check_config(const struct client *c, unsigned off,
			const uint8_t *bytes, unsigned len)
{
	uint64_t capacity = htole64(c->capacity);
	const uint8_t *want = (const uint8_t *)&capacity;

	for (unsigned i = 0; i < len; i++) {
		if (off + i < sizeof(capacity) && bytes[i] != want[off + i])
			return -EINVAL;
		if (off + i >= 96 && bytes[i])
			return -EINVAL;
	}
	return 0;
}

static int get_config(struct client *c, const struct client_step *s)
{
	struct vhost_user_config msg = {
		.offset = (uint32_t)s->value,
		.size = s->size,
		.flags = s->flags,
	};
	unsigned size = VHOST_USER_CONFIG_HEADER_SIZE + s->size;
	/* What old Rust front-ends take for the begin of the space. */
	unsigned off = s->value == 0x100 ? 0 : (unsigned)s->value;
	struct frontend_msg m;
	int ret;

	memset(msg.payload, 0, sizeof(msg.payload));
	ret = frontend_get(&c->f, VHOST_USER_GET_CONFIG, &msg, size, &m);
	if (ret)
		return ret;
	frontend_msg_close(&m);
	if (m.hdr.size != size || m.payload.config.offset != s->value ||
	    m.payload.config.size != s->size)
		return -EPROTO;
	return check_config(c, off, m.payload.config.payload, s->size);
}

static int set_config(struct client *c, const struct client_step *s)
{
	struct vhost_user_config msg = {
		.offset = (uint32_t)s->value,
		.size = s->size,
		.flags = s->flags,
		.payload = {s->byte},
	};

	return tell(c, VHOST_USER_SET_CONFIG, &msg,
		    VHOST_USER_CONFIG_HEADER_SIZE + s->size, -1);
}

/* -- the guest ----------------------------------------------------------- */

static int make_ring(struct client *c, const struct client_step *s)
{
	struct frontend_queue *q = &c->q[s->ring];
	struct guestring_params p = {
		.size = s->size,
		.event_idx = c->features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.indirect = c->features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
	};

	guestring_fini(&q->ring);
	return guestring_init(&q->ring, &c->mem, &p);
}

static int post(struct client *c, unsigned ring)
{
	struct guestblk_req *req = malloc(sizeof(*req));
	struct guestring_seg segs[3];
	int ret;

	if (!req)
		return -ENOMEM;
	free(c->posted[ring]);
	c->posted[ring] = req;
	ret = guestblk_init(req, &c->mem, VIRTIO_BLK_T_IN, ring, 512);
	if (ret)
		return ret;
	ret = guestblk_segs(req, &c->mem, NULL, segs, ARRAY_SIZE(segs));
	if (ret < 0)
		return ret;
	ret = frontend_submit(&c->q[ring], segs, (unsigned)ret, req);
	return ret < 0 ? ret : 0;
}

static int check_posted(const struct client *c, unsigned ring,
			const struct guestring_used *used)
{
	if (used->token != c->posted[ring] || used->len != 513)
		return -EPROTO;
	return *c->posted[ring]->status;
}

static int reap(struct client *c, unsigned ring)
{
	struct guestring_used used;
	int ret = frontend_wait(&c->q[ring], &used, c->f.timeout_ms);

	return ret ? ret : check_posted(c, ring, &used);
}

/* Looks every millisecond. */
static int find(struct client *c, unsigned ring)
{
	struct guestring_used used;

	for (int ms = 0; ms < c->f.timeout_ms; ms++) {
		int ret = guestring_pop(&c->q[ring].ring, &used);

		if (ret)
			return ret < 0 ? ret : check_posted(c, ring, &used);
		usleep(1000);
	}
	return -ETIMEDOUT;
}

static int expect_quiet(struct client *c, unsigned ring)
{
	struct guestring_used used;
	int ret = frontend_wait(&c->q[ring], &used, QUIET_MS);

	return ret == -ETIMEDOUT ? 0 : -EINVAL;
}

static int verify(struct client *c, unsigned ring)
{
	uint64_t sector = ring * PROVE_SECTORS;

	return prove_disk(&c->q[ring], sector, ++c->seed);
}

/* -- the play ------------------------------------------------------------ */

static int connect_client(struct client *c)
{
	int ret;

	for (unsigned i = 0; i < CONNECT_TRIES; i++) {
		ret = frontend_connect(&c->f, c->path);
		if (!ret)
			break;
		usleep(10000);
	}
	c->protocol_features = 0;
	c->need_reply = false;
	return ret;
}

static int play_message(struct client *c, const struct client_step *s)
{
	switch (s->op) {
	case CLIENT_ASK:
	case CLIENT_ASK_LACKING:
	case CLIENT_ASK_NUMBER:
		return ask(c, s);
	case CLIENT_TELL:
		return tell(c, s->request, NULL, 0, -1);
	case CLIENT_TELL_U64:
		return tell_u64(c, s);
	case CLIENT_STATE:
		return tell_state(c, s->request, s->ring, s->value);
	case CLIENT_BASE:
		return tell_state(c, VHOST_USER_SET_VRING_BASE, s->ring,
				  guestring_base(&c->q[s->ring].ring));
	case CLIENT_ADDR:
		return tell_addr(c, s->ring);
	case CLIENT_FD:
	case CLIENT_NO_FD:
		return tell_fd(c, s);
	case CLIENT_GET_BASE:
		return get_base(c, s->ring);
	case CLIENT_MEM_TABLE:
		return tell_table(c);
	case CLIENT_ADD_REGION:
		return tell_region(c, VHOST_USER_ADD_MEM_REG, s->value);
	case CLIENT_REM_REGION:
		return tell_region(c, VHOST_USER_REM_MEM_REG, s->value);
	case CLIENT_GET_CONFIG:
		return get_config(c, s);
	case CLIENT_SET_CONFIG:
		return set_config(c, s);
	default:
		return -ENOSYS;
	}
}

static int play_step(struct client *c, const struct client_step *s)
{
	switch (s->op) {
	case CLIENT_CONNECT:
		return connect_client(c);
	case CLIENT_HANG_UP:
		frontend_close(&c->f);
		return 0;
	case CLIENT_NEED_REPLY:
		c->need_reply = s->value;
		return 0;
	case CLIENT_RING:
		return make_ring(c, s);
	case CLIENT_KICK:
		return frontend_kick(&c->q[s->ring]);
	case CLIENT_POST:
		return post(c, s->ring);
	case CLIENT_REAP:
		return reap(c, s->ring);
	case CLIENT_FIND:
		return find(c, s->ring);
	case CLIENT_QUIET:
		return expect_quiet(c, s->ring);
	case CLIENT_IO:
		return verify(c, s->ring);
	default:
		return play_message(c, s);
	}
}

int client_play(struct client *c, const struct client_step *steps)
{
	for (unsigned i = 0; steps[i].op != CLIENT_END; i++) {
		const struct client_step *s = &steps[i];
		int ret = play_step(c, s);

		if (!ret)
			continue;
		snprintf(c->why, sizeof(c->why),
			 "step %u (operation %d, message %u, ring %u, value "
			 "0x%llx): %d %s",
			 i, s->op, s->request, s->ring,
			 (unsigned long long)s->value, ret,
			 ret < 0 ? strerror(-ret) : "is the request's status");
		return ret < 0 ? ret : -EIO;
	}
	return 0;
}
