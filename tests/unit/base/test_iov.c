/* SPDX-License-Identifier: BSD-2-Clause */
/* base/iov: copying, shortening, cutting out, across segments. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/iov.h"

/* "abc", nothing, "d", "efgh" */
#define NR 4
static char memory[9];
static struct iovec iov[NR];

static void fill(void)
{
	memcpy(memory, "abcdefgh", sizeof(memory));
	iov[0] = (struct iovec){ memory, 3 };
	iov[1] = (struct iovec){ memory, 0 };
	iov[2] = (struct iovec){ memory + 3, 1 };
	iov[3] = (struct iovec){ memory + 4, 4 };
}

TestSuite(iov, .init = fill);

Test(iov, adds_up_the_sizes)
{
	cr_assert_eq(iov_size(iov, NR), 8);
	cr_assert_eq(iov_size(iov, 0), 0);
}

Test(iov, copies_out_any_range)
{
	for (unsigned off = 0; off <= 9; off++) {
		for (unsigned len = 0; len <= 9; len++) {
			char buf[10] = "";
			size_t want = off > 8 ? 0 : 8 - off;

			if (want > len)
				want = len;
			cr_assert_eq(iov_copy_out(iov, NR, off, buf, len),
				     want);
			cr_assert_arr_eq(buf, &"abcdefgh"[off > 8 ? 8 : off],
					 want);
			cr_assert_eq(buf[want], 0);
		}
	}
}

Test(iov, copies_into_any_range)
{
	cr_assert_eq(iov_copy_in(iov, NR, 2, "XYZ", 3), 3);
	cr_assert_str_eq(memory, "abXYZfgh");
	cr_assert_eq(iov_copy_in(iov, NR, 6, "1234", 4), 2);
	cr_assert_str_eq(memory, "abXYZf12");
	cr_assert_eq(iov_copy_in(iov, NR, 8, "1234", 4), 0);
}

Test(iov, fills_up_to_the_end)
{
	cr_assert_eq(iov_fill(iov, NR, 1, '.', 4), 4);
	cr_assert_str_eq(memory, "a....fgh");
	cr_assert_eq(iov_fill(iov, NR, 7, '-', UINT64_MAX), 1);
	cr_assert_str_eq(memory, "a....fg-");
}

Test(iov, pulls_a_header_from_the_front_split_at_any_byte)
{
	for (unsigned len = 0; len <= 8; len++) {
		struct iovec *v = iov;
		unsigned n = NR;
		char head[9] = "", rest[9] = "";

		fill();
		cr_assert_eq(iov_pull(&v, &n, head, len), len);
		cr_assert_arr_eq(head, "abcdefgh", len);
		cr_assert_eq(iov_copy_out(v, n, 0, rest, 8), 8 - len);
		cr_assert_str_eq(rest, &"abcdefgh"[len]);
	}
}

Test(iov, pulls_less_from_a_short_array)
{
	struct iovec *v = iov;
	unsigned n = NR;
	char buf[16];

	cr_assert_eq(iov_pull(&v, &n, buf, sizeof(buf)), 8);
	cr_assert_eq(n, 0);
	cr_assert_eq(iov_pull(&v, &n, buf, 1), 0);
}

Test(iov, skips_without_a_buffer)
{
	struct iovec *v = iov;
	unsigned n = NR;

	cr_assert_eq(iov_pull(&v, &n, NULL, 4), 4);
	cr_assert_eq(n, 1);
	cr_assert_eq(v->iov_base, memory + 4);
}

Test(iov, chops_the_end_at_any_byte)
{
	for (unsigned len = 1; len <= 8; len++) {
		unsigned n = NR;

		fill();
		cr_assert_eq(iov_chop(iov, &n, len), memory + 8 - len);
		cr_assert_eq(iov_size(iov, n), 8 - len);
	}
}

Test(iov, chops_nothing_from_a_short_array)
{
	unsigned n = NR;

	cr_assert_null(iov_chop(iov, &n, 9));
	cr_assert_null(iov_chop(iov, &n, 0));
	cr_assert_eq(n, NR);
	cr_assert_eq(iov_size(iov, n), 8);
}
