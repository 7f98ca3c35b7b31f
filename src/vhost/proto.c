/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost/proto.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define VIRTIO (PROTO_BLK | PROTO_SCSI)
#define ALL    (PROTO_BLK | PROTO_SCSI | PROTO_NVME)

#define NEEDS(bit) .needs = 1U << VHOST_USER_PROTOCOL_F_##bit

#define EMPTY  .min = 0, .max = 0
#define U64    .min = 8, .max = 8
#define STATE  .min = 8, .max = 8
#define REGION .min = 40, .max = 40
#define ANY    .min = 0, .max = sizeof(union proto_payload)
#define CONFIG                                                           \
	.size = PROTO_SIZE_CONFIG, .min = VHOST_USER_CONFIG_HEADER_SIZE, \
	.max = sizeof(struct vhost_user_config)
#define TABLE                               \
	.size = PROTO_SIZE_TABLE, .min = 8, \
	.max = sizeof(struct vhost_user_mem_table)
#define INFLIGHT                                                            \
	.size = PROTO_SIZE_EITHER, .min = VHOST_USER_INFLIGHT_SIZE_BY_TEXT, \
	.max = sizeof(struct vhost_user_inflight)
#define IOTLB                                 \
	.size = PROTO_SIZE_EITHER, .min = 26, \
	.max = sizeof(struct vhost_user_iotlb)

#define FDS(least, most) .min_fds = (least), .max_fds = (most)
#define OWN		 .reply = PROTO_REPLY_OWN
#define RING		 .ring = PROTO_RING_U32, .needs_owner = true
#define RING_FD \
	.ring = PROTO_RING_FD, .needs_owner = true, U64, FDS(0, 1)
#define STOPPED		 .ring_stopped = true
#define OWNER		 .needs_owner = true
#define SERVED		 .served = true

