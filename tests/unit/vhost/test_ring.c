/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/ring: every rule that both formats have, kept and broken. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/util.h"
#include "ringrig.h"

#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

/* What only one format has is in test_split.c and test_packed.c. */
#define RING_TEST(name) RR_TEST_OF(rr_each, ring, name)

static struct ringmem *const rm = &ringrig.mem;
static struct ring *const r = &ringrig.ring;
static struct chain *const c = &ringrig.chain;

TestSuite(ring, .init = rr_init, .fini = rr_fini, .timeout = 120);

static void expect_nothing_in_flight(void)
{
	for (unsigned i = 0; i < r->size; i++)
		cr_assert_not(ring_is_taken(r, i), "%u", i);
}

/* ---- what a good driver does ---- */

RING_TEST(finds_nothing_in_an_empty_ring)
{
	cr_assert_not(ring_has_work(r));
	cr_assert_eq(ring_pending(r), 0);
	cr_assert_eq(rr_pop(), 0);
	cr_assert_not(ring_publish(r));
	cr_assert_not(ring_arm(r));
}

RING_TEST(takes_a_chain_of_readable_and_writable_buffers)
{
	cr_assert_eq(rr_pop_chain(2, RR_BUFS({ RM_B, 16, 0 },
					     { RM_B + 0x1000, 512, 0 },
					     { RM_D, 4096, W },
					     { RM_D + 0x2000, 1, W })),
		     1, "%s", r->why);
	cr_assert_eq(c->id, 2);
	cr_assert_eq(c->nr_desc, 4);
	cr_assert_eq(c->nr_readable, 2);
	cr_assert_eq(c->nr_writable, 2);
	cr_assert_eq(c->readable_len, 528);
	cr_assert_eq(c->writable_len, 4097);
	cr_assert_not(c->too_long);
	rr_expect_iov(0, RM_B, 16);
	rr_expect_iov(1, RM_B + 0x1000, 512);
	rr_expect_iov(2, RM_D, 4096);
	rr_expect_iov(3, RM_D + 0x2000, 1);
	cr_assert_eq(rr_pop(), 0);
}

RING_TEST(gives_back_what_it_took)
{
	cr_assert_eq(rr_pop_chain(1, RR_BUFS({ RM_B, 16, W })), 1);
	ring_push(r, c, 5);
	cr_assert_eq(rm_nr_used(rm), 0, "it is not published");
	cr_assert_eq(ring_publish(r), true);
	cr_assert_eq(rm_nr_used(rm), 1);
	cr_assert_eq(rm_used(rm, 0).id, 1);
	cr_assert_eq(rm_used(rm, 0).len, 5);
	cr_assert_not(ring_publish(r));
	cr_assert_eq(rr_pop_head(1), 1, "it may come again");
}

RING_TEST(takes_once_more_what_was_not_taken_after_all)
{
	rm_chain(rm, 1, rr_bytes(3), 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(ring_has_work(r));
		cr_assert_eq(rr_pop(), 1);
		cr_assert_not(ring_has_work(r));
		ring_unpop(r, c);
		cr_assert_not(ring_publish(r));
	}
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(c->id, 1);
	cr_assert_eq(c->nr_desc, 3);
	cr_assert_not(ring_has_work(r));
	ring_push(r, c, 0);
	ring_publish(r);
	cr_assert_eq(rm_nr_used(rm), 1);
}

RING_TEST(takes_once_more_the_last_one_only)
{
	rm_chain(rm, 0, rr_bytes(2), 2);
	rm_chain(rm, 2, rr_bytes(1), 1);
	cr_assert_eq(rr_pop(), 1);

	struct chain first = *c;

	cr_assert_eq(rr_pop(), 1);
	ring_unpop(r, c);
	/* What comes before it is answered meanwhile. */
	ring_push(r, &first, 0);
	ring_publish(r);
	cr_assert_eq(rm_used(rm, 0).id, 0);
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(c->id, 2);
	ring_push(r, c, 0);
	ring_publish(r);
	cr_assert_eq(rm_used(rm, 1).id, 2);
}

RING_TEST(answers_out_of_order_and_shows_all_at_once)
{
	struct chain taken[3];

	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(rr_pop_chain(3 - i, rr_bytes(1), 1), 1);
		taken[i] = *c;
	}
	ring_push(r, &taken[1], 7);
	ring_push(r, &taken[2], 0);
	ring_push(r, &taken[0], 9);
	cr_assert_eq(rm_nr_used(rm), 0);
	ring_publish(r);
	cr_assert_eq(rm_nr_used(rm), 3);
	cr_assert_eq(rm_used(rm, 0).id, 2);
	cr_assert_eq(rm_used(rm, 0).len, 7);
	cr_assert_eq(rm_used(rm, 1).id, 1);
	cr_assert_eq(rm_used(rm, 2).id, 3);
	cr_assert_eq(rm_used(rm, 2).len, 9);
}

