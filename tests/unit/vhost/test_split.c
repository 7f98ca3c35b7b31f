/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/split: every rule of the ring, kept and broken. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/util.h"
#include "fuzz.h"
#include "ringmem.h"
#include "vhost/guard.h"
#include "vhost/split.h"

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

#define MAX_IOV 8

static struct ringmem rm;
static struct ring r;
static struct iovec own[MAX_IOV], spare[RING_CHAIN_MAX + 1];
static uint64_t taken[32768 / 64];
static struct chain c;

/* A ring of @size entries, as at the driver's start. */
static void start(unsigned size, bool event_idx)
{
	rm_set_size(&rm, size);
	r = (struct ring){ .size = size, .event_idx = event_idx,
			   .indirect = true, .map = rm.map, .taken = taken };
	cr_assert_eq(split_locate(&r, &rm.addr), 0, "%s", r.why);
	split_restore(&r, 0);
	/* one past the end, which nobody may touch */
	spare[RING_CHAIN_MAX].iov_len = 0x5a5a;
}

static void setup(void)
{
	rm_init(&rm, 4);
	cr_assert_eq(guard_init(), 0);
	start(4, false);
}

static void teardown(void)
{
	cr_assert_eq(spare[RING_CHAIN_MAX].iov_len, 0x5a5a);
	rm_fini(&rm);
}

TestSuite(split, .init = setup, .fini = teardown, .timeout = 60);

static int pop(void)
{
	c = (struct chain){ .iov = own, .max_iov = MAX_IOV, .spare = spare };
	return split_pop(&r, &c);
}

static int pop_head(unsigned head)
{
	rm_avail(&rm, head);
	return pop();
}

/* Iovec @i of the chain is @len bytes at guest address @gpa. */
static void expect_iov(unsigned i, uint64_t gpa, size_t len)
{
	cr_assert_eq(c.iov[i].iov_base, rm_host(&rm, gpa), "iovec %u", i);
	cr_assert_eq(c.iov[i].iov_len, len, "iovec %u: %zu", i,
		     c.iov[i].iov_len);
}

/* ---- what a good driver does ---- */

Test(split, finds_nothing_in_an_empty_ring)
{
	cr_assert_not(split_has_work(&r));
	cr_assert_eq(pop(), 0);
	cr_assert_not(split_publish(&r));
}

Test(split, takes_a_chain_of_readable_and_writable_buffers)
{
	rm_desc(&rm, 2, RM_B, 16, N, 0);
	rm_desc(&rm, 0, RM_B + 0x1000, 512, N, 3);
	rm_desc(&rm, 3, RM_D, 4096, N | W, 1);
	rm_desc(&rm, 1, RM_D + 0x2000, 1, W, 77);
	cr_assert_eq(pop_head(2), 1);
	cr_assert_eq(c.id, 2);
	cr_assert_eq(c.nr_desc, 4);
	cr_assert_eq(c.nr_readable, 2);
	cr_assert_eq(c.nr_writable, 2);
	cr_assert_eq(c.readable_len, 528);
	cr_assert_eq(c.writable_len, 4097);
	cr_assert_not(c.too_long);
	expect_iov(0, RM_B, 16);
	expect_iov(1, RM_B + 0x1000, 512);
	expect_iov(2, RM_D, 4096);
	expect_iov(3, RM_D + 0x2000, 1);
	cr_assert_eq(pop(), 0);
}

Test(split, gives_back_what_it_took)
{
	rm_desc(&rm, 1, RM_B, 16, W, 0);
	cr_assert_eq(pop_head(1), 1);
	split_push(&r, &c, 5);
	cr_assert_eq(rm.used->idx, 0);
	cr_assert(split_publish(&r));
	cr_assert_eq(rm.used->idx, 1);
	cr_assert_eq(rm.used->ring[0].id, 1);
	cr_assert_eq(rm.used->ring[0].len, 5);
	cr_assert_not(split_publish(&r));
	cr_assert_eq(pop_head(1), 1);
}

Test(split, takes_once_more_what_was_not_taken_after_all)
{
	rm_desc(&rm, 1, RM_B, 16, N, 2);
	rm_desc(&rm, 2, RM_B + 16, 8, W, 0);
	rm_avail(&rm, 1);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(split_has_work(&r));
		cr_assert_eq(pop(), 1);
		cr_assert_not(split_has_work(&r));
		split_unpop(&r, &c);
		cr_assert_not(split_publish(&r));
	}
	/* It is the driver's meanwhile, who may change it. */
	rm_desc(&rm, 1, RM_B, 24, 0, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(c.id, 1);
	cr_assert_eq(c.nr_readable, 1);
	cr_assert_eq(c.readable_len, 24);
	cr_assert_eq(pop(), 0);
	split_push(&r, &c, 0);
	split_publish(&r);
	cr_assert_eq(rm.used->idx, 1);
}

