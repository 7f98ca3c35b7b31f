/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: regions that a VMM shares, and addresses into them. */
#include "vhost/memmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "run/offload.h"
#include "vhost/guard.h"

/* One mapping, shared by the memmaps that hold it. */
struct memmap_region {
	unsigned refs;			/* memmaps; home only */
	struct mapping mapping;
	struct memmap_range range;
};

/* A region in one of the two orders of a memmap. */
struct place {
	uint64_t start;
	uint64_t size;
	unsigned char *host;
	struct memmap_region *region;
};

struct memmap {
	/* constant */
	struct mailbox *home;
	unsigned nr;
	struct place *by_gpa;		/* both sorted by start */
	struct place *by_uva;

	/* home only */
	unsigned users;
	void (*gone)(void *ctx);
	void *gone_ctx;
	struct offload_job job;
	unsigned nr_dead;		/* of by_gpa, to be unmapped */

	struct place places[];
};

bool memmap_is_gone(const struct memmap *m)
{
	for (unsigned i = 0; i < m->nr; i++) {
		if (guard_is_gone(m->by_gpa[i].region->mapping.guard))
			return true;
	}
	return false;
}

/* How many of @nr sorted places start at or below @addr. */
static unsigned rank(const struct place *p, unsigned nr, uint64_t addr)
{
	unsigned low = 0;

	while (low < nr) {
		unsigned mid = low + (nr - low) / 2;

		if (p[mid].start <= addr)
			low = mid + 1;
		else
			nr = mid;
	}
	return low;
}

int memmap_iov(const struct memmap *m, struct memmap_hint *h, uint64_t gpa,
	       uint64_t len, struct iovec *iov, unsigned max)
{
	unsigned i = rank(m->by_gpa, m->nr, gpa);
	unsigned n = 0;

	if (!len)
		return 0;
	if (!i--)
		return -EFAULT;
	for (;; i++) {
		const struct place *p = &m->by_gpa[i];

		/* No sum here can overflow: see check_range(). */
		if (i == m->nr || gpa < p->start || gpa - p->start >= p->size)
			return -EFAULT;
		if (n == max)
			return -E2BIG;

		uint64_t off = gpa - p->start;
		uint64_t part = MIN(len, p->size - off);

		iov[n].iov_base = p->host + off;
		iov[n++].iov_len = part;
		len -= part;
		if (h)
			*h = (struct memmap_hint){p->start, p->size, p->host};
		if (!len)
			return n;
		gpa += part;
	}
}

void *memmap_uva(const struct memmap *m, uint64_t uva, uint64_t len)
{
	unsigned i = rank(m->by_uva, m->nr, uva);

	if (!i)
		return NULL;

	const struct place *p = &m->by_uva[i - 1];
	uint64_t off = uva - p->start;

	if (off >= p->size || len > p->size - off)
		return NULL;
	return p->host + off;
}

/* A memmap with room for @nr regions, with none yet. */
static struct memmap *new_memmap(struct mailbox *home, unsigned nr)
{
	struct memmap *m = calloc(1, sizeof(*m) + 2 * nr * sizeof(*m->places));

	if (!m)
		return NULL;
	m->home = home;
	m->users = 1;
	m->by_gpa = m->places;
	m->by_uva = m->places + nr;
	return m;
}

int memmap_new(struct memmap **out, struct mailbox *home)
{
	*out = new_memmap(home, 0);
	return *out ? 0 : -ENOMEM;
}

static void insert(struct place *p, unsigned nr, uint64_t start,
		   struct memmap_region *r)
{
	unsigned i = rank(p, nr, start);

	memmove(&p[i + 1], &p[i], (nr - i) * sizeof(*p));
	p[i] = (struct place){ start, r->range.size, r->mapping.host, r };
}

/* @m becomes a holder of @r; there is room. */
static void hold_region(struct memmap *m, struct memmap_region *r)
{
	insert(m->by_gpa, m->nr, r->range.gpa, r);
	insert(m->by_uva, m->nr, r->range.uva, r);
	m->nr++;
	r->refs++;
}

/* A copy of @old with room for @room regions, without @skip. */
static struct memmap *copy_memmap(const struct memmap *old, unsigned room,
				  const struct memmap_region *skip)
{
	struct memmap *m = new_memmap(old->home, room);

	for (unsigned i = 0; m && i < old->nr; i++) {
		if (old->by_gpa[i].region != skip)
			hold_region(m, old->by_gpa[i].region);
	}
	return m;
}

/* Is there any of @size bytes from @start in the @nr sorted places? */
static bool overlaps(const struct place *p, unsigned nr, uint64_t start,
		     uint64_t size)
{
	unsigned i = rank(p, nr, start);

	return (i && start - p[i - 1].start < p[i - 1].size) ||
	       (i < nr && p[i].start - start < size);
}

