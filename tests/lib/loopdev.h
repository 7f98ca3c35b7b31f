/* SPDX-License-Identifier: BSD-2-Clause */
/* Loop devices, where the test may have them. */
#pragma once

/*
 * Make a loop device of the file @path with blocks of @block_size bytes, gone
 * when the descriptor that is returned is closed by all.  Its name goes to
 * @name, of 32 bytes.  Returns -1 where there is none to have: no root, no
 * loop devices.
 */
int loopdev_open(const char *path, unsigned block_size, char *name);
