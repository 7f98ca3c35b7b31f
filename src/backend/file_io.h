/* SPDX-License-Identifier: BSD-2-Clause */
/* Ios on a file or block device, through a worker's io_uring. */
#pragma once

#include "backend/blocking.h"
#include "backend/bounce.h"
#include "backend/file_probe.h"

/*
 * Theory of operation: three ways of an io
 *
 * Reads and writes are one entry each, straight into the guest's memory.  Where
 * that is not aligned as the disk demands, they go through bounce buffers,
 * piece by piece.
 *
 * They are tried at once, as most need not wait.  The kernel refuses one that
 * would (RWF_NOWAIT): its blocks are not allocated yet, or the device has too
 * much to do, or hangs.  Then it is made once more, in a thread of the kernel's
 * (io-wq) that may wait.  What cannot refuse begins there: the page cache,
 * some devices and file systems.
 *
 * Flushes are collected during the turn, and one fsync serves them all.  Those
 * that come while it runs wait for the next, as it may have begun before the
 * writes that they follow.
 *
 * Discard and write zeroes take a thread of the kernel's (or of ours, where
 * only an ioctl can do it) for as long as the disk likes.  One of them runs at
 * a time, others wait.  How a range is emptied is tried from the best way to
 * the one that always works, and remembered.
 *
 * A disk that hangs keeps its threads, so a port holds a bounded number: one
 * for the fsync, one for the range, and some for reads and writes; those that
 * find none wait for one.  The worker's io-wq may have as many threads as all
 * its ports together, so no disk waits for another's.  All that may take a
 * thread is on the direct ring: the io-wq of SQPOLL is not the worker's own.
 * (The kernel does buffered writes to a file, and fallocate, one after the
 * other.  It tells files from each other by one of 64 numbers for that, so two
 * disks that go by the page cache may still wait for each other.)
 */
enum file_step {
	FILE_STEP_AT_ONCE,	 /* read or write, unless it would wait */
	FILE_STEP_BY_THREAD,	 /* read or write, however long it takes */
	FILE_STEP_DISCARD,	 /* block device, Linux 6.12 and later */
	FILE_STEP_DISCARD_IOCTL, /* block device */
	FILE_STEP_PUNCH,	 /* reads zero, and gives the space back */
	FILE_STEP_ZERO,		 /* reads zero, and may keep the space */
	FILE_STEP_WRITE,	 /* write zeroes, by and by */
};

struct file_port {
	/* set by attach, then constant */
	struct port port;
	const struct file_backend *file;
	struct io_path *path;
	struct uring *direct;	/* for what may take a thread */
	int places[URING_NR_KINDS]; /* of the file in each ring's table */
	bool can_refuse;	/* reads and writes that would wait */
	unsigned char sqe_flags; /* of those that may wait */
	unsigned max_threads;	/* for reads and writes */
	uintptr_t mem_mask;	/* bits that no buffer's address has */
	size_t len_mask;	/* and no length or offset */
	struct bounce *bounce;	/* NULL when no io ever needs one */

	/* worker only */
	unsigned nr_threads;	/* that reads and writes may hold by now */
	struct list waiting;	/* of io.item.link: for one of these */

	struct list flushes;	/* of io.item.link: for the next fsync */
	struct list flushing;	/* served by the one that runs */
	struct uring_op fsync;
	struct turn_item start_fsync;
	unsigned long nr_fsyncs; /* started so far */

	struct list ranges;	/* of io.item.link: discards, write zeroes */
	struct io *range;	/* the one that runs */
	enum file_step discard_step; /* the best way known to work */
	enum file_step unmap_step;
	enum file_step zero_step;
	struct blocking blocking;
};

/* As in struct backend_ops.  Worker only. */
int file_io_attach(struct backend *b, struct worker *w, struct port **out);
void file_io_detach(struct port *p);
void file_io_submit(struct port *p, struct io *io);
