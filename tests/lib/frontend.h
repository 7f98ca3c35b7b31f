/* SPDX-License-Identifier: BSD-2-Clause */
/* Plays the VMM: the front-end's side of the vhost-user protocol. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestmem.h"
#include "guestring.h"
#include "vhost/vhost_user_spec.h"

/*
 * Theory of operation
 *
 * Three levels, so that a test can be as proper or as rude as it needs:
 *
 *  - frontend_send_raw() writes any bytes with any descriptors.
 *  - frontend_send() and frontend_recv() handle one message; frontend_set()
 *    and frontend_get() also wait for the answer.
 *  - frontend_negotiate(), frontend_share_memory() and frontend_start_queue()
 *    do what a well-behaved VMM does, in its order.
 *
 * Nothing here exits or keeps global state.  Everything waits for at most
 * @timeout_ms and returns 0 or -errno:
 *
 *	-ETIMEDOUT	no answer came
 *	-ECONNRESET	the target closed the connection
 *	-EREMOTEIO	the target said that it could not do what it was asked
 *	-EPROTO		the answer was none to our question
 *	-EOPNOTSUPP	the target does not offer what is wanted
 *
 * A front-end, its queues and its memory are used by one thread.
 */

#define FRONTEND_TIMEOUT_MS  5000
#define FRONTEND_PAYLOAD_MAX 4224
#define FRONTEND_FDS_MAX     8

struct frontend_msg {
	struct vhost_user_header hdr;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_config config;
		struct vhost_user_inflight inflight;
		struct vhost_user_log log;
		uint8_t bytes[FRONTEND_PAYLOAD_MAX];
	} payload;
	int fds[FRONTEND_FDS_MAX];
	unsigned nr_fds;
};

/* What to accept of the target's offer, and what to insist on. */
struct frontend_params {
	uint64_t features;	    /* virtio features, taken if offered */
	uint64_t protocol_features; /* taken if offered */
	uint64_t required;	    /* virtio features that must be offered */
	unsigned queues;	    /* how many must be offered; 0: not asked */
};

struct frontend {
	int fd;
	int backend_fd; /* our end of the back-end channel, or -1 */
	int timeout_ms;
	uint64_t offered_features;
	uint64_t features;
	uint64_t offered_protocol_features;
	uint64_t protocol_features;
	unsigned max_queues;
};

/* The target's record of what is in flight, in memory that outlives it. */
struct frontend_inflight {
	struct vhost_user_inflight where;
	int fd;
};

/* One virtqueue: its ring and the descriptors that go with it. */
struct frontend_queue {
	unsigned index;
	uint32_t base; /* where it was last started */
	int kick;
	int call;
	int err;
	struct guestring ring;
};

/* Not connected.  Do this before anything else. */
void frontend_init(struct frontend *f);

/* Closes what is open.  May be called again. */
void frontend_close(struct frontend *f);

/* Connects to the socket at @path. */
int frontend_connect(struct frontend *f, const char *path);

/* Uses the connected socket @fd, which it owns from now on. */
void frontend_attach(struct frontend *f, int fd);

/* The process at the other end when it began to listen, or -errno. */
pid_t frontend_peer_pid(const struct frontend *f);

/* True once the target has closed the connection.  One system call. */
bool frontend_is_gone(const struct frontend *f);

/*
 * Writes @len bytes as they are, with up to 253 descriptors, which stay the
 * caller's.  Part of a message may be sent now and the rest later.
 */
int frontend_send_raw(struct frontend *f, const void *buf, size_t len,
		      const int *fds, unsigned nr_fds);

/* Sends one message; @flags are added to the version. */
int frontend_send(struct frontend *f, uint32_t request, uint32_t flags,
		  const void *payload, size_t size, const int *fds,
		  unsigned nr_fds);

/* Reads one message from @fd: f->fd, or the back-end channel. */
int frontend_recv(struct frontend *f, int fd, struct frontend_msg *m);

/* Closes the descriptors that came with @m. */
void frontend_msg_close(struct frontend_msg *m);

/*
 * Sends a request that has no reply of its own, and if REPLY_ACK was
 * negotiated waits until the target has done it.
 */
int frontend_set(struct frontend *f, uint32_t request, const void *payload,
		 size_t size, const int *fds, unsigned nr_fds);
