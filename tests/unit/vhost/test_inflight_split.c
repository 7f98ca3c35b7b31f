/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost/inflight_split: each byte of the part of a split ring, and what is made
 * of any bytes in it.  The bytes are laid out by hand, as other programs do.
 */
#include "vhost/inflight_split.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define SIZE  4u
#define BYTES (16 + 16 * SIZE)

/* offsets in the header, and of entry @i */
#define AT_VERSION	   8
#define DESC_NUM   10
#define LAST_BATCH 12
#define USED_IDX   14
#define INFLIGHT(i) (16 + 16 * (i))
#define NEXT(i)	    (16 + 16 * (i) + 6)
#define COUNTER(i)  (16 + 16 * (i) + 8)

static _Alignas(8) unsigned char part[BYTES];
static struct inflight f;

static void teardown(void)
{
	inflight_fini(&f);
}

TestSuite(inflight_split, .fini = teardown, .timeout = 30);

static void put16(unsigned at, uint16_t v)
{
	memcpy(part + at, &v, sizeof(v));
}

static void put64(unsigned at, uint64_t v)
{
	memcpy(part + at, &v, sizeof(v));
}

static unsigned get16(unsigned at)
{
	uint16_t v;

	memcpy(&v, part + at, sizeof(v));
	return v;
}

static uint64_t get64(unsigned at)
{
	uint64_t v;

	memcpy(&v, part + at, sizeof(v));
	return v;
}

/* Of a ring whose driver made all entries available. */
static int start_ring(unsigned size, bool again, uint16_t used, uint16_t avail)
{
	const struct inflight_part p = {
		.host = part,
		.nr_desc = SIZE,
		.resume = again,
	};

	inflight_fini(&f);
	cr_assert_eq(inflight_init(&f, size, false), 0);
	return inflight_split_start(&f, &p, used, avail);
}

static int start(bool again, uint16_t used)
{
	return start_ring(SIZE, again, used, used + SIZE);
}

Test(inflight_split, begins_a_part_that_nobody_used)
{
	cr_assert_eq(start(true, 500), 0);

	static const unsigned char want[BYTES] = {
		[AT_VERSION] = 1,
		[DESC_NUM] = SIZE,
		[USED_IDX] = 500 & 0xff, 500 >> 8,
	};

	cr_assert_arr_eq(part, want, BYTES);
	cr_assert_not(inflight_has_found(&f));
}

Test(inflight_split, begins_anew_when_it_is_not_to_resume)
{
	memset(part, 1, sizeof(part));
	cr_assert_eq(start(false, 0), 0);

	static const unsigned char want[BYTES] = { [AT_VERSION] = 1,
						   [DESC_NUM] = SIZE };

	cr_assert_arr_eq(part, want, BYTES);
}

Test(inflight_split, notes_what_is_taken_and_answered)
{
	cr_assert_eq(start(true, 65535), 0);
	inflight_split_take(&f, 2);
	cr_assert_eq(part[INFLIGHT(2)], 1);
	cr_assert_eq(get64(COUNTER(2)), 0);
	inflight_split_take(&f, 0);
	cr_assert_eq(part[INFLIGHT(0)], 1);
	cr_assert_eq(get64(COUNTER(0)), 1);
	inflight_split_take(&f, 3);
	cr_assert_eq(get64(COUNTER(3)), 2);

	inflight_split_used(&f, 0);
	cr_assert_eq(get16(LAST_BATCH), 0);
	cr_assert_eq(part[INFLIGHT(0)], 1, "not announced yet");
	inflight_split_used(&f, 3);
	cr_assert_eq(get16(LAST_BATCH), 3);
	cr_assert_eq(get16(NEXT(3)), 0);
	cr_assert_eq(get16(USED_IDX), 65535);

	inflight_split_published(&f, 1);
	cr_assert_eq(part[INFLIGHT(0)], 0);
	cr_assert_eq(part[INFLIGHT(3)], 0);
	cr_assert_eq(part[INFLIGHT(2)], 1);
	cr_assert_eq(get16(USED_IDX), 1);

	inflight_split_used(&f, 2);
	cr_assert_eq(get16(NEXT(2)), 3, "the head of the last batch");
	cr_assert_eq(get16(LAST_BATCH), 2);
	inflight_split_published(&f, 2);
	cr_assert_eq(part[INFLIGHT(2)], 0);
	cr_assert_eq(get16(USED_IDX), 2);
	cr_assert_eq(get16(AT_VERSION), 1);
	cr_assert_eq(get16(DESC_NUM), SIZE);
}

Test(inflight_split, forgets_what_is_put_back)
{
	cr_assert_eq(start(true, 0), 0);
	inflight_split_take(&f, 1);
	inflight_split_untake(&f, 1);
	cr_assert_eq(part[INFLIGHT(1)], 0);
	inflight_split_take(&f, 1);
	cr_assert_eq(part[INFLIGHT(1)], 1);
	cr_assert_eq(get64(COUNTER(1)), 1);
}

