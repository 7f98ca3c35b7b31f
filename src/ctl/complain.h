/* SPDX-License-Identifier: BSD-2-Clause */
/* How vringctl says that something is wrong, and how it exits then. */
#pragma once

/* The daemon's own statuses are 0 to 2; vringctl(8) says what they mean. */
#define COMPLAIN_REFUSED 1 /* the daemon said no */
#define COMPLAIN_UNASKED 3 /* it could not be asked at all */

/*
 * Prints the text to stderr, after the name of the program.  Returns @status,
 * for use with return.
 *
 * Any thread.
 */
int complain(int status, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
