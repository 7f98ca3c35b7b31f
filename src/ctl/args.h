/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of vringctl. */
#pragma once

#include <stdbool.h>

#include "daemon/command.h"

struct args {
	const char *socket; /* never NULL */
	bool json;
	enum command command;
	const char
		*value[NR_ARGUMENTS]; /* NULL where not given; "" of a flag */
};

/*
 * Fills @a from the command line; options may stand before and after the
 * command.  Returns whether the program is to go on.  If not, all that there
 * was to say is printed, and @status is how to exit.
 *
 * Once.
 */
bool args_parse(struct args *a, int argc, char **argv, int *status);
