/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory that a worker's rings have pinned, for targets that want it. */
#include "vhost/fixed.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

/* A region on one worker. */
struct fixed_area {
	struct list link;	/* in fixed.areas, or fixed.dropped */
	unsigned users;		/* memmaps in use */
	unsigned char *host;
	size_t size;
	unsigned nr;		/* pieces */
	unsigned nr_pinned;	/* the first ones */
	int places[];		/* of these */
};

/* The areas of one memmap, by address. */
struct fixed_map {
	unsigned nr;
	struct fixed_area *areas[];
};

static struct iovec piece_of(const struct fixed_area *a, unsigned i)
{
	size_t off = i * FIXED_PIECE;

	return (struct iovec){a->host + off, MIN(FIXED_PIECE, a->size - off)};
}

/* -- letting go ------------------------------------------------------------ */

static void pin_next(struct fixed *f);

/* Is nothing left of areas that nobody uses? */
static bool is_dropped(const struct fixed *f)
{
	return list_empty(&f->dropped) && (!f->busy || f->busy->users);
}

static void drop_area(struct fixed *f, struct fixed_area *a)
{
	list_add_tail(&f->dropped, &a->link);
	worker_add(f->worker, TURN_END, &f->drop);
}

static void go_on(struct fixed *f)
{
	struct list *l;

	while (is_dropped(f) && (l = list_pop(&f->waiters)))
		worker_add(f->worker, TURN_DONE,
			   list_entry(l, struct turn_item, link));
	pin_next(f);
}

static void drop_next(struct turn_item *item)
{
	struct fixed *f = container_of(item, struct fixed, drop);
	struct fixed_area *a =
		list_entry(f->dropped.next, struct fixed_area, link);

	if (a->nr_pinned)
		worker_drop_buffer(f->worker, a->places[--a->nr_pinned]);
	if (!a->nr_pinned) {
		list_del(&a->link);
		free(a);
	}
	if (list_empty(&f->dropped))
		go_on(f);
	else
		worker_add(f->worker, TURN_END, item);
}

void fixed_wait(struct fixed *f, struct turn_item *item)
{
	list_add_tail(&f->waiters, &item->link);
	go_on(f);
}

/* -- pinning --------------------------------------------------------------- */

static void give_up(struct fixed *f, const char *why)
{
	snprintf(f->why, sizeof(f->why), "%s", why);
	log_event(LOG_MEMORY_NOT_FIXED, f->tag,
		  "goes on without fixed buffers worker=%u bytes=%llu: %s",
		  worker_id(f->worker), (unsigned long long)f->bytes, f->why);
}

static const char *explain_pin(int err)
{
	switch (-err) {
	case ENOMEM:
		return "raise LimitMEMLOCK of the service to the memory of "
		       "its guests, for each worker that serves them";
	case ENFILE:
		return "a worker cannot have more";
	default:
		return strerror(-err);
	}
}

static void pin(struct fixed *f, struct fixed_area *a)
{
	int ret = f->result;

	if (ret < 0) {
		give_up(f, ret == -ENOMEM ? "no memory for all of the guest's"
					  : strerror(-ret));
		return;
	}
	ret = worker_add_buffer(f->worker, f->piece.iov_base, f->piece.iov_len);
	if (ret < 0) {
		give_up(f, explain_pin(ret));
		return;
	}
	a->places[a->nr_pinned++] = ret;
	f->bytes += f->piece.iov_len;
}

/* Offload: have the kernel find the pages, without touching what is there. */
static void find_pages(struct offload_job *j)
{
	struct fixed *f = container_of(j, struct fixed, job);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t base = (uintptr_t)f->piece.iov_base;
	uintptr_t start = align_down(base, page);
	size_t len = base + f->piece.iov_len - start;

	f->result = madvise((void *)start, len, MADV_POPULATE_WRITE) ? -errno
								     : 0;
}

static void pages_found(struct offload_job *j)
{
	struct fixed *f = container_of(j, struct fixed, job);
	struct fixed_area *a = f->busy;

	f->busy = NULL;
	if (!a->users)
		drop_area(f, a);
	else if (is_dropped(f))
		pin(f, a);
	if (f->held)
		memmap_use_end(f->held);
	f->held = NULL;
	pin_next(f);
}

static void pin_next(struct fixed *f)
{
	struct list *l;

	if (f->busy || f->why[0] || !is_dropped(f))
		return;
	list_for_each(l, &f->areas)
	{
		struct fixed_area *a = list_entry(l, struct fixed_area, link);

		if (a->nr_pinned == a->nr)
			continue;
		f->busy = a;
		f->piece = piece_of(a, a->nr_pinned);
		offload_run(&f->job, find_pages, pages_found,
			    worker_mailbox(f->worker));
		return;
	}
}

