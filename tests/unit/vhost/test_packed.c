/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/packed: what only a packed ring has; see test_ring.c for the rest. */
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
#define A (1u << VRING_PACKED_DESC_F_AVAIL)
#define U (1u << VRING_PACKED_DESC_F_USED)

#define WRAP 0x8000u /* of event areas and bases */

#define PACKED_TEST(name) RR_TEST_OF(rr_each_packed, packed, name)

static struct ringmem *const rm = &ringrig.mem;
static struct ring *const r = &ringrig.ring;
static struct chain *const c = &ringrig.chain;

TestSuite(packed, .init = rr_init, .fini = rr_fini, .timeout = 60);

/* Sizes that a split ring could not have, too. */
static const unsigned sizes[] = { 1, 2, 3, 4, 5, 7, 8, 100, 1000 };

/* Write place @i, as it stands in memory. */
static void put(unsigned i, uint64_t addr, uint32_t len, unsigned id,
		unsigned flags)
{
	rm->packed[i] = (struct vring_packed_desc){ addr, len, id, flags };
}

static unsigned flags_at(unsigned i)
{
	return rm->packed[i].flags;
}

/* Take a chain of @n buffers, which is the driver's and has id @id. */
static struct chain take(unsigned id, unsigned n)
{
	cr_assert_eq(rr_pop_chain(id, rr_bytes(n), n), 1, "%s", r->why);
	return *c;
}

static void give_back(struct chain taken, uint32_t len)
{
	packed_push(r, &taken, len);
}

/* ---- the ring, byte by byte ---- */

struct row {
	unsigned char bytes[16]; /* addr, len, id, flags */
};

static void expect_row(unsigned i, const struct row *row)
{
	cr_assert_arr_eq(&rm->packed[i], row->bytes, sizeof(row->bytes),
			 "place %u", i);
}

/*
 * Two laps of a ring of 4, laid out by hand from "Packed Virtqueues" in the
 * standard, with no help of the driver in ringmem.  Buffers lie in RM_B, which
 * is 0x300000.
 */
PACKED_TEST(writes_two_laps_as_the_standard_has_them)
{
	static const struct row available[2][4] = {
		/* AVAIL 1, USED 0; ids 2, 0 (two descriptors), 3 */
		{ { { 0, 0, 0x30, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0,
		      0x82, 0x00 } },
		  { { 0, 1, 0x30, 0, 0, 0, 0, 0, 32, 0, 0, 0, 9, 9,
		      0x81, 0x00 } },
		  { { 0, 2, 0x30, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0,
		      0x82, 0x00 } },
		  { { 0, 3, 0x30, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0,
		      0x80, 0x00 } } },
		/* AVAIL 0, USED 1 */
		{ { { 0, 0, 0x30, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0,
		      0x02, 0x80 } },
		  { { 0, 1, 0x30, 0, 0, 0, 0, 0, 32, 0, 0, 0, 9, 9,
		      0x01, 0x80 } },
		  { { 0, 2, 0x30, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0,
		      0x02, 0x80 } },
		  { { 0, 3, 0x30, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0,
		      0x00, 0x80 } } },
	};
	/* In order: only id, len and flags are written, at 0, 1 and 3. */
	static const struct row used[2][4] = {
		{ { { 0, 0, 0x30, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0,
		      0x82, 0x80 } },
		  { { 0, 1, 0x30, 0, 0, 0, 0, 0, 0x03, 0x02, 0, 0, 0, 0,
		      0x82, 0x80 } },
		  { { 0, 2, 0x30, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0,
		      0x82, 0x00 } },
		  { { 0, 3, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0,
		      0x80, 0x80 } } },
		{ { { 0, 0, 0x30, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0,
		      0x02, 0x00 } },
		  { { 0, 1, 0x30, 0, 0, 0, 0, 0, 0x03, 0x02, 0, 0, 0, 0,
		      0x02, 0x00 } },
		  { { 0, 2, 0x30, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0,
		      0x02, 0x80 } },
		  { { 0, 3, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0,
		      0x00, 0x00 } } },
	};
	static const unsigned ids[] = { 2, 0, 3 }, nr[] = { 1, 2, 1 };
	static const uint32_t lens[] = { 16, 0x203, 0 };

	for (unsigned lap = 0; lap < 2; lap++) {
		cr_assert_eq(rr_pop(), 0);
		memcpy(rm->packed, available[lap], 64);
		for (unsigned i = 0; i < 3; i++) {
			cr_assert_eq(rr_pop(), 1, "%s", r->why);
			cr_assert_eq(c->id, ids[i]);
			cr_assert_eq(c->nr_desc, nr[i]);
			packed_push(r, c, lens[i]);
		}
		cr_assert_eq(rr_pop(), 0);
		packed_publish(r);
		for (unsigned i = 0; i < 4; i++)
			expect_row(i, &used[lap][i]);
	}
}

