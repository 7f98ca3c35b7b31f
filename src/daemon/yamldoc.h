/* SPDX-License-Identifier: BSD-2-Clause */
/* A YAML text as a document of bounded size, free of what we do not use. */
#pragma once

#include <stddef.h>
#include <yaml.h>

#include "daemon/config_errors.h"

/* Bytes of text, nodes, and levels of nesting that a document may have. */
#define YAMLDOC_BYTES (8U << 20)
#define YAMLDOC_NODES 500000
#define YAMLDOC_DEPTH 8

/* The place in @file where @mark points, for messages. */
static inline struct config_place yamldoc_place(const char *file,
						yaml_mark_t mark)
{
	return (struct config_place){.file = file,
				     .line = (unsigned)mark.line + 1,
				     .column = (unsigned)mark.column + 1};
}

/*
 * Parses the @len bytes at @text, which @file has.  Anchors, aliases, tags and
 * a second document are refused.  Returns 0 and fills @doc, which the caller
 * deletes; -EINVAL with the errors in @errs; or -ENOMEM.  A text with nothing
 * in it gives a document without a root.
 *
 * Any thread.
 */
int yamldoc_parse(yaml_document_t *doc, const char *file, const char *text,
		  size_t len, struct config_errors *errs);

/*
 * Reads the file at @path, at most @room bytes, into memory that the caller
 * frees.  Returns 0 or -errno; -EFBIG when it is larger, -ENODATA when it
 * is empty, -ENOTSUP when it is neither a regular file nor a directory.
 *
 * Any thread; may block on the file system.
 */
int yamldoc_read(const char *path, size_t room, char **text, size_t *len);
