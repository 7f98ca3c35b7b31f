/* SPDX-License-Identifier: BSD-2-Clause */
/* Images of other formats, given as if they were raw. */
#pragma once

#include <stddef.h>

/*
 * The format that the first @len bytes of an image look like, if it is one that
 * nobody means to give to a guest as it is; else NULL.  Only to warn: a guest
 * may write what it likes there.  Any thread.
 */
const char *magic_name(const void *head, size_t len);

/* Bytes that are worth looking at. */
#define MAGIC_LEN 512