Test(split, takes_chains_out_of_order_and_shows_them_at_once)
{
	struct chain first;

	for (unsigned i = 0; i < 4; i++)
		rm_desc(&rm, i, RM_B + i, 1, 0, 0);
	cr_assert_eq(pop_head(3), 1);
	first = c;
	cr_assert_eq(pop_head(0), 1);
	split_push(&r, &c, 0);
	split_push(&r, &first, 0);
	split_publish(&r);
	cr_assert_eq(rm.used->idx, 2);
	cr_assert_eq(rm.used->ring[0].id, 0);
	cr_assert_eq(rm.used->ring[1].id, 3);
}

Test(split, runs_round_rings_of_all_sizes_beyond_the_wrap_of_the_index)
{
	for (unsigned size = 1; size <= 32768; size *= 2) {
		start(size, true);
		for (unsigned i = 0; i < size; i++)
			rm_desc(&rm, i, RM_B + i, 1, 0, 0);
		for (unsigned i = 0; i < 65536 + size + 1; i++) {
			unsigned head = (i * 7) % size;

			cr_assert_eq(pop_head(head), 1, "%s", r.why);
			cr_assert_eq(c.id, head);
			cr_assert_eq(c.iov[0].iov_base,
				     (char *)rm_host(&rm, RM_B) + head);
			split_push(&r, &c, i);
			split_publish(&r);
			cr_assert_eq(rm.used->idx, (uint16_t)(i + 1));
			cr_assert_eq(rm.used->ring[i % size].len, i);
		}
		cr_assert_eq(pop(), 0);
	}
}

Test(split, holds_a_whole_ring_in_flight)
{
	static const unsigned sizes[] = { 1, 64, 512, 4096, 32768 };
	struct chain all = { 0 };

	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		start(sizes[s], false);
		for (unsigned i = 0; i < sizes[s]; i++)
			rm_desc(&rm, i, RM_B + i, 1, 0, 0);
		for (unsigned i = 0; i < sizes[s]; i++)
			cr_assert_eq(pop_head(i), 1);
		for (unsigned i = 0; i < sizes[s]; i++) {
			all.id = i;
			split_push(&r, &all, 0);
		}
		split_publish(&r);
		cr_assert_eq(rm.used->idx, sizes[s]);
	}
}

Test(split, splits_a_buffer_at_the_border_of_two_regions)
{
	rm_desc(&rm, 0, RM_C - 100, 300, W, 0);
	cr_assert_eq(pop_head(0), 1);
	cr_assert_eq(c.nr_writable, 2);
	cr_assert_eq(c.writable_len, 300);
	expect_iov(0, RM_C - 100, 100);
	expect_iov(1, RM_C, 200);
}

Test(split, skips_buffers_without_bytes)
{
	rm_desc(&rm, 0, 0, 0, N, 1);
	rm_desc(&rm, 1, RM_B, 3, N, 2);
	rm_desc(&rm, 2, UINT64_MAX, 0, N | W, 3);
	rm_desc(&rm, 3, RM_D, 4, W, 0);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert_eq(c.nr_readable, 1);
	cr_assert_eq(c.nr_writable, 1);
	expect_iov(0, RM_B, 3);
	expect_iov(1, RM_D, 4);
}

Test(split, takes_a_chain_with_no_bytes_at_all)
{
	for (unsigned i = 0; i < 4; i++)
		rm_desc(&rm, i, 0, 0, i < 3 ? N : 0, i + 1);
	cr_assert_eq(pop_head(0), 1);
	cr_assert_eq(c.nr_readable + c.nr_writable, 0);
	cr_assert_eq(c.readable_len + c.writable_len, 0);
	cr_assert_eq(c.nr_desc, 4);
}

Test(split, lets_buffers_lie_over_the_ring_itself)
{
	uint64_t used = rm.addr.used - RM_UVA;

	/* the descriptor table to read, the used ring to write */
	rm_desc(&rm, 0, RM_A, 64, N, 1);
	rm_desc(&rm, 1, used, 38, W, 0);
	cr_assert_eq(pop_head(0), 1);
	iov_fill(&c.iov[1], 1, 0, 0xff, UINT64_MAX);
	split_push(&r, &c, 38);
	split_publish(&r);
	cr_assert_eq(rm.used->idx, 1);
	cr_assert_eq(pop_head(0), 1);
	split_push(&r, &c, 0);
	split_publish(&r);
	cr_assert_eq(rm.used->idx, 2);
}

