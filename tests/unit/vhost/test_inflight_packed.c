/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost/inflight_packed: each byte of the part of a packed ring, and what is
 * made of any bytes in it.  The bytes are laid out by hand, as other programs
 * do.
 */
#include "vhost/inflight_packed.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define SIZE  5u
#define BYTES (32 + 32 * SIZE)

/* offsets in the header, and of entry @i */
#define AT_VERSION	    8
#define DESC_NUM    10
#define FREE	    12
#define OLD_FREE    14
#define USED	    16
#define OLD_USED    18
#define WRAP	    20
#define OLD_WRAP    21
#define INFLIGHT(i) (32 + 32 * (i))
#define NEXT(i)	    (32 + 32 * (i) + 2)
#define LAST(i)	    (32 + 32 * (i) + 4)
#define NUM(i)	    (32 + 32 * (i) + 6)
#define COUNTER(i)  (32 + 32 * (i) + 8)
#define ID(i)	    (32 + 32 * (i) + 16)
#define FLAGS(i)    (32 + 32 * (i) + 18)
#define LEN(i)	    (32 + 32 * (i) + 20)
#define ADDR(i)	    (32 + 32 * (i) + 24)

/* in the flags of a descriptor */
#define F_NEXT	0x0001
#define F_AVAIL 0x0080
#define F_USED	0x8000

static _Alignas(8) unsigned char part[BYTES];
static struct vring_packed_desc ring[SIZE];
static struct inflight f;

static void teardown(void)
{
	inflight_fini(&f);
}

TestSuite(inflight_packed, .fini = teardown, .timeout = 30);

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

static unsigned get32(unsigned at)
{
	uint32_t v;

	memcpy(&v, part + at, sizeof(v));
	return v;
}

static uint64_t get64(unsigned at)
{
	uint64_t v;

	memcpy(&v, part + at, sizeof(v));
	return v;
}

static int start_ring(unsigned size, bool again, uint16_t base, bool wrap)
{
	const struct inflight_part p = {
		.host = part,
		.nr_desc = SIZE,
		.resume = again,
	};

	inflight_fini(&f);
	cr_assert_eq(inflight_init(&f, size, true), 0);
	return inflight_packed_start(&f, &p, ring, base, wrap);
}

static int start(bool again)
{
	return start_ring(SIZE, again, 0, true);
}

/* The header's used index and free list, the old ones and the new ones. */
static void assert_head(unsigned free, unsigned old_free, unsigned used,
			unsigned wrap, unsigned old_used, unsigned old_wrap)
{
	cr_assert_eq(get16(AT_VERSION), 1);
	cr_assert_eq(get16(DESC_NUM), f.size);
	cr_assert_eq(get16(FREE), free, "free %u", get16(FREE));
	cr_assert_eq(get16(OLD_FREE), old_free, "old %u", get16(OLD_FREE));
	cr_assert_eq(get16(USED), used, "used %u", get16(USED));
	cr_assert_eq(part[WRAP], wrap);
	cr_assert_eq(get16(OLD_USED), old_used, "old %u", get16(OLD_USED));
	cr_assert_eq(part[OLD_WRAP], old_wrap);
}

/* Take a chain of @n descriptors. */
static unsigned take(unsigned n, uint16_t id)
{
	inflight_packed_begin(&f);
	for (unsigned i = 0; i < n; i++) {
		const struct inflight_desc d = {
			.addr = 0x1122334455667700 + i,
			.len = 0x10000 + i,
			.id = id,
			.flags = (uint16_t)(F_AVAIL | (i + 1 < n ? F_NEXT : 0)),
		};

		cr_assert(inflight_packed_add(&f, &d));
	}
	return inflight_packed_commit(&f);
}

Test(inflight_packed, begins_a_part_that_nobody_used)
{
	memset(part, 1, sizeof(part));
	cr_assert_eq(start_ring(SIZE, false, 3, false), 0);
	assert_head(0, 0, 3, 0, 3, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		cr_assert_eq(part[INFLIGHT(i)], 0);
		cr_assert_eq(get16(NEXT(i)), i + 1);
	}
	cr_assert_eq(get64(0), 0, "features");
	cr_assert_eq(f.nr_free, SIZE);
	cr_assert_eq(f.used_idx, 3);
	cr_assert_not(f.used_wrap);
	cr_assert_not(inflight_has_found(&f));
}

