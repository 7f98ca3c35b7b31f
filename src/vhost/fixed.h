/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory that a worker's rings have pinned, for targets that want it. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "run/offload.h"
#include "run/worker.h"
#include "vhost/memmap.h"

/*
 * Theory of operation: fixed memory
 *
 * For each read and write the kernel finds and pins the pages that it moves
 * data to or from, unless they lie in memory that was pinned beforehand.  That
 * memory then stays as it is: pages that a guest gives back, and gets others
 * for, are not what the kernel goes on using.  So this is for targets whose
 * guests do no such thing, which only their administrator knows.
 *
 * Each worker that has queues of a target pins the memory for itself, and for
 * all of these queues together.  A region that several memmaps share is pinned
 * once, and as long as one of them is in use here.
 *
 * No neighbour on the worker may be held up by it.  So memory is pinned in
 * pieces, one after the other.  An offload thread has the kernel find the pages
 * of a piece, or make them, which can take long; then the worker pins them,
 * which does not.  Meanwhile, and where memory cannot be pinned, requests go
 * their plain way, as do those that do not lie in one piece.  What is over is
 * let go in pieces, too, one in a turn, and before anything new is pinned, as
 * both together may be more than the limits allow.
 *
 * The memory that a thread works on stays mapped: the use of a memmap whose end
 * would change that ends when the thread is back.
 */
#define FIXED_PIECE ((size_t)32 << 20)

struct fixed_area;

/* What a target's queues on one worker have pinned.  Embedded. */
struct fixed {
	/* constant */
	struct worker *worker;
	const char *tag;

	/* worker only */
	struct list areas;	/* in use */
	struct list dropped;	/* to be let go */
	struct list waiters;	/* of turn_item.link, until that is done */
	struct turn_item drop;
	struct fixed_area *busy; /* has a thread, which works on piece */
	struct memmap_use *held; /* ends when that is back */
	uint64_t bytes;		/* pinned, of areas in use */
	char why[128];		/* there will be no more, or "" */

	/* the thread's, while there is one */
	struct offload_job job;
	struct iovec piece;
	int result;
};

/*
 * Nothing is pinned.  @tag is the target's, and outlives @f, as @w does.
 * Whoever owns @f; from the first fixed_begin() on that is the worker, until
 * fixed_wait() has let an item run.
 */
void fixed_init(struct fixed *f, struct worker *w, const char *tag);

/*
 * Have the memory of @u pinned, by and by.  Without memory for it, or beyond
 * the limits, that is given up, once logged, and plain requests are made.
 *
 * fixed_end() takes the place of memmap_use_end().  Worker only, as all that
 * follow.
 */
void fixed_begin(struct fixed *f, struct memmap_use *u);
void fixed_end(struct fixed *f, struct memmap_use *u);

/*
 * The place of the fixed buffer that all @nr iovecs lie in, which are memory of
 * @u and not empty; -1 when there is none, or none that the kernel can use for
 * so many.
 */
int fixed_find(const struct memmap_use *u, const struct iovec *iov,
	       unsigned nr);

/* Have @item run in TURN_DONE when nothing is left that is to be let go. */
void fixed_wait(struct fixed *f, struct turn_item *item);