/* Those of a split ring are powers of two. */
static const unsigned sizes[] = { 1, 2, 3, 4, 5, 7, 8, 16, 64, 100, 128, 255,
				  256, 512, 1000, 1024, 4096, 8192, 16384,
				  32767, 32768 };

RING_TEST(runs_round_rings_of_all_sizes_many_times)
{
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		unsigned size = sizes[s];

		if (!rr_can_have(size))
			continue;
		rr_start_again(size);
		for (unsigned i = 0; i < size; i++)
			rm_desc(rm, i, RM_B + i, 1, W, 0);
		for (unsigned i = 0; i < 65536 + size + 1; i++) {
			unsigned head = (i * 7) % size;

			cr_assert_eq(rr_pop_head(head), 1, "%u: %s", size,
				     r->why);
			cr_assert_eq(c->id, head);
			cr_assert_eq(c->iov[0].iov_base,
				     (char *)rm_host(rm, RM_B) + head);
			ring_push(r, c, i);
			ring_publish(r);
			cr_assert_eq(rm_nr_used(rm), (uint16_t)(i + 1));
			cr_assert_eq(rm_used(rm, i).id, head);
			cr_assert_eq(rm_used(rm, i).len, i);
		}
		cr_assert_eq(rr_pop(), 0);
	}
}

/*
 * Chains of all lengths, taken and answered in batches and in another order,
 * so that they and what is used come to lie over the end at every place.
 */
static void run_batches(unsigned size)
{
	struct chain batch[4];
	unsigned in_ring = 0, nr = 0, done = 0;

	for (unsigned i = 0; i < 20 * size + 50; i++) {
		unsigned n = 1 + i % 3;

		if (in_ring + n > size || nr == ARRAY_SIZE(batch)) {
			while (nr) {
				unsigned k = (i + nr) % nr;

				ring_push(r, &batch[k], batch[k].id);
				batch[k] = batch[--nr];
				done++;
			}
			in_ring = 0;
			ring_publish(r);
			cr_assert_eq(rm_nr_used(rm), (uint16_t)done);
			expect_nothing_in_flight();
		}
		n = MIN(n, size);
		cr_assert_eq(rr_pop_chain(in_ring, rr_bytes(n), n), 1,
			     "%u: %s", size, r->why);
		cr_assert_eq(c->nr_desc, n);
		cr_assert_eq(c->nr_readable + c->nr_writable, n);
		rr_expect_iov(n - 1, RM_B + n - 1, 1);
		c->iov = NULL;
		batch[nr++] = *c;
		in_ring += n;
	}
}

RING_TEST(runs_round_with_chains_that_lie_over_the_end)
{
	for (unsigned size = 1; size <= 32; size++)
		if (rr_can_have(size)) {
			rr_start_again(size);
			run_batches(size);
		}
}

RING_TEST(holds_a_whole_ring_in_flight)
{
	struct chain all = { .nr_desc = 1 };

	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		if (!rr_can_have(sizes[s]))
			continue;
		rr_start_again(sizes[s]);
		for (unsigned i = 0; i < sizes[s]; i++) {
			rm_desc(rm, i, RM_B + i, 1, 0, 0);
			rm_avail(rm, i);
		}
		cr_assert_eq(ring_pending(r), sizes[s]);
		for (unsigned i = 0; i < sizes[s]; i++)
			cr_assert_eq(rr_pop(), 1, "%u: %s", sizes[s], r->why);
		cr_assert_eq(rr_pop(), 0);
		cr_assert_eq(ring_pending(r), 0);
		for (unsigned i = 0; i < sizes[s]; i++) {
			all.id = i;
			ring_push(r, &all, 0);
		}
		ring_publish(r);
		cr_assert_eq(rm_nr_used(rm), sizes[s]);
		for (unsigned i = 0; i < sizes[s]; i++)
			cr_assert_eq(rm_used(rm, i).id, i);
	}
}

RING_TEST(says_how_much_is_pending)
{
	rr_start_again(16);
	for (unsigned i = 0; i < 12; i++)
		rm_chain(rm, i, rr_bytes(1), 1);
	cr_assert_eq(ring_pending(r), 12);
	cr_assert(ring_has_work(r));
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(ring_pending(r), 11);
	ring_unpop(r, c);
	cr_assert_eq(ring_pending(r), 12);
}

RING_TEST(splits_a_buffer_at_the_border_of_two_regions)
{
	cr_assert_eq(rr_pop_chain(0, RR_BUFS({ RM_C - 100, 300, W })), 1);
	cr_assert_eq(c->nr_writable, 2);
	cr_assert_eq(c->writable_len, 300);
	rr_expect_iov(0, RM_C - 100, 100);
	rr_expect_iov(1, RM_C, 200);
}