PACKED_TEST(turns_its_counters_at_the_end_of_each_lap)
{
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		rr_start_again(sizes[s]);
		for (unsigned i = 0; i < 5 * sizes[s]; i++) {
			unsigned at = i % sizes[s];
			bool wrap = !(i / sizes[s] % 2);

			give_back(take(0, 1), i % 2);
			packed_publish(r);
			cr_assert_eq(rm_nr_used(rm), i + 1);
			cr_assert_eq(flags_at(at), (wrap ? A | U : 0) |
				     (i % 2 ? W : 0), "%u of %u", i, sizes[s]);
		}
	}
}

PACKED_TEST(takes_nothing_whose_bits_are_of_another_lap)
{
	static const unsigned wrong[] = { 0, U, A | U };

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		put(0, RM_B, 1, 0, wrong[i]);
		cr_assert_not(packed_has_work(r));
		cr_assert_eq(packed_pending(r), 0);
		cr_assert_eq(rr_pop(), 0, "%x", wrong[i]);
	}
	put(0, RM_B, 1, 0, A);
	cr_assert_eq(rr_pop(), 1);
}

/* ---- chains ---- */

PACKED_TEST(finds_the_id_in_the_last_descriptor)
{
	put(1, RM_B, 1, 0xffff, A | N);
	put(2, RM_B, 1, 3, A);
	put(0, RM_B, 1, 0x8000, A | N);
	cr_assert_eq(rr_pop(), 1, "%s", r->why);
	cr_assert_eq(c->id, 3);
	cr_assert_eq(c->nr_desc, 3);
	put(3, RM_B, 1, 3, A);
	rr_expect_refusal("twice", "buffer id 3 is in flight already");
}

PACKED_TEST(takes_a_chain_over_the_end_of_the_ring)
{
	for (unsigned first = 1; first < 5; first++) {
		rr_start_at(5, first | WRAP);
		give_back(take(2, 5), 1);
		packed_publish(r);
		cr_assert_eq(rm_used(rm, 0).id, 2);
		/* to the same place with the other counter */
		cr_assert_eq(packed_base(r), first | first << 16);
		give_back(take(2, 5), 1);
		packed_publish(r);
		cr_assert_eq(packed_base(r), (first | WRAP) * 0x10001u);
		cr_assert_eq(rm_nr_used(rm), 2);
	}
}

/*
 * Only the first one's flags say that a chain is available: the driver wrote
 * them last, and the others' may be of any lap.
 */
PACKED_TEST(ignores_the_two_bits_behind_the_first)
{
	put(1, RM_B + 1, 1, 0, U | N);
	put(2, RM_B + 2, 1, 1, A | U | W);
	put(0, RM_B, 1, 0, A | N);
	cr_assert_eq(rr_pop(), 1, "%s", r->why);
	cr_assert_eq(c->nr_desc, 3);
	rr_expect_iov(2, RM_B + 2, 1);
}

PACKED_TEST(reads_again_what_was_not_taken_after_all)
{
	take(1, 2);
	packed_unpop(r, c);
	/* It is the driver's meanwhile, who may change it. */
	put(0, RM_D, 24, 3, A);
	cr_assert_eq(rr_pop(), 1);
	cr_assert_eq(c->id, 3);
	cr_assert_eq(c->nr_desc, 1);
	cr_assert_eq(c->readable_len, 24);
}

