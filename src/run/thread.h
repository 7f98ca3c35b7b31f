/* SPDX-License-Identifier: BSD-2-Clause */
/* Start a thread that takes no signals. */
#pragma once

#include <pthread.h>

/*
 * Run fn(@arg) on a new thread called @name (15 characters at most).  The
 * thread takes none of the process's signals: those are for control.  Only what
 * the thread does itself still reaches it, such as SIGBUS for memory that a
 * front-end has truncated: the kernel kills whoever blocks that.
 *
 * Returns 0 or -errno.  Any thread.
 */
int thread_start(pthread_t *t, const char *name, void *(*fn)(void *arg),
		 void *arg);
