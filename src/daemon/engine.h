/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket says about a ring of io_uring. */
#pragma once

#include <json.h>

#include "run/uring.h"

/* "direct" or "sqpoll".  Any thread. */
const char *engine_ring(const struct uring_facts *f);

/*
 * Returns what the kernel thread of SQPOLL does, as text, or NULL.
 *
 * Any thread.
 */
struct json_object *engine_sqpoll(const struct uring_facts *f);

/*
 * Returns an object: which ring, why, how it was set up, what its kernel
 * thread does.
 *
 * Any thread.
 */
struct json_object *engine_make(const struct uring_facts *f);
