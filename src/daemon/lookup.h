/* SPDX-License-Identifier: BSD-2-Clause */
/* What the paths of disks lead to, without waiting for dead file systems. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "backend/backend.h"

struct lookup {
	/* asked */
	char *path;	    /* is not changed */
	bool write;	    /* may we do that, too? */

	/* answered; nothing of it counts unless is_known */
	bool is_known;	    /* it answered in time */
	int error;	    /* why it cannot be used, as errno, or 0 */
	bool is_storage;    /* a file or a block device */
	struct backend_id id;
	dev_t whole;	    /* what id.dev is a partition of, or id.dev */

	/* answered if asked to look closely */
	const char *format; /* of an image that is not raw, or NULL */
	char *denied;	    /* denied_explain(), or NULL; the caller frees it */
};

/*
 * Looks at the @n paths of @list and fills the answers.  Nothing is opened, but
 * when it is to look @closely, regular files, to read their heads.  Where
 * nothing is answered for a while, what is stuck is left behind, so it is over
 * at most LOOKUP_PATIENCE_MS times LOOKUP_THREADS after the last answer.
 *
 * Returns 0 or -ENOMEM.  Any thread.
 */
#define LOOKUP_PATIENCE_MS 1000
#define LOOKUP_THREADS	   4
int lookup_all(struct lookup *list, size_t n, bool closely);
