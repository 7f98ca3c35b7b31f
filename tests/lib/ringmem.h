/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake guest memory with one split ring in it, for unit tests and fuzzing. */
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
	unsigned size;
	struct ring_addr addr;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

/*
 * Memory, all zeroes, with a ring of @size entries.  Aborts on failure.  The
 * memmap's home is rm->home, or @home, whose loop another thread runs; then
 * rm_fini() does not let go of the memmap.
 */
void rm_init(struct ringmem *rm, unsigned size);
void rm_init_at(struct ringmem *rm, unsigned size, struct mailbox *home);
void rm_fini(struct ringmem *rm);

/* Place another ring of @size entries in the same memory, all zeroes. */
void rm_set_size(struct ringmem *rm, unsigned size);

/* Where guest address @gpa is in our own mapping. */
void *rm_at(const struct ringmem *rm, uint64_t gpa);

/* Where the code under test has it, or NULL. */
void *rm_host(const struct ringmem *rm, uint64_t gpa);

/* Write a descriptor of the ring, or of a table anywhere. */
void rm_desc(struct ringmem *rm, unsigned i, uint64_t addr, uint32_t len,
	     unsigned flags, unsigned next);
void rm_set_desc(void *at, uint64_t addr, uint32_t len, unsigned flags,
		 unsigned next);

/* Make @head available. */
void rm_avail(struct ringmem *rm, unsigned head);

/* Words behind the rings. */
__virtio16 *rm_used_event(struct ringmem *rm);
__virtio16 *rm_avail_event(struct ringmem *rm);

/* Run the loop until *@done, for 10 s at most; returns *@done. */
bool rm_wait(struct ringmem *rm, const bool *done);
