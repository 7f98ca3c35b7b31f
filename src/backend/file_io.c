/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/file_io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/iov.h"

/* Linux 6.12; the headers of Debian 12 do not have it. */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

/* What one entry moves at most; the rest is its continuation. */
#define MAX_TRANSFER ((size_t)1 << 30)

/*
 * For write zeroes where nothing else works.  Never written to; not const only
 * so that it takes no room in the program's file.
 */
#define ZEROES_SIZE ((size_t)256 << 10)
static char zeroes[ZEROES_SIZE] __attribute__((aligned(4096)));

static void start_next_range(struct file_port *fp);

static struct file_port *port_of(const struct io *io)
{
	return container_of(io->port, struct file_port, port);
}

static uint64_t bytes_left(const struct io *io)
{
	return io->length - io->moved;
}

/* Of the file, for an entry on the direct ring. */
static int direct_place(const struct file_port *fp)
{
	return fp->places[URING_DIRECT];
}

/* A read or write, told to io->uring. */
static struct io_uring_sqe *prepare(struct file_port *fp, struct io *io, int op,
				    const void *addr, size_t len)
{
	bool at_once = io->step == FILE_STEP_AT_ONCE;
	struct uring *r = at_once ? fp->path->ring : fp->direct;
	struct io_uring_sqe *sqe = uring_sqe(r);

	io_uring_prep_rw(op, sqe, fp->places[r->kind], addr, (unsigned)len,
			 io->offset + io->moved);
	sqe->flags |= at_once ? IOSQE_FIXED_FILE : fp->sqe_flags;
	sqe->rw_flags = at_once ? RWF_NOWAIT : 0;
	uring_sqe_done(sqe, &io->uring);
	return sqe;
}

/* -- reads and writes ---------------------------------------------------- */

static void begin_rw(struct file_port *fp, struct io *io);

/* @io may wait from now on, or, when the port has no thread left, from then. */
static void take_thread(struct file_port *fp, struct io *io)
{
	io->step = FILE_STEP_BY_THREAD;
	if (fp->nr_threads == fp->max_threads) {
		list_add_tail(&fp->waiting, &io->item.link);
		return;
	}
	fp->nr_threads++;
	begin_rw(fp, io);
}

static void leave_thread(struct file_port *fp)
{
	struct list *l = list_pop(&fp->waiting);

	if (l)
		begin_rw(fp, list_entry(l, struct io, item.link));
	else
		fp->nr_threads--;
}

static void finish_rw(struct file_port *fp, struct io *io, int res)
{
	if (likely(io->step == FILE_STEP_AT_ONCE))
		fp->path->nr_done++;
	else
		leave_thread(fp);
	io->done(io, res);
}

/* Could it be done by waiting?  Some can refuse, but only all there is. */
static bool is_refused(const struct io *io, int res)
{
	return io->step == FILE_STEP_AT_ONCE &&
	       (res == -EAGAIN || res == -EOPNOTSUPP);
}

/* @buffer is the place of a fixed buffer that has all of it, or -1. */
static void prepare_rw(struct file_port *fp, struct io *io, int buffer,
		       bool is_vector, const void *addr, size_t len)
{
	static const unsigned char ops[][2][2] = {
		[IO_READ] = {{IORING_OP_READ, IORING_OP_READV},
			     {IORING_OP_READ_FIXED, URING_OP_READV_FIXED}},
		[IO_WRITE] = {{IORING_OP_WRITE, IORING_OP_WRITEV},
			      {IORING_OP_WRITE_FIXED, URING_OP_WRITEV_FIXED}},
	};
	bool is_fixed = buffer >= 0;
	struct io_uring_sqe *sqe =
		prepare(fp, io, ops[io->op][is_fixed][is_vector], addr, len);

	if (is_fixed)
		sqe->buf_index = (uint16_t)buffer;
	if (io->op == IO_WRITE && io->flags & IO_FUA)
		sqe->rw_flags |= RWF_DSYNC;
}

static void queue_rw(struct file_port *fp, struct io *io)
{
	if (likely(io->nr_iov == 1))
		prepare_rw(fp, io, io->buffer, false, io->iov->iov_base,
			   MIN(io->iov->iov_len, MAX_TRANSFER));
	else
		prepare_rw(fp, io, io->buffer, true, io->iov,
			   MIN(io->nr_iov, (unsigned)IOV_MAX));
}

/*
 * Take @res bytes as done.  Returns 1 when there is more to do, 0 at the end,
 * or -errno.  A transfer of nothing is the end of a file that was cut off, and
 * so is one that stops inside a block.
 */