RING_TEST(skips_buffers_without_bytes)
{
	cr_assert_eq(rr_pop_chain(0, RR_BUFS({ 0, 0, 0 }, { RM_B, 3, 0 },
					     { UINT64_MAX, 0, W },
					     { RM_D, 4, W })),
		     1, "%s", r->why);
	cr_assert_eq(c->nr_readable, 1);
	cr_assert_eq(c->nr_writable, 1);
	rr_expect_iov(0, RM_B, 3);
	rr_expect_iov(1, RM_D, 4);
}

RING_TEST(takes_a_chain_with_no_bytes_at_all)
{
	static const struct rm_buf nothing[4];

	cr_assert_eq(rr_pop_chain(0, nothing, 4), 1);
	cr_assert_eq(c->nr_readable + c->nr_writable, 0);
	cr_assert_eq(c->readable_len + c->writable_len, 0);
	cr_assert_eq(c->nr_desc, 4);
}

RING_TEST(borrows_the_large_array_for_a_long_chain)
{
	rr_start_again(16);

	struct rm_buf bufs[16];

	for (unsigned i = 0; i < 16; i++)
		bufs[i] = (struct rm_buf){ RM_B + 2 * i, 1, i > 8 ? W : 0 };
	cr_assert_eq(rr_pop_chain(0, bufs, 16), 1);
	cr_assert_eq(c->iov, ringrig.spare);
	cr_assert_eq(c->nr_readable, 9);
	cr_assert_eq(c->nr_writable, 7);
	for (unsigned i = 0; i < 16; i++)
		rr_expect_iov(i, RM_B + 2 * i, 1);
	ring_push(r, c, 0);
	ring_publish(r);
	/* as many as fit do without */
	cr_assert_eq(rr_pop_chain(1, bufs, RR_MAX_IOV), 1);
	cr_assert_eq(c->nr_readable, RR_MAX_IOV);
	cr_assert_eq(c->iov, ringrig.own);
}

/* ---- indirect tables ---- */

RING_TEST(follows_an_indirect_table)
{
	rm_table(rm, RM_D, rr_bytes(3), 3);
	/* the standard wants the write flag here ignored */
	cr_assert_eq(rr_pop_chain(1, RR_BUFS({ RM_D, 48, I | W })), 1);
	cr_assert_eq(c->id, 1);
	cr_assert_eq(c->nr_desc, 1);
	cr_assert_eq(c->nr_readable, 2);
	cr_assert_eq(c->nr_writable, 1);
	rr_expect_iov(2, RM_B + 2, 1);
	ring_push(r, c, 1);
	ring_publish(r);
	cr_assert_eq(rm_used(rm, 0).id, 1);
}

RING_TEST(follows_an_indirect_table_behind_normal_descriptors)
{
	rm_table(rm, RM_D, rr_bytes(2), 2);
	cr_assert_eq(rr_pop_chain(0, RR_BUFS({ RM_C, 10, 0 },
					     { RM_D, 32, I })),
		     1);
	cr_assert_eq(c->nr_desc, 2);
	cr_assert_eq(c->nr_readable, 2);
	cr_assert_eq(c->nr_writable, 1);
	rr_expect_iov(0, RM_C, 10);
	rr_expect_iov(1, RM_B, 1);
}

RING_TEST(reads_an_indirect_table_that_crosses_regions_at_any_byte)
{
	for (unsigned back = 0; back <= 48; back++) {
		rr_start_again(4);
		rm_table(rm, RM_C - back,
			 RR_BUFS({ RM_B, 1, 0 }, { RM_B + 1, 2, 0 },
				 { RM_B + 2, 3, W }));
		cr_assert_eq(rr_pop_chain(0, RR_BUFS({ RM_C - back, 48, I })),
			     1, "back %u: %s", back, r->why);
		cr_assert_eq(c->nr_readable, 2);
		rr_expect_iov(0, RM_B, 1);
		rr_expect_iov(1, RM_B + 1, 2);
		rr_expect_iov(2, RM_B + 2, 3);
	}
}

/* Windows sends 515 in a small ring; the last is the longest table. */
RING_TEST(takes_more_descriptors_in_a_table_than_the_ring_has)
{
	static const unsigned lengths[] = { 5, 515, RING_CHAIN_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		unsigned n = lengths[i];

		rr_start_again(4);
		rm_table(rm, RM_D, rr_bytes(n), n);
		cr_assert_eq(rr_pop_chain(0, RR_BUFS({ RM_D, n * 16, I })), 1,
			     "%s", r->why);
		cr_assert_eq(c->nr_readable, n - 1);
		cr_assert_eq(c->nr_writable, 1);
		cr_assert_not(c->too_long);
	}
}

RING_TEST(holds_a_whole_ring_of_indirect_tables)
{
	rm_table(rm, RM_D, rr_bytes(6), 6);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(rr_pop_chain(i, RR_BUFS({ RM_D, 96, I })), 1,
			     "%s", r->why);
	cr_assert_eq(rr_pop(), 0);
}

