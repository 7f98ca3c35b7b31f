/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user protocol in numbers and structures, with the standard's names.
 *
 * Everything here goes over the wire in the host's byte order.  Nothing is
 * packed: the layouts have no padding but the one that is part of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of the virtio feature bits: the back-end knows protocol features. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30
/* Of the virtio feature bits: the back-end can log the pages it writes. */
#define VHOST_USER_F_LOG_ALL 26

/* Front-end to back-end. */
enum vhost_user_request {
	VHOST_USER_NONE = 0,
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_SET_VRING_ENDIAN = 23,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_GET_SHARED_OBJECT = 41,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
	VHOST_USER_GET_SHMEM_CONFIG = 44,

	/* vhost-user-nvme only */
	VHOST_USER_NVME_ADMIN = 80,
	VHOST_USER_NVME_SET_CQ_CALL = 81,
	VHOST_USER_NVME_GET_CAP = 82,
	VHOST_USER_NVME_START_STOP = 83,
	VHOST_USER_NVME_IO_CMD = 84,
	VHOST_USER_NVME_SET_BAR_MR = 85,

	VHOST_USER_MAX
};

/* Back-end to front-end, on the channel of SET_BACKEND_REQ_FD. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_NONE = 0,
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VHOST_USER_BACKEND_VRING_CALL = 4,
	VHOST_USER_BACKEND_VRING_ERR = 5,
	VHOST_USER_BACKEND_SHARED_OBJECT_ADD = 6,
	VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,
	VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,
	VHOST_USER_BACKEND_SHMEM_MAP = 9,
	VHOST_USER_BACKEND_SHMEM_UNMAP = 10,

	VHOST_USER_BACKEND_MAX
};

/* Bits of GET_PROTOCOL_FEATURES. */
enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
	VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
	VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
	VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
	VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
	VHOST_USER_PROTOCOL_F_GPA_ADDRESSES = 21,
	VHOST_USER_PROTOCOL_F_SHMEM = 22,

	VHOST_USER_PROTOCOL_F_MAX
};

/* Header flags. */
#define VHOST_USER_VERSION_MASK	   0x3u
#define VHOST_USER_VERSION	   0x1u
#define VHOST_USER_REPLY_MASK	   0x4u
#define VHOST_USER_NEED_REPLY_MASK 0x8u

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, this header not counted */
};

/* The u64 of SET_VRING_KICK, CALL and ERR: an index and "no fd comes". */
#define VHOST_USER_VRING_IDX_MASK 0xffu
#define VHOST_USER_VRING_NOFD	  0x100u

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

/* Flags of vhost_user_vring_addr: log writes to the used ring. */
#define VHOST_USER_VRING_F_LOG 0x1u

/*
 * Addresses are the front-end's own virtual ones, or guest addresses with
 * GPA_ADDRESSES.  Mind the order.  A packed ring has its descriptors in @desc,
 * the device event area in @used, the driver event area in @avail.
 */
struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_user_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

#define VHOST_USER_MEM_REGIONS_MAX 8

/* On the wire it ends after the last region that is used. */
struct vhost_user_mem_table {
	uint32_t nr_regions;
	uint32_t padding;
	struct vhost_user_mem_region regions[VHOST_USER_MEM_REGIONS_MAX];
};

struct vhost_user_single_mem_region {
	uint64_t padding;
	struct vhost_user_mem_region region;
};

struct vhost_user_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

#define VHOST_USER_CONFIG_SPACE_MAX	 256
#define VHOST_USER_CONFIG_WRITABLE	 0u
#define VHOST_USER_CONFIG_LIVE_MIGRATION 1u
#define VHOST_USER_CONFIG_HEADER_SIZE	 12u

/* On the wire it ends after @size bytes of @payload. */
struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t payload[VHOST_USER_CONFIG_SPACE_MAX];
};

struct vhost_user_vring_area {
	uint64_t index_and_flags;
	uint64_t size;
	uint64_t offset;
};

/*
 * The text ends it after @queue_size (20 bytes); front-ends send it padded to
 * 24 and want it back that way.
 */
struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};

#define VHOST_USER_INFLIGHT_SIZE_BY_TEXT 20u

/*
 * The region of requests in flight: for each queue a header and an entry for
 * each descriptor of its ring.  Words that must change as one are one here.
 */
#define VHOST_USER_INFLIGHT_ALIGN   64u /* each queue's part ends at one */
#define VHOST_USER_INFLIGHT_VERSION 1u	/* 0: nobody has used it yet */

/* Of a split ring: entry @i is about the chain with head @i. */
struct vhost_user_inflight_split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;	  /* the one completed before it in its batch */
	uint64_t counter; /* tells which of two was fetched first */
};

