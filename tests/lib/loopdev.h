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

/*
 * As loopdev_open() with blocks of 512 bytes, and with two partitions of 4 MiB
 * each, NAMEp1 and NAMEp2.  The file has 16 MiB.
 */
int loopdev_open_partitions(const char *path, char *name);
