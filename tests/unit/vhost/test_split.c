/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/split: what only a split ring has; see test_ring.c for the rest. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "base/util.h"
#include "fuzz.h"
#include "ringrig.h"

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

#define SPLIT_TEST(name) RR_TEST_OF(rr_each_split, split, name)

static struct ringmem *const rm = &ringrig.mem;
static struct ring *const r = &ringrig.ring;
static struct chain *const c = &ringrig.chain;

TestSuite(split, .init = rr_init, .fini = rr_fini, .timeout = 60);

/* ---- chains ---- */

SPLIT_TEST(follows_next_wherever_it_leads)
{
	rm_desc(rm, 2, RM_B, 16, N, 0);
	rm_desc(rm, 0, RM_B + 0x1000, 512, N, 3);
	rm_desc(rm, 3, RM_D, 4096, N | W, 1);
	rm_desc(rm, 1, RM_D + 0x2000, 1, W, 77);
	cr_assert_eq(rr_pop_head(2), 1);
	cr_assert_eq(c->id, 2);
	cr_assert_eq(c->nr_desc, 4);
	rr_expect_iov(0, RM_B, 16);
	rr_expect_iov(1, RM_B + 0x1000, 512);
	rr_expect_iov(2, RM_D, 4096);
	rr_expect_iov(3, RM_D + 0x2000, 1);
}

SPLIT_TEST(follows_next_inside_an_indirect_table)
{
	rm_set_desc(rm_at(rm, RM_D), RM_B, 1, N, 2);
	rm_set_desc(rm_at(rm, RM_D + 16), RM_B + 1, 1, W, 0);
	rm_set_desc(rm_at(rm, RM_D + 32), RM_B + 2, 1, N, 1);
	rm_desc(rm, 0, RM_D, 48, I, 0);
	cr_assert_eq(rr_pop_head(0), 1);
	cr_assert_eq(c->nr_readable, 2);
	rr_expect_iov(1, RM_B + 2, 1);
	rr_expect_iov(2, RM_B + 1, 1);
}

SPLIT_TEST(reads_again_what_was_not_taken_after_all)
{
	rm_desc(rm, 1, RM_B, 16, N, 2);
	rm_desc(rm, 2, RM_B + 16, 8, W, 0);
	cr_assert_eq(rr_pop_head(1), 1);
	split_unpop(r, c);
	/* It is the driver's meanwhile, who may change it. */
	rm_desc(rm, 1, RM_B, 24, 0, 0);
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(c->id, 1);
	cr_assert_eq(c->nr_readable, 1);
	cr_assert_eq(c->nr_writable, 0);
	cr_assert_eq(c->readable_len, 24);
	cr_assert_eq(rr_pop(), 0);
}

SPLIT_TEST(lets_buffers_lie_over_the_ring_itself)
{
	uint64_t used = rm->addr.used - RM_UVA;

	/* the descriptor table to read, the used ring to write */
	rm_desc(rm, 0, RM_A, 64, N, 1);
	rm_desc(rm, 1, used, 38, W, 0);
	cr_assert_eq(rr_pop_head(0), 1);
	iov_fill(&c->iov[1], 1, 0, 0xff, UINT64_MAX);
	split_push(r, c, 38);
	split_publish(r);
	cr_assert_eq(rm->used->idx, 1);
	cr_assert_eq(rr_pop_head(0), 1);
	split_push(r, c, 0);
	split_publish(r);
	cr_assert_eq(rm->used->idx, 2);
}

SPLIT_TEST(shows_the_index_only_when_it_publishes)
{
	rm_desc(rm, 1, RM_B, 1, W, 0);
	cr_assert_eq(rr_pop_head(1), 1);
	split_push(r, c, 5);
	cr_assert_eq(rm->used->idx, 0);
	split_publish(r);
	cr_assert_eq(rm->used->idx, 1);
	cr_assert_eq(rm->used->ring[0].id, 1);
	cr_assert_eq(rm->used->ring[0].len, 5);
}

/* ---- what a bad driver does: see the table in test_ring.c for more ---- */

static const struct bad {
	const char *what;
	const char *why;
	unsigned head;
	struct vring_desc ring[4];
	struct vring_desc table[4];	/* at RM_D */
} bad[] = {
	{ "next beyond the ring", "descriptor 4 in a ring of 4", 0,
	  { { RM_B, 1, N, 4 } }, {} },
	{ "largest next", "descriptor 65535 in a ring of 4", 0,
	  { { RM_B, 1, N, 65535 } }, {} },
	{ "descriptor that follows itself", "longer than the ring", 2,
	  { [2] = { RM_B, 1, N, 2 } }, {} },
	{ "loop of empty descriptors", "longer than the ring", 0,
	  { { 0, 0, N, 1 }, { 0, 0, N, 0 } }, {} },
	{ "loop behind the first", "longer than the ring", 0,
	  { { RM_B, 1, N, 1 }, { RM_B, 1, N | W, 3 }, {},
	    { RM_B, 1, N | W, 1 } }, {} },
	{ "indirect inside indirect", "inside another", 0,
	  { { RM_D, 16, I, 0 } }, { { RM_D, 16, I, 0 } } },
	{ "loop in an indirect table", "indirect table of 2 loops", 0,
	  { { RM_D, 32, I, 0 } },
	  { { RM_B, 1, N, 1 }, { RM_B, 1, N, 0 } } },
	{ "next beyond the table", "descriptor 2 in an indirect table of 2",
	  0, { { RM_D, 32, I, 0 } },
	  { { RM_B, 1, N, 2 }, { RM_B, 1, 0, 0 } } },
	{ "the ring behind a table", "inside another", 0,
	  { { RM_A, 64, I, 0 } }, {} },
};

