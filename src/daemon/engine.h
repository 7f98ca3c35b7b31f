/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about io_uring in a worker. */
#pragma once

#include <json.h>

#include "run/worker.h"

/* "direct" or "sqpoll", and why, in words.  Any thread. */
const char *engine_ring(const struct io_facts *f);
const char *engine_why(const struct io_facts *f);

/*
 * Returns what the kernel thread of SQPOLL does, as text, or NULL.
 *
 * Any thread.
 */
struct json_object *engine_sqpoll(const struct io_facts *f);

/*
 * Returns an object: which ring, why, how often it was changed, how it was set
 * up, what the kernel thread does.
 *
 * Any thread.
 */
struct json_object *engine_make(const struct io_facts *f);