/* ---- chains that are too long to be served ---- */

static struct rm_buf long_chain[2048];

/* One byte each, writable from @first_writable on. */
static void make_long(unsigned first_writable)
{
	for (unsigned i = 0; i < ARRAY_SIZE(long_chain); i++)
		long_chain[i] = (struct rm_buf){
			RM_B + i, 1, i >= first_writable ? W : 0
		};
}

RING_TEST(keeps_the_last_writable_byte_of_a_chain_of_too_many_segments)
{
	rr_start_again(2048);
	make_long(2000);
	long_chain[2047].len = 3;
	cr_assert_eq(rr_pop_chain(0, long_chain, 2048), 1, "%s", r->why);
	cr_assert(c->too_long);
	cr_assert_eq(c->nr_desc, 2048);
	cr_assert_eq(c->nr_readable, RING_CHAIN_MAX - 1);
	cr_assert_eq(c->nr_writable, 1);
	cr_assert_eq(c->readable_len, RING_CHAIN_MAX - 1);
	cr_assert_eq(c->writable_len, 1);
	rr_expect_iov(0, RM_B, 1);
	rr_expect_iov(RING_CHAIN_MAX - 1, RM_B + 2049, 1);
}

RING_TEST(keeps_the_last_writable_byte_when_writable_ones_are_too_many)
{
	rr_start_again(2048);
	make_long(1);
	cr_assert_eq(rr_pop_chain(0, long_chain, 2048), 1, "%s", r->why);
	cr_assert(c->too_long);
	cr_assert_eq(c->nr_readable, 1);
	cr_assert_eq(c->nr_writable, 1);
	rr_expect_iov(1, RM_B + 2047, 1);
}

RING_TEST(serves_1024_segments_but_no_more)
{
	make_long(2048);
	for (unsigned nr = RING_CHAIN_MAX; nr <= RING_CHAIN_MAX + 1; nr++) {
		rr_start_again(2048);
		cr_assert_eq(rr_pop_chain(0, long_chain, nr), 1, "%s", r->why);
		cr_assert_eq(c->too_long, nr > RING_CHAIN_MAX);
		cr_assert_eq(c->nr_readable,
			     nr > RING_CHAIN_MAX ? RING_CHAIN_MAX - 1 : nr);
		cr_assert_eq(c->nr_writable, 0);
	}
}

RING_TEST(counts_segments_after_the_split_at_region_borders)
{
	/* the same bytes again and again, each a crossing: two segments */
	rr_start_again(1024);
	for (unsigned i = 0; i < 513; i++)
		long_chain[i] = (struct rm_buf){ RM_C - 1, 2,
						 i < 512 ? 0 : W };
	cr_assert_eq(rr_pop_chain(0, long_chain, 513), 1, "%s", r->why);
	cr_assert(c->too_long);
	rr_expect_iov(c->nr_readable, RM_C, 1);
}

/* Guest memory with 8 GiB more at BIG, of which nothing is ever touched. */
#define BIG 0x100000000ull

static struct memmap *add_big(void)
{
	struct memmap_range range = { BIG, 2 * BIG, RM_UVA + BIG, 0 };
	struct memmap *m;
	int fd = memfd_create("big", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, 2 * BIG), 0);
	cr_assert_eq(memmap_add(&m, rm->map, &range, fd, MAPPING_SHMEM), 0);
	r->map = m;
	return m;
}

RING_TEST(serves_one_byte_less_than_4_gib_but_no_more)
{
	struct memmap *m = add_big();

	cr_assert_eq(rr_pop_chain(0, RR_BUFS({ BIG, 1u << 31, 0 },
					     { BIG, (1u << 31) - 1, W })),
		     1, "%s", r->why);
	cr_assert_not(c->too_long);
	cr_assert_eq(c->readable_len, 1u << 31);
	cr_assert_eq(c->writable_len, (1u << 31) - 1);

	cr_assert_eq(rr_pop_chain(2, RR_BUFS({ BIG, UINT32_MAX, W },
					     { BIG + BIG, 1, W })),
		     1, "%s", r->why);
	cr_assert(c->too_long);
	cr_assert_eq(c->nr_writable, 1);
	cr_assert_eq(c->iov[0].iov_base, memmap_uva(m, RM_UVA + 2 * BIG, 1));
	memmap_put(m);
}

/* ---- what a bad driver does ---- */