SPLIT_TEST(breaks_on_each_bad_chain_and_stays_where_it_was)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct bad *b = &bad[i];

		rr_start_again(4);
		memcpy(rm->desc, b->ring, sizeof(b->ring));
		memcpy(rm_at(rm, RM_D), b->table, sizeof(b->table));
		rm_avail(rm, b->head);
		rr_expect_refusal(b->what, b->why);
		cr_assert_eq(r->split.last_avail, 0);
		cr_assert_eq(r->taken[0], 0);
	}
}

SPLIT_TEST(refuses_an_available_index_that_jumps)
{
	static const uint16_t jumps[] = { 5, 6, 100, 32768, 65535 };

	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		rr_start_again(4);
		rm->avail->idx = jumps[i];
		rr_expect_refusal("jump", "available index");
	}
	rr_start_again(4);
	rm->avail->idx = 4;
	rm_desc(rm, 0, RM_B, 1, 0, 0);
	cr_assert_eq(rr_pop(), 1);
}

SPLIT_TEST(refuses_an_available_index_that_goes_backwards)
{
	rm_desc(rm, 0, RM_B, 1, 0, 0);
	cr_assert_eq(rr_pop_head(0), 1);
	rm->avail->idx = 0;
	cr_assert(split_has_work(r));
	rr_expect_refusal("backwards", "available index 0 after 1");
}

SPLIT_TEST(has_no_more_in_flight_than_the_ring_has_entries)
{
	for (unsigned i = 0; i < 4; i++) {
		rm_desc(rm, i, RM_B, 1, 0, 0);
		cr_assert_eq(rr_pop_head(i), 1);
	}
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(rr_pop_head(i), -EPROTO);
		rm->avail->idx--;
	}
}

/* ---- where it lies and begins ---- */

SPLIT_TEST(refuses_a_size_that_is_no_power_of_two)
{
	static const unsigned sizes[] = { 3, 5, 6, 7, 1000, 32767 };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		r->size = sizes[i];
		cr_assert_eq(split_locate(r, &rm->addr), -EINVAL, "%u",
			     sizes[i]);
		cr_assert(strstr(r->why, "size of a split ring"));
	}
}

SPLIT_TEST(begins_at_the_base_it_is_told)
{
	rr_start_at(4, 65534);
	cr_assert_eq(rr_pop(), 0);
	rm_desc(rm, 0, RM_B, 1, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(rr_pop_head(0), 1);
		split_push(r, c, i);
		split_publish(r);
	}
	cr_assert_eq(rm->used->idx, 2);
	cr_assert_eq(rm->used->ring[3].len, 1);
	cr_assert_eq(split_base(r), 2);
}

SPLIT_TEST(begins_at_the_used_index_when_nobody_told)
{
	rm->used->idx = 7;
	rm->avail->idx = 8;
	rm->avail->ring[3] = 2;
	rm_desc(rm, 2, RM_B, 1, 0, 0);
	cr_assert_eq(rr_restart(-1), 0);
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(c->id, 2);
	cr_assert_eq(rr_pop(), 0);
}

SPLIT_TEST(refuses_a_base_that_is_no_index)
{
	static const int64_t bases[] = { 65536, 0x80008000, UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		cr_assert_eq(rr_restart(bases[i]), -EINVAL);
		cr_assert(strstr(r->why, "is no index"), "%s", r->why);
	}
	cr_assert_eq(rr_restart(65535), 0);
}

/* ---- kicks and calls ---- */

SPLIT_TEST(looks_at_one_bit_of_the_flags)
{
	if (r->event_idx) {
		/* they mean nothing then */
		rm_want_call_at(rm, 0);
		rm->avail->flags = 0xffff;
		cr_assert(rr_answer(1));
		return;
	}
	/* other bits, and the word behind the ring, mean nothing */
	rm->avail->flags = 0xfffe;
	*rm_used_event(rm) = 1000;
	cr_assert(rr_answer(1));
}

SPLIT_TEST(looks_at_the_event_index_at_the_wrap_and_far_away)
{
	static const struct {
		uint16_t event;
		unsigned answers;
		bool call;
	} steps[] = {
		{ 65535, 2, false },   /* used: 65535 */
		{ 65535, 1, true },    /* 0 */
		{ 0, 1, true },	       /* 1 */
		{ 65535, 1, false },   /* 2 */
		{ 30000, 3, false },
		{ 5, 1, true },	       /* 6 */
	};

	if (!r->event_idx)
		return;
	rr_start_at(4, 65533);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		*rm_used_event(rm) = steps[i].event;
		cr_assert_eq(rr_answer(steps[i].answers), steps[i].call,
			     "step %u", i);
	}
}

SPLIT_TEST(switches_kicks_by_flag_or_event_index)
{
	*rm_avail_event(rm) = 77;
	rr_answer(3);
	split_disarm(r);
	cr_assert_eq(rm->used->flags,
		     r->event_idx ? 0 : VRING_USED_F_NO_NOTIFY);
	cr_assert_eq(*rm_avail_event(rm), r->event_idx ? 2 : 77);
	cr_assert_not(split_arm(r));
	cr_assert_eq(rm->used->flags, 0);
	cr_assert_eq(*rm_avail_event(rm), r->event_idx ? 3 : 77);
}

/* ---- what the fuzzer knows ---- */

Test(split, keeps_its_promises_for_the_whole_corpus)
{
	cr_assert_geq(fuzz_corpus("split", fuzz_split), 38);
}
