/* SPDX-License-Identifier: BSD-2-Clause */
/* Look how large storage is now. */
#pragma once

#include "backend/backend.h"

/*
 * Theory of operation: looks
 *
 * To look is to ask the storage, which may never answer, so an offload thread
 * does it.  Of one backend one look is under way at a time.  Who asks meanwhile
 * waits for the next, as that one may have seen the size before it changed; all
 * who wait share the next.  So storage that is dead keeps one thread however
 * often it is looked at, and LOOK_THREADS are kept by looks of all backends.
 */
#define LOOK_THREADS 8

/* Who wants to know.  Embedded; it stays until done() was called. */
struct look {
	/* for done() */
	int ret;	/* 0 or -errno */
	uint64_t size;	/* whole blocks that there are now */

	/* private to look.c */
	struct list link;
	void (*done)(struct look *l);
};

/*
 * Have @b looked at.  done(@l) follows on the thread of @control, never inside
 * this call, and not at all while the storage does not answer.  By then @b has
 * the new size, if that is more than the old one, and who watches it was told.
 * @b stays open.  Returns 0 or -ENOMEM.  Control only.
 */
int look_begin(struct look *l, struct backend *b, struct mailbox *control,
	       void (*done)(struct look *l));
