/* SPDX-License-Identifier: BSD-2-Clause */
/* Why a path may not be opened, and what helps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * After open(@path) failed with EACCES: name in @buf the first directory or
 * file on the way that refuses, its owner, group and mode, who we are, and what
 * lets us in: a command, a line for the service or a rule for udev.  Returns
 * @buf.  May block.
 */
const char *denied_explain(const char *path, bool write, char *buf,
			   size_t len);
