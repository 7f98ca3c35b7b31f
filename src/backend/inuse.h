/* SPDX-License-Identifier: BSD-2-Clause */
/* Does the host itself use this storage, and who else has it open? */
#pragma once

#include "backend/backend.h"

/*
 * Returns 0, or -EBUSY with a sentence in @err when the storage is mounted, is
 * swap, or is part of a mapped device or RAID; for a disk also when one of its
 * partitions is, and for a partition when its disk is; for a file when it is
 * attached to a loop device.  May block.
 */
int inuse_by_host(const struct backend_id *id, char *err, size_t err_len);

enum inuse_by {
	INUSE_BY_NOBODY,
	INUSE_BY_UNSEEN,  /* nobody whom we may see, and there are others */
	INUSE_BY_PROCESS, /* who is in struct inuse_process */
};

struct inuse_process {
	pid_t pid;
	char comm[64];
};

/*
 * A process that has it open: with a lock, which may be our own, or else
 * another's, in whatever way.  Fills @p when there is one.  May block, but
 * not, as inuse_by_host() does not either, on a dead server of others' files.
 */
enum inuse_by inuse_by_process(const struct backend_id *id, bool locked,
			       struct inuse_process *p);

/* The identity of what was opened.  Returns 0 or -errno. */
int inuse_identify(int fd, struct backend_id *id);

/*
 * The identity of the file or block device at @path.  Returns 0; -ENOTBLK when
 * it is something else; or another -errno.  May block.
 */
int inuse_identify_path(const char *path, struct backend_id *id);
