/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two ring formats share: the ring, and a chain taken from it. */
#include "vhost/ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int ring_init(struct ring *r)
{
	r->taken = calloc(r->size / RING_WORD_BITS + 1, sizeof(*r->taken));
	if (!r->taken)
		return -ENOMEM;
	return inflight_init(&r->inflight, r->size, r->is_packed);
}

void ring_fini(struct ring *r)
{
	free(r->taken);
	r->taken = NULL;
	inflight_fini(&r->inflight);
}

int ring_refuse(struct ring *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}