static const struct bad {
	const char *what;
	const char *why;
	unsigned nr; /* buffers */
	struct rm_buf bufs[4];
	struct rm_buf table[4]; /* at RM_D */
} bad[] = {
	{ "readable behind writable", "readable descriptor after", 2,
	  { { RM_B, 1, W }, { RM_B, 1, 0 } }, {} },
	{ "readable behind an empty one", "readable descriptor after", 3,
	  { { RM_B, 1, W }, { RM_B, 0, 0 }, { RM_B, 1, 0 } }, {} },
	{ "nowhere", "not in guest memory", 1, { { 0, 1, 0 } }, {} },
	{ "end of a hole", "not in guest memory", 1, { { RM_D - 1, 1, 0 } },
	  {} },
	{ "across a hole", "not in guest memory", 1,
	  { { RM_C, RM_D - RM_C + 1, 0 } }, {} },
	{ "last byte outside", "not in guest memory", 1,
	  { { RM_D, RM_DATA_SIZE + 1, 0 } }, {} },
	{ "sum beyond 2^64", "not in guest memory", 1,
	  { { UINT64_MAX, 2, 0 } }, {} },
	{ "sum of exactly 2^64", "not in guest memory", 1,
	  { { UINT64_MAX - 1, 2, W } }, {} },
	{ "VMM address", "not in guest memory", 1,
	  { { RM_UVA + RM_B, 1, 0 } }, {} },
	{ "the last of four", "not in guest memory", 4,
	  { { RM_B, 1, 0 }, { RM_B, 1, 0 }, { RM_B, 1, W }, { 0, 1, W } },
	  {} },
	{ "indirect without bytes", "indirect table of 0 bytes", 1,
	  { { RM_D, 0, I } }, {} },
	{ "indirect of half a descriptor", "indirect table of 24 bytes", 1,
	  { { RM_D, 24, I } }, {} },
	{ "indirect of 4 GiB", "indirect table of 4294967280 bytes", 1,
	  { { RM_D, 0xfffffff0, I } }, {} },
	{ "indirect of 1,025", "indirect table of 16400 bytes", 1,
	  { { RM_A, 1025 * 16, I } }, {} },
	{ "indirect nowhere", "not in memory", 1, { { 0, 16, I } }, {} },
	{ "indirect beyond a region", "not in memory", 1,
	  { { RM_D + RM_DATA_SIZE - 16, 32, I } }, {} },
	{ "half of it beyond a region", "not in memory", 1,
	  { { RM_D + RM_DATA_SIZE - 8, 16, I } }, {} },
	{ "indirect beyond 2^64", "indirect table at", 1,
	  { { UINT64_MAX - 15, 32, I } }, {} },
	{ "indirect with a next one", "with a next one", 2,
	  { { RM_D, 16, I }, { RM_B, 1, 0 } }, { { RM_B, 1, 0 } } },
	{ "order inside a table", "readable descriptor after", 1,
	  { { RM_D, 32, I } }, { { RM_B, 1, W }, { RM_B, 1, 0 } } },
	{ "order from ring to table", "readable descriptor after", 2,
	  { { RM_B, 1, W }, { RM_D, 16, I } }, { { RM_B, 1, 0 } } },
	{ "address inside a table", "not in guest memory", 1,
	  { { RM_D, 16, I } }, { { RM_D, RM_DATA_SIZE + 1, 0 } } },
};

RING_TEST(breaks_on_each_bad_chain_and_stays_where_it_was)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct bad *b = &bad[i];

		rr_start_again(4);

		uint32_t base = ring_base(r);

		unsigned nr = 0;

		while (b->table[nr].len)
			nr++;
		rm_table(rm, RM_D, b->table, nr);
		rm_chain(rm, 0, b->bufs, b->nr);
		rr_expect_refusal(b->what, b->why);
		cr_assert_eq(ring_base(r), base, "%s", b->what);
		expect_nothing_in_flight();
	}
}

RING_TEST(gives_back_what_it_has_when_the_next_chain_is_bad)
{
	cr_assert_eq(rr_pop_chain(1, rr_bytes(2), 2), 1);

	struct chain first = *c;

	rm_chain(rm, 3, RR_BUFS({ 0, 1, 0 }));
	rr_expect_refusal("nowhere", "not in guest memory");
	ring_push(r, &first, 1);
	ring_publish(r);
	cr_assert_eq(rm_nr_used(rm), 1);
	cr_assert_eq(rm_used(rm, 0).id, 1);
}

RING_TEST(refuses_indirect_descriptors_that_were_not_negotiated)
{
	rm_table(rm, RM_D, rr_bytes(1), 1);
	r->indirect = false;
	cr_assert_eq(rr_pop_chain(0, RR_BUFS({ RM_D, 16, I })), -EPROTO);
	cr_assert(strstr(r->why, "not negotiated"));
}

RING_TEST(refuses_bad_addresses_in_a_chain_that_is_too_long)
{
	static const uint64_t addresses[] = { UINT64_MAX,
					      RM_D + RM_DATA_SIZE - 1 };

	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
		rr_start_again(2048);
		make_long(2047);
		long_chain[2047] = (struct rm_buf){ addresses[i], 2, W };
		cr_assert_eq(rr_pop_chain(0, long_chain, 2048), -EPROTO);
		cr_assert(strstr(r->why, "not in guest memory"), "%s", r->why);
	}
}

