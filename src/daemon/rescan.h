/* SPDX-License-Identifier: BSD-2-Clause */
/* Look whether storage has grown: of all targets, or of one. */
#pragma once

#include <ev.h>
#include <json.h>
#include <stdbool.h>

#include "daemon/roster.h"

/* How long to wait for storage; what it does later is done all the same. */
#define RESCAN_PATIENCE_S 5.

struct rescan;

struct rescan_params {
	const struct roster *roster;
	struct ev_loop *loop; /* of the control thread */
	const char *target;   /* NULL: all */

	/* @r is there until this returns. */
	void (*done)(void *ctx, const struct rescan *r);
	void *ctx;
};

/*
 * Look; done() follows, perhaps inside this call.  Returns 0, -ENOENT if there
 * is no such target, or -ENOMEM.  With @out, where to find it until then.
 *
 * Control only, as all here.
 */
int rescan_begin(const struct rescan_params *p, struct rescan **out);

/* done() is not called any more.  Accepts NULL. */
void rescan_forget(struct rescan *r);

/* How many targets could not be looked at, or have shrunk. */
unsigned rescan_failed(const struct rescan *r);

/*
 * A list of objects as vringctl(8) has them, one for each target; without @all,
 * for each that is open and has changed or failed.  NULL without memory.
 */
struct json_object *rescan_answer(const struct rescan *r, bool all);
