/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of all that is wrong with a configuration, each with its place. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A place in a file, counted from 1; line 0 is the file as a whole. */
struct config_place {
	const char *file; /* its name, owned by somebody else */
	unsigned line;
	unsigned column;
};

/* A place in a message. */
#define CONFIG_PLACE_FMT	"%s:%u:%u"
#define CONFIG_PLACE_ARGS(p) (p).file, (p).line, (p).column

struct config_error {
	struct config_place place;
	char *file; /* that of the place, which may be gone by now */
	bool warning;
	char *text; /* path of the key and what is wrong */
};

/* Bytes of a line with the longest path and text that there may be. */
#define CONFIG_ERRORS_LINE 8192

/* At most CONFIG_ERRORS_MAX are kept; the others are only counted. */
#define CONFIG_ERRORS_MAX 200

/* Set to zero before use. */
struct config_errors {
	struct config_error *list;
	size_t nr;
	unsigned nr_errors; /* how many there were, kept or not */
	unsigned nr_warnings;
};

/*
 * Adds an error, or a warning, at @place.  What the text quotes from the file
 * must be made printable by the caller.
 *
 * Any thread that owns @errs.
 */
void config_errors_add(struct config_errors *errs, bool warning,
		       struct config_place place, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Sorts what is there by place, those of @first before those of other files,
 * keeping the order of equals.
 *
 * Any thread that owns @errs.
 */
void config_errors_sort(struct config_errors *errs, const char *first);

/*
 * Prints every error and warning as `FILE:LINE:COLUMN: TEXT', one a line.
 *
 * Any thread that owns @errs.
 */
void config_errors_print(const struct config_errors *errs, FILE *out);

/*
 * One of them as such a line, cut to @size bytes.
 *
 * Any thread that owns @e.
 */
void config_errors_line(const struct config_error *e, char *buf, size_t size);

/*
 * Logs them, the first twenty at most: an error as err, a warning as warn.
 * @tag is ours.
 *
 * Any thread that owns @errs.
 */
void config_errors_log(const struct config_errors *errs, const char *tag);

/* Frees what @errs holds and empties it.  Any thread that owns @errs. */
void config_errors_fini(struct config_errors *errs);
