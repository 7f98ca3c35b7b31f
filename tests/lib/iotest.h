/* SPDX-License-Identifier: BSD-2-Clause */
/* A backend on a worker, driven from a test's thread. */
#pragma once

#include "backend/backend.h"

struct iotest {
	/* set by the test before iotest_open() */
	bool sqpoll;
	const struct iotest *neighbour; /* whose worker to use, or NULL */

	struct worker *worker;
	struct backend *backend;
	struct port *port;
};

/* One io of a batch: the test fills the first group. */
struct iotest_io {
	enum io_op op;
	unsigned flags;
	uint64_t offset;
	uint64_t length;
	struct iovec *iov;	/* copied */
	unsigned nr_iov;
	bool is_fixed;		/* all of it lies in buffer */
	int buffer;

	int result;		/* of done() */
	unsigned dones;		/* how often it was called */
	unsigned order;		/* 0 was done first */

	struct io io;
	struct iovec *copy;
	struct iotest_batch *batch;
};

#define IOTEST_IO_WORKERS 8

/*
 * Open, claim and attach on a worker of its own; a failure fails the test.
 * iotest_close() undoes it.
 */
void iotest_open(struct iotest *t, const struct backend_ops *ops,
		 const struct backend_params *p);
void iotest_close(struct iotest *t);

/* Call @fn on the worker's thread and wait until it returned. */
void iotest_call(struct worker *w, void (*fn)(void *arg), void *arg);

/* Submit all in one turn and wait until all are done. */
void iotest_run(struct iotest *t, struct iotest_io *ios, unsigned n);

/* One io with one buffer (NULL: none); returns its result. */
int iotest_one(struct iotest *t, enum io_op op, uint64_t offset, void *buf,
	       uint64_t length);
