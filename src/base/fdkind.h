/* SPDX-License-Identifier: BSD-2-Clause */
/* What kind of file a descriptor from a stranger is. */
#pragma once

#include <stdbool.h>

/*
 * A VMM may send a file whose server, its own, never answers: FUSE, or a
 * network that is gone.  Then fstat(), poll() and even close() never return.
 * What is asked here is answered by the kernel alone.
 */

/*
 * Of this host, not of a network: to write to one of those is to wait for
 * whoever else does, and to close one may be to wait for its peer.  Any thread.
 */
bool fdkind_is_unix_socket(int fd);

/* Needs /proc; false without.  Any thread. */
bool fdkind_is_eventfd(int fd);

/* In memory or huge pages: memfd_create(), tmpfs, hugetlbfs.  Any thread. */
bool fdkind_is_memory(int fd);
