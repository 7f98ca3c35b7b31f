/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-user messages: one table of what each may carry, and its checks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost/vhost_user_spec.h"

/* As many descriptors as a message may carry, SET_MEM_TABLE's. */
#define PROTO_MAX_FDS VHOST_USER_MEM_REGIONS_MAX

/* Kinds of target, as bits: a row names those that know its message. */
enum proto_device {
	PROTO_BLK = 1,
	PROTO_SCSI = 2,
	PROTO_NVME = 4,
};

/* What the size of a payload follows from, within min and max. */
enum proto_size {
	PROTO_SIZE_RANGE,  /* nothing else */
	/* the number of regions in it; UML always sends room for two */
	PROTO_SIZE_TABLE,
	PROTO_SIZE_CONFIG, /* the length in it */
	PROTO_SIZE_EITHER, /* it is min or max: with or without padding */
};

enum proto_reply {
	PROTO_REPLY_ACK,	  /* a number, if asked for (REPLY_ACK) */
	PROTO_REPLY_OWN,	  /* always; it has no way to say failure */
	PROTO_REPLY_OWN_OR_EMPTY, /* always; without payload it says failure */
};

/* Where a message names its ring. */
enum proto_ring {
	PROTO_RING_NONE,
	PROTO_RING_U32, /* the first four bytes */
	PROTO_RING_FD,	/* the first byte; then bit 8: "no descriptor comes" */
};

/* What a message may look like and when it may come. */
struct proto_row {
	const char *name;  /* NULL: there is no such message */
	uint16_t min, max; /* bytes of payload */
	uint8_t min_fds, max_fds;
	uint8_t devices; /* of enum proto_device */
	enum proto_size size;
	enum proto_reply reply;
	enum proto_ring ring;
	bool needs_owner;  /* not before SET_OWNER */
	bool ring_stopped; /* not while the ring runs */
	bool served;	   /* else a known message that we refuse */
	uint32_t needs;	   /* mask of protocol features */
};

union proto_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_mem_table table;
	struct vhost_user_single_mem_region region;
	struct vhost_user_log log;
	struct vhost_user_config config;
	struct vhost_user_inflight inflight;
	struct vhost_user_iotlb iotlb;
	struct vhost_user_device_state device_state;
};

/*
 * A message, and after its handler ran, the payload of its reply.  Descriptors
 * that a handler keeps are set to -1 in @fds; the link closes the others.
 */
struct proto_msg {
	struct vhost_user_header header;
	union proto_payload p;
	uint32_t reply_size; /* of a reply of its own */
	bool has_reply_fd;   /* which the link closes when it was sent */
	int reply_fd;
	int fds[PROTO_MAX_FDS];
	unsigned nr_fds; /* as sent, may exceed PROTO_MAX_FDS */
	bool stray_fds;	 /* some came with a later byte */
};

/* Why something was refused, in words. */
struct proto_why {
	char text[192];
};

/* What is known of the front-end. */
struct proto_peer {
	enum proto_device device; /* what it connected to */
	unsigned nr_queues;
	uint64_t protocol_features; /* negotiated */
	bool owner;		    /* SET_OWNER came */
};

/* The row of a message, or NULL when there is none.  Any thread. */
const struct proto_row *proto_row(uint32_t request);

/* The name of a message: "SET_OWNER", or "unknown message".  Any thread. */
const char *proto_name(uint32_t request);

/* The name of a protocol feature: "MQ", or "unknown".  Any thread. */
const char *proto_feature_name(unsigned bit);

/*
 * Is @h the beginning of a message?  Returns 0, or -EPROTO with the reason in
 * @why; then what follows cannot be told from garbage.
 *
 * Any thread.
 */
int proto_check_header(const struct vhost_user_header *h,
		       struct proto_why *why);

/*
 * May @m come from @peer: does it exist, is its size right, are its
 * descriptors, was it negotiated, is there such a ring?  Returns 0 or -errno
 * with the reason in @why.  Handlers rely on all of this.
 *
 * Any thread.
 */
int proto_check(const struct proto_msg *m, const struct proto_peer *peer,
		struct proto_why *why);

/*
 * The ring that @m names; 0 when it names none.  Not checked before
 * proto_check().  Any thread.
 */
uint32_t proto_ring_index(const struct proto_msg *m);

/* Is a reply to @m wanted that says how it went?  Any thread. */
bool proto_wants_ack(const struct proto_msg *m, const struct proto_peer *peer);

/*
 * Write the reply to @m with @size bytes of payload to @buf, which holds
 * PROTO_REPLY_MAX bytes.  Returns its length.  Any thread.
 */
#define PROTO_REPLY_MAX \
	(sizeof(struct vhost_user_header) + sizeof(union proto_payload))
size_t proto_encode_reply(const struct proto_msg *m, const void *payload,
			  uint32_t size, uint8_t *buf);

/* The name of a kind of target: "vhost-user-blk".  Any thread. */
const char *proto_device_name(enum proto_device device);