struct vhost_user_inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct vhost_user_inflight_split_desc desc[];
};

/*
 * Of a packed ring: each entry is a copy of a descriptor, or free.  The entries
 * of a chain are linked, and so are the free ones.
 */
struct vhost_user_inflight_packed_desc {
	/* of the chain, in its first entry */
	uint8_t inflight;
	uint8_t padding;
	uint16_t next; /* in every entry */
	uint16_t last; /* the chain's last entry */
	uint16_t num;  /* how many it has */
	uint64_t counter;
	/* of the descriptor */
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

union vhost_user_inflight_free {
	uint64_t word;
	struct {
		uint16_t version;
		uint16_t desc_num;
		uint16_t free_head;
		uint16_t old_free_head;
	};
};

union vhost_user_inflight_used {
	uint64_t word;
	struct {
		uint16_t used_idx;
		uint16_t old_used_idx;
		uint8_t used_wrap_counter;
		uint8_t old_used_wrap_counter;
		uint8_t padding[2];
	};
};

struct vhost_user_inflight_packed {
	uint64_t features;
	union vhost_user_inflight_free free;
	union vhost_user_inflight_used used;
	uint64_t padding;
	struct vhost_user_inflight_packed_desc desc[];
};

struct vhost_user_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};

/* Of struct vhost_user_device_state. */
#define VHOST_USER_DEVICE_STATE_SAVE	0u
#define VHOST_USER_DEVICE_STATE_LOAD	1u
#define VHOST_USER_DEVICE_STATE_STOPPED 0u

struct vhost_user_device_state {
	uint32_t direction;
	uint32_t phase;
};

/* The u64 that answers SET_DEVICE_STATE_FD. */
#define VHOST_USER_DEVICE_STATE_ERROR_MASK 0xffu
#define VHOST_USER_DEVICE_STATE_NOFD	   0x100u

_Static_assert(sizeof(struct vhost_user_header) == 12, "header");
_Static_assert(sizeof(struct vhost_user_vring_state) == 8, "vring state");
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "vring addr");
_Static_assert(sizeof(struct vhost_user_mem_region) == 32, "memory region");
_Static_assert(sizeof(struct vhost_user_mem_table) == 8 + 8 * 32, "mem table");
_Static_assert(sizeof(struct vhost_user_single_mem_region) == 40, "mem reg");
_Static_assert(sizeof(struct vhost_user_log) == 16, "log");
_Static_assert(sizeof(struct vhost_user_config) == 12 + 256, "config");
_Static_assert(sizeof(struct vhost_user_vring_area) == 24, "vring area");
_Static_assert(sizeof(struct vhost_user_inflight) == 24, "inflight");
#define AT(type, member, offset)                                       \
	_Static_assert(offsetof(struct vhost_user_inflight_##type, member) == \
			       (offset),                               \
		       #type " " #member)
AT(split_desc, inflight, 0);
AT(split_desc, next, 6);
AT(split_desc, counter, 8);
_Static_assert(sizeof(struct vhost_user_inflight_split_desc) == 16, "entry");
AT(split, features, 0);
AT(split, version, 8);
AT(split, desc_num, 10);
AT(split, last_batch_head, 12);
AT(split, used_idx, 14);
AT(split, desc, 16);
AT(packed_desc, inflight, 0);
AT(packed_desc, next, 2);
AT(packed_desc, last, 4);
AT(packed_desc, num, 6);
AT(packed_desc, counter, 8);
AT(packed_desc, id, 16);
AT(packed_desc, flags, 18);
AT(packed_desc, len, 20);
AT(packed_desc, addr, 24);
_Static_assert(sizeof(struct vhost_user_inflight_packed_desc) == 32, "entry");
AT(packed, features, 0);
AT(packed, free.version, 8);
AT(packed, free.desc_num, 10);
AT(packed, free.free_head, 12);
AT(packed, free.old_free_head, 14);
AT(packed, used.used_idx, 16);
AT(packed, used.old_used_idx, 18);
AT(packed, used.used_wrap_counter, 20);
AT(packed, used.old_used_wrap_counter, 21);
AT(packed, desc, 32);
#undef AT
_Static_assert(sizeof(struct vhost_user_iotlb) == 32, "iotlb");
_Static_assert(sizeof(struct vhost_user_device_state) == 8, "device state");
_Static_assert(VHOST_USER_GET_SHMEM_CONFIG == 44, "messages are numbered");
_Static_assert(VHOST_USER_PROTOCOL_F_SHMEM == 22, "bits are numbered");