static int advance(struct file_port *fp, struct io *io, int res)
{
	if (res < 0)
		return res;
	if (!res || (size_t)res & fp->len_mask)
		return -EIO;
	assert((uint64_t)res <= bytes_left(io));
	if (io->iov)
		iov_pull(&io->iov, &io->nr_iov, NULL, (size_t)res);
	io->moved += (uint64_t)res;
	return bytes_left(io) ? 1 : 0;
}

static void continue_rw(struct io *io, int res)
{
	struct file_port *fp = port_of(io);

	if (is_refused(io, res)) {
		take_thread(fp, io);
		return;
	}
	if (res == -EAGAIN || res == -EINTR) {
		queue_rw(fp, io);
		return;
	}
	res = advance(fp, io, res);
	if (res > 0)
		begin_rw(fp, io);
	else
		finish_rw(fp, io, res);
}

static void rw_done(struct uring_op *op, int res)
{
	struct io *io = container_of(op, struct io, uring);
	struct file_port *fp = port_of(io);

	if (likely(res >= 0 && (uint64_t)res == bytes_left(io)))
		finish_rw(fp, io, 0);
	else
		continue_rw(io, res);
}

static void queue_bounced(struct file_port *fp, struct io *io)
{
	const struct bounce_buffer *b = io->bounce;
	size_t len = MIN(bytes_left(io), BOUNCE_SIZE);

	if (io->op == IO_WRITE)
		iov_copy_out(io->iov, io->nr_iov, 0, b->memory, len);
	prepare_rw(fp, io, b->place, false, b->memory, len);
}

static void bounced_done(struct uring_op *op, int res)
{
	struct io *io = container_of(op, struct io, uring);
	struct file_port *fp = port_of(io);

	if (is_refused(io, res)) {
		bounce_put(fp->bounce, io->bounce);
		take_thread(fp, io);
		return;
	}
	if (res == -EAGAIN || res == -EINTR) {
		queue_bounced(fp, io);
		return;
	}
	if (io->op == IO_READ && res > 0)
		iov_copy_in(io->iov, io->nr_iov, 0, io->bounce->memory,
			    (size_t)res);
	res = advance(fp, io, res);
	if (res > 0) {
		queue_bounced(fp, io);
		return;
	}
	bounce_put(fp->bounce, io->bounce);
	finish_rw(fp, io, res);
}

static void start_bounced(struct turn_item *item)
{
	struct io *io = container_of(item, struct io, item);
	struct file_port *fp = port_of(io);

	io->bounce = bounce_get(fp->bounce);
	if (io->bounce)
		queue_bounced(fp, io);
	else
		bounce_wait(fp->bounce, item);
}

/* Are all buffers such that the disk can reach them? */
static bool is_reachable(const struct file_port *fp, const struct io *io)
{
	uintptr_t bits = 0;

	for (unsigned i = 0; i < io->nr_iov; i++)
		bits |= ((uintptr_t)io->iov[i].iov_base & fp->mem_mask) |
			(io->iov[i].iov_len & fp->len_mask);
	return !bits;
}

static void begin_rw(struct file_port *fp, struct io *io)
{
	if (likely(is_reachable(fp, io))) {
		io->uring.done = rw_done;
		queue_rw(fp, io);
		return;
	}
	io->uring.done = bounced_done;
	turn_item_init(&io->item, start_bounced);
	start_bounced(&io->item);
}

static void start_rw(struct file_port *fp, struct io *io)
{
	if (unlikely(!fp->can_refuse)) {
		take_thread(fp, io);
		return;
	}
	io->step = FILE_STEP_AT_ONCE;
	begin_rw(fp, io);
}

/* -- flushes --------------------------------------------------------------- */

static void queue_fsync(struct file_port *fp)
{
	struct io_uring_sqe *sqe = uring_sqe(fp->direct);

	io_uring_prep_fsync(sqe, direct_place(fp), IORING_FSYNC_DATASYNC);
	sqe->flags |= IOSQE_FIXED_FILE;
	uring_sqe_done(sqe, &fp->fsync);
}

static void start_fsync(struct turn_item *item)
{
	struct file_port *fp =
		container_of(item, struct file_port, start_fsync);

	if (!list_empty(&fp->flushing) || list_empty(&fp->flushes))
		return;
	list_splice_tail(&fp->flushing, &fp->flushes);
	fp->nr_fsyncs++;
	queue_fsync(fp);
}

