/* SPDX-License-Identifier: BSD-2-Clause */
/* How large a target's disk is, and what happens when its storage grows. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backend/look.h"
#include "daemon/server.h"

/*
 * Theory of operation: growth
 *
 *	look at the storage	an offload thread, see backend/look.h
 *	it has more		control, which has the size of the backend
 *	each target that	its home: the device shows its guest more, then
 *	shares the backend	the VMM is told
 *	it is said, and		control
 *	answered
 *
 * Whichever target is looked at, all that share its backend grow.  What comes
 * while the home is at it is done when that is over.
 *
 * Storage that has shrunk is complained of.  The guest's disk stays as it is,
 * since a guest does not expect its disk to shrink.
 */
struct growth_params {
	const char *tag; /* outlives it */
	struct mailbox *control;

	/* Who embeds it is not to be freed in between.  These nest. */
	void (*hold)(void *ctx);
	void (*release)(void *ctx);
	void *ctx;
};

/* Embedded in a target. */
struct growth {
	/* private to growth.c, and control's */
	struct growth_params p;
	struct backend *backend; /* NULL unless open */
	struct server *server;
	struct backend_watch watch;
	uint64_t size;	 /* that guests are shown */
	uint64_t shrunk; /* to this, which was said; 0: it did not */
	bool is_growing; /* the home is at it */
	struct server_growth served;
	struct list answers; /* that wait for that */
};

/*
 * Begin without storage; have some, whose guests are shown its size, served by
 * @s; and have none again, also if there was none.  Control only, as all here.
 */
void growth_init(struct growth *g, const struct growth_params *p);
void growth_begin(struct growth *g, struct backend *b, struct server *s);
void growth_end(struct growth *g);

/* What became of a look. */
struct growth_answer {
	uint64_t old_size; /* that guests were shown before */
	uint64_t new_size; /* and are now */
	bool connected;	   /* when it changed, there was a client */
	bool told;	   /* that it changed, now or when its queues run */
	char why[256];	   /* what went wrong, or "" */

	/* private to growth.c */
	struct growth *growth;
	struct look look;
	struct list link;
	void (*done)(struct growth_answer *a);
};

/*
 * Look at the storage, and if it has grown, show that to the guests.  @a is
 * busy until done(@a) is called, perhaps inside this call, and for ever while
 * the storage does not answer.
 */
void growth_look(struct growth *g, struct growth_answer *a,
		 void (*done)(struct growth_answer *a));
