/* SPDX-License-Identifier: BSD-2-Clause */
/* The effective configuration as YAML, and help on every key. */
#pragma once

#include <stdio.h>

#include "daemon/config.h"

/*
 * Prints @c with all defaults filled in, so that loading what is printed
 * gives the same configuration.  What was included stands there like the rest.
 *
 * Any thread that owns @c.
 */
void config_print(const struct config *c, FILE *out);

/* Prints every key with its values, default and effect.  Any thread. */
void config_print_help(FILE *out);
