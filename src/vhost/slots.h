/* SPDX-License-Identifier: BSD-2-Clause */
/* The slots of a queue: what a request needs, made once. */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

#include "vhost/ring.h"

#define SLOT_IOV 8 /* iovecs in a slot; longer chains borrow an array */

/* A request: its chain, and what must be given back with it. */
struct slot {
	_Alignas(max_align_t) struct chain chain;
	struct memmap_use *use;	/* NULL while the slot is free */
	struct iovec *borrowed;	/* array of the worker's, or NULL */
	struct slot *next;	/* free one */
	struct iovec iov[SLOT_IOV];
	/* The device's room follows. */
};

struct slots {
	unsigned char *memory;	/* each on cache lines of its own */
	size_t size;		/* of one */
	unsigned max;
	unsigned made;
	struct slot *free;	/* the ones used last come first */
};

/*
 * Make @nr slots with @room zeroed bytes each for the device.  Memory that is
 * not used is not touched: a large ring costs no more than what it holds in
 * flight.  Returns 0 or -ENOMEM.  slots_fini() accepts zeroes and a second
 * call.
 *
 * The queue's owner only, as all here.
 */
int slots_init(struct slots *s, unsigned nr, size_t room);
void slots_fini(struct slots *s);

/* A free slot; the caller knows that there is one.  And back. */
struct slot *slots_get(struct slots *s);
void slots_put(struct slots *s, struct slot *slot);
