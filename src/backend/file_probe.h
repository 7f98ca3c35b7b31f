/* SPDX-License-Identifier: BSD-2-Clause */
/* A file or block device: how to open it, and what it can do. */
#pragma once

#include "backend/backend.h"

struct file_backend {
	struct backend backend;

	/*
	 * Read-only, opened once by path and kept: the later opens go through
	 * it, so they reach the same thing whatever the path leads to by then.
	 */
	int look_fd;
	int fd;			/* does the I/O; -1 while not claimed */
	off_t own_byte;		/* to be locked when shared; 0: none */
	struct list claimed;	/* of who shares, and has claimed */
	int open_flags;		/* of fd */
	unsigned mem_align;	/* of buffers; 1 when not direct */
	unsigned len_align;	/* of their lengths and of offsets */
	bool may_wait;		/* a submit would, not only the io */
	bool can_refuse;	/* what would have to wait, with RWF_NOWAIT */
};

/*
 * Open what look_fd is a second time, with @flags.  Returns the descriptor or
 * -errno.  May block.
 */
int file_probe_reopen(const struct file_backend *f, int flags);

/*
 * Fill f->backend.info and all from open_flags on for the storage that look_fd
 * is.  Returns 0, or -errno with the reason in @err.  May block.
 */
int file_probe(struct file_backend *f, const struct backend_params *p,
	       char *err, size_t err_len);

/* Bytes that are there now, not rounded.  Returns 0 or -errno.  May block. */
int file_probe_size(const struct file_backend *f, uint64_t *size);
