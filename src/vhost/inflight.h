/* SPDX-License-Identifier: BSD-2-Clause */
/* The shared record of requests in flight, from which a successor goes on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run/offload.h"
#include "vhost/mapping.h"
#include "vhost/vhost_user_spec.h"

/*
 * Theory of operation: requests in flight
 *
 * A ring does not tell which of its requests were taken and not answered.  So
 * that is noted in a region of memory that outlives us: the front-end's, if it
 * has one (SET_INFLIGHT_FD), else one of our own, of the same layout.  Each
 * queue has a part of it, with an entry for each descriptor of its ring.
 *
 * While a ring runs, what is true is in our own memory (struct inflight), and
 * the shared copy is written and never read: the front-end may change it at any
 * moment.  It is read when a ring starts, and not trusted then: it is copied,
 * the copy is checked, all walks are bounded, and if anything is wrong the
 * queue does not start, as nobody knows then what the guest waits for.
 *
 * What dies is the process, between two of its instructions.  The memory stays,
 * with all stores up to there and none from later on.  So all that has to be
 * kept is the order in which the program says what it does; a release store is
 * enough for that.  Each step is made of stores after any of which a successor
 * can tell what has happened: it finds each request that the guest waits for
 * exactly once, either in flight or in the ring still.  The same holds for the
 * stores with which the successor tidies up, should it die as well.
 *
 * A part is resumed by the first start of its queue after the front-end brought
 * the region.  In any later start the ring may be another one, and our own
 * region is nobody's before us: then the part is initialised.
 *
 * Requests found in flight are run again before anything new is taken, in the
 * order in which they were fetched.  Their marks stay until they are answered.
 *
 * Behind the parts of a region that we made is room for some bytes more: what
 * the device knows of its driver and no front-end says again.  Other back-ends
 * look at the parts alone.
 */
struct inflight_region;

/* As much as may be kept with a region. */
#define INFLIGHT_KEEP_MAX 32

/*
 * Make the memory of a region, sealed, with all parts unused.  Returns a
 * descriptor and sets *@size, or -errno.  Any thread.
 */
int inflight_make(unsigned nr_queues, unsigned queue_size, bool packed,
		  uint64_t *size);

/*
 * Map the region that @where describes, in @fd, which becomes the region's;
 * left to the caller on failure: -EINVAL (no queue, no size, too small for
 * them or far too large, misaligned, beyond the file), -EMEDIUMTYPE (no memory
 * file, and @files does not allow it), -ENOMEM or -errno of mmap.  @own is for
 * the facts.
 *
 * Home only, as all about regions.
 */
int inflight_region_new(struct inflight_region **out, int fd,
			const struct vhost_user_inflight *where, bool packed,
			enum mapping_files files, bool own);

/* No queue uses it.  An offload thread unmaps it.  Accepts NULL. */
void inflight_region_free(struct inflight_region *r);

struct inflight_region_facts {
	bool own; /* or the front-end's */
	unsigned nr_queues;
	unsigned queue_size;
	uint64_t size;
	int fd;
};

void inflight_region_facts(const struct inflight_region *r,
			   struct inflight_region_facts *f);

/*
 * Keep @len bytes with the region, in place of those before, if it is one that
 * we made; and what is kept there: how many bytes went to @buf, which has room
 * for INFLIGHT_KEEP_MAX.  A death in between leaves the old ones.
 */
void inflight_region_keep(struct inflight_region *r, const void *buf,
			  size_t len);
size_t inflight_region_kept(const struct inflight_region *r, void *buf);

/* One queue's part. */
struct inflight_part {
	void *host;	  /* NULL: there is none, and no ring starts with it */
	unsigned nr_desc; /* entries that it has room for */
	const struct guard *guard;
	bool resume; /* go on with what is in it */
};

/*
 * The part of queue @index, which is not to be resumed; its host is NULL when
 * the region has none, or is too small for rings of this format.
 */
struct inflight_part inflight_region_part(const struct inflight_region *r,
					  unsigned index, bool packed);

/* ---- one queue's part, while its ring runs ---- */

/* A request found in flight. */
struct inflight_found {
	uint64_t counter;
	uint16_t index; /* of its entry; split: its head */
	uint16_t first; /* packed: of its descriptors, in struct inflight */
};

/* A descriptor of a packed ring, in our byte order. */
struct inflight_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

/* How the entries of a packed ring hang together. */
struct inflight_link {
	uint16_t next; /* of the chain, or the next free one; size: none */
	uint16_t last; /* of the chain, in its first entry */
	uint16_t num;  /* of entries, there, too */
};

struct inflight {
	/* constant while the ring runs */
	unsigned size;
	bool is_resumed;
	const struct guard *guard;
	union {
		struct vhost_user_inflight_split *split;
		struct vhost_user_inflight_packed *packed;
	};

	/* found in flight, in the order in which they were fetched */
	struct inflight_found *found;
	unsigned nr_found;
	unsigned next_found;

	/* the owner's */
	uint64_t counter; /* of the next request */
	uint16_t *batch;  /* entries answered, but not published yet */
	unsigned nr_batch;

	/* split only */
	uint16_t last_batch_head;

	/* packed only */
	struct inflight_link *links;
	uint16_t free_head; /* size: none */
	uint16_t old_free_head;
	unsigned nr_free;
	uint16_t used_idx;
	uint16_t old_used_idx;
	bool used_wrap;
	bool old_used_wrap;
	uint16_t walk; /* entry of the next descriptor of a chain in the making
			*/
	uint16_t walk_last;
	uint16_t walk_num;
	struct inflight_desc *descs; /* of those found */

	/* why it was not started */
	char why[96];
};

/*
 * Make what a ring of @size descriptors needs.  Returns 0 or -ENOMEM.
 * inflight_fini() accepts half of it, zeroes and a second call.
 */
int inflight_init(struct inflight *f, unsigned size, bool packed);
void inflight_fini(struct inflight *f);

/*
 * The requests found in flight: is there one that has not been run again?
 * Take it, and put the last one back.  The owner only.
 */
static inline bool inflight_has_found(const struct inflight *f)
{
	return f->next_found < f->nr_found;
}

static inline const struct inflight_found *
inflight_take_found(struct inflight *f)
{
	return &f->found[f->next_found++];
}

static inline void inflight_untake_found(struct inflight *f)
{
	f->next_found--;
}

/* Was the memory taken away?  Any thread. */
static inline bool inflight_is_gone(const struct inflight *f)
{
	return f->guard && guard_is_gone(f->guard);
}

/* ---- what follows is for the two formats ---- */

/* Note why the part cannot be used.  Returns -EPROTO. */
__attribute__((format(printf, 2, 3))) int inflight_refuse(struct inflight *f,
							  const char *fmt, ...);

/*
 * Look at the part.  Returns 1 when there is something in it to go on with, 0
 * when it is to be initialised, or -EPROTO when it cannot be used.
 */
int inflight_begin(struct inflight *f, const struct inflight_part *p);

/* Sort what was found, and let new requests come behind it. */
void inflight_sort(struct inflight *f);

/*
 * A store to the shared memory that comes after all those before it: whoever
 * finds it finds those, too.  See the theory above.
 */
#define inflight_store(where, value) \
	__atomic_store_n((where), (value), __ATOMIC_RELEASE)