#define ROW(id, who, ...) \
	[VHOST_USER_##id] = {.name = #id, .devices = (who), __VA_ARGS__}

/*
 * Rows that are not served are messages of features that we do not offer: who
 * sends one all the same is told its name and not "unknown".
 */
static const struct proto_row rows[] = {
	ROW(GET_FEATURES, VIRTIO, EMPTY, OWN, SERVED),
	ROW(SET_FEATURES, VIRTIO, U64, SERVED),
	ROW(SET_OWNER, VIRTIO, EMPTY, SERVED),
	ROW(RESET_OWNER, VIRTIO, EMPTY, SERVED),
	ROW(SET_MEM_TABLE, ALL, TABLE, FDS(0, 8), OWNER, SERVED),
	ROW(SET_LOG_BASE, VIRTIO, .min = 16, .max = 16, FDS(1, 1), OWN,
	    NEEDS(LOG_SHMFD)),
	ROW(SET_LOG_FD, VIRTIO, .min = 0, .max = 8, FDS(1, 1),
	    NEEDS(LOG_SHMFD)),
	ROW(SET_VRING_NUM, VIRTIO, STATE, RING, STOPPED, SERVED),
	ROW(SET_VRING_ADDR, VIRTIO, .min = 40, .max = 40, RING, SERVED),
	ROW(SET_VRING_BASE, VIRTIO, STATE, RING, STOPPED, SERVED),
	ROW(GET_VRING_BASE, VIRTIO, STATE, RING, OWN, SERVED),
	ROW(SET_VRING_KICK, VIRTIO, RING_FD, SERVED),
	ROW(SET_VRING_CALL, VIRTIO, RING_FD, SERVED),
	ROW(SET_VRING_ERR, VIRTIO, RING_FD, SERVED),
	ROW(GET_PROTOCOL_FEATURES, VIRTIO, EMPTY, OWN, SERVED),
	ROW(SET_PROTOCOL_FEATURES, VIRTIO, U64, SERVED),
	ROW(GET_QUEUE_NUM, VIRTIO, EMPTY, OWN, SERVED),
	ROW(SET_VRING_ENABLE, VIRTIO, STATE, RING, SERVED),
	ROW(SEND_RARP, VIRTIO, U64, NEEDS(RARP)),
	ROW(NET_SET_MTU, VIRTIO, U64, NEEDS(MTU)),
	ROW(SET_BACKEND_REQ_FD, VIRTIO, EMPTY, FDS(1, 1), NEEDS(BACKEND_REQ),
	    SERVED),
	ROW(IOTLB_MSG, VIRTIO, IOTLB, NEEDS(BACKEND_REQ)),
	ROW(SET_VRING_ENDIAN, VIRTIO, STATE, RING, NEEDS(CROSS_ENDIAN)),
	ROW(GET_CONFIG, VIRTIO, CONFIG, .reply = PROTO_REPLY_OWN_OR_EMPTY,
	    NEEDS(CONFIG), SERVED),
	ROW(SET_CONFIG, VIRTIO, CONFIG, NEEDS(CONFIG), SERVED),
	ROW(CREATE_CRYPTO_SESSION, VIRTIO, ANY, OWN, NEEDS(CRYPTO_SESSION)),
	ROW(CLOSE_CRYPTO_SESSION, VIRTIO, U64, NEEDS(CRYPTO_SESSION)),
	ROW(POSTCOPY_ADVISE, VIRTIO, EMPTY, OWN, NEEDS(PAGEFAULT)),
	ROW(POSTCOPY_LISTEN, VIRTIO, EMPTY, NEEDS(PAGEFAULT)),
	ROW(POSTCOPY_END, VIRTIO, EMPTY, OWN, NEEDS(PAGEFAULT)),
	ROW(GET_INFLIGHT_FD, VIRTIO, INFLIGHT, OWN, NEEDS(INFLIGHT_SHMFD),
	    SERVED),
	ROW(SET_INFLIGHT_FD, VIRTIO, INFLIGHT, FDS(1, 1),
	    NEEDS(INFLIGHT_SHMFD), SERVED),
	ROW(GPU_SET_SOCKET, VIRTIO, EMPTY, FDS(1, 1)),
	ROW(RESET_DEVICE, VIRTIO, EMPTY, NEEDS(RESET_DEVICE), SERVED),
	ROW(VRING_KICK, VIRTIO, STATE, RING, NEEDS(INBAND_NOTIFICATIONS)),
	ROW(GET_MAX_MEM_SLOTS, VIRTIO, EMPTY, OWN, NEEDS(CONFIGURE_MEM_SLOTS),
	    SERVED),
	ROW(ADD_MEM_REG, VIRTIO, REGION, FDS(1, 1), OWNER,
	    NEEDS(CONFIGURE_MEM_SLOTS), SERVED),
	ROW(REM_MEM_REG, VIRTIO, REGION, FDS(0, 1), OWNER,
	    NEEDS(CONFIGURE_MEM_SLOTS), SERVED),
	ROW(SET_STATUS, VIRTIO, U64, NEEDS(STATUS), SERVED),
	ROW(GET_STATUS, VIRTIO, EMPTY, OWN, NEEDS(STATUS), SERVED),
	ROW(GET_SHARED_OBJECT, VIRTIO, .min = 16, .max = 16, OWN,
	    NEEDS(SHARED_OBJECT)),
	ROW(SET_DEVICE_STATE_FD, VIRTIO, .min = 8, .max = 8, FDS(1, 1), OWN,
	    NEEDS(DEVICE_STATE)),
	ROW(CHECK_DEVICE_STATE, VIRTIO, EMPTY, OWN, NEEDS(DEVICE_STATE)),
	ROW(GET_SHMEM_CONFIG, VIRTIO, EMPTY, OWN, NEEDS(SHMEM)),

	ROW(NVME_ADMIN, PROTO_NVME, .min = 64, .max = 64, OWN),
	ROW(NVME_SET_CQ_CALL, PROTO_NVME, U64, FDS(0, 1)),
	ROW(NVME_GET_CAP, PROTO_NVME, EMPTY, OWN),
	ROW(NVME_START_STOP, PROTO_NVME, U64),
	ROW(NVME_IO_CMD, PROTO_NVME, .min = 12, .max = 12),
	ROW(NVME_SET_BAR_MR, PROTO_NVME, REGION, FDS(1, 1)),
};
_Static_assert(ARRAY_SIZE(rows) == VHOST_USER_MAX, "a row for each message");

static const char *const protocol_feature_names[] = {
	"MQ",
	"LOG_SHMFD",
	"RARP",
	"REPLY_ACK",
	"MTU",
	"BACKEND_REQ",
	"CROSS_ENDIAN",
	"CRYPTO_SESSION",
	"PAGEFAULT",
	"CONFIG",
	"BACKEND_SEND_FD",
	"HOST_NOTIFIER",
	"INFLIGHT_SHMFD",
	"RESET_DEVICE",
	"INBAND_NOTIFICATIONS",
	"CONFIGURE_MEM_SLOTS",
	"STATUS",
	"XEN_MMAP",
	"SHARED_OBJECT",
	"DEVICE_STATE",
	"GET_VRING_BASE_INFLIGHT",
	"GPA_ADDRESSES",
	"SHMEM",
};
_Static_assert(ARRAY_SIZE(protocol_feature_names) == VHOST_USER_PROTOCOL_F_MAX,
	       "a name for each protocol feature");

__attribute__((format(printf, 3, 4))) static int
refuse(struct proto_why *why, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, args);
	va_end(args);
	return err;
}

