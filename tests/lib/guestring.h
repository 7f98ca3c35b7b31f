/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a virtqueue, as a guest kernel would run it. */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "guestmem.h"

/*
 * Theory of operation
 *
 * A buffer is what the driver hands to the device: a chain of segments.  It
 * has an id, by which the device gives it back.
 *
 *	prepare --fill--> filled --post--> with the device --pop--> filled
 *
 * A load generator prepares a buffer once and posts it again and again, which
 * costs one store in the ring.  A test uses guestring_add(), which does all
 * three steps and lets guestring_pop() release the buffer.
 *
 * Posted buffers are seen by the device only after guestring_publish().  Split
 * and packed rings are used alike.
 *
 * The descriptors of a buffer are linked by our own notes, and its id is the
 * first of them.  In a split ring they are the ring's own.  In a packed ring
 * they are kept in @shadow, and posting copies them to where the ring has come
 * to.  So both have room for a buffer on the same terms.
 *
 * The ring itself is public: a test that wants to break the rules writes there
 * what it likes, and announces it with guestring_post_raw() or
 * guestring_post_raw_packed().
 */

/* Addresses are guest addresses, and may be wrong on purpose. */
struct guestring_seg {
	uint64_t gpa;
	uint32_t len;
	bool device_writes;
};

struct guestring_params {
	unsigned size;
	bool packed;
	bool indirect; /* chains of two and more go in a table */
	bool event_idx;
	unsigned indirect_max; /* descriptors of a table; 0: 16 */
};

struct guestring_used {
	unsigned id;
	uint32_t len; /* bytes that the device says it has written */
	void *token;
};

struct guestring_buf {
	void *token;
	uint16_t capacity;     /* descriptors of the ring that it owns */
	bool owned;	       /* prepared and not released */
	bool posted;	       /* with the device */
	bool once;	       /* released when it comes back */
	uint16_t posted_descs; /* of a packed ring */
};

/* A place in a packed ring, which begins at 0 with @wrap set. */
struct guestring_pos {
	uint16_t idx;
	bool wrap;
};

struct guestring {
	/* constant after init */
	struct guestmem *mem;
	unsigned size;
	bool packed;
	bool indirect;
	bool event_idx;
	unsigned indirect_max;
	uint8_t *tables; /* one table for each id */

	/* in guest memory: either of these */
	struct vring vring;
	struct {
		struct vring_packed_desc *desc;
		struct vring_packed_desc_event *driver_event;
		struct vring_packed_desc_event *device_event;
	} pvring;

	/* where we are */
	unsigned in_flight;
	/* in a split ring */
	uint16_t avail_idx;	/* next to post */
	uint16_t published_idx; /* what the device was told */
	uint16_t used_idx;	/* next to pop */
	/* in a packed ring */
	struct guestring_pos next_avail;
	struct guestring_pos next_used;
	uint16_t nr_unpublished; /* descriptors */
	uint16_t first_unpublished;
	uint16_t first_flags; /* which that one gets when published */

	/* our own notes, which no device can spoil */
	struct vring_desc *shadow;  /* of a packed ring */
	struct guestring_buf *bufs; /* by id */
	uint16_t *link;		    /* next descriptor, of a buffer or free */
	uint16_t free_head;
	unsigned nr_free;
};

/*
 * Makes a ring in @mem, which must outlive it.  @p->size is at most 32768, and
 * in a split ring a power of two.  Returns 0, -EINVAL or -ENOMEM.
 */
int guestring_init(struct guestring *r, struct guestmem *mem,
		   const struct guestring_params *p);

/* Frees the notes; guest memory stays with its owner.  Accepts a zeroed one. */
void guestring_fini(struct guestring *r);

/*
 * Starts anew at index 0 with an empty ring.  Prepared buffers stay as they
 * are, with nothing posted; those of guestring_add() are released.
 */
void guestring_reset(struct guestring *r);

/* What SET_VRING_BASE says of a ring where nothing is in flight. */
uint32_t guestring_base(const struct guestring *r);

/* The three parts of the ring, in the order of SET_VRING_ADDR. */
void guestring_areas(const struct guestring *r, const void **desc,
		     const void **device, const void **driver);

/*
 * Takes a buffer for up to @nr_segs segments.  Returns its id, -ENOSPC when the
 * ring has no room or -E2BIG when no table can be so long.
 */
int guestring_prepare(struct guestring *r, unsigned nr_segs);

/* Says what @id consists of.  Not while it is with the device. */
int guestring_fill(struct guestring *r, unsigned id,
		   const struct guestring_seg *segs, unsigned nr_segs);

/* Gives @id to the device with the next publish; the token comes back. */
void guestring_post(struct guestring *r, unsigned id, void *token);

/* Puts @head in a split ring as it is, whatever it may be. */
void guestring_post_raw(struct guestring *r, uint16_t head);

/*
 * Puts @n descriptors in a packed ring as they are, but for the two bits that
 * make them available.
 */
void guestring_post_raw_packed(struct guestring *r,
			       const struct vring_packed_desc *descs,
			       unsigned n);

/* Gives a buffer's descriptors back. */
void guestring_release(struct guestring *r, unsigned id);

/* Prepare, fill and post.  Returns the id or -errno. */
int guestring_add(struct guestring *r, const struct guestring_seg *segs,
		  unsigned nr_segs, void *token);

/*
 * Lets the device see what was posted.  Returns true if it wants a kick.
 */
bool guestring_publish(struct guestring *r);

/*
 * Takes one used buffer.  Returns 1 and fills @u, 0 when there is none, or
 * -EPROTO when the device returned what it never had.
 */
int guestring_pop(struct guestring *r, struct guestring_used *u);

/*
 * Asks the device for a call after the next used buffer.  Returns true if
 * there is one already: then pop first, as no call may come for it.
 */
bool guestring_arm(struct guestring *r);

/* Asks for no calls.  Some may come all the same. */
void guestring_disarm(struct guestring *r);
