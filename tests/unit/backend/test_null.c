/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/null: completes, keeps nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "iotest.h"

#define SIZE ((uint64_t)1 << 40)

static struct iotest t;

static void start(bool zeroes)
{
	struct backend_params p = {.kind = "null", .size = SIZE,
				   .zeroes = zeroes, .discard = true};

	iotest_open(&t, &null_backend, &p);
}

Test(null, completes_everything_and_touches_no_data)
{
	char buf[512];

	start(false);
	memset(buf, 0xaa, sizeof(buf));
	cr_expect_eq(t.backend->info.size, SIZE);
	cr_expect_eq(t.backend->info.block_size, 512);
	cr_expect(!t.backend->info.copies);
	for (int op = 0; op < IO_NR_OPS; op++)
		cr_expect_eq(iotest_one(&t, op, SIZE - 512, buf, 512), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		cr_assert_eq(buf[i], (char)0xaa);
	iotest_close(&t);
}

Test(null, fills_reads_with_zeroes_where_asked)
{
	char buf[1024];

	start(true);
	memset(buf, 0xaa, sizeof(buf));
	cr_expect(t.backend->info.copies);
	cr_expect_eq(iotest_one(&t, IO_READ, 0, buf + 512, 512), 0);
	cr_expect_eq(iotest_one(&t, IO_WRITE, 0, buf, 512), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		cr_assert_eq(buf[i], i < 512 ? (char)0xaa : 0);
	iotest_close(&t);
}

Test(null, refuses_sizes_that_are_no_disk)
{
	static const struct backend_params bad[] = {
		{.size = 0},
		{.size = 513},
		{.size = 512, .block_size = 4096},
		{.size = 4096, .block_size = 1024},
		{.size = UINT64_MAX - 511},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct backend *b;
		char err[128] = "";

		cr_expect_eq(null_backend.open(&b, &bad[i], err, sizeof(err)),
			     -EINVAL);
		cr_expect(strstr(err, "must be"), "%s", err);
	}
}