const struct proto_row *proto_row(uint32_t request)
{
	if (request >= ARRAY_SIZE(rows) || !rows[request].name)
		return NULL;
	return &rows[request];
}

const char *proto_name(uint32_t request)
{
	const struct proto_row *row = proto_row(request);

	return row ? row->name : "unknown message";
}

const char *proto_feature_name(unsigned bit)
{
	return bit < ARRAY_SIZE(protocol_feature_names)
		       ? protocol_feature_names[bit]
		       : "unknown";
}

const char *proto_device_name(enum proto_device device)
{
	switch (device) {
	case PROTO_BLK:
		return "vhost-user-blk";
	case PROTO_SCSI:
		return "vhost-user-scsi";
	case PROTO_NVME:
		return "vhost-user-nvme";
	}
	return "vhost-user";
}

int proto_check_header(const struct vhost_user_header *h, struct proto_why *why)
{
	if ((h->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return refuse(why, -EPROTO,
			      "version %u of the protocol, only 1 is known",
			      h->flags & VHOST_USER_VERSION_MASK);
	if (h->flags & VHOST_USER_REPLY_MASK)
		return refuse(why, -EPROTO,
			      "it is marked as a reply, but nothing was asked");
	if (h->size > sizeof(union proto_payload))
		return refuse(why, -EPROTO,
			      "a payload of %u bytes, no message is that long",
			      h->size);
	return 0;
}

/* The one size that the content of @m asks for, or what came if it fits. */
static uint64_t right_size(const struct proto_msg *m,
			   const struct proto_row *row)
{
	uint32_t size = m->header.size;

	switch (row->size) {
	case PROTO_SIZE_TABLE:
		return 8 + (uint64_t)m->p.table.nr_regions *
				   sizeof(m->p.table.regions[0]);
	case PROTO_SIZE_CONFIG:
		return VHOST_USER_CONFIG_HEADER_SIZE +
		       (uint64_t)m->p.config.size;
	case PROTO_SIZE_EITHER:
		return size == row->min ? row->min : row->max;
	case PROTO_SIZE_RANGE:
		break;
	}
	return size;
}

static int check_size(const struct proto_msg *m, const struct proto_row *row,
		      struct proto_why *why)
{
	uint32_t size = m->header.size;

	if (size < row->min || size > row->max)
		return refuse(why, -EBADMSG,
			      "%u bytes of payload, it takes %u to %u", size,
			      row->min, row->max);
	if (row->size == PROTO_SIZE_TABLE ? size < right_size(m, row)
					  : size != right_size(m, row))
		return refuse(why, -EBADMSG,
			      "%u bytes of payload, but its content takes %llu",
			      size, (unsigned long long)right_size(m, row));
	return 0;
}

/* How many descriptors the content of @m announces. */
static unsigned right_fds(const struct proto_msg *m,
			  const struct proto_row *row)
{
	if (row->size == PROTO_SIZE_TABLE)
		return m->p.table.nr_regions;
	if (row->ring == PROTO_RING_FD)
		return m->p.u64 & VHOST_USER_VRING_NOFD ? 0 : 1;
	return m->nr_fds;
}

static int check_fds(const struct proto_msg *m, const struct proto_row *row,
		     struct proto_why *why)
{
	if (m->stray_fds)
		return refuse(why, -EBADMSG,
			      "descriptors came behind its first byte");
	if (m->nr_fds > row->max_fds)
		return refuse(why, -EBADMSG, "%u descriptors, at most %u go",
			      m->nr_fds, row->max_fds);
	if (m->nr_fds < row->min_fds)
		return refuse(why, -EBADMSG, "%u descriptors, it takes %u",
			      m->nr_fds, row->min_fds);
	if (m->nr_fds != right_fds(m, row))
		return refuse(why, -EBADMSG,
			      "%u descriptors, but its content announces %u",
			      m->nr_fds, right_fds(m, row));
	return 0;
}

static int check_offered(const struct proto_row *row,
			 const struct proto_peer *peer, struct proto_why *why)
{
	uint64_t missing = row->needs & ~peer->protocol_features;

	if (!(row->devices & peer->device))
		return refuse(why, -EOPNOTSUPP, "a %s target has no use for it",
			      proto_device_name(peer->device));
	if (!row->served)
		return refuse(why, -EOPNOTSUPP, "not offered");
	if (missing)
		return refuse(why, -EOPNOTSUPP,
			      "protocol feature %s was not negotiated",
			      proto_feature_name(
				      (unsigned)__builtin_ctzll(missing)));
	if (row->needs_owner && !peer->owner && peer->device != PROTO_NVME)
		return refuse(why, -EPERM, "SET_OWNER must come first");
	return 0;
}

/* A front-end that wants more queues than there are: say what to change. */
static int refuse_ring(uint32_t index, const struct proto_peer *peer,
		       struct proto_why *why)
{
	const char *kind = proto_device_name(peer->device);

	if (peer->device == PROTO_BLK && peer->nr_queues == 1)
		return refuse(why, -EINVAL,
			      "client asked for queue %u of a 1-queue %s "
			      "target; is the VMM configured with "
			      "vhost-user-scsi?",
			      index, kind);
	return refuse(why, -EINVAL,
		      "client asked for queue %u of a %u-queue %s target; "
		      "lower %s of the VMM's device or raise queues of the "
		      "target",
		      index, peer->nr_queues, kind,
		      peer->device == PROTO_SCSI ? "num_queues" : "num-queues");
}

static int check_ring(const struct proto_msg *m, const struct proto_row *row,
		      const struct proto_peer *peer, struct proto_why *why)
{
	if (row->ring == PROTO_RING_NONE)
		return 0;
	if (row->ring == PROTO_RING_FD && m->p.u64 & ~(uint64_t)0x1ff)
		return refuse(why, -EINVAL, "unknown bits in 0x%llx",
			      (unsigned long long)m->p.u64);
	if (proto_ring_index(m) >= peer->nr_queues)
		return refuse_ring(proto_ring_index(m), peer, why);
	return 0;
}

int proto_check(const struct proto_msg *m, const struct proto_peer *peer,
		struct proto_why *why)
{
	const struct proto_row *row = proto_row(m->header.request);

	if (!row)
		return refuse(why, -EOPNOTSUPP, "there is no message %u",
			      m->header.request);

	int err = check_offered(row, peer, why);

	if (!err)
		err = check_size(m, row, why);
	if (!err)
		err = check_fds(m, row, why);
	if (!err)
		err = check_ring(m, row, peer, why);
	return err;
}

uint32_t proto_ring_index(const struct proto_msg *m)
{
	const struct proto_row *row = proto_row(m->header.request);

	if (!row || row->ring == PROTO_RING_NONE)
		return 0;
	if (row->ring == PROTO_RING_FD)
		return m->p.u64 & VHOST_USER_VRING_IDX_MASK;
	return m->p.state.index;
}

bool proto_wants_ack(const struct proto_msg *m, const struct proto_peer *peer)
{
	return m->header.flags & VHOST_USER_NEED_REPLY_MASK &&
	       peer->protocol_features & 1U << VHOST_USER_PROTOCOL_F_REPLY_ACK;
}

size_t proto_encode_reply(const struct proto_msg *m, const void *payload,
			  uint32_t size, uint8_t *buf)
{
	struct vhost_user_header h = {
		.request = m->header.request,
		.flags = VHOST_USER_VERSION | VHOST_USER_REPLY_MASK,
		.size = size,
	};

	memcpy(buf, &h, sizeof(h));
	if (size)
		memcpy(buf + sizeof(h), payload, size);
	return sizeof(h) + size;
}
