/* SPDX-License-Identifier: BSD-2-Clause */
#include "iotest.h"

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct iotest_batch {
	struct iotest *test;
	struct iotest_io *ios;
	unsigned n;
	unsigned nr_done;
	bool submitting;
	sem_t all_done;
};

struct call {
	struct mail mail;
	void (*fn)(void *arg);
	void *arg;
	sem_t returned;
};

/* No assertions of Criterion: a child that a test forked may not use them. */
static void must(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "iotest: %d: %s\n", ret, what);
	abort();
}

static void deliver_call(struct mail *m)
{
	struct call *c = container_of(m, struct call, mail);

	c->fn(c->arg);
	sem_post(&c->returned);
}

void iotest_call(struct worker *w, void (*fn)(void *arg), void *arg)
{
	struct call c = {.mail.deliver = deliver_call, .fn = fn, .arg = arg};

	sem_init(&c.returned, 0, 0);
	worker_post(w, &c.mail);
	sem_wait(&c.returned);
	sem_destroy(&c.returned);
}

static void attach(void *arg)
{
	struct iotest *t = arg;

	must(backend_attach(t->backend, t->worker, &t->port), "attach");
}

static void detach(void *arg)
{
	struct iotest *t = arg;

	backend_detach(t->port);
}

static void make_worker(struct iotest *t)
{
	struct worker_params wp = {.cpu = -1, .sqpoll_cpu = -1,
				   .sqpoll_idle_ms = 100,
				   .io_workers = IOTEST_IO_WORKERS};

	wp.sqpoll = t->sqpoll;
	must(worker_new(&t->worker, &wp), "worker_new");
	must(worker_start(t->worker), "worker_start");
}

void iotest_open(struct iotest *t, const struct backend_ops *ops,
		 const struct backend_params *p)
{
	char err[512] = "";

	must(ops->open(&t->backend, p, err, sizeof(err)), err);
	must(backend_claim(t->backend, err, sizeof(err)), err);
	if (t->neighbour)
		t->worker = t->neighbour->worker;
	else
		make_worker(t);
	iotest_call(t->worker, attach, t);
}

void iotest_close(struct iotest *t)
{
	iotest_call(t->worker, detach, t);
	if (!t->neighbour) {
		worker_stop(t->worker);
		worker_free(t->worker);
	}
	backend_release(t->backend);
	t->backend->ops->close(t->backend);
}

static void done(struct io *io, int res)
{
	struct iotest_io *i = container_of(io, struct iotest_io, io);
	struct iotest_batch *b = i->batch;

	assert(!b->submitting);
	assert(worker_is_self(b->test->worker));
	i->result = res;
	i->dones++;
	i->order = b->nr_done++;
	if (b->nr_done == b->n)
		sem_post(&b->all_done);
}

static void submit_batch(void *arg)
{
	struct iotest_batch *b = arg;

	b->submitting = true;
	for (unsigned n = 0; n < b->n; n++) {
		struct iotest_io *i = &b->ios[n];

		memset(&i->io, 0x55, sizeof(i->io));
		i->io.op = i->op;
		i->io.flags = i->flags;
		i->io.offset = i->offset;
		i->io.length = i->length;
		i->io.iov = i->copy;
		i->io.nr_iov = i->nr_iov;
		i->io.buffer = i->is_fixed ? i->buffer : -1;
		i->io.done = done;
		port_submit(b->test->port, &i->io);
	}
	b->submitting = false;
}

void iotest_run(struct iotest *t, struct iotest_io *ios, unsigned n)
{
	struct iotest_batch b = {.test = t, .ios = ios, .n = n};

	sem_init(&b.all_done, 0, 0);
	for (unsigned i = 0; i < n; i++) {
		size_t len = ios[i].nr_iov * sizeof(struct iovec);

		ios[i].batch = &b;
		ios[i].dones = 0;
		ios[i].copy = malloc(len + 1);
		assert(ios[i].copy);
		if (len)
			memcpy(ios[i].copy, ios[i].iov, len);
	}
	iotest_call(t->worker, submit_batch, &b);
	sem_wait(&b.all_done);
	sem_destroy(&b.all_done);
	for (unsigned i = 0; i < n; i++) {
		free(ios[i].copy);
		assert(ios[i].dones == 1);
	}
}

int iotest_one(struct iotest *t, enum io_op op, uint64_t offset, void *buf,
	       uint64_t length)
{
	struct iovec iov = {.iov_base = buf, .iov_len = length};
	struct iotest_io io = {.op = op, .offset = offset, .length = length,
			       .iov = &iov, .nr_iov = buf ? 1 : 0};

	iotest_run(t, &io, 1);
	return io.result;
}
