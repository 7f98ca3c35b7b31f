/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/mem: what is written is read, what is emptied reads zero. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iotest.h"

#define MIB  ((uint64_t)1 << 20)
#define SIZE (16 * MIB)

static struct iotest t;

static void start(void)
{
	struct backend_params p = {.kind = "mem", .size = SIZE,
				   .discard = true};

	iotest_open(&t, &mem_backend, &p);
}

static void stop(void)
{
	iotest_close(&t);
}

static void expect_bytes(uint64_t offset, uint64_t len, int value)
{
	char *buf = malloc(len);
	uint64_t at = 0;

	memset(buf, value + 1, len);
	cr_assert_eq(iotest_one(&t, IO_READ, offset, buf, len), 0);
	while (at < len && buf[at] == (char)value)
		at++;
	cr_assert_eq(at, len, "byte %llu is %d",
		     (unsigned long long)(offset + at), buf[at]);
	free(buf);
}

static void fill(int value)
{
	char *buf = malloc(SIZE);

	memset(buf, value, SIZE);
	cr_assert_eq(iotest_one(&t, IO_WRITE, 0, buf, SIZE), 0);
	free(buf);
}

Test(mem, reads_zero_at_first, .init = start, .fini = stop)
{
	expect_bytes(0, SIZE, 0);
}

Test(mem, scatters_and_gathers, .init = start, .fini = stop)
{
	char a[] = "0123456789", b[11] = "";
	struct iovec out[] = {{a, 3}, {a + 3, 0}, {a + 3, 1}, {a + 4, 6}};
	struct iovec in[] = {{b, 1}, {b + 1, 7}, {b + 8, 2}};
	struct iotest_io ios[] = {
		{.op = IO_WRITE, .offset = SIZE - 512, .length = 10,
		 .iov = out, .nr_iov = ARRAY_SIZE(out)},
		{.op = IO_READ, .offset = SIZE - 512, .length = 10,
		 .iov = in, .nr_iov = ARRAY_SIZE(in)},
	};

	iotest_run(&t, ios, 2);
	cr_expect_eq(ios[0].result, 0);
	cr_expect_eq(ios[1].result, 0);
	cr_expect_str_eq(b, a);
}

Test(mem, zeroes_exactly_the_range, .init = start, .fini = stop)
{
	/* Within a page, over page borders, by the thread, and to the end. */
	static const struct {
		uint64_t offset, length;
	} ranges[] = {
		{512, 1024},	       {4096, 4096},  {512, 8192},
		{3584, 9216},	       {512, 5 * MIB}, {8192, 4 * MIB},
		{SIZE - 1536, 1536},   {0, SIZE},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t offset = ranges[i].offset, len = ranges[i].length;

		fill(7);
		cr_assert_eq(iotest_one(&t, IO_WRITE_ZEROES, offset, NULL, len),
			     0);
		expect_bytes(offset, len, 0);
		if (offset)
			expect_bytes(0, offset, 7);
		if (offset + len < SIZE)
			expect_bytes(offset + len, SIZE - offset - len, 7);
	}
}

static long resident_kib(void)
{
	char line[256];
	long rss = -1;
	FILE *f = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), f))
		sscanf(line, "RssAnon: %ld", &rss);
	fclose(f);
	return rss;
}

Test(mem, gives_discarded_pages_back, .init = start, .fini = stop)
{
	long full;

	fill(7);
	full = resident_kib();
	cr_assert_eq(iotest_one(&t, IO_DISCARD, 0, NULL, SIZE), 0);
	cr_expect_lt(resident_kib(), full - 8 * 1024);
	expect_bytes(0, SIZE, 0);
}

Test(mem, completes_many_at_once, .init = start, .fini = stop)
{
	static struct iotest_io ios[64];
	static char data[64][512];
	static struct iovec iov[64];

	for (unsigned i = 0; i < 64; i++) {
		memset(data[i], i, 512);
		iov[i] = (struct iovec){data[i], 512};
		ios[i] = (struct iotest_io){.op = IO_WRITE, .offset = i * 512,
					    .length = 512, .iov = &iov[i],
					    .nr_iov = 1};
	}
	ios[63].op = IO_FLUSH;
	ios[63].nr_iov = 0;
	iotest_run(&t, ios, 64);
	for (unsigned i = 0; i < 64; i++) {
		cr_expect_eq(ios[i].result, 0);
		cr_expect_eq(ios[i].order, i);
	}
	for (int i = 0; i < 63; i++)
		expect_bytes(i * 512, 512, i);
}