PACKED_TEST(goes_back_over_the_end_of_the_ring)
{
	for (unsigned first = 0; first < 5; first++) {
		for (unsigned n = 1; n <= 5; n++) {
			uint32_t base = first | WRAP;

			rr_start_at(5, base);
			base |= base << 16;
			take(1, n);
			cr_assert_neq(packed_base(r), base);
			packed_unpop(r, c);
			cr_assert_eq(packed_base(r), base, "%u, %u", first, n);
			cr_assert_eq(rr_pop(), 1);
			cr_assert_eq(c->nr_desc, n);
			packed_push(r, c, 0);
			packed_publish(r);
			cr_assert_eq(rm_nr_used(rm), 1);
		}
	}
}

PACKED_TEST(lets_buffers_lie_over_the_ring_itself)
{
	struct rm_buf bufs[] = { { RM_A, 64, 0 }, { RM_A, 64, W } };

	/* the whole ring to read and to write, as if all had been used */
	cr_assert_eq(rr_pop_chain(1, bufs, 2), 1);
	iov_fill(&c->iov[1], 1, 0, 0xff, UINT64_MAX);
	packed_push(r, c, 64);
	packed_publish(r);
	cr_assert_eq(rm->packed[0].id, 1);
	cr_assert_eq(rm->packed[0].len, 64);
	cr_assert_eq(rr_pop(), 0);
	put(2, RM_B, 1, 0, A);
	cr_assert_eq(rr_pop(), 1);
	/* as if all were available: no more than there is */
	packed_push(r, c, 0);
	packed_publish(r);
	for (unsigned i = 0; i < 4; i++)
		put(i, RM_B, 1, i, A | N);
	rr_expect_refusal("all", "chain is longer than what is free");
}

/* ---- indirect tables ---- */

PACKED_TEST(reads_a_table_in_the_order_of_its_places)
{
	static const unsigned ignored[] = { 0, N, I, A, U, 0x7ff8,
					    0xffff & ~W };

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++) {
		struct vring_packed_desc table[] = {
			{ RM_B + 5, 1, 0, ignored[i] },
			{ RM_D, 2, 2, ignored[i] },
			{ RM_B, 3, 0xffff, ignored[i] | W },
		};

		rr_start_again(4);
		memcpy(rm_at(rm, RM_D), table, sizeof(table));
		cr_assert_eq(rr_pop_chain(3, RR_BUFS({ RM_D, 48, I })), 1,
			     "%x: %s", ignored[i], r->why);
		cr_assert_eq(c->id, 3, "a table has no ids");
		cr_assert_eq(c->nr_desc, 1);
		cr_assert_eq(c->nr_readable, 2);
		rr_expect_iov(0, RM_B + 5, 1);
		rr_expect_iov(1, RM_D, 2);
		rr_expect_iov(2, RM_B, 3);
	}
}

/* ---- what a bad driver does: see the table in test_ring.c for more ---- */

PACKED_TEST(looks_at_no_more_descriptors_than_are_free)
{
	for (unsigned held = 0; held < 4; held++) {
		rr_start_again(4);
		if (held)
			take(0, held);

		uint32_t base = packed_base(r);

		for (unsigned i = 0; i < 4; i++)
			put((held + i) % 4, RM_B, 1, 3,
			    N | (held + i < 4 ? A : U));
		rr_expect_refusal("endless", "longer than what is free in a "
					     "ring of 4");
		cr_assert_eq(packed_base(r), base);
		cr_assert_not(ring_is_taken(r, 3));
	}
}

PACKED_TEST(has_no_more_in_flight_than_the_ring_has_descriptors)
{
	take(0, 3);
	take(1, 1);
	cr_assert_eq(packed_pending(r), 0);
	put(0, RM_B, 1, 2, U);
	cr_assert(packed_has_work(r));
	cr_assert_eq(packed_pending(r), 0, "it cannot be");
	rr_expect_refusal("the next lap", "longer than what is free");
}

PACKED_TEST(takes_an_id_again_when_it_was_given_back)
{
	struct chain first = take(1, 1);

	rm_avail(rm, 1);
	rr_expect_refusal("twice", "in flight");
	give_back(first, 0);
	cr_assert_eq(rr_pop(), 1, "though not yet published");
}

PACKED_TEST(counts_as_pending_what_looks_available)
{
	for (unsigned i = 0; i < 4; i++)
		put(i, 0, 0, 9999, A | N);
	cr_assert_eq(packed_pending(r), 4);
	put(2, 0, 0, 0, 0);
	cr_assert_eq(packed_pending(r), 2);
}

/* ---- what is used ---- */

