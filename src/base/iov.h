/* SPDX-License-Identifier: BSD-2-Clause */
/* Arrays of iovecs: measure, copy, shorten. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * All may be called by any thread that owns the array.  What the iovecs point
 * to may be guest memory that changes meanwhile; a length is never read from
 * there.  Empty iovecs are allowed anywhere.
 */

/* Bytes in all of them. */
uint64_t iov_size(const struct iovec *iov, unsigned n);

/*
 * Copy bytes @off.. of the array to @buf, or @buf to there, or fill with
 * @byte.  Stops at the end of the array.  Returns the number of bytes moved.
 */
size_t iov_copy_out(const struct iovec *iov, unsigned n, uint64_t off,
		    void *buf, size_t len);
size_t iov_copy_in(const struct iovec *iov, unsigned n, uint64_t off,
		   const void *buf, size_t len);
uint64_t iov_fill(const struct iovec *iov, unsigned n, uint64_t off, int byte,
		  uint64_t len);

/*
 * Take @len bytes off the front, copying them to @buf unless it is NULL.  The
 * pointer and the number move past iovecs that are used up, the first one left
 * is shortened in place.  Returns the number of bytes, less than @len only
 * when the array is then empty.
 */
size_t iov_pull(struct iovec **iov, unsigned *n, void *buf, size_t len);

/*
 * Cut @len bytes off the end, in place.  Returns the address of the first byte
 * cut off (all of them, when @len is 1), or NULL, with nothing changed, when
 * @len is 0 or there are fewer.
 */
void *iov_chop(struct iovec *iov, unsigned *n, size_t len);