Test(split, borrows_the_large_array_for_a_long_chain)
{
	start(16, false);
	for (unsigned i = 0; i < 16; i++)
		rm_desc(&rm, i, RM_B + 2 * i, 1, i < 15 ? N | (i > 8 ? W : 0) :
							  W, i + 1);
	cr_assert_eq(pop_head(0), 1);
	cr_assert_eq(c.iov, spare);
	cr_assert_eq(c.nr_readable, 9);
	cr_assert_eq(c.nr_writable, 7);
	for (unsigned i = 0; i < 16; i++)
		expect_iov(i, RM_B + 2 * i, 1);
	/* as many as fit do without */
	rm_desc(&rm, 8, RM_B, 1, 0, 0);
	split_push(&r, &c, 0);
	cr_assert_eq(pop_head(1), 1);
	cr_assert_eq(c.nr_readable, MAX_IOV);
	cr_assert_eq(c.iov, own);
}

/* ---- indirect tables ---- */

/* A table of @nr descriptors of one byte each at @gpa, the last writable. */
static void fill_table(uint64_t gpa, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		rm_set_desc(rm_at(&rm, gpa + 16ull * i), RM_B + i, 1,
			    i + 1 < nr ? N : W, i + 1);
}

Test(split, follows_an_indirect_table)
{
	fill_table(RM_D, 3);
	/* the standard wants the write flag here ignored */
	rm_desc(&rm, 1, RM_D, 48, I | W, 0);
	cr_assert_eq(pop_head(1), 1);
	cr_assert_eq(c.id, 1);
	cr_assert_eq(c.nr_desc, 1);
	cr_assert_eq(c.nr_readable, 2);
	cr_assert_eq(c.nr_writable, 1);
	expect_iov(2, RM_B + 2, 1);
}

Test(split, follows_an_indirect_table_behind_normal_descriptors)
{
	fill_table(RM_D, 2);
	rm_desc(&rm, 0, RM_C, 10, N, 3);
	rm_desc(&rm, 3, RM_D, 32, I, 0);
	cr_assert_eq(pop_head(0), 1);
	cr_assert_eq(c.nr_desc, 2);
	cr_assert_eq(c.nr_readable, 2);
	cr_assert_eq(c.nr_writable, 1);
	expect_iov(0, RM_C, 10);
	expect_iov(1, RM_B, 1);
}

Test(split, follows_next_inside_an_indirect_table)
{
	rm_set_desc(rm_at(&rm, RM_D), RM_B, 1, N, 2);
	rm_set_desc(rm_at(&rm, RM_D + 16), RM_B + 1, 1, W, 0);
	rm_set_desc(rm_at(&rm, RM_D + 32), RM_B + 2, 1, N, 1);
	rm_desc(&rm, 0, RM_D, 48, I, 0);
	cr_assert_eq(pop_head(0), 1);
	cr_assert_eq(c.nr_readable, 2);
	expect_iov(1, RM_B + 2, 1);
	expect_iov(2, RM_B + 1, 1);
}

Test(split, reads_an_indirect_table_that_crosses_regions_at_any_byte)
{
	for (unsigned back = 0; back <= 48; back++) {
		struct vring_desc d[3] = {
			{ RM_B, 1, N, 1 }, { RM_B + 1, 2, N, 2 },
			{ RM_B + 2, 3, W, 0 },
		};
		uint64_t at = RM_C - back;

		for (unsigned i = 0; i < sizeof(d); i++)
			*(char *)rm_at(&rm, at + i) = ((char *)d)[i];
		start(4, false);
		rm_desc(&rm, 0, at, sizeof(d), I, 0);
		cr_assert_eq(pop_head(0), 1, "back %u: %s", back, r.why);
		expect_iov(0, RM_B, 1);
		expect_iov(1, RM_B + 1, 2);
		expect_iov(2, RM_B + 2, 3);
	}
}

Test(split, takes_as_many_descriptors_as_windows_sends_in_a_small_ring)
{
	fill_table(RM_D, 515);
	rm_desc(&rm, 0, RM_D, 515 * 16, I, 0);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert_eq(c.nr_readable, 514);
	cr_assert_eq(c.nr_writable, 1);
	cr_assert_not(c.too_long);
}

Test(split, takes_the_longest_indirect_table)
{
	fill_table(RM_D, RING_CHAIN_MAX);
	rm_desc(&rm, 0, RM_D, RING_CHAIN_MAX * 16, I, 0);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert_eq(c.nr_readable, RING_CHAIN_MAX - 1);
	cr_assert_eq(c.nr_writable, 1);
	cr_assert_not(c.too_long);
}

/* ---- chains that are too long to be served ---- */

Test(split, keeps_the_last_writable_byte_of_a_chain_of_too_many_segments)
{
	start(2048, false);
	for (unsigned i = 0; i < 2048; i++)
		rm_desc(&rm, i, RM_B + i, i == 2047 ? 3 : 1,
			i < 2047 ? N | (i >= 2000 ? W : 0) : W, i + 1);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert(c.too_long);
	cr_assert_eq(c.nr_desc, 2048);
	cr_assert_eq(c.nr_readable, RING_CHAIN_MAX - 1);
	cr_assert_eq(c.nr_writable, 1);
	cr_assert_eq(c.readable_len, RING_CHAIN_MAX - 1);
	cr_assert_eq(c.writable_len, 1);
	expect_iov(0, RM_B, 1);
	expect_iov(RING_CHAIN_MAX - 1, RM_B + 2049, 1);
}