int frontend_set_u64(struct frontend *f, uint32_t request, uint64_t value);
int frontend_set_state(struct frontend *f, uint32_t request, unsigned index,
		       unsigned num);

/*
 * Sends a request that is answered with a message of the same number, and
 * returns the answer in @m.  Its descriptors are the caller's.
 */
int frontend_get(struct frontend *f, uint32_t request, const void *payload,
		 size_t size, struct frontend_msg *m);
int frontend_get_u64(struct frontend *f, uint32_t request, uint64_t *value);

/* Whether a bit of the protocol features was negotiated. */
bool frontend_has(const struct frontend *f, unsigned bit);

/*
 * Becomes the owner and agrees on protocol features, number of queues and
 * virtio features, as @p wants and the target offers.
 */
int frontend_negotiate(struct frontend *f, const struct frontend_params *p);

/* Shares all regions of @m, in one table or, if that is too short, one by one.
 */
int frontend_share_memory(struct frontend *f, const struct guestmem *m);

/* Adds or removes one region (CONFIGURE_MEM_SLOTS). */
int frontend_add_region(struct frontend *f, const struct guestmem_region *r);
int frontend_remove_region(struct frontend *f, const struct guestmem_region *r);

/* Reads or writes @size bytes, at most 256, of the configuration space. */
int frontend_get_config(struct frontend *f, unsigned offset, void *buf,
			unsigned size);
int frontend_set_config(struct frontend *f, unsigned offset, const void *buf,
			unsigned size, uint32_t flags);

/*
 * A pair of connected Unix sockets as another process would make them.  A
 * target knows its own sockets by who made them, and refuses to be given one,
 * but in a test the target may be this process.
 */
int frontend_socketpair(int type, int sv[2]);

/* Makes the back-end channel; messages come on f->backend_fd. */
int frontend_open_backend_channel(struct frontend *f);

/*
 * Asks the target for memory in which to record what is in flight on @queues
 * rings of up to @queue_size entries, and checks the answer as QEMU does.
 * -EREMOTEIO if there is none to be had.  On success @i is the caller's, to be
 * closed with frontend_inflight_close().
 */
int frontend_get_inflight(struct frontend *f, unsigned queues,
			  unsigned queue_size, struct frontend_inflight *i);

/*
 * Gives the target that memory, which may hold what another one recorded.
 * Before the queues start.
 */
int frontend_set_inflight(struct frontend *f,
			  const struct frontend_inflight *i);

void frontend_inflight_close(struct frontend_inflight *i);

/* Makes a ring in @mem and the eventfds.  Nothing is sent. */
int frontend_queue_init(struct frontend_queue *q, unsigned index,
			struct guestmem *mem, const struct guestring_params *p);

/* Closes and frees.  Accepts a zeroed queue, and may be called again. */
void frontend_queue_fini(struct frontend_queue *q);

/*
 * Tells the target where the ring is, starts at the position where the driver
 * is, and enables the queue.
 */
int frontend_start_queue(struct frontend *f, struct frontend_queue *q);

/*
 * The same after the target was lost and got its record back, with requests in
 * flight: as QEMU does it, from the used index in a split ring, and in a packed
 * one from where the queue was started first, which is of no use any more.
 * Kicks the target, since nobody knows which kicks it saw.
 */
int frontend_resume_queue(struct frontend *f, struct frontend_queue *q);

/* The single steps of that, for tests that leave one out. */
int frontend_set_vring_addr(struct frontend *f, const struct frontend_queue *q,
			    uint32_t flags);
int frontend_set_vring_fd(struct frontend *f, uint32_t request, unsigned index,
			  int fd);

/* Stops the queue; @base (may be NULL) is where the target would go on. */
int frontend_stop_queue(struct frontend *f, const struct frontend_queue *q,
			unsigned *base);

/* Wakes the target, whether it wants it or not. */
int frontend_kick(const struct frontend_queue *q);

/* Posts one buffer, publishes it and kicks if needed.  Id or -errno. */
int frontend_submit(struct frontend_queue *q, const struct guestring_seg *segs,
		    unsigned nr_segs, void *token);

/*
 * Sleeps until a used buffer is there and takes it.  Returns 0, -ETIMEDOUT or
 * -EPROTO.
 */
int frontend_wait(struct frontend_queue *q, struct guestring_used *u,
		  int timeout_ms);
