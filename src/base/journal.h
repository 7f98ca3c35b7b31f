/* SPDX-License-Identifier: BSD-2-Clause */
/* The native protocol of systemd's journal: a line and its fields. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/logline.h"

/*
 * Theory of operation: fields
 *
 * A field of the journal is never written by hand.  All are derived from the
 * line that is read elsewhere, so the two cannot say different things:
 *
 *	vm1/q2: broken size=256 pid=17: Bad address
 *
 * The tag names the object, a fact is a key and a value, and the reason is what
 * follows the last colon:
 *
 *	TARGET=vm1  QUEUE=2  VRINGD_SIZE=256  PEER_PID=17  ERRNO=14
 *
 * Facts end where the first colon followed by a blank is; in the text behind
 * it, which may quote others, none are looked for.  A value reaches to the next
 * key, so it may have blanks.  Text of those whom we do not trust goes into
 * facts as one word only, see printable_word().
 */

/* A line never needs more. */
#define JOURNAL_MAX 8192

/* Where the journal listens; tests put another one here before any use. */
extern const char *journal_path;

/*
 * Does stderr lead to the journal?  systemd says in $JOURNAL_STREAM which
 * socket that is.  Any thread.
 */
bool journal_has_stderr(void);

/* Returns the length of the datagram put into @buf.  Any thread. */
size_t journal_format(char buf[JOURNAL_MAX], const struct logline *l);

/*
 * Returns 0, or -errno: -EAGAIN when the journal reads too slowly, and anything
 * else when it cannot be had.  Never blocks.  One thread at a time.
 */
int journal_send(const struct logline *l);

/* The descriptor to wait with after -EAGAIN.  Whoever calls journal_send(). */
int journal_fd(void);