Test(split, keeps_the_last_writable_byte_when_writable_ones_are_too_many)
{
	start(2048, false);
	for (unsigned i = 0; i < 2048; i++)
		rm_desc(&rm, i, RM_B + i, 1, i < 2047 ? N | (i ? W : 0) : W,
			i + 1);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert(c.too_long);
	cr_assert_eq(c.nr_readable, 1);
	cr_assert_eq(c.nr_writable, 1);
	expect_iov(1, RM_B + 2047, 1);
}

Test(split, serves_1024_segments_but_no_more)
{
	for (unsigned nr = RING_CHAIN_MAX; nr <= RING_CHAIN_MAX + 1; nr++) {
		start(2048, false);
		for (unsigned i = 0; i < nr; i++)
			rm_desc(&rm, i, RM_B + i, 1, i + 1 < nr ? N : 0,
				i + 1);
		cr_assert_eq(pop_head(0), 1, "%s", r.why);
		cr_assert_eq(c.too_long, nr > RING_CHAIN_MAX);
		cr_assert_eq(c.nr_readable,
			     nr > RING_CHAIN_MAX ? RING_CHAIN_MAX - 1 : nr);
		cr_assert_eq(c.nr_writable, 0);
	}
}

Test(split, counts_segments_after_the_split_at_region_borders)
{
	/* the same bytes again and again, each a crossing: two segments */
	start(1024, false);
	for (unsigned i = 0; i < 513; i++)
		rm_desc(&rm, i, RM_C - 1, 2, i < 512 ? N : W, i + 1);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert(c.too_long);
	expect_iov(c.nr_readable, RM_C, 1);
}

/* Guest memory with 8 GiB more at BIG, of which nothing is ever touched. */
#define BIG 0x100000000ull

static struct memmap *add_big(void)
{
	struct memmap_range range = { BIG, 2 * BIG, RM_UVA + BIG, 0 };
	struct memmap *m;
	int fd = memfd_create("big", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, 2 * BIG), 0);
	cr_assert_eq(memmap_add(&m, rm.map, &range, fd, MAPPING_SHMEM), 0);
	r.map = m;
	return m;
}

Test(split, serves_one_byte_less_than_4_gib_but_no_more)
{
	struct memmap *m = add_big();

	rm_desc(&rm, 0, BIG, 1u << 31, N, 1);
	rm_desc(&rm, 1, BIG, (1u << 31) - 1, W, 0);
	cr_assert_eq(pop_head(0), 1, "%s", r.why);
	cr_assert_not(c.too_long);
	cr_assert_eq(c.readable_len, 1u << 31);
	cr_assert_eq(c.writable_len, (1u << 31) - 1);

	rm_desc(&rm, 2, BIG, UINT32_MAX, N | W, 3);
	rm_desc(&rm, 3, BIG + BIG, 1, W, 0);
	cr_assert_eq(pop_head(2), 1, "%s", r.why);
	cr_assert(c.too_long);
	cr_assert_eq(c.nr_writable, 1);
	cr_assert_eq(c.iov[0].iov_base, memmap_uva(m, RM_UVA + 2 * BIG, 1));
	memmap_put(m);
}

/* ---- what a bad driver does ---- */

