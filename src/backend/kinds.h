/* SPDX-License-Identifier: BSD-2-Clause */
/* The kinds of storage there are, and the backends that are open. */
#pragma once

#include "backend/backend.h"

/* NULL when there is no such kind.  Any thread. */
const struct backend_ops *kinds_find(const char *name);

/*
 * Open the backend that @p describes, or take one more use of it if it is open
 * already: one storage, known by its numbers and not by its path, is opened
 * once in a process.  Two uses of one storage, or of a partition and its disk,
 * are refused with -EEXIST unless all are read-only or all say shared.
 *
 * Returns 0, or -errno with a sentence for the administrator in @err.  May
 * block.  Control only, as kinds_close(), which accepts NULL.
 */
int kinds_open(struct backend **out, const struct backend_params *p, char *err,
	       size_t err_len);
void kinds_close(struct backend *b);
