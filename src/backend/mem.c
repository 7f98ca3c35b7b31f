/* SPDX-License-Identifier: BSD-2-Clause */
/* Anonymous memory: a disk that is gone when the daemon is. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/backend.h"
#include "backend/blocking.h"
#include "base/util.h"

/* Freeing pages costs 75 us for each MiB: what is longer, a thread does. */
#define MAX_INLINE ((uint64_t)64 << 10)
#define MAX_RANGE  ((uint64_t)1 << 30)
#define PAGE	   4096

struct mem_backend {
	struct backend backend;
	char *data;
	uint64_t size;
};

struct mem_port {
	struct port port;
	struct blocking blocking;
};

/*
 * A guest that uses one block from two queues puts its requests in order
 * itself, by waiting for answers.  ThreadSanitizer cannot see into the guest,
 * so to it the workers race for the block: the disk's own bytes are none of
 * its business.
 */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static void begin_guest_order(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void end_guest_order(void)
{
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
static void begin_guest_order(void)
{
}

static void end_guest_order(void)
{
}
#endif

static struct mem_backend *mem_of(struct backend *b)
{
	return container_of(b, struct mem_backend, backend);
}

static void close_mem(struct backend *b)
{
	struct mem_backend *m = mem_of(b);

	if (m->data)
		offload_munmap(m->data, m->size);
	backend_fini(b);
	free(m);
}

/* Pages come as they are touched, so a large disk costs what it holds. */
static int map_memory(struct mem_backend *m)
{
	void *data = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (data == MAP_FAILED)
		return -errno;
	m->data = data;
	/* Both only help: less misses, and no disk in a core dump. */
	madvise(data, m->size, MADV_HUGEPAGE);
	madvise(data, m->size, MADV_DONTDUMP);
	return 0;
}

static void fill_info(struct backend_info *info, const struct backend_params *p)
{
	info->copies = true;
	info->is_volatile = true;
	info->can_discard = p->discard;
	info->can_unmap = p->discard;
	info->max_discard = MAX_RANGE;
	info->discard_align = PAGE;
	info->max_write_zeroes = MAX_RANGE;
}

static int open_mem(struct backend **out, const struct backend_params *p,
		    char *err, size_t err_len)
{
	struct mem_backend *m = calloc(1, sizeof(*m));
	char name[64];
	int ret;

	snprintf(err, err_len, "%s", strerror(ENOMEM));
	if (!m)
		return -ENOMEM;
	snprintf(name, sizeof(name), "mem:%llu", (unsigned long long)p->size);
	ret = backend_init(&m->backend, &mem_backend, name);
	if (ret)
		goto fail;
	ret = backend_set_size(&m->backend, p, err, err_len);
	if (ret)
		goto fail;
	fill_info(&m->backend.info, p);
	m->size = p->size;
	ret = map_memory(m);
	if (ret) {
		snprintf(err, err_len, "cannot map %llu bytes: %s",
			 (unsigned long long)p->size, strerror(-ret));
		goto fail;
	}
	*out = &m->backend;
	return 0;
fail:
	close_mem(&m->backend);
	return ret;
}

/* Nobody else can have our memory. */
static int claim_mem(struct backend *b, char *err, size_t err_len)
{
	(void)b;
	(void)err;
	(void)err_len;
	return 0;
}

static void release_mem(struct backend *b)
{
	(void)b;
}

/* Give the whole pages of a range back, and zero the rest of it. */
static void empty_range(struct mem_backend *m, const struct io *io)
{
	char *start = m->data + io->offset;
	char *end = start + io->length;
	char *first = m->data + align_up(io->offset, PAGE);
	char *last = m->data + align_down(io->offset + io->length, PAGE);

	if (first >= last || madvise(first, (size_t)(last - first),
				     MADV_DONTNEED)) {
		memset(start, 0, io->length);
		return;
	}
	memset(start, 0, (size_t)(first - start));
	memset(last, 0, (size_t)(end - last));
}

static int zero_range(struct io *io)
{
	begin_guest_order();
	empty_range(mem_of(io->port->backend), io);
	end_guest_order();
	return 0;
}

static void finish(struct io *io, int res)
{
	io->done(io, res);
}

static int attach_mem(struct backend *b, struct worker *w, struct port **out)
{
	struct mem_port *mp = calloc(1, sizeof(*mp));

	(void)b;
	if (!mp)
		return -ENOMEM;
	blocking_init(&mp->blocking, w, zero_range, finish);
	*out = &mp->port;
	return 0;
}

static void detach_mem(struct port *p)
{
	free(container_of(p, struct mem_port, port));
}

static void read_mem(const char *from, const struct io *io)
{
	begin_guest_order();
	for (unsigned i = 0; i < io->nr_iov; i++) {
		memcpy(io->iov[i].iov_base, from, io->iov[i].iov_len);
		from += io->iov[i].iov_len;
	}
	end_guest_order();
}

static void write_mem(char *to, const struct io *io)
{
	begin_guest_order();
	for (unsigned i = 0; i < io->nr_iov; i++) {
		memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
		to += io->iov[i].iov_len;
	}
	end_guest_order();
}

static void complete(struct turn_item *item)
{
	struct io *io = container_of(item, struct io, item);

	io->done(io, 0);
}

static void submit_mem(struct port *p, struct io *io)
{
	struct mem_port *mp = container_of(p, struct mem_port, port);
	struct mem_backend *m = mem_of(p->backend);

	assert(io->offset <= m->size && io->length <= m->size - io->offset);
	turn_item_init(&io->item, complete);
	switch (io->op) {
	case IO_READ:
		read_mem(m->data + io->offset, io);
		break;
	case IO_WRITE:
		write_mem(m->data + io->offset, io);
		break;
	case IO_DISCARD:
	case IO_WRITE_ZEROES:
		if (io->length > MAX_INLINE) {
			blocking_submit(&mp->blocking, io);
			return;
		}
		zero_range(io);
		break;
	case IO_FLUSH:
	case IO_NR_OPS:
		break;
	}
	worker_add(p->worker, TURN_DONE, &io->item);
}

static int rescan_mem(struct backend *b, uint64_t *size)
{
	*size = b->info.size;
	return 0;
}

const struct backend_ops mem_backend = {
	.name = "mem",
	.open = open_mem,
	.close = close_mem,
	.claim = claim_mem,
	.release = release_mem,
	.attach = attach_mem,
	.detach = detach_mem,
	.submit = submit_mem,
	.rescan = rescan_mem,
};