static const struct bad {
	const char *what;
	const char *why;
	unsigned head;
	struct vring_desc ring[4];
	struct vring_desc table[4];	/* at RM_D */
} bad[] = {
	{ "head beyond the ring", "head 4 in a ring of 4", 4, {}, {} },
	{ "largest head", "head 65535 in a ring of 4", 65535, {}, {} },
	{ "next beyond the ring", "descriptor 4 in a ring of 4", 0,
	  { { RM_B, 1, N, 4 } }, {} },
	{ "descriptor that follows itself", "longer than the ring", 2,
	  { [2] = { RM_B, 1, N, 2 } }, {} },
	{ "loop of empty descriptors", "longer than the ring", 0,
	  { { 0, 0, N, 1 }, { 0, 0, N, 0 } }, {} },
	{ "loop behind the first", "longer than the ring", 0,
	  { { RM_B, 1, N, 1 }, { RM_B, 1, N | W, 3 }, {},
	    { RM_B, 1, N | W, 1 } }, {} },
	{ "readable behind writable", "readable descriptor after", 0,
	  { { RM_B, 1, N | W, 1 }, { RM_B, 1, 0, 0 } }, {} },
	{ "nowhere", "not in guest memory", 0, { { 0, 1, 0, 0 } }, {} },
	{ "end of a hole", "not in guest memory", 0,
	  { { RM_D - 1, 1, 0, 0 } }, {} },
	{ "across a hole", "not in guest memory", 0,
	  { { RM_C, RM_D - RM_C + 1, 0, 0 } }, {} },
	{ "last byte outside", "not in guest memory", 0,
	  { { RM_D, RM_DATA_SIZE + 1, 0, 0 } }, {} },
	{ "sum beyond 2^64", "not in guest memory", 0,
	  { { UINT64_MAX, 2, 0, 0 } }, {} },
	{ "sum of exactly 2^64", "not in guest memory", 0,
	  { { UINT64_MAX - 1, 2, W, 0 } }, {} },
	{ "VMM address", "not in guest memory", 0,
	  { { RM_UVA + RM_B, 1, 0, 0 } }, {} },
	{ "indirect without bytes", "indirect table of 0 bytes", 0,
	  { { RM_D, 0, I, 0 } }, {} },
	{ "indirect of half a descriptor", "indirect table of 24 bytes", 0,
	  { { RM_D, 24, I, 0 } }, {} },
	{ "indirect of 4 GiB", "indirect table of 4294967280 bytes", 0,
	  { { RM_D, 0xfffffff0, I, 0 } }, {} },
	{ "indirect of 1,025", "indirect table of 16400 bytes", 0,
	  { { RM_A, 1025 * 16, I, 0 } }, {} },
	{ "indirect nowhere", "not in memory", 0, { { 0, 16, I, 0 } }, {} },
	{ "indirect beyond a region", "not in memory", 0,
	  { { RM_D + RM_DATA_SIZE - 16, 32, I, 0 } }, {} },
	{ "half of it beyond a region", "not in memory", 0,
	  { { RM_D + RM_DATA_SIZE - 8, 16, I, 0 } }, {} },
	{ "indirect beyond 2^64", "indirect table at", 0,
	  { { UINT64_MAX - 15, 32, I, 0 } }, {} },
	{ "indirect with a next one", "with a next one", 0,
	  { { RM_D, 16, I | N, 1 }, { RM_B, 1, 0, 0 } },
	  { { RM_B, 1, 0, 0 } } },
	{ "indirect inside indirect", "inside another", 0,
	  { { RM_D, 16, I, 0 } }, { { RM_D, 16, I, 0 } } },
	{ "loop in an indirect table", "indirect table of 2 loops", 0,
	  { { RM_D, 32, I, 0 } },
	  { { RM_B, 1, N, 1 }, { RM_B, 1, N, 0 } } },
	{ "next beyond the table", "descriptor 2 in an indirect table of 2",
	  0, { { RM_D, 32, I, 0 } },
	  { { RM_B, 1, N, 2 }, { RM_B, 1, 0, 0 } } },
	{ "order inside a table", "readable descriptor after", 0,
	  { { RM_D, 32, I, 0 } },
	  { { RM_B, 1, N | W, 1 }, { RM_B, 1, 0, 0 } } },
	{ "order from ring to table", "readable descriptor after", 0,
	  { { RM_B, 1, N | W, 1 }, { RM_D, 16, I, 0 } },
	  { { RM_B, 1, 0, 0 } } },
	{ "address inside a table", "not in guest memory", 0,
	  { { RM_D, 16, I, 0 } }, { { RM_D, RM_DATA_SIZE + 1, 0, 0 } } },
	{ "the ring behind a table", "inside another", 0,
	  { { RM_A, 64, I, 0 } }, {} },
};

Test(split, breaks_on_each_bad_chain_and_stays_where_it_was)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct bad *b = &bad[i];

		start(4, false);
		memcpy(rm.desc, b->ring, sizeof(b->ring));
		memcpy(rm_at(&rm, RM_D), b->table, sizeof(b->table));
		cr_assert_eq(pop_head(b->head), -EPROTO, "%s", b->what);
		cr_assert(strstr(r.why, b->why), "%s: %s", b->what, r.why);
		cr_assert_eq(pop(), -EPROTO, "%s", b->what);
		cr_assert_eq(r.split.last_avail, 0);
		cr_assert_eq(taken[0], 0);
		cr_assert_not(split_publish(&r));
	}
}

Test(split, refuses_indirect_descriptors_that_were_not_negotiated)
{
	fill_table(RM_D, 1);
	rm_desc(&rm, 0, RM_D, 16, I, 0);
	r.indirect = false;
	cr_assert_eq(pop_head(0), -EPROTO);
	cr_assert(strstr(r.why, "not negotiated"));
}

Test(split, refuses_bad_addresses_in_a_chain_that_is_too_long)
{
	for (unsigned last = 0; last < 2; last++) {
		start(2048, false);
		for (unsigned i = 0; i < 2048; i++)
			rm_desc(&rm, i, RM_B, 1, i < 2047 ? N : W, i + 1);
		rm_desc(&rm, 2047, last ? UINT64_MAX : RM_D + RM_DATA_SIZE - 1,
			2, W, 0);
		cr_assert_eq(pop_head(0), -EPROTO);
		cr_assert(strstr(r.why, "not in guest memory"), "%s", r.why);
	}
}

