/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake guest memory: memfd regions that a test shares with a target. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Given as the user address of a region: where the region is mapped here. */
#define GUESTMEM_UVA_HOST 0

struct guestmem_region {
	uint64_t gpa;
	uint64_t uva; /* what the front-end claims as its own address */
	uint64_t size;
	uint64_t fd_offset;
	int fd;
	uint8_t *host;
	uint64_t used; /* bytes that guestmem_alloc() gave away */
};

/*
 * Regions are found by their index; a pointer to one holds until the next
 * region is added.  One thread at a time.
 */
struct guestmem {
	struct guestmem_region *regions;
	unsigned nr_regions;
};

/* No regions yet. */
void guestmem_init(struct guestmem *m);

/* Unmaps and closes everything.  May be called again. */
void guestmem_fini(struct guestmem *m);

/*
 * Adds a region of zeroes in a memfd of its own.  @size is a multiple of the
 * page size.  Returns the index of the region or -errno.
 */
int guestmem_add(struct guestmem *m, uint64_t gpa, uint64_t uva, uint64_t size);

/* The same, from @fd_offset on of @fd, which stays the caller's. */
int guestmem_add_fd(struct guestmem *m, int fd, uint64_t fd_offset,
		    uint64_t gpa, uint64_t uva, uint64_t size);

/*
 * Takes @size bytes, aligned to @align (a power of two), from the first region
 * that has them.  They are never given back.  NULL when nothing is left.
 */
void *guestmem_alloc(struct guestmem *m, size_t size, size_t align);

/* The same, from one region. */
void *guestmem_alloc_in(struct guestmem *m, unsigned region, size_t size,
			size_t align);

/* The guest address of a byte of guest memory, UINT64_MAX of any other. */
uint64_t guestmem_gpa(const struct guestmem *m, const void *ptr);

/* The address that the front-end claims for it, UINT64_MAX of any other. */
uint64_t guestmem_uva(const struct guestmem *m, const void *ptr);

/* Where @len bytes from @gpa on lie, NULL if not wholly in one region. */
void *guestmem_ptr(const struct guestmem *m, uint64_t gpa, uint64_t len);
