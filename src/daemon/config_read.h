/* SPDX-License-Identifier: BSD-2-Clause */
/* A YAML document along the table of keys, into a configuration. */
#pragma once

#include <yaml.h>

#include "daemon/config_check.h"

/* A file that is to be read too, or a pattern for names of files. */
struct config_include {
	struct config_place place;
	char *name;
};

/* What was read so far, from one document or several. */
struct config_reading {
	struct config *config;
	struct config_errors *errs;
	struct config_places top;
	struct config_places *targets;	 /* one for each of the config's */
	struct config_include *includes; /* of the first document */
	unsigned nr_includes;
};

/*
 * Begins with @c, which is all zeroes, and gives it the defaults.  Returns 0 or
 * -ENOMEM; config_read_fini() is due in either case.
 *
 * Any thread that owns @c, as all here.
 */
int config_read_init(struct config_reading *all, struct config *c,
		     struct config_errors *errs);
void config_read_fini(struct config_reading *all);

/*
 * Adds what @doc has: more targets, and keys that no document had before.  Only
 * the first may include files, whose documents are the caller's to add.
 * @file is its name in messages, and outlives the configuration.  Errors go to
 * @errs.  Returns 0 or -ENOMEM.
 */
int config_read(struct config_reading *all, const char *file,
		yaml_document_t *doc);