Test(inflight_packed, notes_what_is_taken)
{
	cr_assert_eq(start(true), 0);
	cr_assert_eq(take(3, 7), 0);
	cr_assert_eq(part[INFLIGHT(0)], 1);
	cr_assert_eq(get16(NUM(0)), 3);
	cr_assert_eq(get16(LAST(0)), 2);
	cr_assert_eq(get64(COUNTER(0)), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(get64(ADDR(i)), 0x1122334455667700 + i);
		cr_assert_eq(get32(LEN(i)), 0x10000 + i);
		cr_assert_eq(get16(ID(i)), 7);
		cr_assert_eq(get16(FLAGS(i)), F_AVAIL | (i < 2 ? F_NEXT : 0));
	}
	assert_head(3, 3, 0, 1, 0, 1);
	cr_assert_eq(take(1, 4), 3);
	cr_assert_eq(get64(COUNTER(3)), 1);
	cr_assert_eq(get16(NUM(3)), 1);
	cr_assert_eq(get16(LAST(3)), 3);
	assert_head(4, 4, 0, 1, 0, 1);
	cr_assert_eq(take(1, 0), 4);
	assert_head(SIZE, SIZE, 0, 1, 0, 1);

	const struct inflight_desc d = { .addr = 0 };

	inflight_packed_begin(&f);
	cr_assert_not(inflight_packed_add(&f, &d), "none is free");
}

Test(inflight_packed, notes_what_is_answered)
{
	cr_assert_eq(start(true), 0);
	take(2, 0);	/* 0 1 */
	take(1, 1);	/* 2 */
	take(2, 2);	/* 3 4 */

	inflight_packed_used(&f, 2);
	inflight_packed_used(&f, 0);
	assert_head(SIZE, SIZE, 0, 1, 0, 1);
	inflight_packed_publish(&f, 3, true);
	cr_assert_eq(get16(NEXT(2)), SIZE);
	cr_assert_eq(get16(NEXT(1)), 2);
	assert_head(0, SIZE, 3, 1, 0, 1);
	cr_assert_eq(part[INFLIGHT(0)] + part[INFLIGHT(2)], 2,
		     "not announced yet");
	inflight_packed_published(&f);
	assert_head(0, 0, 3, 1, 3, 1);
	cr_assert_eq(part[INFLIGHT(0)] + part[INFLIGHT(2)], 0);
	cr_assert_eq(part[INFLIGHT(3)], 1);

	inflight_packed_used(&f, 3);
	inflight_packed_publish(&f, 0, false);
	assert_head(3, 0, 0, 0, 3, 1);
	cr_assert_eq(get16(NEXT(4)), 0);
	inflight_packed_published(&f);
	assert_head(3, 3, 0, 0, 0, 0);

	cr_assert_eq(take(SIZE, 3), 3, "all are free");
	cr_assert_eq(get16(NUM(3)), SIZE);
	cr_assert_eq(get16(LAST(3)), 2);
	assert_head(SIZE, SIZE, 0, 0, 0, 0);
}

Test(inflight_packed, forgets_what_is_put_back)
{
	cr_assert_eq(start(true), 0);
	take(1, 0);
	cr_assert_eq(take(3, 1), 1);
	inflight_packed_untake(&f, 1);
	cr_assert_eq(part[INFLIGHT(1)], 0);
	assert_head(1, 1, 0, 1, 0, 1);
	cr_assert_eq(take(4, 1), 1);
	cr_assert_eq(get16(LAST(1)), 4);
}

Test(inflight_packed, forgets_a_chain_that_was_no_good)
{
	const struct inflight_desc bad = { .addr = 1 };

	cr_assert_eq(start(true), 0);
	inflight_packed_begin(&f);
	cr_assert(inflight_packed_add(&f, &bad));
	cr_assert(inflight_packed_add(&f, &bad));
	assert_head(0, 0, 0, 1, 0, 1);
	cr_assert_eq(take(2, 1), 0);
	cr_assert_eq(get16(NUM(0)), 2);
	cr_assert_eq(get64(ADDR(0)), 0x1122334455667700);
}

Test(inflight_packed, never_reads_what_it_writes)
{
	cr_assert_eq(start(true), 0);
	take(2, 0);
	take(2, 1);
	memset(part, 0xff, sizeof(part));
	inflight_packed_used(&f, 0);
	inflight_packed_publish(&f, 2, true);
	assert_head(0, 4, 2, 1, 0, 1);
	memset(part, 0xff, sizeof(part));
	inflight_packed_published(&f);
	assert_head(0, 0, 2, 1, 2, 1);
	memset(part, 0xff, sizeof(part));
	cr_assert_eq(take(3, 0), 0);
	cr_assert_eq(get16(LAST(0)), 4);
	cr_assert_eq(get16(FREE), SIZE);
	cr_assert_eq(get16(OLD_FREE), SIZE);
}