static void fsync_done(struct uring_op *op, int res)
{
	struct file_port *fp = container_of(op, struct file_port, fsync);
	struct list served, *l;

	if (res == -EAGAIN || res == -EINTR) {
		queue_fsync(fp);
		return;
	}
	list_init(&served);
	list_splice_tail(&served, &fp->flushing);
	start_fsync(&fp->start_fsync);
	while ((l = list_pop(&served))) {
		struct io *io = list_entry(l, struct io, item.link);

		io->done(io, res);
	}
}

static void start_flush(struct file_port *fp, struct io *io)
{
	list_add_tail(&fp->flushes, &io->item.link);
	worker_add(fp->port.worker, TURN_DONE, &fp->start_fsync);
}

/* -- discard and write zeroes ---------------------------------------------- */

static void queue_fallocate(struct file_port *fp, struct io *io, int mode)
{
	struct io_uring_sqe *sqe = uring_sqe(fp->direct);

	io_uring_prep_fallocate(sqe, direct_place(fp), mode, (off_t)io->offset,
				(off_t)io->length);
	sqe->flags |= IOSQE_FIXED_FILE;
	uring_sqe_done(sqe, &io->uring);
}

static void queue_discard(struct file_port *fp, struct io *io)
{
	struct io_uring_sqe *sqe = uring_sqe(fp->direct);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, direct_place(fp), NULL, 0,
			 0);
	sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
	sqe->addr = io->offset;
	sqe->addr3 = io->length;
	sqe->flags |= IOSQE_FIXED_FILE;
	uring_sqe_done(sqe, &io->uring);
}

