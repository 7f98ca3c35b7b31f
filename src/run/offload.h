/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that can block, on a few threads of their own. */
#pragma once

#include <stddef.h>

#include "run/mailbox.h"

/*
 * A blocking call under way: embedded in the caller's object, which must live
 * until done() has run.
 */
struct offload_job {
	struct mail mail;
	struct offload_job *next;
	struct mailbox *reply;
	void (*run)(struct offload_job *j);
	void (*done)(struct offload_job *j);
};

/*
 * Have run(@j) called on an offload thread, then done(@j) on the thread whose
 * mailbox is @reply.  With NULL for @reply nobody is told, @done is not used,
 * and run() may free @j.  Jobs are begun in the order given.  Threads are made
 * when needed, a few at most; if none can be made, run() is called here and
 * now.
 *
 * Any thread.
 */
void offload_run(struct offload_job *j, void (*run)(struct offload_job *j),
		 void (*done)(struct offload_job *j), struct mailbox *reply);

/*
 * Close a descriptor (or none: -1) that may block on closing, for ever if it is
 * a stranger's: all but memory, sockets and eventfds have threads of their own.
 * Any thread.
 */
void offload_close(int fd);

/* Unmap @len bytes at @addr: 75 ms for each GiB of 4 KiB pages.  Any thread. */
void offload_munmap(void *addr, size_t len);

/*
 * Wait until everything given so far is done, for at most @timeout_ms, and end
 * the threads.  Returns 0, or -ETIMEDOUT with a thread stuck: then the
 * mailboxes of its jobs must stay, so the process can only exit.  A foreign
 * file that is not closed by then is no error.
 *
 * Control only, when no worker runs any more and before workers are freed.
 */
int offload_stop(int timeout_ms);