RING_TEST(refuses_a_head_that_the_ring_does_not_have)
{
	static const unsigned heads[] = { 4, 5, 128, 32768, 65535 };

	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		rr_start_again(4);
		rm_avail(rm, heads[i]);
		rr_expect_refusal("head", "in a ring of 4");
		expect_nothing_in_flight();
	}
}

RING_TEST(refuses_a_head_that_is_in_flight)
{
	cr_assert_eq(rr_pop_chain(3, rr_bytes(1), 1), 1);
	rm_avail(rm, 3);
	rr_expect_refusal("twice", "3 is in flight already");
}

RING_TEST(uses_what_it_copied_when_descriptors_change)
{
	rm_table(rm, RM_D, rr_bytes(2), 2);
	cr_assert_eq(rr_pop_chain(2, RR_BUFS({ RM_B + 9, 16, 0 },
					     { RM_D, 32, I })),
		     1);
	/* All that the driver owns, and the table; nothing looks used. */
	memset(rm_at(rm, RM_A), 0x7f, 64);
	memset(rm_at(rm, rm->addr.avail - RM_UVA), 0x7f, 4);
	memset(rm_at(rm, RM_D), 0x7f, 32);
	rr_expect_iov(0, RM_B + 9, 16);
	rr_expect_iov(1, RM_B, 1);
	rr_expect_iov(2, RM_B + 1, 1);
	if (!rr_kind()->packed)
		rm->avail->idx = 1;
	ring_push(r, c, 16);
	ring_publish(r);
	cr_assert_eq(rm_used(rm, 0).id, 2);
	cr_assert_eq(rm_used(rm, 0).len, 16);
}

/* A driver that changes descriptors, good to bad and back, all the time. */
static bool stop;

static void *change_all(void *arg)
{
	struct vring_desc *d = arg;

	for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		volatile struct vring_desc *v = &d[n % 4];
		bool wrap = n & 16;

		/* In a packed ring these are the id and the flags. */
		v->addr = n % 3 ? RM_D : UINT64_MAX - 7;
		v->len = n % 5 ? 16 : UINT32_MAX;
		v->flags = n % (rr_kind()->packed ? 5 : 8);
		v->next = rr_kind()->packed ? n % 8 | (wrap ? 0x80 : 0x8000) :
					      n % 7;
	}
	return NULL;
}

static void expect_inside(const struct iovec *iov)
{
	uintptr_t at = (uintptr_t)iov->iov_base;
	uintptr_t d = (uintptr_t)rm_host(rm, RM_D);

	cr_assert(at >= d && iov->iov_len <= RM_DATA_SIZE &&
		  at - d <= RM_DATA_SIZE - iov->iov_len);
}

RING_TEST(never_leaves_memory_when_descriptors_change_under_it)
{
	pthread_t ring, table;
	unsigned good = 0;

	stop = false;
	cr_assert_eq(pthread_create(&ring, NULL, change_all,
				    rm_host(rm, RM_A)), 0);
	cr_assert_eq(pthread_create(&table, NULL, change_all,
				    rm_host(rm, RM_D)), 0);
	for (unsigned i = 0; i < 100000 || (!good && i < 20000000); i++) {
		if (!rr_kind()->packed && !ring_has_work(r))
			rm_avail(rm, i % 4);
		if (rr_pop() != 1)
			continue;
		cr_assert_lt(c->id, 4);
		cr_assert(c->nr_desc >= 1 && c->nr_desc <= 4);
		for (unsigned k = 0; k < c->nr_readable + c->nr_writable; k++)
			expect_inside(&c->iov[k]);
		ring_push(r, c, 0);
		ring_publish(r);
		good++;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(ring, NULL);
	pthread_join(table, NULL);
	cr_assert_gt(good, 0);
}

/* ---- where the ring may lie ---- */

RING_TEST(refuses_a_size_that_no_ring_has)
{
	static const unsigned wrong[] = { 0, 32769, 65535, 65536, 1u << 31,
					  UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		r->size = wrong[i];
		cr_assert_eq(ring_locate(r, &rm->addr), -EINVAL, "%u",
			     wrong[i]);
		cr_assert(strstr(r->why, "size of a"));
	}
}

/* The three parts of a ring of 4, and what they are called. */
static const struct part {
	const char *name;
	uint64_t size;
	uint64_t event_size; /* more, with event indices */
	uint64_t align;
} split_parts[] = {
	{ "descriptor table", 64, 0, 16 },
	{ "available ring", 12, 2, 2 },
	{ "used ring", 36, 2, 4 },
}, packed_parts[] = {
	{ "descriptor ring", 64, 0, 16 },
	{ "driver event area", 4, 0, 4 },
	{ "device event area", 4, 0, 4 },
};

static const struct part *get_part(unsigned i)
{
	return rr_kind()->packed ? &packed_parts[i] : &split_parts[i];
}

static uint64_t *part_of(struct ring_addr *a, unsigned i)
{
	return i == 0 ? &a->desc : i == 1 ? &a->avail : &a->used;
}

RING_TEST(refuses_a_ring_outside_memory)
{
	static const uint64_t wrong[] = { 0, RM_A, RM_UVA + RM_D - 64,
					  1ull << 63, UINT64_MAX - 63 };

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		for (unsigned part = 0; part < 3; part++) {
			struct ring_addr a = rm->addr;

			*part_of(&a, part) = wrong[i];
			cr_assert_eq(ring_locate(r, &a), -EFAULT, "%u, %u", i,
				     part);
			cr_assert(strstr(r->why, get_part(part)->name),
				  "%s", r->why);
		}
	}
}