Test(split, refuses_an_available_index_that_jumps)
{
	static const uint16_t jumps[] = { 5, 6, 100, 32768, 65535 };

	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		start(4, false);
		rm.avail->idx = jumps[i];
		cr_assert_eq(pop(), -EPROTO, "jump %u", jumps[i]);
		cr_assert(strstr(r.why, "available index"), "%s", r.why);
		cr_assert_eq(pop(), -EPROTO);
	}
	start(4, false);
	rm.avail->idx = 4;
	rm_desc(&rm, 0, RM_B, 1, 0, 0);
	cr_assert_eq(pop(), 1);
}

Test(split, refuses_an_available_index_that_goes_backwards)
{
	rm_desc(&rm, 0, RM_B, 1, 0, 0);
	cr_assert_eq(pop_head(0), 1);
	rm.avail->idx = 0;
	cr_assert(split_has_work(&r));
	cr_assert_eq(pop(), -EPROTO);
	cr_assert(strstr(r.why, "available index 0 after 1"), "%s", r.why);
}

Test(split, refuses_a_head_that_is_in_flight)
{
	rm_desc(&rm, 3, RM_B, 1, 0, 0);
	cr_assert_eq(pop_head(3), 1);
	cr_assert_eq(pop_head(3), -EPROTO);
	cr_assert(strstr(r.why, "head 3 is in flight"), "%s", r.why);
}

Test(split, has_no_more_in_flight_than_the_ring_has_entries)
{
	for (unsigned i = 0; i < 4; i++) {
		rm_desc(&rm, i, RM_B, 1, 0, 0);
		cr_assert_eq(pop_head(i), 1);
	}
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(pop_head(i), -EPROTO);
		rm.avail->idx--;
	}
}

Test(split, uses_what_it_copied_when_a_descriptor_changes)
{
	rm_desc(&rm, 0, RM_B, 16, N, 1);
	rm_desc(&rm, 1, RM_D, 16, W, 0);
	cr_assert_eq(pop_head(0), 1);
	rm_desc(&rm, 0, 0, UINT32_MAX, I, 99);
	rm_desc(&rm, 1, 0, UINT32_MAX, I, 99);
	rm.avail->ring[0] = 99;
	expect_iov(0, RM_B, 16);
	expect_iov(1, RM_D, 16);
	split_push(&r, &c, 16);
	split_publish(&r);
	cr_assert_eq(rm.used->ring[0].id, 0);
}

/* A driver that changes descriptors, good to bad and back, all the time. */
static bool stop;

static void *change_all(void *arg)
{
	struct vring_desc *d = arg;

	for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		volatile struct vring_desc *v = &d[n % 4];

		v->addr = n % 3 ? RM_D : UINT64_MAX - 7;
		v->len = n % 5 ? 16 : UINT32_MAX;
		v->flags = n % 8;
		v->next = n % 7;
	}
	return NULL;
}

static void expect_inside(const struct iovec *iov)
{
	uintptr_t at = (uintptr_t)iov->iov_base;
	uintptr_t d = (uintptr_t)rm_host(&rm, RM_D);

	cr_assert(at >= d && iov->iov_len <= RM_DATA_SIZE &&
		  at - d <= RM_DATA_SIZE - iov->iov_len);
}

