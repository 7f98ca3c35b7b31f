/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the log on the control thread's loop, see base/log.h. */
#pragma once

#include <ev.h>

/* Embedded; lives at least until logwriter_stop(). */
struct logwriter {
	struct ev_loop *loop;
	struct ev_async due;
	struct ev_timer again;
};

/*
 * From here on the loop's thread writes what all threads log.
 *
 * Control only, before other threads exist.
 */
void logwriter_start(struct logwriter *w, struct ev_loop *loop);

/*
 * Writes all that is left; then every thread writes for itself.  Nothing is
 * done with a logwriter that is all zeroes.
 *
 * Control only, before the loop is destroyed.
 */
void logwriter_stop(struct logwriter *w);
