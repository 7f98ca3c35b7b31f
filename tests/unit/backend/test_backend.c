/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/backend: one claim and one port for many users. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "iotest.h"

static struct {
	unsigned claims, releases, attaches, detaches;
	int answer;
} seen;

static int claim(struct backend *b, char *err, size_t err_len)
{
	(void)b;
	(void)err;
	(void)err_len;
	seen.claims++;
	return seen.answer;
}

static void release(struct backend *b)
{
	(void)b;
	seen.releases++;
}

static int attach(struct backend *b, struct worker *w, struct port **out)
{
	(void)b;
	(void)w;
	seen.attaches++;
	*out = calloc(1, sizeof(**out));
	return seen.answer;
}

static void detach(struct port *p)
{
	seen.detaches++;
	free(p);
}

static const struct backend_ops fake_backend = {
	.name = "fake",
	.claim = claim,
	.release = release,
	.attach = attach,
	.detach = detach,
};

static struct backend b;

static void start(void)
{
	cr_assert_eq(backend_init(&b, &fake_backend, "fake:1"), 0);
	cr_assert_str_eq(b.name, "fake:1");
}

static void stop(void)
{
	backend_fini(&b);
}

Test(backend, claims_once_for_many_users, .init = start, .fini = stop)
{
	char err[64];

	for (int i = 0; i < 3; i++)
		cr_expect_eq(backend_claim(&b, err, sizeof(err)), 0);
	cr_expect_eq(seen.claims, 1);
	backend_release(&b);
	backend_release(&b);
	cr_expect_eq(seen.releases, 0);
	backend_release(&b);
	cr_expect_eq(seen.releases, 1);
}

Test(backend, tries_again_after_a_claim_that_failed, .init = start,
     .fini = stop)
{
	char err[64];

	seen.answer = -EBUSY;
	cr_expect_eq(backend_claim(&b, err, sizeof(err)), -EBUSY);
	seen.answer = 0;
	cr_expect_eq(backend_claim(&b, err, sizeof(err)), 0);
	cr_expect_eq(seen.claims, 2);
	backend_release(&b);
	cr_expect_eq(seen.releases, 1);
}

static void use_ports(void *arg)
{
	struct worker *w = arg;
	struct port *first, *second;

	cr_assert_eq(backend_attach(&b, w, &first), 0);
	cr_assert_eq(backend_attach(&b, w, &second), 0);
	cr_expect_eq(first, second);
	cr_expect_eq(first->backend, &b);
	cr_expect_eq(first->worker, w);
	cr_expect_eq(seen.attaches, 1);
	backend_detach(first);
	cr_expect_eq(seen.detaches, 0);
	backend_detach(second);
	cr_expect_eq(seen.detaches, 1);
	cr_assert_eq(backend_attach(&b, w, &first), 0);
	cr_expect_eq(seen.attaches, 2);
	backend_detach(first);
}

Test(backend, gives_a_worker_one_port, .init = start, .fini = stop)
{
	struct worker_params wp = {.cpu = -1, .sqpoll_cpu = -1,
				   .io_workers = 8};
	struct worker *w;

	cr_assert_eq(worker_new(&w, &wp), 0);
	cr_assert_eq(worker_start(w), 0);
	iotest_call(w, use_ports, w);
	worker_stop(w);
	worker_free(w);
}

#define DELAY_US 20000
#define NR_IOS	 64

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* NR_IOS at once, of all operations; returns how long they took. */
static uint64_t run_batch(struct iotest *t, struct iotest_io *ios)
{
	static _Alignas(4096) char buf[NR_IOS][4096];
	static struct iovec iov[NR_IOS];
	uint64_t began_us = now_us();

	for (unsigned i = 0; i < NR_IOS; i++) {
		iov[i] = (struct iovec){buf[i], sizeof(buf[i])};
		ios[i] = (struct iotest_io){.op = i % IO_NR_OPS,
					    .offset = i * 4096,
					    .length = 4096,
					    .iov = &iov[i]};
		ios[i].nr_iov = ios[i].op <= IO_WRITE;
	}
	iotest_run(t, ios, NR_IOS);
	for (unsigned i = 0; i < NR_IOS; i++)
		cr_expect_eq(ios[i].result, 0, "io %u: %d", i, ios[i].result);
	return now_us() - began_us;
}

/* A turn's clock may be a little older than ours. */
static void expect_delays(struct iotest *t)
{
	static struct iotest_io ios[NR_IOS];
	unsigned nr_overtaken = 0;

	cr_expect_geq(run_batch(t, ios), DELAY_US);
	for (unsigned i = 1; i < NR_IOS; i++)
		nr_overtaken += ios[i].order < ios[i - 1].order;
	cr_expect_gt(nr_overtaken, NR_IOS / 8);
	for (unsigned i = 0; i < 5; i++) {
		uint64_t began_us = now_us();

		cr_expect_eq(iotest_one(t, IO_FLUSH, 0, NULL, 0), 0);
		cr_expect_geq(now_us() - began_us, DELAY_US / 2 - 2000);
	}
}

Test(backend, begins_each_io_later_where_asked)
{
	char path[] = "/tmp/vringd-test-XXXXXX";
	const struct {
		const struct backend_ops *ops;
		struct backend_params params;
	} kinds[] = {
		{&mem_backend, {.size = 1 << 20}},
		{&null_backend, {.size = 1 << 20}},
		{&file_backend, {.path = path}},
	};
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct backend_params p = kinds[i].params;
		struct iotest t = {0};

		p.discard = true;
		p.delay_us = DELAY_US;
		iotest_open(&t, kinds[i].ops, &p);
		expect_delays(&t);
		iotest_close(&t);
	}
	close(fd);
	unlink(path);
}
