/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: regions that a VMM shares, and addresses into them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "run/mailbox.h"
#include "vhost/mapping.h"

/*
 * Theory of operation: guest memory
 *
 * A region is one mapping of a descriptor that the VMM sent.  A memmap is a
 * set of regions, sorted by guest physical address.  It never changes: adding
 * or removing a region makes a new memmap that shares the regions that stay.
 *
 * The session counts who uses a memmap, on its home thread only.  A queue that
 * is given a new memmap keeps the old one until the last request taken under
 * it is done and then sends it back by mail.  When the last user lets go, the
 * regions that no other memmap holds are unmapped, by an offload thread, and
 * then the session's gone() is called.  So nothing is ever unmapped under a
 * request, and no thread waits.
 *
 * What a guest can do to mapped memory besides changing it at any moment is to
 * take it away: see guard.h.  The worker breaks the queue at the end of its
 * turn.  The kernel's own accesses return EFAULT and become failed requests.
 */
#define MEMMAP_MAX_REGIONS 512

struct fixed_map;
struct memmap;
struct memmap_region;

struct memmap_range {
	uint64_t gpa;		/* guest physical address */
	uint64_t size;		/* bytes, not 0 */
	uint64_t uva;		/* address in the VMM */
	uint64_t offset;	/* in the descriptor */
};

/*
 * An empty memmap, with one user.  @home is where the session lives.  Returns
 * 0 or -ENOMEM.  Home only, as is all that follows but the lookups.
 */
int memmap_new(struct memmap **out, struct mailbox *home);

/*
 * A copy of @old with one more region, which is mapped from @fd; @fd is
 * consumed, closed by an offload thread, whatever happens.  A file that is no
 * memory file is refused with -EMEDIUMTYPE unless @files allows it.
 *
 * Returns 0, -EINVAL (size 0, overflow, beyond the file), -EEXIST (overlaps a
 * region by guest or VMM address), -ENOSPC (MEMMAP_MAX_REGIONS), or -errno of
 * mmap.
 */
int memmap_add(struct memmap **out, const struct memmap *old,
	       const struct memmap_range *range, int fd,
	       enum mapping_files files);

/*
 * A copy of @old without the region that has this gpa, uva and size; the
 * offset is not looked at.  Returns 0, -ENOENT or -ENOMEM.
 */
int memmap_remove(struct memmap **out, const struct memmap *old,
		  const struct memmap_range *range);

/*
 * One user more; one less.  When the last one goes, gone(@ctx), as given to
 * memmap_on_gone(), is called on the home thread after the unmapping.
 * memmap_put() accepts NULL.
 */
struct memmap *memmap_get(struct memmap *m);
void memmap_put(struct memmap *m);
void memmap_on_gone(struct memmap *m, void (*gone)(void *ctx), void *ctx);

/*
 * A memmap as one queue uses it, on the queue's own thread, where it counts the
 * requests that hold pointers into it.
 */
struct memmap_use {
	struct mail mail;
	struct memmap *map;
	unsigned in_flight;
	struct fixed_map *fixed;	/* see fixed.h; NULL: nothing is */
};

/*
 * Become a user, or NULL without memory; home only.  Be one no more: any
 * thread, the home is told by mail.
 */
struct memmap_use *memmap_use_new(struct memmap *m);
void memmap_use_end(struct memmap_use *u);

/* How many regions, and bytes in them. */
unsigned memmap_nr_regions(const struct memmap *m);
uint64_t memmap_bytes(const struct memmap *m);

struct memmap_region_facts {
	uint64_t gpa;
	uint64_t size;
	uint64_t page; /* bytes; more than the machine's: huge pages */
};

/*
 * Of region @i, in the order of their guest physical addresses; and the range
 * that memmap_add() was given.
 */
void memmap_region_facts(const struct memmap *m, unsigned i,
			 struct memmap_region_facts *f);
void memmap_region_range(const struct memmap *m, unsigned i,
			 struct memmap_range *range);

/* Where region @i is here.  Any thread that holds the memmap. */
struct iovec memmap_region_memory(const struct memmap *m, unsigned i);

/*
 * Where the last lookup ended: the next one mostly wants the same region.  Good
 * for one memmap; a zeroed one knows nothing.
 */
struct memmap_hint {
	uint64_t gpa;
	uint64_t size;
	unsigned char *host;
};

/*
 * Guest memory of @len bytes at guest physical address @gpa, as at most @max
 * iovecs: more than one only where it crosses from one region to the next.
 * Returns their number, -EFAULT when any byte is in no region, or -E2BIG.
 * @len 0 gives 0.  @h, unless NULL, is where it ended.
 *
 * Any thread that holds the memmap; the hint is its own.
 */
int memmap_iov(const struct memmap *m, struct memmap_hint *h, uint64_t gpa,
	       uint64_t len, struct iovec *iov, unsigned max);

/*
 * The same where it ended the last time, whole, or NULL: ask memmap_iov().
 */
static inline void *memmap_near(const struct memmap_hint *h, uint64_t gpa,
				uint64_t len)
{
	uint64_t off = gpa - h->gpa;

	return off < h->size && len <= h->size - off ? h->host + off : NULL;
}

/*
 * Memory at @len bytes from VMM address @uva, contiguous here, or NULL.
 *
 * Any thread that holds the memmap.
 */
void *memmap_uva(const struct memmap *m, uint64_t uva, uint64_t len);

/*
 * Was a region of @m taken away?  To be asked when guard_faults() has grown.
 * Any thread.
 */
bool memmap_is_gone(const struct memmap *m);