/* ---- a successor ---- */

static void lay_out_head(unsigned free, unsigned old_free, unsigned used,
			 unsigned wrap, unsigned old_used, unsigned old_wrap)
{
	put16(AT_VERSION, 1);
	put16(DESC_NUM, SIZE);
	put16(FREE, free);
	put16(OLD_FREE, old_free);
	put16(USED, used);
	put16(OLD_USED, old_used);
	part[WRAP] = wrap;
	part[OLD_WRAP] = old_wrap;
}

static void lay_out_chain(unsigned first, unsigned last, unsigned num,
			  unsigned id, uint64_t counter)
{
	part[INFLIGHT(first)] = 1;
	put16(LAST(first), last);
	put16(NUM(first), num);
	put64(COUNTER(first), counter);
	put16(ID(last), id);
	put64(ADDR(first), 0xabc000 + first);
}

/*
 * Position 1 of the second round comes next.  In flight are 3 -> 0 (the
 * younger) and 2; free are 4 -> 1.
 */
static void lay_out(void)
{
	memset(part, 0, sizeof(part));
	memset(ring, 0, sizeof(ring));
	lay_out_head(4, 4, 1, 0, 1, 0);
	lay_out_chain(3, 0, 2, 4, 21);
	put16(FLAGS(3), F_NEXT);
	put16(NEXT(3), 0);
	put16(NEXT(0), 4);
	lay_out_chain(2, 2, 1, 1, 20);
	put16(NEXT(2), 3);
	put16(NEXT(4), 1);
	put16(NEXT(1), SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		ring[i].flags = htole16(F_USED);
}

static void assert_both_found(void)
{
	const struct inflight_found *first, *second;

	cr_assert_eq(f.nr_found, 2);
	cr_assert_eq(f.nr_free, 2);
	first = inflight_take_found(&f);
	second = inflight_take_found(&f);
	cr_assert_eq(first->index, 2);
	cr_assert_eq(f.links[2].num, 1);
	cr_assert_eq(f.descs[first->first].addr, 0xabc002);
	cr_assert_eq(f.descs[first->first].id, 1);
	cr_assert_eq(second->index, 3);
	cr_assert_eq(f.links[3].num, 2);
	cr_assert_eq(f.descs[second->first].addr, 0xabc003);
	cr_assert_eq(f.descs[second->first + 1].id, 4);
}

Test(inflight_packed, finds_what_is_in_flight_in_order)
{
	lay_out();
	cr_assert_eq(start(true), 1);
	assert_both_found();
	cr_assert_eq(f.used_idx, 1);
	cr_assert_not(f.used_wrap);
	assert_head(4, 4, 1, 0, 1, 0);
	cr_assert_eq(take(2, 0), 4);
	cr_assert_eq(get64(COUNTER(4)), 22, "behind all that were found");
	cr_assert_eq(get16(LAST(4)), 1);
}

Test(inflight_packed, answers_what_was_found)
{
	lay_out();
	cr_assert_eq(start(true), 1);
	inflight_packed_used(&f, 3);
	inflight_packed_publish(&f, 3, false);
	inflight_packed_published(&f);
	assert_head(3, 3, 3, 0, 3, 0);
	cr_assert_eq(get16(NEXT(0)), 4);
	cr_assert_eq(part[INFLIGHT(3)], 0);
	cr_assert_eq(part[INFLIGHT(2)], 1);
	cr_assert_eq(take(4, 0), 3);
	cr_assert_eq(get16(LAST(3)), 1);
}

Test(inflight_packed, takes_equal_counters_by_their_entries)
{
	lay_out();
	put64(COUNTER(3), 20);
	cr_assert_eq(start(true), 1);
	assert_both_found();
}

Test(inflight_packed, voids_marks_of_free_entries)
{
	lay_out();
	part[INFLIGHT(4)] = 1;
	part[INFLIGHT(1)] = 1;
	cr_assert_eq(start(true), 1);
	assert_both_found();
	cr_assert_eq(part[INFLIGHT(4)], 0);
	cr_assert_eq(part[INFLIGHT(1)], 0);
}

/*
 * What a batch leaves that answered 2, then free: the ring's descriptor at
 * old_used_idx tells whether it was announced.
 */
static const struct batch {
	const char *what;
	unsigned free, old_free, used, wrap, old_used, old_wrap;
	uint16_t flags; /* of descriptor old_used */
	bool announced;
} batches[] = {
	{ "only the free list", 2, 4, 1, 0, 1, 0, F_USED, false },
	{ "still available", 2, 4, 2, 0, 1, 0, F_USED, false },
	{ "used", 2, 4, 2, 0, 1, 0, 0, true },
	{ "available in the next round", 2, 4, 2, 0, 1, 0, F_AVAIL, true },
	{ "marks cleared, too", 2, 2, 2, 0, 1, 0, 0, true },
	{ "over the end, available", 2, 4, 0, 1, 4, 0, F_USED, false },
	{ "over the end, used", 2, 4, 0, 1, 4, 0, 0, true },
	{ "a whole ring, available", 2, 4, 1, 1, 1, 0, F_USED, false },
	{ "a whole ring, used", 2, 4, 1, 1, 1, 0, 0, true },
	{ "odd round, available", 2, 4, 2, 1, 1, 1, F_AVAIL, false },
	{ "odd round, used", 2, 4, 2, 1, 1, 1, F_AVAIL | F_USED, true },
	{ "odd round, next round", 2, 4, 2, 1, 1, 1, F_USED, true },
};

static void lay_out_batch(const struct batch *b)
{
	lay_out();
	lay_out_head(b->free, b->old_free, b->used, b->wrap, b->old_used,
		     b->old_wrap);
	put16(NEXT(2), 4);
	for (unsigned i = 0; i < SIZE; i++)
		ring[i].flags = htole16(b->old_wrap ? F_AVAIL : F_USED);
	ring[b->old_used].flags = htole16(b->flags);
}

static void assert_batch(const struct batch *b)
{
	unsigned free = b->announced ? 2 : 4;
	unsigned used = b->announced ? b->used : b->old_used;
	unsigned wrap = b->announced ? b->wrap : b->old_wrap;

	cr_assert_eq(f.nr_found, b->announced ? 1 : 2, "%s: %u", b->what,
		     f.nr_found);
	assert_head(free, free, used, wrap, used, wrap);
	cr_assert_eq(f.used_idx, used, "%s", b->what);
	cr_assert_eq(f.used_wrap, wrap, "%s", b->what);
	cr_assert_eq(part[INFLIGHT(2)], !b->announced, "%s", b->what);
	cr_assert_eq(part[INFLIGHT(3)], 1, "%s", b->what);
}

Test(inflight_packed, completes_a_batch_or_forgets_it)
{
	for (unsigned i = 0; i < ARRAY_SIZE(batches); i++) {
		lay_out_batch(&batches[i]);
		cr_assert_eq(start(true), 1, "%s: %s", batches[i].what, f.why);
		assert_batch(&batches[i]);
		cr_assert_eq(start(true), 1, "%s: %s", batches[i].what, f.why);
		assert_batch(&batches[i]);
	}
}

Test(inflight_packed, hides_what_was_never_announced)
{
	lay_out();
	/* three are in flight from 1 on, in the second round */
	ring[2].flags = htole16(0);
	ring[3].flags = htole16(VRING_DESC_F_WRITE);
	ring[4].flags = htole16(0);
	cr_assert_eq(start(true), 1);
	cr_assert_eq(le16toh(ring[1].flags), F_USED);
	cr_assert_eq(le16toh(ring[2].flags), F_USED);
	cr_assert_eq(le16toh(ring[3].flags), F_USED | VRING_DESC_F_WRITE);
	cr_assert_eq(le16toh(ring[4].flags), 0, "it is not in flight");
}

Test(inflight_packed, hides_it_over_the_end_of_the_ring)
{
	lay_out();
	lay_out_head(4, 4, 4, 1, 4, 1);
	ring[4].flags = htole16(F_AVAIL | F_USED);
	ring[0].flags = htole16(0);
	ring[1].flags = htole16(F_AVAIL | F_USED);
	cr_assert_eq(start(true), 1);
	cr_assert_eq(le16toh(ring[4].flags), F_AVAIL);
	cr_assert_eq(le16toh(ring[0].flags), F_USED);
	cr_assert_eq(le16toh(ring[1].flags), F_AVAIL | F_USED,
		     "not used in this round");
}

static const struct damage {
	const char *what;
	unsigned at;
	uint16_t value;
	const char *why;
} damages[] = {
	{ "version 2", AT_VERSION, 2, "version 2, not 1" },
	{ "a smaller ring", DESC_NUM, 4, "of a ring of 4, not of 5" },
	{ "a larger ring", DESC_NUM, 6, "of a ring of 6, not of 5" },
	{ "no ring", DESC_NUM, 0, "of a ring of 0, not of 5" },
	{ "free beyond", FREE, 6, "free entries at 6 and 4" },
	{ "old free beyond", OLD_FREE, 65535, "free entries at 4 and 65535" },
	{ "used beyond", USED, 5, "used index 5.0, before 1.0" },
	{ "old used beyond", OLD_USED, 5, "used index 1.0, before 5.0" },
	{ "wrap of 2", WRAP, 2, "used index 1.2" },
	{ "old wrap of 255", OLD_WRAP, 255, "before 1.255" },
	{ "used backwards", USED, 0, "used index 0.0, before 1.0" },
	{ "more than a round", USED, 3, NULL },
	{ "free loops", NEXT(1), 4, "entry 4 twice" },
	{ "free leads beyond", NEXT(1), 6, "entry 6 of 5" },
	{ "free leads into a chain", NEXT(1), 2, "entry 4 twice" },
	{ "free is cut off", NEXT(4), 5, "3 entries in flight and 1 free" },
	{ "free begins in a chain", OLD_FREE, 0, NULL },
	{ "a chain leads beyond", NEXT(3), 7, "entry 7 of 5" },
	{ "a chain leads to free", NEXT(3), 1, "entry 1 twice" },
	{ "a chain leads to a chain", NEXT(3), 2, "entry 2 twice" },
	{ "a chain loops", NEXT(3), 3, "entry 3 twice" },
	{ "a chain of none", NUM(3), 0, "chain of 0 in entry 3" },
	{ "a short chain", NUM(3), 1, "chain that ends in entry 3" },
	{ "a long chain", NUM(3), 3, "chain that ends in entry 0" },
	{ "a very long chain", NUM(3), 65535, "chain that ends in entry 0" },
	{ "a chain that goes on", FLAGS(0), F_NEXT, "that ends in entry 0" },
	{ "a chain that ends", FLAGS(3), 0, "that ends in entry 3" },
	{ "another last", LAST(3), 3, "chain of 2 in entry 3" },
	{ "last beyond", LAST(3), 5, "chain of 2 in entry 3" },
	{ "last far beyond", LAST(3), 65535, "chain of 2 in entry 3" },
	{ "id beyond", ID(0), 5, "buffer id 5, too large" },
	{ "id twice", ID(0), 1, "buffer id 1, twice" },
	{ "a mark of 3", INFLIGHT(3), 3, "chain of 2 in entry 3" },
};

Test(inflight_packed, refuses_a_part_that_is_damaged)
{
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		const struct damage *d = &damages[i];
		unsigned char before[BYTES];

		lay_out();
		if (d->at == WRAP || d->at == OLD_WRAP)
			part[d->at] = (unsigned char)d->value;
		else
			put16(d->at, d->value);
		/* one and a half rounds ahead */
		if (!d->why && d->at == USED)
			part[WRAP] = 1;
		memcpy(before, part, BYTES);
		cr_assert_eq(start(true), -EPROTO, "%s", d->what);
		if (d->why)
			cr_assert(strstr(f.why, d->why), "%s: %s", d->what,
				  f.why);
		cr_assert_arr_eq(part, before, BYTES, "%s", d->what);
	}
}