static void queue_range(struct file_port *fp, struct io *io)
{
	switch ((enum file_step)io->step) {
	case FILE_STEP_DISCARD:
		queue_discard(fp, io);
		break;
	case FILE_STEP_DISCARD_IOCTL:
		blocking_submit(&fp->blocking, io);
		break;
	case FILE_STEP_PUNCH:
		queue_fallocate(fp, io,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
		break;
	case FILE_STEP_ZERO:
		queue_fallocate(fp, io,
				FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
		break;
	case FILE_STEP_WRITE:
		prepare(fp, io, IORING_OP_WRITE, zeroes,
			MIN(bytes_left(io), ZEROES_SIZE));
		break;
	case FILE_STEP_AT_ONCE:
	case FILE_STEP_BY_THREAD:
		break;
	}
}

static enum file_step *best_step(struct file_port *fp, const struct io *io)
{
	if (io->op == IO_DISCARD)
		return &fp->discard_step;
	if (io->flags & IO_UNMAP && fp->file->backend.info.can_unmap)
		return &fp->unmap_step;
	return &fp->zero_step;
}

/*
 * The way to try after one that does not exist here.  A discard ends there: it
 * need not do anything.  Returns false when there is none.
 */
static bool next_step(struct file_port *fp, struct io *io, int res)
{
	if (res != -EOPNOTSUPP && res != -EINVAL && res != -ENOSYS)
		return false;
	if (io->step == FILE_STEP_DISCARD_IOCTL || io->step == FILE_STEP_WRITE)
		return false;
	if (io->op == IO_DISCARD && io->step == FILE_STEP_PUNCH)
		return false;
	io->step++;
	if (res != -EINVAL)
		*best_step(fp, io) = io->step;
	return true;
}

static void finish_range(struct io *io, int res)
{
	struct file_port *fp = port_of(io);

	fp->range = NULL;
	start_next_range(fp);
	if (!res && io->op == IO_WRITE_ZEROES && io->flags & IO_FUA)
		start_flush(fp, io);
	else
		io->done(io, res);
}

static void range_done(struct uring_op *op, int res)
{
	struct io *io = container_of(op, struct io, uring);
	struct file_port *fp = port_of(io);

	if (res == -EAGAIN || res == -EINTR || next_step(fp, io, res)) {
		queue_range(fp, io);
		return;
	}
	if (io->step == FILE_STEP_WRITE) {
		res = advance(fp, io, res);
		if (res > 0) {
			queue_range(fp, io);
			return;
		}
	}
	finish_range(io, res);
}

static void start_next_range(struct file_port *fp)
{
	struct list *l = list_pop(&fp->ranges);
	struct io *io;

	if (!l)
		return;
	io = list_entry(l, struct io, item.link);
	fp->range = io;
	io->iov = NULL;
	io->uring.done = range_done;
	io->step = *best_step(fp, io);
	queue_range(fp, io);
}

static void start_range(struct file_port *fp, struct io *io)
{
	list_add_tail(&fp->ranges, &io->item.link);
	if (!fp->range)
		start_next_range(fp);
}

static int call_discard(struct io *io)
{
	uint64_t range[2] = {io->offset, io->length};

	return ioctl(port_of(io)->file->fd, BLKDISCARD, range) ? -errno : 0;
}

/* -- the port -------------------------------------------------------------- */

void file_io_submit(struct port *p, struct io *io)
{
	struct file_port *fp = container_of(p, struct file_port, port);

	io->moved = 0;
	switch (io->op) {
	case IO_READ:
	case IO_WRITE:
		start_rw(fp, io);
		break;
	case IO_FLUSH:
		start_flush(fp, io);
		break;
	case IO_DISCARD:
	case IO_WRITE_ZEROES:
		start_range(fp, io);
		break;
	case IO_NR_OPS:
		break;
	}
}

static void init_port(struct file_port *fp, const struct file_backend *f,
		      struct worker *w)
{
	fp->file = f;
	fp->path = worker_io_path(w);
	fp->direct = worker_ring(w, URING_DIRECT);
	fp->mem_mask = f->mem_align - 1;
	fp->len_mask = f->len_align - 1;
	fp->can_refuse = f->can_refuse && !f->may_wait;
	fp->sqe_flags = IOSQE_FIXED_FILE | (f->may_wait ? IOSQE_ASYNC : 0);
	fp->max_threads = worker_io_workers(w);
	list_init(&fp->waiting);
	list_init(&fp->flushes);
	list_init(&fp->flushing);
	list_init(&fp->ranges);
	fp->fsync.done = fsync_done;
	turn_item_init(&fp->start_fsync, start_fsync);
	blocking_init(&fp->blocking, w, call_discard, finish_range);
	fp->discard_step = FILE_STEP_PUNCH;
	if (f->backend.id.is_block)
		fp->discard_step = FILE_STEP_DISCARD;
	fp->unmap_step = FILE_STEP_PUNCH;
	fp->zero_step = FILE_STEP_ZERO;
}

static void drop_file(struct file_port *fp, struct worker *w)
{
	for (int i = 0; i < URING_NR_KINDS; i++)
		if (fp->places[i] >= 0)
			uring_drop_file(worker_ring(w, i), fp->places[i]);
}

/* In each ring that there is.  Returns 0 or -errno. */
static int add_file(struct file_port *fp, struct worker *w)
{
	int ret = 0;

	for (int i = 0; i < URING_NR_KINDS; i++)
		fp->places[i] = -1;
	for (int i = 0; i < URING_NR_KINDS && ret >= 0; i++) {
		if (!worker_ring(w, i))
			continue;
		ret = uring_add_file(worker_ring(w, i), fp->file->fd);
		fp->places[i] = ret;
	}
	if (ret >= 0)
		return 0;
	drop_file(fp, w);
	return ret;
}

/* That it may hold at once: also one for the fsync, and one for the range. */
static int nr_threads(const struct file_port *fp)
{
	return (int)fp->max_threads + 2;
}

int file_io_attach(struct backend *b, struct worker *w, struct port **out)
{
	const struct file_backend *f =
		container_of(b, struct file_backend, backend);
	struct file_port *fp = calloc(1, sizeof(*fp));
	int ret;

	if (!fp)
		return -ENOMEM;
	init_port(fp, f, w);
	if (fp->mem_mask | fp->len_mask) {
		ret = bounce_open(w, &fp->bounce);
		if (ret)
			goto fail;
	}
	ret = worker_add_io_threads(w, nr_threads(fp));
	if (ret)
		goto fail;
	ret = add_file(fp, w);
	if (ret) {
		worker_add_io_threads(w, -nr_threads(fp));
		goto fail;
	}
	*out = &fp->port;
	return 0;
fail:
	bounce_close(fp->bounce);
	free(fp);
	return ret;
}

void file_io_detach(struct port *p)
{
	struct file_port *fp = container_of(p, struct file_port, port);

	assert(!fp->range && list_empty(&fp->ranges));
	assert(list_empty(&fp->flushing) && list_empty(&fp->flushes));
	assert(!fp->nr_threads && list_empty(&fp->waiting));
	list_del(&fp->start_fsync.link);
	worker_add_io_threads(p->worker, -nr_threads(fp));
	drop_file(fp, p->worker);
	bounce_close(fp->bounce);
	free(fp);
}
