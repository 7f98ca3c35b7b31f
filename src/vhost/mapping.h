/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of a file that a front-end sent, mapped here and guarded. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vhost/guard.h"

enum mapping_files {
	MAPPING_SHMEM,	/* only memory files: shmem and hugetlbfs */
	MAPPING_ANY,	/* any file; one on a dead server may hang us */
};

/* All zeroes: nothing is mapped. */
struct mapping {
	unsigned char *host;	/* the first byte that was asked for */
	uint64_t page;		/* bytes; more than the machine's: huge pages */
	struct guard *guard;
	void *map;		/* the whole pages that it lies in */
	size_t map_len;
};

/*
 * Map @size bytes from @offset of @fd, which stays the caller's.  The first
 * thing done to it is F_GET_SEALS, which never blocks: a file that is no memory
 * file is refused with -EMEDIUMTYPE unless @files allows it.
 *
 * Returns 0, -EINVAL (size 0, overflow, beyond the file), -ENOMEM or -errno of
 * mmap.  After a failure nothing is mapped.
 *
 * Any thread, as mapping_close().
 */
int mapping_open(struct mapping *m, int fd, uint64_t offset, uint64_t size,
		 enum mapping_files files);

/*
 * Unmap it, which may take long, and leave zeroes.  Accepts zeroes.
 */
void mapping_close(struct mapping *m);
