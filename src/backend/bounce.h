/* SPDX-License-Identifier: BSD-2-Clause */
/* Aligned buffers for ios whose own memory a disk cannot reach. */
#pragma once

#include "run/worker.h"

#define BOUNCE_SIZE ((size_t)256 << 10)	/* of a buffer; aligned to a page */
#define BOUNCE_NR   16			/* buffers of a worker */

struct bounce;

/*
 * The calling worker's buffers, shared by all its ports; bounce_close() for
 * each.  Memory is only used once a buffer is.  Returns 0 or -ENOMEM.
 * bounce_close() accepts NULL.  Worker only, like all of these.
 */
int bounce_open(struct worker *w, struct bounce **out);
void bounce_close(struct bounce *b);

/*
 * A buffer, or NULL when all are lent.  Who got NULL waits: its item runs in
 * TURN_DONE when one came back, and asks again.
 */
void *bounce_get(struct bounce *b);
void bounce_put(struct bounce *b, void *buf);
void bounce_wait(struct bounce *b, struct turn_item *item);
