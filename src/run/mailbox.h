/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages from any thread to the thread that runs a libev loop. */
#pragma once

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * A message: embedded in the object it is about, so posting never allocates
 * and never fails.  It is the poster's until posted, the receiver's from its
 * deliver() on.  It must not be posted again before it was delivered.
 */
struct mail {
	struct mail *next;
	void (*deliver)(struct mail *m);
};

struct mailbox {
	_Atomic(struct mail *) head;	/* newest first */
	struct ev_loop *loop;
	struct ev_io io;		/* of an eventfd, or of -1 */
};

/*
 * Returns 0 or -errno.  The loop's thread, or before that thread runs.
 */
int mailbox_init(struct mailbox *b, struct ev_loop *loop);

/*
 * The loop's thread.  What was not delivered is delivered now.  Accepts one
 * whose init failed.
 */
void mailbox_fini(struct mailbox *b);

/*
 * Have @m delivered on the loop's thread.  Messages of one poster arrive in
 * the order of posting.
 *
 * Any thread.
 */
void mailbox_post(struct mailbox *b, struct mail *m);

/* Deliver what is there; true when there was any.  The loop's thread. */
bool mailbox_deliver(struct mailbox *b);

/* One relaxed load, for a spinning loop.  The loop's thread. */
static inline bool mailbox_has_mail(struct mailbox *b)
{
	return atomic_load_explicit(&b->head, memory_order_relaxed) != NULL;
}
