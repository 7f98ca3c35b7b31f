/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of vringd. */
#pragma once

#include <stdbool.h>

#include "daemon/single.h"

/* The configuration that is read when the command line names none. */
#define OPTIONS_CONFIG SYSCONFDIR "/vringd/vringd.yaml"

struct options {
	const char *config; /* the file; never NULL */
	bool check;	    /* read the configuration and exit */
	bool print;	    /* the same, and print it */
	unsigned debug;	    /* categories */
	bool is_single;	    /* serve one disk instead: */
	struct single_params single;
};

/*
 * Fills @o from the command line.  Returns whether the program is to go on.
 * If not, all that there was to say is printed, and @status is how to exit.
 *
 * Main thread, once.
 */
bool options_parse(struct options *o, int argc, char **argv, int *status);
