/* SPDX-License-Identifier: BSD-2-Clause */
/* Catches SIGBUS in memory that others share with us and take away. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Theory of operation: the guard
 *
 * Who shares memory with us can take it away by truncating its file.  The CPU
 * then gets SIGBUS on the next access.  The handler finds the mapping that the
 * address lies in, puts anonymous memory over all of it (one page would fail in
 * huge pages), marks it gone and returns, so the access finds zeroes.  Whoever
 * uses the memory looks at the end of its turn and stops using it.
 */
struct guard;

/*
 * Catch SIGBUS in guarded memory from now on.  Other SIGBUS end the process as
 * before.  Returns 0 or -errno.  Main thread, once.
 */
int guard_init(void);

/*
 * Guard @len bytes at @start, whole pages; NULL without memory.  Guard them no
 * more, before they are unmapped and when nobody uses them; accepts NULL.  Any
 * thread.
 */
struct guard *guard_add(const void *start, size_t len);
void guard_del(struct guard *g);

/*
 * The number of SIGBUS caught so far in the process: one load, to be compared
 * with an earlier value before asking guard_is_gone(), which tells whether the
 * memory under @g was taken away.  Any thread.
 */
unsigned guard_faults(void);
bool guard_is_gone(const struct guard *g);