/* -- what is in use -------------------------------------------------------- */

void fixed_init(struct fixed *f, struct worker *w, const char *tag)
{
	*f = (struct fixed){.worker = w, .tag = tag};
	list_init(&f->areas);
	list_init(&f->dropped);
	list_init(&f->waiters);
	turn_item_init(&f->drop, drop_next);
}

static struct fixed_area *new_area(struct fixed *f, const struct iovec *memory)
{
	size_t nr = (memory->iov_len + FIXED_PIECE - 1) / FIXED_PIECE;
	struct fixed_area *a = malloc(sizeof(*a) + nr * sizeof(a->places[0]));

	if (!a)
		return NULL;
	*a = (struct fixed_area){
		.host = memory->iov_base,
		.size = memory->iov_len,
		.nr = (unsigned)nr,
	};
	list_add_tail(&f->areas, &a->link);
	return a;
}

/* The one that is there, or another. */
static struct fixed_area *get_area(struct fixed *f, const struct iovec *memory)
{
	struct list *l;

	list_for_each(l, &f->areas)
	{
		struct fixed_area *a = list_entry(l, struct fixed_area, link);

		if (a->host == memory->iov_base && a->size == memory->iov_len)
			return a;
	}
	return new_area(f, memory);
}

static void insert(struct fixed_map *m, struct fixed_area *a)
{
	unsigned i = m->nr++;

	for (; i && m->areas[i - 1]->host > a->host; i--)
		m->areas[i] = m->areas[i - 1];
	m->areas[i] = a;
	a->users++;
}

/* What there is no memory for is left out. */
static void fill_map(struct fixed *f, struct fixed_map *m,
		     const struct memmap *map)
{
	for (unsigned i = 0; i < memmap_nr_regions(map); i++) {
		const struct iovec memory = memmap_region_memory(map, i);
		struct fixed_area *a = get_area(f, &memory);

		if (a)
			insert(m, a);
	}
}

void fixed_begin(struct fixed *f, struct memmap_use *u)
{
	size_t nr = memmap_nr_regions(u->map);

	if (list_empty(&f->areas))
		f->why[0] = '\0';
	u->fixed = malloc(sizeof(*u->fixed) + nr * sizeof(u->fixed->areas[0]));
	if (!u->fixed)
		return;
	u->fixed->nr = 0;
	fill_map(f, u->fixed, u->map);
	pin_next(f);
}

/* Nobody uses it.  Returns false while a thread does. */
static bool end_area(struct fixed *f, struct fixed_area *a)
{
	for (unsigned i = 0; i < a->nr_pinned; i++)
		f->bytes -= piece_of(a, i).iov_len;
	list_del(&a->link);
	if (a == f->busy)
		return false;
	drop_area(f, a);
	return true;
}

void fixed_end(struct fixed *f, struct memmap_use *u)
{
	struct fixed_map *m = u->fixed;
	bool is_over = true;

	for (unsigned i = 0; m && i < m->nr; i++)
		if (!--m->areas[i]->users && !end_area(f, m->areas[i]))
			is_over = false;
	free(m);
	u->fixed = NULL;
	if (is_over) {
		memmap_use_end(u);
		return;
	}
	assert(!f->held);
	f->held = u;
}

/* -- looking --------------------------------------------------------------- */

static const struct fixed_area *find_area(const struct fixed_map *m,
					  const void *addr)
{
	unsigned low = 0, high = m->nr;

	/* The last one that does not begin behind it. */
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if ((uintptr_t)m->areas[mid]->host <= (uintptr_t)addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? m->areas[low - 1] : NULL;
}

static bool is_within(const struct iovec *whole, const struct iovec *part)
{
	size_t off = (uintptr_t)part->iov_base - (uintptr_t)whole->iov_base;

	return off < whole->iov_len && part->iov_len <= whole->iov_len - off;
}

int fixed_find(const struct memmap_use *u, const struct iovec *iov, unsigned nr)
{
	const struct fixed_area *a;
	struct iovec piece;
	size_t i;

	a = u->fixed ? find_area(u->fixed, iov->iov_base) : NULL;
	if (!a || (nr > 1 && !uring_has_op(URING_OP_READV_FIXED)))
		return -1;
	i = ((uintptr_t)iov->iov_base - (uintptr_t)a->host) / FIXED_PIECE;
	if (i >= a->nr_pinned)
		return -1;
	piece = piece_of(a, (unsigned)i);
	for (unsigned n = 0; n < nr; n++)
		if (!is_within(&piece, &iov[n]))
			return -1;
	return a->places[i];
}
