/* SPDX-License-Identifier: BSD-2-Clause */
/* Arrays of iovecs: measure, copy, shorten, cut out. */
#include "base/iov.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/* A place in an array, and how much contiguous memory follows there. */
struct cursor {
	const struct iovec *iov;
	unsigned n;
	uint64_t off;
};

/* The next piece, of at most @max bytes; 0 at the end of the array. */
static size_t next_piece(struct cursor *c, uint64_t max, unsigned char **piece)
{
	while (c->n && c->off >= c->iov->iov_len) {
		c->off -= c->iov->iov_len;
		c->iov++;
		c->n--;
	}
	if (!c->n)
		return 0;

	size_t len = MIN(max, c->iov->iov_len - c->off);

	*piece = (unsigned char *)c->iov->iov_base + c->off;
	c->off += len;
	return len;
}

uint64_t iov_size(const struct iovec *iov, unsigned n)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < n; i++)
		size += iov[i].iov_len;
	return size;
}

size_t iov_copy_out(const struct iovec *iov, unsigned n, uint64_t off,
		    void *buf, size_t len)
{
	struct cursor c = { iov, n, off };
	unsigned char *to = buf, *piece;
	size_t done = 0;

	while (done < len) {
		size_t part = next_piece(&c, len - done, &piece);

		if (!part)
			break;
		memcpy(to + done, piece, part);
		done += part;
	}
	return done;
}

size_t iov_copy_in(const struct iovec *iov, unsigned n, uint64_t off,
		   const void *buf, size_t len)
{
	struct cursor c = { iov, n, off };
	const unsigned char *from = buf;
	unsigned char *piece;
	size_t done = 0;

	while (done < len) {
		size_t part = next_piece(&c, len - done, &piece);

		if (!part)
			break;
		memcpy(piece, from + done, part);
		done += part;
	}
	return done;
}

uint64_t iov_fill(const struct iovec *iov, unsigned n, uint64_t off, int byte,
		  uint64_t len)
{
	struct cursor c = { iov, n, off };
	unsigned char *piece;
	uint64_t done = 0;

	while (done < len) {
		size_t part = next_piece(&c, len - done, &piece);

		if (!part)
			break;
		memset(piece, byte, part);
		done += part;
	}
	return done;
}

size_t iov_pull(struct iovec **iov, unsigned *n, void *buf, size_t len)
{
	unsigned char *to = buf;
	size_t done = 0;

	while (done < len && *n) {
		struct iovec *v = *iov;
		size_t part = MIN(len - done, v->iov_len);

		if (to)
			memcpy(to + done, v->iov_base, part);
		done += part;
		v->iov_base = (unsigned char *)v->iov_base + part;
		v->iov_len -= part;
		if (!v->iov_len) {
			(*iov)++;
			(*n)--;
		}
	}
	return done;
}

void *iov_chop(struct iovec *iov, unsigned *n, size_t len)
{
	if (!len || iov_size(iov, *n) < len)
		return NULL;
	while (iov[*n - 1].iov_len < len)
		len -= iov[--*n].iov_len;

	struct iovec *last = &iov[*n - 1];

	last->iov_len -= len;
	if (!last->iov_len)
		--*n;
	return (unsigned char *)last->iov_base + last->iov_len;
}
