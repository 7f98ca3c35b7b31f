/* SPDX-License-Identifier: BSD-2-Clause */
/* One disk for the life of a process, without a configuration file. */
#pragma once

#include <stdbool.h>

#include "daemon/config.h"

/*
 * QEMU's conventions for programs that are a vhost-user back-end (interop/
 * vhost-user.rst, "Backend program conventions"): one process for one device,
 * which a manager starts with the socket to serve, and which fails at once or
 * stays in the foreground until SIGTERM, or until its only client leaves.
 */
struct single_params {
	const char *blk_file;
	const char *socket_path; /* NULL: see fd */
	int fd;			 /* listening, or connected to the client */
	bool read_only;
	unsigned debug; /* categories */
};

/* What the conventions want to know of the program: a line of JSON. */
extern const char single_capabilities[];

/*
 * Serves that disk until somebody ends it.  Returns how to exit.
 *
 * Main thread, which becomes the control thread.
 */
int single_run(const struct single_params *p);

/*
 * Makes the configuration that single_run() serves: one target, named after its
 * file, with paths made absolute.  Returns 0, or -errno with errors in @errs.
 *
 * Any thread.
 */
int single_config(const struct single_params *p, struct config **out,
		  struct config_errors *errs);