RING_TEST(wants_each_part_to_its_last_byte)
{
	uint64_t end = RM_UVA + RM_D + RM_DATA_SIZE;

	for (unsigned i = 0; i < 3; i++) {
		const struct part *p = get_part(i);
		struct ring_addr a = rm->addr;
		uint64_t *at = part_of(&a, i);
		uint64_t size = p->size + (r->event_idx ? p->event_size : 0);

		*at = end - align_up(size, p->align);
		cr_assert_eq(ring_locate(r, &a), 0, "%s", p->name);
		*at += p->align;
		cr_assert_eq(ring_locate(r, &a), -EFAULT, "%s", p->name);
		cr_assert(strstr(r->why, p->name), "%s", r->why);
		/* into the neighbour, which is one only for the VMM */
		*at = RM_UVA + RM_C - p->align;
		cr_assert_eq(ring_locate(r, &a),
			     size > p->align ? -EFAULT : 0, "%s", p->name);
	}
}

RING_TEST(refuses_parts_that_are_not_aligned)
{
	for (unsigned i = 0; i < 3; i++) {
		const struct part *p = get_part(i);
		struct ring_addr a = rm->addr;

		for (uint64_t off = 1; off < p->align; off++) {
			*part_of(&a, i) = *part_of(&rm->addr, i) + off;
			cr_assert_eq(ring_locate(r, &a), -EINVAL, "%s + %u",
				     p->name, (unsigned)off);
			cr_assert(strstr(r->why, "aligned"), "%s", r->why);
		}
		*part_of(&a, i) = *part_of(&rm->addr, i) + p->align;
		cr_assert_eq(ring_locate(r, &a), 0, "%s", p->name);
	}
}

RING_TEST(goes_on_where_it_is_found_anew)
{
	struct memmap *m = add_big();

	cr_assert_eq(rr_pop_chain(1, rr_bytes(2), 2), 1);
	cr_assert_eq(ring_locate(r, &rm->addr), 0);
	ring_push(r, c, 0);
	ring_publish(r);
	cr_assert_eq(rm_used(rm, 0).id, 1);
	cr_assert_eq(rr_pop_chain(1, rr_bytes(4), 4), 1);
	memmap_put(m);
}

/* ---- where it begins ---- */

static void answer_one_by_one(unsigned n)
{
	while (n--)
		rr_answer(1);
}

RING_TEST(goes_on_at_the_base_it_gave)
{
	for (unsigned n = 0; n < 20; n++) {
		rr_start_again(8);
		answer_one_by_one(n);

		uint32_t base = ring_base(r);

		cr_assert_eq(ring_is_fresh(r), n == 0 ||
			     (rr_kind()->packed && n == 16), "%u", n);
		cr_assert_eq(rr_restart(base), 0, "%s", r->why);
		cr_assert_eq(ring_base(r), base);
		cr_assert_eq(rr_pop(), 0);
		answer_one_by_one(30);
		cr_assert_eq(rm_nr_used(rm), n + 30);
	}
}

RING_TEST(forgets_what_was_in_flight_on_restore)
{
	uint32_t base = ring_base(r);

	cr_assert_eq(rr_pop_chain(0, rr_bytes(3), 3), 1);
	cr_assert_eq(rr_restart(base), 0);
	expect_nothing_in_flight();
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(c->nr_desc, 3);
}

/* ---- kicks and calls ---- */

RING_TEST(calls_when_told_nothing)
{
	if (rr_kind()->event_idx)
		rm_want_call_at(rm, 0);
	cr_assert(rr_answer(1));
}

RING_TEST(calls_unless_told_not_to)
{
	/* The flag of a split ring means nothing with event indices. */
	if (rr_kind() == &rr_split_event)
		return;
	cr_assert(rr_answer(1));
	rm_want_calls(rm, false);
	cr_assert_not(rr_answer(3));
	rm_want_calls(rm, true);
	cr_assert(rr_answer(1));
}

