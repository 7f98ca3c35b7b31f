/* SPDX-License-Identifier: BSD-2-Clause */
/* Aligned buffers for ios whose own memory a disk cannot reach. */
#pragma once

#include <stdbool.h>

#include "run/worker.h"

#define BOUNCE_SIZE ((size_t)256 << 10)	/* of a buffer; aligned to a page */
#define BOUNCE_NR   16			/* buffers of a worker */

struct bounce;

struct bounce_buffer {
	char *memory;
	int place;		/* of a fixed buffer; -1: it is not fixed */
	bool is_made;		/* it was used before */
};

/*
 * The calling worker's buffers, shared by all its ports; bounce_close() for
 * each.  Memory is only used, and pinned, once a buffer is.  Returns 0 or
 * -ENOMEM.  bounce_close() accepts NULL.  Worker only, like all of these.
 */
int bounce_open(struct worker *w, struct bounce **out);
void bounce_close(struct bounce *b);

/*
 * A buffer, or NULL when all are lent.  Who got NULL waits: its item runs in
 * TURN_DONE when one came back, and asks again.
 */
struct bounce_buffer *bounce_get(struct bounce *b);
void bounce_put(struct bounce *b, struct bounce_buffer *buf);
void bounce_wait(struct bounce *b, struct turn_item *item);