PACKED_TEST(writes_what_is_used_in_the_order_of_answers)
{
	struct chain two, one, last;

	two = take(0, 2);
	one = take(2, 1);
	last = take(3, 1);
	give_back(one, 1);
	give_back(last, 0);
	give_back(two, 2);
	packed_publish(r);
	/* Each as if its chain stood there: 1, 1 and 2 descriptors. */
	cr_assert_eq(rm->packed[0].id, 2);
	cr_assert_eq(rm->packed[0].len, 1);
	cr_assert_eq(flags_at(0), A | U | W);
	cr_assert_eq(rm->packed[1].id, 3);
	cr_assert_eq(flags_at(1), A | U);
	cr_assert_eq(rm->packed[2].id, 0);
	cr_assert_eq(flags_at(2), A | U | W);
	cr_assert_eq(flags_at(3), A | W, "skipped, as the driver left it");
	cr_assert_eq(packed_base(r), 0);
}

PACKED_TEST(sets_the_write_flag_when_bytes_were_written)
{
	static const uint32_t lens[] = { 0, 1, 512, UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		give_back(take(2, 1), lens[i]);
		packed_publish(r);
		cr_assert_eq(rm->packed[i].len, lens[i]);
		cr_assert_eq(rm->packed[i].id, 2);
		cr_assert_eq(flags_at(i), A | U | (lens[i] ? W : 0));
		rm_nr_used(rm);
	}
}

PACKED_TEST(shows_the_first_answer_last)
{
	for (unsigned first = 0; first < 4; first++) {
		rr_start_at(4, first | WRAP);

		struct chain taken[] = { take(0, 1), take(1, 2), take(2, 1) };
		unsigned before = flags_at(first);

		/* Nor do we rely on what the driver writes there meanwhile. */
		for (unsigned i = 0; i < 3; i++)
			give_back(taken[i], 1);
		cr_assert_eq(flags_at(first), before);
		cr_assert_eq(rm_nr_used(rm), 0);
		cr_assert_eq(rm->packed[first].id, 0, "the rest is there");
		cr_assert_eq(rm->packed[(first + 1) % 4].id, 1);
		cr_assert_eq(flags_at((first + 1) % 4),
			     W | (first < 3 ? A | U : 0));
		cr_assert_eq(flags_at((first + 3) % 4),
			     W | (first < 1 ? A | U : 0));
		packed_publish(r);
		cr_assert_eq(flags_at(first), A | U | W);
		cr_assert_eq(rm_nr_used(rm), 3);
		cr_assert_not(packed_publish(r), "there is nothing more");
	}
}

PACKED_TEST(publishes_a_whole_ring_at_once_again_and_again)
{
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		unsigned size = sizes[s];

		rr_start_at(size, (size / 2) | WRAP);
		for (unsigned lap = 1; lap <= 4; lap++) {
			for (unsigned i = 0; i < size; i++)
				give_back(take(i, 1), lap);
			cr_assert_eq(rm_nr_used(rm), (lap - 1) * size);
			packed_publish(r);
			cr_assert_eq(rm_nr_used(rm), lap * size);
			cr_assert_eq(rm_used(rm, lap * size - 1).len, lap);
		}
	}
}

/* ---- where it begins ---- */

PACKED_TEST(begins_at_the_first_place_when_nobody_told)
{
	rr_start_at(4, 2);
	cr_assert_not(packed_is_fresh(r));
	cr_assert_eq(rr_restart(-1), 0);
	cr_assert(packed_is_fresh(r));
	cr_assert_eq(packed_base(r), WRAP | WRAP << 16);
}

PACKED_TEST(begins_at_every_place_with_either_counter)
{
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (unsigned base = 0; base < 2 * sizes[s]; base++) {
			unsigned idx = base % sizes[s];
			unsigned wrap = base < sizes[s] ? 0 : WRAP;

			rr_start_at(sizes[s], idx | wrap);
			cr_assert_eq(packed_base(r), (idx | wrap) * 0x10001u);
			cr_assert_eq(packed_is_fresh(r), !idx && wrap);
			give_back(take(0, 1), 0);
			packed_publish(r);
			cr_assert_eq(rm_nr_used(rm), 1);
			cr_assert_eq(flags_at(idx), wrap ? A | U : 0);
		}
	}
}

