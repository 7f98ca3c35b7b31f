/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration that was accepted last, kept for a start after a crash. */
#pragma once

#include "daemon/config.h"

/*
 * Theory of operation: the last good configuration
 *
 * A reload that finds errors changes nothing, and perhaps nobody looks.  If the
 * daemon then crashes, it would not start again, and every disk would be gone.
 * So what was accepted is kept in systemd's runtime directory for this service,
 * as -T prints it.  It is removed when the daemon is stopped on purpose: a
 * start that finds it follows a crash, and takes it if, and only if, the
 * administrator's file is wrong.
 *
 * Without $RUNTIME_DIRECTORY, that is without systemd, nobody would start us
 * again, and nothing is kept.
 */

/*
 * Store @c.  Returns 0, also when nothing is to be kept, or -errno.  Any thread
 * that owns @c; may block on the file system.
 */
int lastgood_save(const struct config *c);

/* Read it: -ENOENT if there is none, else as config_load().  Any thread. */
int lastgood_load(struct config **out, struct config_errors *errs);

/* The daemon is stopped on purpose.  Any thread. */
void lastgood_remove(void);
