/* SPDX-License-Identifier: BSD-2-Clause */
/* What a session negotiated, in a memfd that outlives the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost/memmap.h"
#include "vhost/proto.h"

/*
 * Theory of operation: a session's state
 *
 * What was negotiated lives here and nowhere else: the session reads it here,
 * so nothing can differ from it.  Another process that gets the descriptors of
 * a session can go on with it, whether it was handed them or finds them kept
 * after we were killed.  The descriptors are:
 *
 *	the socket that listens, and the one that is connected
 *	this state
 *	memory		one for each region, in the order of state_regions()
 *	in flight	the front-end's region, or our own in its place
 *	kick, call, err	of each queue as far as it has them
 *	channel		the back-end channel, if there is one
 *
 * Memory's is not kept once it is mapped, so whoever keeps descriptors for us
 * gets it when it comes.
 *
 * Nothing else is needed.  Where each ring is, and what was taken from it and
 * not answered, is in the ring and in the region of requests in flight.  Who
 * the front-end is tells its socket.  A notice that the disk has grown may be
 * given twice, so who takes over gives it.  Limits, counters and what was
 * logged already begin anew.
 *
 * Bytes that were read from the link cannot be given back, nor is it known how
 * far a message was dealt with or its answer went.  So the state is busy from
 * before the first byte of a message is read until after its answer was sent;
 * a message that waits for a drain is busy all that time.  Who takes over a
 * busy state closes the link, as a crash would have without all this, and the
 * front-end connects again.  Changes are made while it is busy, but for
 * @resumes and @busy, which are a byte each: so none can be half made.
 *
 * The numbers are the machine's, as the state never leaves it.  Nobody but us
 * can write to it, but a taker may be another version of this program: it asks
 * state_check() first.
 */
#define STATE_VERSION	 1
#define STATE_QUEUES_MAX 256
#define STATE_DEVICE_MAX 32

struct state_queue {
	/* as in SET_VRING_ADDR, valid with @has_addr */
	uint64_t desc;
	uint64_t avail;
	uint64_t used;

	uint32_t size;	    /* 0: not told */
	uint32_t base;	    /* as in SET_VRING_BASE, valid with @has_base */
	/* What GET_VRING_BASE answers, valid with @has_last_base. */
	uint32_t last_base;
	uint8_t has_addr;
	uint8_t has_base; /* since it last ran */
	uint8_t enabled;
	uint8_t told_kick; /* a kick, or that none comes */
	uint8_t has_kick;
	uint8_t has_call;
	uint8_t has_err;
	/*
	 * Its part of the region in flight says where a start goes on, and not
	 * @base: it runs, or has not run since SET_INFLIGHT_FD.
	 */
	uint8_t resumes;
	uint8_t has_last_base; /* it was told, or ran */
	uint8_t reserved[3];
};

/* As in SET_INFLIGHT_FD; all 0: there is no region yet. */
struct state_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint8_t own; /* made by us, for want of the front-end's */
	uint8_t reserved[3];
};

struct state {
	uint32_t version; /* STATE_VERSION, written last of all */
	uint32_t device;  /* enum proto_device */
	uint32_t nr_queues;
	uint32_t nr_regions;
	uint64_t features; /* the driver's, valid with @has_features */
	uint64_t protocol_features;
	uint8_t busy;
	uint8_t owner;
	uint8_t has_features;
	uint8_t features_refused; /* the last that came */
	uint8_t status;		  /* of the driver, if STATUS is agreed on */
	uint8_t has_channel;
	uint8_t device_len;
	uint8_t reserved;
	uint8_t device_state[STATE_DEVICE_MAX]; /* see session_ops.save() */
	struct state_inflight inflight;
	struct state_queue queues[]; /* and then the regions */
};

/*
 * Make the state of a session with @nr_queues queues that knows nothing yet:
 * @fd is its memfd, *@out where it is mapped.  Returns 0 or -errno.  Home only,
 * as is all that follows but state_check().
 */
int state_new(struct state **out, int *fd, enum proto_device device,
	      unsigned nr_queues);

/* Unmap it and close @fd, by an offload thread.  Accepts NULL and -1. */
void state_free(struct state *s, int fd);

/* Where its regions are, and how many bytes it has altogether. */
const struct memmap_range *state_regions(const struct state *s);
size_t state_size(unsigned nr_queues);

/* Is a message being read, dealt with or answered? */
void state_set_busy(struct state *s, bool busy);

/* Take over the regions of a memmap that is now the session's. */
void state_set_memory(struct state *s, const struct memmap *m);

/*
 * A region for requests in flight takes the place of the one before: our own,
 * or the front-end's, from which the next start of each queue goes on.  No
 * queue runs.
 */
void state_set_inflight(struct state *s, const struct vhost_user_inflight *d,
			bool own);

/*
 * May @len bytes at @buf be the state of a session?  Returns 0, or -EPROTO with
 * the reason in @why.  A taker relies on all of this, and looks whether it is
 * busy.  Any thread.
 */
int state_check(const void *buf, size_t len, struct proto_why *why);