Test(inflight_split, never_reads_what_it_writes)
{
	cr_assert_eq(start(true, 0), 0);
	inflight_split_take(&f, 1);
	inflight_split_take(&f, 2);
	memset(part, 0xff, sizeof(part));
	inflight_split_used(&f, 1);
	inflight_split_used(&f, 2);
	cr_assert_eq(get16(LAST_BATCH), 2);
	cr_assert_eq(get16(NEXT(2)), 1);
	memset(part, 0xff, sizeof(part));
	inflight_split_published(&f, 2);
	cr_assert_eq(part[INFLIGHT(1)], 0);
	cr_assert_eq(part[INFLIGHT(2)], 0);
	inflight_split_take(&f, 3);
	cr_assert_eq(get64(COUNTER(3)), 2);
}

/* A part in use, with used index @used. */
static void lay_out(uint16_t used)
{
	memset(part, 0, sizeof(part));
	put16(AT_VERSION, 1);
	put16(DESC_NUM, SIZE);
	put16(USED_IDX, used);
}

static void mark(unsigned i, uint64_t counter)
{
	part[INFLIGHT(i)] = 1;
	put64(COUNTER(i), counter);
}

/* The heads found, in order. */
static void assert_found(unsigned n, const unsigned *heads)
{
	cr_assert_eq(f.nr_found, n, "%u found", f.nr_found);
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(f.found[i].index, heads[i], "%u: head %u", i,
			     f.found[i].index);
}

Test(inflight_split, finds_what_is_in_flight_in_order)
{
	lay_out(7);
	mark(0, 12);
	mark(1, 10);
	mark(3, 11);
	cr_assert_eq(start(true, 7), 1);
	assert_found(3, (unsigned[]){ 1, 3, 0 });
	cr_assert_eq(part[INFLIGHT(0)] + part[INFLIGHT(1)] + part[INFLIGHT(3)],
		     3, "the marks stay until they are answered");

	inflight_split_take(&f, 2);
	cr_assert_eq(get64(COUNTER(2)), 13, "behind all that were found");
}

Test(inflight_split, takes_equal_counters_by_their_entries)
{
	lay_out(0);
	for (unsigned i = 0; i < SIZE; i++)
		mark(i, 5);
	cr_assert_eq(start(true, 0), 1);
	assert_found(4, (unsigned[]){ 0, 1, 2, 3 });
}

Test(inflight_split, goes_on_after_the_last_counter_there_is)
{
	lay_out(0);
	mark(1, UINT64_MAX);
	cr_assert_eq(start(true, 0), 1);
	inflight_split_take(&f, 0);
	cr_assert_eq(get64(COUNTER(0)), 0);
}

Test(inflight_split, gives_what_it_found_one_by_one)
{
	lay_out(0);
	mark(0, 2);
	mark(2, 1);
	cr_assert_eq(start(true, 0), 1);
	cr_assert_eq(inflight_take_found(&f)->index, 2);
	inflight_untake_found(&f);
	cr_assert_eq(inflight_take_found(&f)->index, 2, "it comes once more");
	cr_assert(inflight_has_found(&f));
	cr_assert_eq(inflight_take_found(&f)->index, 0);
	cr_assert_not(inflight_has_found(&f));
}

Test(inflight_split, completes_a_batch_that_was_announced)
{
	lay_out(65535);
	for (unsigned i = 0; i < SIZE; i++)
		mark(i, i);
	/* 2, then 0 were answered; 3 was in the batch before */
	put16(LAST_BATCH, 0);
	put16(NEXT(0), 2);
	put16(NEXT(2), 3);
	cr_assert_eq(start(true, 1), 1);
	assert_found(2, (unsigned[]){ 1, 3 });
	cr_assert_eq(part[INFLIGHT(0)], 0);
	cr_assert_eq(part[INFLIGHT(2)], 0);
	cr_assert_eq(part[INFLIGHT(3)], 1);
	cr_assert_eq(get16(USED_IDX), 1);

	/* and again, as if nobody had done so */
	put16(USED_IDX, 65535);
	part[INFLIGHT(2)] = 1;
	cr_assert_eq(start(true, 1), 1);
	assert_found(2, (unsigned[]){ 1, 3 });
}

Test(inflight_split, forgets_a_batch_that_was_not_announced)
{
	lay_out(3);
	mark(1, 1);
	mark(2, 2);
	put16(LAST_BATCH, 1);
	put16(NEXT(1), 2);
	cr_assert_eq(start(true, 3), 1);
	assert_found(2, (unsigned[]){ 1, 2 });
}

Test(inflight_split, resumes_what_another_program_left)
{
	/* libvhost-user notes the size of the region, not of the ring */
	lay_out(9);
	mark(1, 4);
	cr_assert_eq(start_ring(2, true, 9, 10), 1);
	assert_found(1, (unsigned[]){ 1 });
}

