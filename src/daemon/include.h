/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files the key `include' means. */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#define INCLUDE_FILES 10000 /* at most */

struct include_file {
	char *path;
	dev_t dev;
	ino_t ino;
};

/* Files in the order in which they are to be read.  Set to zero before use. */
struct include {
	struct include_file *files;
	size_t nr;
};

/* What is wrong, as a sentence. */
struct include_why {
	char text[2 * PATH_MAX];
};

/*
 * Adds the file @name, or those that @name matches as a pattern of glob(7), in
 * the order of their names.  A relative name is one in the folder of the file
 * @from.  That a pattern matches nothing is right; hidden files and those that
 * editors and package managers leave behind never match.  A file that is there
 * already is not added again.
 *
 * Returns 0, -EINVAL with the reason in @why, or -ENOMEM.
 *
 * Any thread that owns @in; may block on the file system.
 */
int include_add(struct include *in, const char *from, const char *name,
		struct include_why *why);

/* Frees what @in holds.  Any thread that owns @in. */
void include_fini(struct include *in);