static int check_range(const struct memmap *old,
		       const struct memmap_range *r)
{
	uint64_t end;

	if (!r->size || __builtin_add_overflow(r->gpa, r->size, &end) ||
	    __builtin_add_overflow(r->uva, r->size, &end) ||
	    __builtin_add_overflow(r->offset, r->size, &end))
		return -EINVAL;
	if (overlaps(old->by_gpa, old->nr, r->gpa, r->size) ||
	    overlaps(old->by_uva, old->nr, r->uva, r->size))
		return -EEXIST;
	return old->nr == MEMMAP_MAX_REGIONS ? -ENOSPC : 0;
}

/* Accepts half a region.  May take long. */
static void free_region(struct memmap_region *r)
{
	mapping_close(&r->mapping);
	free(r);
}

static int new_region(struct memmap_region **out,
		      const struct memmap_range *range, int fd,
		      enum mapping_files files)
{
	struct memmap_region *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->range = *range;
	err = mapping_open(&r->mapping, fd, range->offset, range->size, files);
	if (err)
		free_region(r);
	else
		*out = r;
	return err;
}

static int add_region(struct memmap **out, const struct memmap *old,
		      const struct memmap_range *range, int fd,
		      enum mapping_files files)
{
	struct memmap_region *r;
	int err = check_range(old, range);

	if (!err)
		err = new_region(&r, range, fd, files);
	if (err)
		return err;

	struct memmap *m = copy_memmap(old, old->nr + 1, NULL);

	if (!m) {
		free_region(r);
		return -ENOMEM;
	}
	hold_region(m, r);
	*out = m;
	return 0;
}

int memmap_add(struct memmap **out, const struct memmap *old,
	       const struct memmap_range *range, int fd,
	       enum mapping_files files)
{
	int err = add_region(out, old, range, fd, files);

	offload_close(fd);
	return err;
}

int memmap_remove(struct memmap **out, const struct memmap *old,
		  const struct memmap_range *range)
{
	unsigned i = rank(old->by_gpa, old->nr, range->gpa);
	struct memmap_region *r = i ? old->by_gpa[i - 1].region : NULL;

	if (!r || r->range.gpa != range->gpa || r->range.uva != range->uva ||
	    r->range.size != range->size)
		return -ENOENT;
	*out = copy_memmap(old, old->nr - 1, r);
	return *out ? 0 : -ENOMEM;
}

struct memmap *memmap_get(struct memmap *m)
{
	m->users++;
	return m;
}

/* Offload. */
static void unmap_dead(struct offload_job *j)
{
	struct memmap *m = container_of(j, struct memmap, job);

	for (unsigned i = 0; i < m->nr_dead; i++)
		free_region(m->by_gpa[i].region);
}

static void finish(struct offload_job *j)
{
	struct memmap *m = container_of(j, struct memmap, job);

	if (m->gone)
		m->gone(m->gone_ctx);
	free(m);
}

void memmap_put(struct memmap *m)
{
	if (!m || --m->users)
		return;

	/* The ones that nobody else holds move to the front. */
	for (unsigned i = 0; i < m->nr; i++) {
		if (!--m->by_gpa[i].region->refs)
			m->by_gpa[m->nr_dead++] = m->by_gpa[i];
	}
	if (!m->nr_dead && !m->gone) {
		free(m);
		return;
	}
	/* With none dead, too: gone() never comes inside this call. */
	offload_run(&m->job, unmap_dead, finish, m->home);
}

void memmap_on_gone(struct memmap *m, void (*gone)(void *ctx), void *ctx)
{
	m->gone = gone;
	m->gone_ctx = ctx;
}

/* Home. */
static void deliver_end(struct mail *m)
{
	struct memmap_use *u = container_of(m, struct memmap_use, mail);

	memmap_put(u->map);
	free(u);
}

struct memmap_use *memmap_use_new(struct memmap *m)
{
	struct memmap_use *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->mail.deliver = deliver_end;
	u->map = memmap_get(m);
	return u;
}

void memmap_use_end(struct memmap_use *u)
{
	mailbox_post(u->map->home, &u->mail);
}

unsigned memmap_nr_regions(const struct memmap *m)
{
	return m->nr;
}

uint64_t memmap_bytes(const struct memmap *m)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < m->nr; i++)
		bytes += m->by_gpa[i].size;
	return bytes;
}

void memmap_region_facts(const struct memmap *m, unsigned i,
			 struct memmap_region_facts *f)
{
	const struct memmap_region *r = m->by_gpa[i].region;

	f->gpa = r->range.gpa;
	f->size = r->range.size;
	f->page = r->mapping.page;
}

void memmap_region_range(const struct memmap *m, unsigned i,
			 struct memmap_range *range)
{
	*range = m->by_gpa[i].region->range;
}

struct iovec memmap_region_memory(const struct memmap *m, unsigned i)
{
	return (struct iovec){m->by_gpa[i].host, m->by_gpa[i].size};
}