Test(split, never_leaves_memory_when_descriptors_change_under_it)
{
	pthread_t ring, table;
	unsigned good = 0;

	cr_assert_eq(pthread_create(&ring, NULL, change_all,
				    (void *)r.split.desc), 0);
	cr_assert_eq(pthread_create(&table, NULL, change_all,
				    rm_host(&rm, RM_D)), 0);
	for (unsigned i = 0; i < 200000 || (!good && i < 20000000); i++) {
		if (!split_has_work(&r))
			rm_avail(&rm, i % 4);
		if (pop() != 1)
			continue;
		for (unsigned k = 0; k < c.nr_readable + c.nr_writable; k++)
			expect_inside(&c.iov[k]);
		split_push(&r, &c, 0);
		split_publish(&r);
		good++;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(ring, NULL);
	pthread_join(table, NULL);
	cr_assert_gt(good, 0);
}

/* ---- where the ring may lie ---- */

Test(split, refuses_a_size_that_is_no_power_of_two_or_too_large)
{
	static const unsigned sizes[] = { 0, 3, 5, 1000, 32767, 32769, 65536,
					  1u << 31, UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		r.size = sizes[i];
		cr_assert_eq(split_locate(&r, &rm.addr), -EINVAL, "%u",
			     sizes[i]);
		cr_assert(strstr(r.why, "size of a split ring"));
	}
}

Test(split, refuses_a_ring_outside_memory_or_across_regions)
{
	static const struct {
		struct ring_addr delta;
		int err;
		const char *why;
	} where[] = {
		{ { -RM_UVA, 0, 0 }, -EFAULT, "descriptor table" },
		{ { UINT64_MAX / 2, 0, 0 }, -EFAULT, "descriptor table" },
		{ { 0, UINT64_MAX / 2, 0 }, -EFAULT, "available ring" },
		{ { 0, 0, UINT64_MAX / 2 }, -EFAULT, "used ring" },
		{ { 8, 0, 0 }, -EINVAL, "aligned" },
		{ { 0, 1, 0 }, -EINVAL, "aligned" },
		{ { 0, 0, 2 }, -EINVAL, "aligned" },
		{ { 16, 2, 4 }, 0, "" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
		struct ring_addr a = rm.addr;

		start(4, false);
		a.desc += where[i].delta.desc;
		a.avail += where[i].delta.avail;
		a.used += where[i].delta.used;
		cr_assert_eq(split_locate(&r, &a), where[i].err, "case %u", i);
		cr_assert(strstr(r.why, where[i].why), "%u: %s", i, r.why);
	}
}

Test(split, wants_each_part_to_its_last_byte)
{
	uint64_t end = RM_UVA + RM_D + RM_DATA_SIZE;

	for (unsigned event = 0; event < 2; event++) {
		/* bytes of the three parts of a ring of 4 */
		uint64_t sizes[] = { 64, 12 + 2 * event, 36 + 2 * event };

		r.event_idx = event;
		for (unsigned part = 0; part < 3; part++) {
			struct ring_addr a = rm.addr;
			uint64_t *at = part == 0 ? &a.desc :
				       part == 1 ? &a.avail : &a.used;
			uint64_t step = part == 0 ? 16 : part == 1 ? 2 : 4;

			*at = end - align_up(sizes[part], step);
			cr_assert_eq(split_locate(&r, &a), 0, "%u", part);
			*at += step;
			cr_assert_eq(split_locate(&r, &a), -EFAULT, "%u",
				     part);
			/* into the neighbour, which is one only for the VMM */
			*at = RM_UVA + RM_C - step;
			cr_assert_eq(split_locate(&r, &a), -EFAULT);
		}
	}
}

/* ---- where it begins ---- */

Test(split, begins_at_the_base_it_is_told)
{
	rm.used->idx = 65534;
	rm.avail->idx = 65534;
	rm_desc(&rm, 0, RM_B, 1, 0, 0);
	split_restore(&r, 65534);
	cr_assert_eq(pop(), 0);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(pop_head(0), 1);
		split_push(&r, &c, i);
		split_publish(&r);
	}
	cr_assert_eq(rm.used->idx, 2);
	cr_assert_eq(rm.used->ring[3].len, 1);
	cr_assert_eq(r.split.last_avail, 2);
}

Test(split, begins_at_the_used_index_when_nobody_told)
{
	rm.used->idx = 7;
	rm.avail->idx = 8;
	rm.avail->ring[3] = 2;
	rm_desc(&rm, 2, RM_B, 1, 0, 0);
	split_restore(&r, -1);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(c.id, 2);
	cr_assert_eq(pop(), 0);
}

Test(split, forgets_what_was_in_flight_on_restore)
{
	rm_desc(&rm, 0, RM_B, 1, 0, 0);
	cr_assert_eq(pop_head(0), 1);
	split_restore(&r, 0);
	cr_assert_eq(pop(), 1);
}

/* ---- kicks and calls ---- */

/* Answer head 0 @n times, showing all at the end.  Returns: call? */
static bool answer(unsigned n)
{
	rm_desc(&rm, 0, RM_B, 1, 0, 0);
	while (n--) {
		cr_assert_eq(pop_head(0), 1);
		split_push(&r, &c, 0);
	}
	return split_publish(&r);
}

Test(split, calls_unless_told_not_to_without_event_index)
{
	cr_assert(answer(1));
	rm.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	cr_assert_not(answer(1));
	/* other bits, and the word behind the ring, mean nothing */
	rm.avail->flags = 0xfffe;
	*rm_used_event(&rm) = 1000;
	cr_assert(answer(1));
}

Test(split, calls_when_the_event_index_is_passed)
{
	static const struct {
		uint16_t event;
		unsigned answers;
		bool call;
	} steps[] = {
		{ 0, 1, true },	       /* used: 1 */
		{ 0, 1, false },       /* 2 */
		{ 4, 2, false },       /* 4 */
		{ 4, 1, true },	       /* 5 */
		{ 6, 4, true },	       /* 9 */
		{ 8, 1, false },       /* 10: passed the last time */
		{ 65535, 1, false },
		{ 30000, 3, false },
		{ 14, 1, true },       /* 15 */
	};

	start(4, true);
	/* the flag means nothing with event indices */
	rm.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		*rm_used_event(&rm) = steps[i].event;
		cr_assert_eq(answer(steps[i].answers), steps[i].call,
			     "step %u", i);
	}
}

