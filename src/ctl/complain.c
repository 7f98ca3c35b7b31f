/* SPDX-License-Identifier: BSD-2-Clause */
/* How vringctl says that something is wrong, and how it exits then. */
#include "ctl/complain.h"

#include <stdarg.h>
#include <stdio.h>

int complain(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("vringctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}
