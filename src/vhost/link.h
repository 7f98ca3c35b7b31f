/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket to one VMM: read a message, have it handled, reply. */
#pragma once

#include "vhost/session.h"

/*
 * Theory of operation: a link
 *
 * Header and payload are read as they come, in pieces if need be, at most
 * LINK_TURN_MESSAGES for a turn.  Descriptors count only with the first byte.
 *
 * One message is dealt with at a time.  While its answer is pending, or the
 * client does not take a reply, nothing more is read: so one reply is all
 * that is ever buffered, and a client that floods us or never reads stops
 * itself.  Meanwhile a hang-up must still be seen, which reading would tell but
 * a level-triggered watcher cannot without spinning on unread data: for that
 * time the socket hangs on the worker's edge-triggered wakes.
 *
 * A message that fails is answered with a number other than 0 if the
 * front-end asked for one (REPLY_ACK), else the session ends, since the
 * front-end could not know.  A message that is none ends it always.
 *
 * The session's state is busy from before the first byte of a message is read
 * until after the last one of its answer was sent, see state.h.
 *
 * Descriptors that a handler did not keep are closed here and nowhere else,
 * by an offload thread, since closing a foreign file can block.
 */
#define LINK_TURN_MESSAGES 16

/*
 * Have the session @s served over the connected socket @fd, which becomes
 * nonblocking.  It is closed when the session has ended.  Returns 0, or -errno
 * and @fd stays the caller's.  Home only.
 */
int link_open(struct session *s, int fd);
