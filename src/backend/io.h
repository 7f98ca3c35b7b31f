/* SPDX-License-Identifier: BSD-2-Clause */
/* One storage operation on its way through a backend. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "run/uring.h"
#include "run/worker.h"

struct bounce_buffer;

enum io_op {
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_DISCARD,
	IO_WRITE_ZEROES,
	IO_NR_OPS,
};

#define IO_FUA	 1u	/* write, write zeroes: stable before done() */
#define IO_UNMAP 2u	/* write zeroes: may deallocate the range */

/*
 * Embedded in the room of a chain, or in whatever asks.  The submitter fills
 * the first group and leaves all alone until done().
 *
 * What takes several steps (a short transfer, more iovecs than one call takes,
 * a bounce buffer smaller than the io) takes them one after the other: an io
 * has one entry in flight at most, so it needs no parts and no count of them.
 */
struct io {
	enum io_op op;
	unsigned flags;
	uint64_t offset;	/* bytes; whole blocks of the backend */
	uint64_t length;	/* bytes; of the iovecs for read and write */
	struct iovec *iov;	/* the backend may change them */
	unsigned nr_iov;
	int buffer;		/* place of a fixed one that has all, or -1 */
	/*
	 * Called once, on the worker's thread, never inside port_submit():
	 * @res is 0, or -errno when any part failed.  A short transfer is
	 * finished by the backend or is -EIO.
	 */
	void (*done)(struct io *io, int res);

	/* the backend's while it has the io */
	struct port *port;
	union {
		struct alarm alarm;	/* while it is held back */
		struct {
			struct uring_op uring;
			/* also its link in a list of waiting ios */
			struct turn_item item;
			unsigned step;	/* what the entry in flight does */
			int result;
			uint64_t moved;	/* bytes done so far */
			struct bounce_buffer *bounce;
		};
	};
};