PACKED_TEST(takes_each_bit_of_a_base)
{
	rr_start_again(32768);
	for (unsigned bit = 0; bit < 16; bit++) {
		cr_assert_eq(rr_restart(1u << bit), 0);
		cr_assert_eq(packed_base(r), (1u << bit) * 0x10001u);
	}
}

/* Nothing is in flight, so both places are the same. */
PACKED_TEST(ignores_the_upper_half_of_a_base)
{
	static const uint32_t uppers[] = { 0, 1, 0x8002, 0xffff };

	for (unsigned i = 0; i < ARRAY_SIZE(uppers); i++) {
		cr_assert_eq(rr_restart(uppers[i] << 16 | 3), 0);
		cr_assert_eq(packed_base(r), 0x30003);
	}
}

PACKED_TEST(refuses_a_base_that_the_ring_does_not_have)
{
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		uint16_t wrong[] = { sizes[s], sizes[s] | WRAP, 0x7fff,
				     0xffff };

		rr_start_again(sizes[s]);
		for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
			cr_assert_eq(rr_restart(wrong[i]), -EINVAL);
			cr_assert(strstr(r->why, "begins at descriptor"),
				  "%s", r->why);
		}
		cr_assert_eq(rr_restart((sizes[s] - 1) | WRAP), 0);
		cr_assert_str_eq(r->why, "");
	}
}

PACKED_TEST(tells_both_places_while_something_is_in_flight)
{
	struct chain first = take(0, 3);

	cr_assert_eq(packed_base(r), 3 | WRAP | WRAP << 16);
	take(1, 1);
	cr_assert_eq(packed_base(r), 0 | WRAP << 16);
	give_back(first, 0);
	cr_assert_eq(packed_base(r), 0 | (3 | WRAP) << 16);
}

PACKED_TEST(may_have_any_size)
{
	static const unsigned good[] = { 1, 2, 3, 5, 7, 100, 1000, 32767,
					 32768 };

	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		r->size = good[i];
		cr_assert_eq(packed_locate(r, &rm->addr), 0, "%s", r->why);
	}
	r->size = 32769;
	cr_assert_eq(packed_locate(r, &rm->addr), -EINVAL);
	cr_assert_str_eq(r->why, "size of a packed ring: 32769");
}

/* ---- kicks and calls ---- */

/* What the driver's event area says, and whether we call then. */
PACKED_TEST(looks_at_the_flags_of_the_drivers_event_area)
{
	static const struct {
		uint16_t flags;
		bool call, call_with_event_idx;
	} areas[] = {
		{ VRING_PACKED_EVENT_FLAG_ENABLE, true, true },
		{ VRING_PACKED_EVENT_FLAG_DISABLE, false, false },
		/* off_wrap is far away, if it has a meaning */
		{ VRING_PACKED_EVENT_FLAG_DESC, true, false },
		/* reserved: rather one too many */
		{ 3, true, true },
		{ 0xffff, true, true },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
		rr_start_again(8);
		rm->driver->off_wrap = 7 | WRAP;
		rm->driver->flags = areas[i].flags;
		cr_assert_eq(rr_answer(3), r->event_idx ?
			     areas[i].call_with_event_idx : areas[i].call,
			     "flags %u", areas[i].flags);
	}
}

/*
 * Does an answer come past the descriptor that the driver waits for?  Counting
 * descriptors without end tells what the two numbers with their counters must.
 */
static void expect_calls(unsigned size, unsigned start, unsigned batch,
			 unsigned step)
{
	unsigned now = start + batch;

	for (unsigned event = now; event < now + 2 * size; event += step) {
		/* one that is a lap or more ahead is one that has passed */
		unsigned passed = event - 2 * size;
		bool wanted = event >= now + size && passed + batch >= now;
		bool wrap = !(event / size % 2);

		rr_start_at(size, start % size |
				  (start / size % 2 ? 0 : WRAP));
		rm->driver->flags = VRING_PACKED_EVENT_FLAG_DESC;
		rm->driver->off_wrap = event % size | (wrap ? WRAP : 0);
		/* two chains, of which one skips, if there is room for that */
		give_back(take(0, batch - batch / 3), 0);
		if (batch / 3)
			give_back(take(1, batch / 3), 0);
		cr_assert_eq(packed_publish(r), wanted,
			     "size %u, %u from %u, event %u", size, batch,
			     start, event);
	}
}

