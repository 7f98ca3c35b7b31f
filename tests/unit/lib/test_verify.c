/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/verify: right data passes, and each kind of wrong is named. */
#include <criterion/criterion.h>
#include <errno.h>

#include "verify.h"

#define BLOCKS 64

static struct verify v;
static struct verify_finding f;
static _Alignas(16) uint8_t disk[BLOCKS * VERIFY_BLOCK];

static void setup(void)
{
	cr_assert_eq(verify_init(&v, BLOCKS, 7), 0);
	memset(disk, 0xee, sizeof(disk));
}

static void teardown(void)
{
	verify_fini(&v);
}

TestSuite(verify, .init = setup, .fini = teardown);

static uint8_t *at(uint64_t block)
{
	return disk + block * VERIFY_BLOCK;
}

static void put(uint64_t block, uint64_t n)
{
	verify_write(&v, block, n, at(block));
}

static void expect_bad(uint64_t first, uint64_t bad, const char *kind)
{
	cr_assert_eq(verify_check(&v, first, 8, at(first), &f), -EBADMSG);
	cr_assert_eq(f.block, bad);
	cr_assert_str_eq(f.kind, kind);
}

Test(verify, accepts_what_was_written)
{
	put(0, 8);
	put(4, 8);
	cr_assert_eq(verify_check(&v, 0, 12, disk, &f), 0);
	cr_assert_eq(v.nr_checked, 12);
}

Test(verify, expects_nothing_of_what_was_never_written)
{
	cr_assert_eq(verify_check(&v, 0, BLOCKS, disk, &f), 0);
	cr_assert_eq(v.nr_checked, 0);
	cr_assert_not(verify_is_known(&v, 0, BLOCKS));
	put(9, 1);
	cr_assert(verify_is_known(&v, 8, 2));
	cr_assert_not(verify_is_known(&v, 10, 2));
}

Test(verify, writes_no_16_bytes_twice)
{
	put(0, 2);
	for (unsigned i = 0; i < 2 * VERIFY_BLOCK; i += 16)
		for (unsigned j = 0; j < i; j += 16)
			cr_assert_neq(memcmp(disk + i, disk + j, 16), 0);
}

Test(verify, tells_a_stale_block)
{
	uint8_t old[VERIFY_BLOCK];

	put(0, 8);
	memcpy(old, at(3), VERIFY_BLOCK);
	put(0, 8);
	memcpy(at(3), old, VERIFY_BLOCK);
	expect_bad(0, 3, "stale");
	cr_assert_str_eq(f.expected, "offset 0x600 generation 2");
	cr_assert_str_eq(f.found, "offset 0x600 generation 1 from byte 0 on");
}

Test(verify, tells_a_torn_block)
{
	uint8_t old[VERIFY_BLOCK];

	put(0, 8);
	memcpy(old, at(5), VERIFY_BLOCK);
	put(0, 8);
	memcpy(at(5) + 256, old + 256, 256);
	expect_bad(0, 5, "torn");
	cr_assert_str_eq(f.found, "offset 0xa00 generation 1 from byte 256 on");
}

Test(verify, tells_a_block_that_was_half_zeroed)
{
	put(0, 8);
	memset(at(2), 0, 128);
	expect_bad(0, 2, "torn");
}

Test(verify, tells_a_misplaced_block)
{
	put(0, 8);
	memcpy(at(6), at(1), VERIFY_BLOCK);
	expect_bad(0, 6, "misplaced");
}

Test(verify, tells_a_block_that_reads_as_zeroes)
{
	put(0, 8);
	memset(at(7), 0, VERIFY_BLOCK);
	expect_bad(0, 7, "lost");
}

Test(verify, tells_what_was_not_read_at_all)
{
	put(0, 8);
	memset(at(6) + 64, VERIFY_POISON, 2 * VERIFY_BLOCK - 64);
	expect_bad(0, 6, "unread");
	cr_assert_str_eq(f.found, "nothing from byte 64 on");
}

Test(verify, tells_foreign_bytes_even_a_single_bit)
{
	put(0, 8);
	at(4)[511] ^= 0x10;
	expect_bad(0, 4, "foreign");
}

Test(verify, tells_data_of_an_earlier_run)
{
	struct verify before;

	put(0, 8);
	cr_assert_eq(verify_init(&before, BLOCKS, 6), 0);
	verify_write(&before, 0, 8, disk);
	verify_fini(&before);
	expect_bad(0, 0, "foreign");
}

Test(verify, insists_on_zeroes_after_write_zeroes)
{
	put(0, 8);
	verify_zero(&v, 2, 2);
	expect_bad(0, 2, "stale");
	cr_assert_str_eq(f.expected, "zeroes");
	memset(at(2), 0, 2 * VERIFY_BLOCK);
	cr_assert_eq(verify_check(&v, 0, 8, disk, &f), 0);
}

Test(verify, takes_anything_after_a_discard_until_written_again)
{
	uint8_t old[VERIFY_BLOCK];

	put(0, 8);
	memcpy(old, at(1), VERIFY_BLOCK);
	verify_forget(&v, 1, 1);
	memset(at(1), 0x5a, VERIFY_BLOCK);
	cr_assert_eq(verify_check(&v, 0, 8, disk, &f), 0);
	put(1, 1);
	cr_assert_eq(verify_check(&v, 0, 8, disk, &f), 0);
	memcpy(at(1), old, VERIFY_BLOCK);
	expect_bad(0, 1, "stale");
}
