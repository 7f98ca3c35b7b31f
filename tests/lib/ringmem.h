/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake guest memory with one ring in it, for unit tests and fuzzing. */
#pragma once

#include <linux/virtio_ring.h>
#include <stdint.h>

#include "vhost/memmap.h"
#include "vhost/ring.h"

/*
 * Guest memory.  The ring has a region of its own, A.  B and C are neighbours
 * for the guest, but not here.  Behind C is a hole, then comes D.
 */
#define RM_A	      0x100000u
#define RM_A_SIZE     0x100000u
#define RM_B	      0x300000u
#define RM_C	      0x310000u
#define RM_D	      0x400000u
#define RM_DATA_SIZE  0x10000u
#define RM_UVA	      0x7f0000000000ull /* VMM address less guest address */

struct ringmem {
	struct ev_loop *loop;
	struct mailbox home;
	bool is_elsewhere;
	int fd;				/* the memory file */
	unsigned char *mem;		/* our own mapping of it */
	struct memmap *map;

	/* the driver's side of the ring */
	bool is_packed;
	unsigned size;
	struct ring_addr addr;
	struct vring_desc *desc;	/* packed: notes, see rm_desc() */

	/* split, else NULL */
	struct vring_avail *avail;
	struct vring_used *used;

	/* packed, else NULL */
	struct vring_packed_desc *packed;
	struct vring_packed_desc_event *driver;
	struct vring_packed_desc_event *device;
	struct ring_pos next_avail;
	struct ring_pos next_used;
	uint16_t last_nr_desc;		/* of the chain made available last */
	uint16_t nr_used;		/* answers seen */
	uint16_t *nr_desc;		/* of the chain in flight, by its id */
	struct vring_used_elem *answers;
};

/*
 * Memory, all zeroes, with a ring of @size entries.  Aborts on failure.  The
 * memmap's home is rm->home, or @home, whose loop another thread runs; then
 * rm_fini() does not let go of the memmap.
 */
void rm_init(struct ringmem *rm, bool packed, unsigned size);
void rm_init_at(struct ringmem *rm, bool packed, unsigned size,
		struct mailbox *home);
void rm_fini(struct ringmem *rm);

/* Place another ring of @size entries in the same memory, all zeroes. */
void rm_place(struct ringmem *rm, bool packed, unsigned size);

/* The driver is at @base, as in SET_VRING_BASE, with nothing in flight. */
void rm_begin(struct ringmem *rm, uint16_t base);

/* Where guest address @gpa is in our own mapping. */
void *rm_at(const struct ringmem *rm, uint64_t gpa);

/* Where the code under test has it, or NULL. */
void *rm_host(const struct ringmem *rm, uint64_t gpa);

/*
 * Write descriptor @i.  In a packed ring descriptors have no fixed places:
 * there it is our own note, which rm_avail() copies to where the ring has come
 * to.
 */
void rm_desc(struct ringmem *rm, unsigned i, uint64_t addr, uint32_t len,
	     unsigned flags, unsigned next);

/*
 * Make the chain that begins with descriptor @head available.  It need not
 * exist.  In a packed ring @head is its id, too.
 */
void rm_avail(struct ringmem *rm, unsigned head);

/* A buffer: NEXT, and where that is, is added by what takes several. */
struct rm_buf {
	uint64_t addr;
	uint32_t len;
	unsigned flags;
};

/* Both: a chain of @n buffers, whose descriptors are @head and those behind. */
void rm_chain(struct ringmem *rm, unsigned head, const struct rm_buf *bufs,
	      unsigned n);

/* An indirect table at guest address @gpa, in the ring's format. */
void rm_table(struct ringmem *rm, uint64_t gpa, const struct rm_buf *bufs,
	      unsigned n);

/* A descriptor of a split ring, or of a table, anywhere. */
void rm_set_desc(void *at, uint64_t addr, uint32_t len, unsigned flags,
		 unsigned next);

/*
 * How many answers the driver has seen, modulo 2^16: in a split ring the used
 * index, in a packed one those since it began.  And answer number @i.  Aborts
 * when a packed ring answers what is not in flight.
 */
uint16_t rm_nr_used(struct ringmem *rm);
struct vring_used_elem rm_used(struct ringmem *rm, unsigned i);

/*
 * Calls: wanted or not; or, with event indices, after answer number @n, where
 * all chains have one descriptor.
 */
void rm_want_calls(struct ringmem *rm, bool wanted);
void rm_want_call_at(struct ringmem *rm, unsigned n);

/* Did the device say that no kicks are needed, as far as it can? */
bool rm_is_disarmed(const struct ringmem *rm);

/* Does it want one for the chain that was made available last? */
bool rm_wants_kick(const struct ringmem *rm, bool event_idx);

/* Does it want one for the chain that will be? */
bool rm_wants_next_kick(const struct ringmem *rm, bool event_idx);

/* Words behind the parts of a split ring. */
__virtio16 *rm_used_event(struct ringmem *rm);
__virtio16 *rm_avail_event(struct ringmem *rm);

/* Run the loop until *@done, for 10 s at most; returns *@done. */
bool rm_wait(struct ringmem *rm, const bool *done);