RING_TEST(calls_when_the_wanted_answer_is_passed)
{
	static const struct {
		unsigned wanted, answers;
		bool call;
	} steps[] = {
		{ 0, 1, true },	       /* given: 1 */
		{ 4, 2, false },       /* 3 */
		{ 4, 1, false },       /* 4 */
		{ 4, 1, true },	       /* 5 */
		{ 6, 4, true },	       /* 9 */
		{ 8, 1, false },       /* 10: passed the last time */
		{ 14, 1, false },      /* 11 */
		{ 14, 3, false },      /* 14 */
		{ 14, 1, true },       /* 15 */
		{ 15, 4, true },       /* 19 */
		{ 22, 4, true },       /* 23 */
		{ 23, 1, true },       /* 24 */
	};

	if (!rr_kind()->event_idx)
		return;
	for (unsigned size = 4; size <= 16; size++) {
		if (!rr_can_have(size))
			continue;
		rr_start_again(size);
		for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
			rm_want_call_at(rm, steps[i].wanted);
			cr_assert_eq(rr_answer(steps[i].answers),
				     steps[i].call, "step %u of %u", i, size);
		}
	}
}

RING_TEST(says_whether_it_wants_kicks)
{
	for (unsigned n = 0; n < 12; n++) {
		ring_disarm(r);
		cr_assert_not(rm_wants_next_kick(rm, r->event_idx));
		cr_assert_not(ring_arm(r));
		cr_assert(rm_wants_next_kick(rm, r->event_idx));
		ring_disarm(r);
		cr_assert_not(rm_wants_next_kick(rm, r->event_idx));
		rr_answer(1);
	}
}

RING_TEST(asks_for_the_kick_of_the_next_chain)
{
	for (unsigned n = 0; n < 12; n++) {
		ring_disarm(r);
		cr_assert_not(ring_arm(r));
		rm_chain(rm, 0, rr_bytes(1), 1);
		cr_assert(rm_wants_kick(rm, r->event_idx), "%u", n);
		rm_chain(rm, 1, rr_bytes(1), 1);
		cr_assert_eq(rm_wants_kick(rm, r->event_idx), !r->event_idx,
			     "%u", n);
		for (unsigned i = 0; i < 2; i++) {
			cr_assert_eq(rr_pop(), 1);
			ring_push(r, c, 0);
		}
		ring_publish(r);
	}
}

RING_TEST(sees_what_was_added_before_it_was_armed)
{
	ring_disarm(r);
	rm_chain(rm, 0, rr_bytes(2), 2);
	cr_assert(ring_has_work(r));
	cr_assert(ring_arm(r));
	cr_assert_eq(rr_pop(), 1);
	cr_assert_not(ring_arm(r));
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

/* For answer number @n, or for none. */
static void want_call(unsigned n, bool wanted)
{
	if (rr_kind()->event_idx && wanted)
		rm_want_call_at(rm, n);
	else if (rr_kind() == &rr_split_event)
		rm_want_call_at(rm, n - 1); /* which has passed */
	else
		rm_want_calls(rm, wanted);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void *driver(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < EXCHANGES; i++) {
		uint16_t used = i;

		want_call(i, false);
		__atomic_store_n(&bell.calls, 0, __ATOMIC_SEQ_CST);
		rm_avail(rm, 0);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (rm_wants_kick(rm, rr_kind()->event_idx))
			__atomic_store_n(&bell.kicks, 1, __ATOMIC_SEQ_CST);
		/* Look for a while, then go to sleep: about when it comes. */
		for (unsigned k = i % 512; k && rm_nr_used(rm) == used; k--)
			;
		want_call(i, true);
		if (rm_nr_used(rm) == used && !wait_for(&bell.calls)) {
			__atomic_store_n(&bell.failed, true, __ATOMIC_SEQ_CST);
			break;
		}
		while (rm_nr_used(rm) == used)
			sched_yield();
	}
	return NULL;
}

static void serve(void)
{
	unsigned done = 0;

	while (done < EXCHANGES) {
		ring_disarm(r);
		while (rr_pop() == 1) {
			ring_push(r, c, 0);
			if (ring_publish(r))
				__atomic_store_n(&bell.calls, 1,
						 __ATOMIC_SEQ_CST);
			done++;
		}
		if (done < EXCHANGES && !ring_arm(r))
			cr_assert(wait_for(&bell.kicks), "after %u", done);
	}
}

RING_TEST(loses_no_kick_and_no_call_between_two_threads)
{
	for (unsigned size = 1; size <= 8; size++) {
		pthread_t t;

		if (!rr_can_have(size))
			continue;
		rr_start_again(size);
		rm_desc(rm, 0, RM_B, 1, 0, 0);
		memset(&bell, 0, sizeof(bell));
		cr_assert_eq(pthread_create(&t, NULL, driver, NULL), 0);
		serve();
		pthread_join(t, NULL);
		cr_assert_not(bell.failed);
	}
}