Test(inflight_packed, begins_anew_where_nothing_can_be_lost)
{
	for (unsigned i = 1; i < 16; i++) {
		lay_out();
		part[INFLIGHT(2)] = 0;
		part[INFLIGHT(3)] = 0;
		put16(damages[i].at, damages[i].value);
		cr_assert_eq(start_ring(SIZE, true, 2, true), 0);
		cr_assert_str_eq(f.why, "");
		assert_head(0, 0, 2, 1, 2, 1);
		cr_assert_eq(f.nr_free, SIZE);
	}
}

Test(inflight_packed, refuses_a_ring_that_is_larger)
{
	cr_assert_eq(start_ring(SIZE + 1, false, 0, true), -EPROTO);
	cr_assert_str_eq(f.why, "ring of 6, the in-flight region is for 5");
}

Test(inflight_packed, survives_any_bytes)
{
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		lay_out();
		for (unsigned k = 0; k < 1 + i % 12; k++)
			part[(unsigned)rand() % BYTES] =
				rand() % 4 ? rand() % 7 : rand();
		put16(AT_VERSION, 1);
		for (unsigned k = 0; k < SIZE; k++)
			ring[k].flags = rand();

		int ret = start(true);

		cr_assert(ret == 0 || ret == 1 || ret == -EPROTO);
		if (ret < 0)
			continue;
		cr_assert_lt(f.used_idx, SIZE);
		cr_assert_leq(f.nr_free, SIZE);
		while (inflight_has_found(&f))
			inflight_packed_used(&f,
					     inflight_take_found(&f)->index);
		inflight_packed_publish(&f, 0, true);
		inflight_packed_published(&f);
		cr_assert_eq(f.nr_free, SIZE);
		take(SIZE, 0);
	}
}
