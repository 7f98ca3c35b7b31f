/* SPDX-License-Identifier: BSD-2-Clause */
/* The kinds of storage there are, and the backends that are open. */
#pragma once

#include "backend/backend.h"

/* NULL when there is no such kind.  Any thread. */
const struct backend_ops *kinds_find(const char *name);

/*
 * Open the backend that @p describes.  It takes an open to know which storage
 * it is, so it is not to be used before kinds_admit() was asked.
 *
 * Returns 0, or -errno with a sentence for the administrator in @err.  May
 * block.  Any thread.
 */
int kinds_open(struct backend **out, const struct backend_params *p, char *err,
	       size_t err_len);

/*
 * May *@b, which kinds_open() made from @p, be used beside those that are?  One
 * storage, known by its numbers and not by its path, is open once in a process:
 * if it is already, *@b is closed and becomes one more use of that one, which
 * changes nothing, as an open claims nothing, unless it found that the storage
 * has grown.  Two uses of one storage, or of a
 * partition and its disk, are refused with -EEXIST unless all are read-only or
 * all say shared.
 *
 * Returns 0, or -errno with a sentence in @err; kinds_close() is due in either
 * case, and accepts NULL and what was never admitted.  Control only, both.
 */
int kinds_admit(struct backend **b, const struct backend_params *p, char *err,
		size_t err_len);
void kinds_close(struct backend *b);

/* One more use of @b, which is open: kinds_close() is due.  Control only. */
struct backend *kinds_get(struct backend *b);