PACKED_TEST(calls_when_the_wanted_descriptor_is_passed_at_every_place)
{
	if (!r->event_idx)
		return;
	for (unsigned size = 1; size <= 9; size++)
		for (unsigned start = 0; start < 2 * size; start++)
			for (unsigned n = 1; n <= size; n++)
				expect_calls(size, start + 2 * size, n, 1);
}

PACKED_TEST(calls_when_the_wanted_descriptor_is_passed_in_the_largest_ring)
{
	static const unsigned starts[] = { 0, 1, 32767, 32768, 65535 };
	static const unsigned batches[] = { 1, 2, 32767, 32768 };

	if (!r->event_idx)
		return;
	for (unsigned s = 0; s < ARRAY_SIZE(starts); s++)
		for (unsigned b = 0; b < ARRAY_SIZE(batches); b++)
			expect_calls(32768, starts[s] + 65536, batches[b],
				     8191);
}

PACKED_TEST(says_in_its_event_area_which_kick_it_wants)
{
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		rr_start_again(sizes[s]);
		for (unsigned i = 0; i < 3 * sizes[s]; i++) {
			unsigned want = i % sizes[s] |
					(i / sizes[s] % 2 ? 0 : WRAP);

			rm->device->off_wrap = 0x1234;
			packed_disarm(r);
			cr_assert_eq(rm->device->flags,
				     VRING_PACKED_EVENT_FLAG_DISABLE);
			cr_assert_eq(rm->device->off_wrap, 0x1234);
			cr_assert_not(packed_arm(r));
			cr_assert_eq(rm->device->flags, r->event_idx ?
				     VRING_PACKED_EVENT_FLAG_DESC :
				     VRING_PACKED_EVENT_FLAG_ENABLE);
			cr_assert_eq(rm->device->off_wrap,
				     r->event_idx ? want : 0x1234);
			rr_answer(1);
		}
	}
}

PACKED_TEST(wants_the_kick_behind_what_is_in_flight)
{
	take(0, 3);
	packed_arm(r);
	if (r->event_idx)
		cr_assert_eq(rm->device->off_wrap, 3 | WRAP);
	rm_chain(rm, 3, rr_bytes(1), 1);
	cr_assert(rm_wants_kick(rm, r->event_idx));
	cr_assert(packed_arm(r));
}

/* ---- what the fuzzer knows ---- */

/* Whether a driver has had answers, after it got @nr of them one by one. */
static bool has_answers(unsigned nr)
{
	memset(rm->packed, 0, rm->size * sizeof(*rm->packed));
	for (unsigned i = 0; i < nr; i++) {
		bool odd = i / rm->size % 2 == 0;

		put(i % rm->size, RM_B, 8, 1, odd ? A | U : 0);
	}
	return packed_has_answers(rm->packed, rm->size);
}

/* One more buffer than was answered is available, in parts of one place. */
static bool has_answers_and_more(unsigned nr, unsigned more)
{
	bool odd;

	has_answers(nr);
	for (unsigned i = nr; i < nr + more; i++) {
		odd = i / rm->size % 2 == 0;
		put(i % rm->size, RM_B, 8, 1, odd ? A : U);
	}
	return packed_has_answers(rm->packed, rm->size);
}

PACKED_TEST(knows_whether_a_driver_has_had_answers)
{
	unsigned size = rm->size;

	cr_expect_not(has_answers(0));
	for (unsigned nr = 1; nr < 6 * size; nr++)
		for (unsigned more = 0; more <= size; more++)
			/* Full, it looks as in the first lap. */
			if (more < size - 1 || nr / size % 2)
				cr_assert(has_answers_and_more(nr, more),
					  "%u, then %u", nr, more);
	for (unsigned more = 0; more <= size; more++)
		cr_assert_not(has_answers_and_more(0, more));
	/* A chain of two whose head has no flags yet. */
	has_answers(0);
	put(0, RM_B, 8, 1, 0);
	put(1, RM_B, 8, 1, A);
	cr_expect_not(packed_has_answers(rm->packed, size));
}

Test(packed, keeps_its_promises_for_the_whole_corpus)
{
	cr_assert_geq(fuzz_corpus("packed", fuzz_packed), 41);
}
