/* SPDX-License-Identifier: BSD-2-Clause */
/* Where lines of the log end up: the journal, or stderr. */
#pragma once

#include "base/logline.h"

/*
 * Theory of operation: stderr and the journal
 *
 * If stderr leads to systemd's journal, a line goes there by its native
 * protocol, with fields.  Where that cannot be had, it is written to stderr
 * with its priority in front, "<6>", which the journal understands, too.
 * Anywhere else the level's name is in front; and in a file or on a terminal,
 * where nobody else does it, the time: "2026-11-22T14:03:05+0100".
 *
 * Whoever reads may stop to, and the caller has better things to do than to
 * wait for ever: after SINK_WAIT_MS a line is lost, and so is, without any
 * wait, each that follows until there is room again.
 */
#define SINK_WAIT_MS 500

/* Returns 0, or -errno when the line is lost.  Any thread. */
int sink_write(const struct logline *l);