static const struct damage {
	const char *what;
	unsigned at;
	uint16_t value;
	const char *why;
} damages[] = {
	{ "version 2", AT_VERSION, 2, "version 2, not 1" },
	{ "version 65535", AT_VERSION, 65535, "version 65535" },
	{ "a smaller ring", DESC_NUM, 2, "of a ring of 2, not of 4" },
	{ "a larger ring", DESC_NUM, 8, "of a ring of 8, not of 4" },
	{ "no ring", DESC_NUM, 0, "of a ring of 0" },
	{ "used too long ago", USED_IDX, 95, "used index 95, the ring 100" },
	{ "used in the future", USED_IDX, 101, "used index 101" },
	{ "a batch from nowhere", LAST_BATCH, 4, "entry 4 in its last batch" },
	{ "a batch from afar", LAST_BATCH, 65535, "entry 65535" },
	{ "a batch into nowhere", NEXT(1), 4, "entry 4 in its last batch" },
	{ "a batch that loops", NEXT(1), 1, "last batch that loops" },
	{ "a mark of 2", INFLIGHT(2), 2, "entry 2 in flight (2)" },
	{ "a mark of 255", INFLIGHT(0), 255, "entry 0 in flight (255)" },
};

/* 98 and 99 were announced: 1, then 3.  0 and 2 are in flight. */
static void lay_out_batch(void)
{
	lay_out(98);
	mark(0, 7);
	mark(1, 5);
	mark(2, 6);
	put16(LAST_BATCH, 1);
	put16(NEXT(1), 3);
}

Test(inflight_split, refuses_a_part_that_is_damaged)
{
	lay_out_batch();
	cr_assert_eq(start(true, 100), 1);
	assert_found(2, (unsigned[]){ 2, 0 });
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		const struct damage *d = &damages[i];
		unsigned char before[BYTES];

		lay_out_batch();
		put16(d->at, d->value);
		memcpy(before, part, BYTES);
		cr_assert_eq(start(true, 100), -EPROTO, "%s", d->what);
		cr_assert(strstr(f.why, d->why), "%s: %s", d->what, f.why);
		cr_assert_arr_eq(part, before, BYTES, "%s", d->what);
	}
}

Test(inflight_split, refuses_more_in_flight_than_the_driver_gave)
{
	lay_out(100);
	mark(0, 1);
	mark(1, 2);
	cr_assert_eq(start_ring(SIZE, true, 100, 101), -EPROTO);
	cr_assert_str_eq(f.why,
			 "in-flight region has 2 in flight, the ring 1");
	cr_assert_eq(start_ring(SIZE, true, 100, 99), -EPROTO);
	cr_assert_eq(start_ring(SIZE, true, 100, 105), -EPROTO);
	cr_assert_eq(start_ring(SIZE, true, 100, 102), 1);
	cr_assert_eq(start_ring(SIZE, true, 100, 104), 1);
}

Test(inflight_split, refuses_a_ring_that_is_larger)
{
	cr_assert_eq(start_ring(2 * SIZE, false, 0, 0), -EPROTO);
	cr_assert_str_eq(f.why, "ring of 8, the in-flight region is for 4");
}

Test(inflight_split, refuses_entries_that_the_ring_has_not)
{
	lay_out(0);
	mark(3, 0);
	cr_assert_eq(start_ring(2, true, 0, 2), -EPROTO);
	cr_assert_str_eq(f.why, "in-flight region has entry 3 in flight (1)");
}

Test(inflight_split, begins_anew_where_nothing_can_be_lost)
{
	for (unsigned i = 2; i < 7; i++) {
		const struct damage *d = &damages[i];

		lay_out_batch();
		for (unsigned k = 0; k < SIZE; k++)
			part[INFLIGHT(k)] = 0;
		put16(d->at, d->value);
		cr_assert_eq(start(true, 100), 0, "%s", d->what);
		cr_assert_str_eq(f.why, "");
		cr_assert_eq(get16(DESC_NUM), SIZE);
		cr_assert_eq(get16(USED_IDX), 100);
	}
}

Test(inflight_split, survives_any_bytes)
{
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		for (unsigned k = 0; k < BYTES; k++)
			part[k] = rand() % 4 ? rand() % 5 : rand();
		put16(AT_VERSION, 1);
		if (i % 2)
			put16(DESC_NUM, SIZE);

		int ret = start(true, rand() % 4);

		cr_assert(ret == 0 || ret == 1 || ret == -EPROTO);
		cr_assert_leq(f.nr_found, SIZE);
		while (inflight_has_found(&f)) {
			unsigned head = inflight_take_found(&f)->index;

			cr_assert_lt(head, SIZE);
			inflight_split_used(&f, head);
		}
		if (ret >= 0)
			inflight_split_published(&f, 0);
	}
}
