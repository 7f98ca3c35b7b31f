/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake guest memory: memfd regions that a test shares with a target. */
#include "guestmem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

void guestmem_init(struct guestmem *m)
{
	m->regions = NULL;
	m->nr_regions = 0;
}

void guestmem_fini(struct guestmem *m)
{
	for (unsigned i = 0; i < m->nr_regions; i++) {
		munmap(m->regions[i].host, m->regions[i].size);
		close(m->regions[i].fd);
	}
	free(m->regions);
	guestmem_init(m);
}

/* Room for one more; the count stays as it is. */
static struct guestmem_region *grow(struct guestmem *m)
{
	struct guestmem_region *all;

	all = reallocarray(m->regions, m->nr_regions + 1, sizeof(*all));
	if (!all)
		return NULL;
	m->regions = all;
	return &all[m->nr_regions];
}

int guestmem_add_fd(struct guestmem *m, int fd, uint64_t fd_offset,
		    uint64_t gpa, uint64_t uva, uint64_t size)
{
	struct guestmem_region *r = grow(m);
	void *host;
	int mine, err;

	if (!r)
		return -ENOMEM;
	mine = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (mine < 0)
		return -errno;
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mine,
		    (off_t)fd_offset);
	if (host == MAP_FAILED) {
		err = -errno;
		close(mine);
		return err;
	}
	*r = (struct guestmem_region){
		.gpa = gpa,
		.uva = uva == GUESTMEM_UVA_HOST ? (uintptr_t)host : uva,
		.size = size,
		.fd_offset = fd_offset,
		.fd = mine,
		.host = host,
	};
	return (int)m->nr_regions++;
}

int guestmem_add(struct guestmem *m, uint64_t gpa, uint64_t uva, uint64_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size))
		ret = -errno;
	else
		ret = guestmem_add_fd(m, fd, 0, gpa, uva, size);
	close(fd);
	return ret;
}

void *guestmem_alloc_in(struct guestmem *m, unsigned region, size_t size,
			size_t align)
{
	struct guestmem_region *r = &m->regions[region];
	uint64_t at = align_up(r->used, align);

	if (at > r->size || size > r->size - at)
		return NULL;
	r->used = at + size;
	return r->host + at;
}

void *guestmem_alloc(struct guestmem *m, size_t size, size_t align)
{
	for (unsigned i = 0; i < m->nr_regions; i++) {
		void *ptr = guestmem_alloc_in(m, i, size, align);

		if (ptr)
			return ptr;
	}
	return NULL;
}

/* The region of @ptr, and in @off the place inside it. */
static const struct guestmem_region *find_host(const struct guestmem *m,
					       const void *ptr, uint64_t *off)
{
	for (unsigned i = 0; i < m->nr_regions; i++) {
		*off = (uintptr_t)ptr - (uintptr_t)m->regions[i].host;
		if (*off < m->regions[i].size)
			return &m->regions[i];
	}
	return NULL;
}

uint64_t guestmem_gpa(const struct guestmem *m, const void *ptr)
{
	uint64_t off;
	const struct guestmem_region *r = find_host(m, ptr, &off);

	return r ? r->gpa + off : UINT64_MAX;
}

uint64_t guestmem_uva(const struct guestmem *m, const void *ptr)
{
	uint64_t off;
	const struct guestmem_region *r = find_host(m, ptr, &off);

	return r ? r->uva + off : UINT64_MAX;
}

void *guestmem_ptr(const struct guestmem *m, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < m->nr_regions; i++) {
		const struct guestmem_region *r = &m->regions[i];
		uint64_t off = gpa - r->gpa;

		if (off < r->size && len <= r->size - off)
			return r->host + off;
	}
	return NULL;
}
