/* SPDX-License-Identifier: BSD-2-Clause */
/* Tell a front-end that its device's configuration changed. */
#pragma once

#include <stdbool.h>

#include "run/worker.h"
#include "vhost/call.h"

/*
 * Theory of operation: the back-end channel
 *
 * A front-end may make a second socket for what it is told without asking.  We
 * have one thing to tell: the configuration is another, read it again.  To say
 * it twice means no more than to say it once, so it is wanted or not; where a
 * front-end does not read, one is under way and one wanted at most.
 *
 * No answer is asked for.  There is nothing that we would do with one, and a
 * front-end that must answer here while it waits for us is one that hangs when
 * somebody gets that wrong.  Nothing is read from the channel.
 *
 * The socket is the front-end's, so it is written to as a call is.
 */
struct backchannel {
	struct call *call; /* NULL when there is none */
	bool is_wanted;	   /* there is something to tell */
};

/*
 * Have one on @fd, a Unix socket, which it owns from then on; the one before
 * was stopped.  @tag must stay.  Returns 0, or -ENOMEM with @fd left to the
 * caller.  Home only, as all here.
 */
int backchannel_open(struct backchannel *b, int fd, const char *tag);

/*
 * Have none.  Returns false when the socket is free at once; true when
 * stopped(@ctx) will tell, which it does in any case.
 */
bool backchannel_stop(struct backchannel *b, void (*stopped)(void *ctx),
		      void *ctx);

/* Is there one that the front-end has not closed, as far as we know? */
bool backchannel_is_open(const struct backchannel *b);

/* Send what is wanted; there is one. */
void backchannel_tell(struct backchannel *b, struct worker *home);
