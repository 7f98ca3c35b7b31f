/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two ring formats share: the ring, and a chain taken from it. */
#include "vhost/ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int ring_refuse(struct ring *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}
