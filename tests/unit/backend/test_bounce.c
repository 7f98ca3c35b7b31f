/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/bounce: buffers that are lent, and fixed where that is possible. */
#include <criterion/criterion.h>
#include <string.h>

#include "backend/bounce.h"
#include "base/util.h"
#include "iotest.h"

static struct worker *worker;

static void start(void)
{
	struct worker_params wp = {.cpu = -1, .sqpoll_cpu = -1,
				   .io_workers = 4};

	cr_assert_eq(worker_new(&worker, &wp), 0);
	cr_assert_eq(worker_start(worker), 0);
}

static void stop(void)
{
	worker_stop(worker);
	worker_free(worker);
}

TestSuite(bounce, .init = start, .fini = stop);

static void lend_all(void *arg)
{
	struct bounce_buffer *all[BOUNCE_NR];
	struct bounce *b;

	(void)arg;
	cr_assert_eq(bounce_open(worker, &b), 0);
	for (unsigned i = 0; i < BOUNCE_NR; i++) {
		all[i] = bounce_get(b);
		cr_assert(all[i]);
		cr_assert(is_aligned((uintptr_t)all[i]->memory, 4096));
		cr_expect_geq(all[i]->place, 0);
		for (unsigned j = 0; j < i; j++)
			cr_expect_neq(all[j]->place, all[i]->place);
	}
	cr_assert_null(bounce_get(b));
	for (unsigned i = 0; i < BOUNCE_NR; i++)
		bounce_put(b, all[i]);
	bounce_close(b);
}

Test(bounce, lends_fixed_buffers)
{
	iotest_call(worker, lend_all, NULL);
	/* The places were given back. */
	iotest_call(worker, lend_all, NULL);
}

static char page[4096] __attribute__((aligned(4096)));

/* The table is full, or RLIMIT_MEMLOCK is reached before. */
static void do_without(void *arg)
{
	struct bounce_buffer *buf;
	struct bounce *b;

	(void)arg;
	while (worker_add_buffer(worker, page, sizeof(page)) >= 0)
		;
	cr_assert_eq(bounce_open(worker, &b), 0);
	buf = bounce_get(b);
	cr_assert(buf);
	cr_expect_eq(buf->place, -1);
	memset(buf->memory, 1, BOUNCE_SIZE);
	bounce_put(b, buf);
	cr_expect_eq(bounce_get(b), buf);
	bounce_put(b, buf);
	bounce_close(b);
}

Test(bounce, lends_plain_buffers_where_none_can_be_fixed)
{
	iotest_call(worker, do_without, NULL);
}
