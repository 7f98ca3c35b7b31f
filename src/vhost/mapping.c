/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of a file that a front-end sent, mapped here and guarded. */
#include "vhost/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/util.h"

/*
 * Look at the file, in an order that cannot hang: only shmem and hugetlbfs
 * have seals, and none of the calls after that one blocks for them.  @page is
 * set to the size of its pages.
 */
static int check_file(int fd, enum mapping_files files, uint64_t end,
		      uint64_t *page)
{
	if (fcntl(fd, F_GET_SEALS) < 0) {
		if (errno != EINVAL)
			return -errno;
		if (files != MAPPING_ANY)
			return -EMEDIUMTYPE;
	}

	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	if (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size)
		return -EINVAL;
	*page = sysconf(_SC_PAGESIZE);
	if (fs.f_type == HUGETLBFS_MAGIC)
		*page = fs.f_bsize;
	return 0;
}

/* Map the whole pages that the bytes up to @end lie in. */
static int map_pages(struct mapping *m, int fd, uint64_t offset, uint64_t end)
{
	uint64_t first = align_down(offset, m->page);

	if (end > INT64_MAX - m->page)
		return -EINVAL;

	size_t len = align_up(end, m->page) - first;
	/* No reservation: the memory is the VMM's, and so is the limit. */
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, fd, (off_t)first);

	if (map == MAP_FAILED)
		return -errno;
	m->map = map;
	m->map_len = len;
	m->host = (unsigned char *)map + (offset - first);
	/* The guest's secrets have no place in a core dump of ours. */
	madvise(map, len, MADV_DONTDUMP);
	m->guard = guard_add(map, len);
	return m->guard ? 0 : -ENOMEM;
}

int mapping_open(struct mapping *m, int fd, uint64_t offset, uint64_t size,
		 enum mapping_files files)
{
	uint64_t end;
	int err;

	*m = (struct mapping){0};
	if (!size || __builtin_add_overflow(offset, size, &end))
		return -EINVAL;
	err = check_file(fd, files, end, &m->page);
	if (!err)
		err = map_pages(m, fd, offset, end);
	if (err)
		mapping_close(m);
	return err;
}

void mapping_close(struct mapping *m)
{
	guard_del(m->guard);
	if (m->map)
		munmap(m->map, m->map_len);
	*m = (struct mapping){0};
}