Test(split, calls_when_the_event_index_is_passed_at_the_wrap)
{
	start(4, true);
	rm.used->idx = rm.avail->idx = 65533;
	split_restore(&r, -1);
	*rm_used_event(&rm) = 65535;
	cr_assert_not(answer(2));
	cr_assert(answer(1));
	cr_assert_eq(rm.used->idx, 0);
	*rm_used_event(&rm) = 0;
	cr_assert(answer(1));
}

Test(split, switches_kicks_by_flag_without_event_index)
{
	*rm_avail_event(&rm) = 77;
	split_disarm(&r);
	cr_assert_eq(rm.used->flags, VRING_USED_F_NO_NOTIFY);
	cr_assert_not(split_arm(&r));
	cr_assert_eq(rm.used->flags, 0);
	cr_assert_eq(*rm_avail_event(&rm), 77);
}

Test(split, asks_for_the_kick_of_the_next_entry_with_event_index)
{
	start(4, true);
	answer(3);
	cr_assert_not(split_arm(&r));
	cr_assert_eq(*rm_avail_event(&rm), 3);
	cr_assert_eq(rm.used->flags, 0);
	split_disarm(&r);
	cr_assert_eq(rm.used->flags, 0);
	cr_assert_eq(*rm_avail_event(&rm), 3);
}

Test(split, sees_what_was_added_before_it_was_armed)
{
	for (unsigned event = 0; event < 2; event++) {
		start(4, event);
		rm_desc(&rm, 0, RM_B, 1, 0, 0);
		split_disarm(&r);
		rm_avail(&rm, 0);
		cr_assert(split_has_work(&r));
		cr_assert(split_arm(&r));
		cr_assert_eq(pop(), 1);
		cr_assert_not(split_arm(&r));
	}
}

/*
 * A driver on another thread that waits for a call whenever it has nothing to
 * do, and a device that waits for a kick.  A barrier too few and both sleep.
 */
static struct {
	unsigned kicks, calls;
	bool failed;
} bell;

#define EXCHANGES 20000

static bool wait_for(unsigned *counter)
{
	for (unsigned i = 0; i < 20000000; i++) {
		if (__atomic_exchange_n(counter, 0, __ATOMIC_SEQ_CST))
			return true;
		if (i % 64 == 63)
			sched_yield();
	}
	return false;
}

static void *driver(void *arg)
{
	bool event_idx = *(bool *)arg;

	for (unsigned i = 0; i < EXCHANGES; i++) {
		uint16_t used = i;

		if (event_idx)
			__atomic_store_n(rm_used_event(&rm), used,
					 __ATOMIC_SEQ_CST);
		rm_avail(&rm, 0);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);

		bool kick = event_idx ?
				    __atomic_load_n(rm_avail_event(&rm),
						    __ATOMIC_RELAXED) ==
					    used :
				    !__atomic_load_n(&rm.used->flags,
						     __ATOMIC_RELAXED);

		if (kick)
			__atomic_store_n(&bell.kicks, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&rm.used->idx, __ATOMIC_ACQUIRE) == used &&
		    !wait_for(&bell.calls)) {
			__atomic_store_n(&bell.failed, true, __ATOMIC_SEQ_CST);
			break;
		}
		while (__atomic_load_n(&rm.used->idx, __ATOMIC_ACQUIRE) ==
		       used)
			sched_yield();
	}
	return NULL;
}

static void serve(void)
{
	unsigned done = 0;

	while (done < EXCHANGES) {
		split_disarm(&r);
		while (pop() == 1) {
			split_push(&r, &c, 0);
			if (split_publish(&r))
				__atomic_store_n(&bell.calls, 1,
						 __ATOMIC_SEQ_CST);
			done++;
		}
		if (done < EXCHANGES && !split_arm(&r))
			cr_assert(wait_for(&bell.kicks), "after %u", done);
	}
}

Test(split, loses_no_kick_and_no_call_between_two_threads)
{
	for (unsigned event = 0; event < 2; event++) {
		bool event_idx = event;
		pthread_t t;

		start(4, event_idx);
		rm_desc(&rm, 0, RM_B, 1, 0, 0);
		memset(&bell, 0, sizeof(bell));
		cr_assert_eq(pthread_create(&t, NULL, driver, &event_idx), 0);
		serve();
		pthread_join(t, NULL);
		cr_assert_not(bell.failed);
	}
}

/* ---- what the fuzzer knows ---- */

Test(split, keeps_its_promises_for_the_whole_corpus)
{
	cr_assert_geq(fuzz_corpus("split", fuzz_split), 38);
}
