/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/backend: one claim and one port for many users. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
