/* SPDX-License-Identifier: BSD-2-Clause */
/* Completes everything and keeps nothing: what a request costs without I/O. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/util.h"

#define MAX_RANGE ((uint64_t)1 << 30)

struct null_backend {
	struct backend backend;
	bool zeroes;
};

static void close_null(struct backend *b)
{
	backend_fini(b);
	free(container_of(b, struct null_backend, backend));
}

static int open_null(struct backend **out, const struct backend_params *p,
		     char *err, size_t err_len)
{
	struct null_backend *n = calloc(1, sizeof(*n));
	char name[64];
	int ret;

	snprintf(err, err_len, "%s", strerror(ENOMEM));
	if (!n)
		return -ENOMEM;
	snprintf(name, sizeof(name), "null:%llu", (unsigned long long)p->size);
	ret = backend_init(&n->backend, &null_backend, name);
	if (ret)
		goto fail;
	ret = backend_set_size(&n->backend, p, err, err_len);
	if (ret)
		goto fail;
	n->zeroes = p->zeroes;
	n->backend.info.copies = p->zeroes;
	n->backend.info.can_discard = p->discard;
	n->backend.info.can_unmap = p->discard;
	n->backend.info.max_discard = MAX_RANGE;
	n->backend.info.discard_align = n->backend.info.block_size;
	n->backend.info.max_write_zeroes = MAX_RANGE;
	*out = &n->backend;
	return 0;
fail:
	close_null(&n->backend);
	return ret;
}

static int claim_null(struct backend *b, char *err, size_t err_len)
{
	(void)b;
	(void)err;
	(void)err_len;
	return 0;
}

static void release_null(struct backend *b)
{
	(void)b;
}

static int attach_null(struct backend *b, struct worker *w, struct port **out)
{
	(void)b;
	(void)w;
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static void detach_null(struct port *p)
{
	free(p);
}

static void complete(struct turn_item *item)
{
	struct io *io = container_of(item, struct io, item);

	io->done(io, 0);
}

static void submit_null(struct port *p, struct io *io)
{
	const struct null_backend *n =
		container_of(p->backend, struct null_backend, backend);

	if (io->op == IO_READ && n->zeroes)
		for (unsigned i = 0; i < io->nr_iov; i++)
			memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
	turn_item_init(&io->item, complete);
	worker_add(p->worker, TURN_DONE, &io->item);
}

static int rescan_null(struct backend *b, uint64_t *size)
{
	*size = b->info.size;
	return 0;
}

const struct backend_ops null_backend = {
	.name = "null",
	.open = open_null,
	.close = close_null,
	.claim = claim_null,
	.release = release_null,
	.attach = attach_null,
	.detach = detach_null,
	.submit = submit_null,
	.rescan = rescan_null,
};
