/* SPDX-License-Identifier: BSD-2-Clause */
/* Call a guest or its VMM through a descriptor, without ever blocking. */
#include "vhost/call.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/util.h"
#include "run/offload.h"

static const uint64_t one = 1;

static void write_done(struct uring_op *op, int res);
static void cancel_done(struct uring_op *op, int res);

int call_new(struct call **out, int fd)
{
	*out = NULL;
	if (fd < 0)
		return 0;

	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	/*
	 * Without it the ring tries a write that could block many times before
	 * it gives it to a thread.
	 */
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	c->fd = fd;
	c->message = &one;
	c->message_len = sizeof(one);
	c->lost = "called";
	c->write.done = write_done;
	c->cancel.done = cancel_done;
	*out = c;
	return 0;
}

void call_free(struct call *c)
{
	if (!c)
		return;
	assert(!c->pending);
	offload_close(c->fd);
	free(c);
}

bool call_is_busy(const struct call *c)
{
	return c && c->pending;
}

void call_send(struct call *c, struct worker *w)
{
	if (c->is_broken)
		return;
	if (c->is_writing) {
		c->is_wanted = true;
		return;
	}

	struct io_uring_sqe *sqe = uring_sqe(worker_ring(w, URING_DIRECT));

	io_uring_prep_write(sqe, c->fd, c->message, c->message_len, 0);
	uring_sqe_done(sqe, &c->write);
	c->worker = w;
	c->is_writing = true;
	c->is_wanted = false;
	c->pending++;
	if (c->made)
		counters_add(c->made, 1);
}

static void entry_over(struct call *c)
{
	if (--c->pending || !c->is_stopping)
		return;

	void (*stopped)(void *ctx) = c->stopped;
	void *ctx = c->ctx;

	call_free(c);
	stopped(ctx);
}

static void give_up(struct call *c, int err)
{
	c->is_broken = true;
	if (c->tag)
		log_warn(c->tag, "guest is not %s any more: %s", c->lost,
			 strerror(err));
}

static void write_done(struct uring_op *op, int res)
{
	struct call *c = container_of(op, struct call, write);

	c->is_writing = false;
	/*
	 * EAGAIN: there is no room, so somebody has not yet heard of calls
	 * before, and will look.  Anything else will not get better; nor does
	 * a message of which a part was taken.
	 */
	if (res == -EINTR)
		c->is_wanted = true;
	else if (res >= 0 && (uint32_t)res < c->message_len)
		give_up(c, EMSGSIZE);
	else if (res < 0 && res != -EAGAIN && !c->is_stopping)
		give_up(c, -res);
	if (c->is_wanted && !c->is_stopping)
		call_send(c, c->worker);
	entry_over(c);
}

static void cancel_done(struct uring_op *op, int res)
{
	/* Too late or not: the write's own result comes in any case. */
	(void)res;
	entry_over(container_of(op, struct call, cancel));
}

bool call_stop(struct call *c, void (*stopped)(void *ctx), void *ctx)
{
	if (!call_is_busy(c)) {
		call_free(c);
		return false;
	}
	c->is_stopping = true;
	c->stopped = stopped;
	c->ctx = ctx;

	struct io_uring_sqe *sqe =
		uring_sqe(worker_ring(c->worker, URING_DIRECT));

	io_uring_prep_cancel(sqe, &c->write, 0);
	uring_sqe_done(sqe, &c->cancel);
	c->pending++;
	return true;
}
