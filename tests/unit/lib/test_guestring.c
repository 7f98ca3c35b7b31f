/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/guestring: the driver's side of a split ring. */
#include <criterion/criterion.h>
#include <errno.h>

#include "guestring.h"

static struct guestmem mem;
static struct guestring ring;
static const struct guestring_seg segs[3] = {
	{.gpa = 0x1000, .len = 16},
	{.gpa = 0x2000, .len = 512, .device_writes = true},
	{.gpa = 0x3000, .len = 1, .device_writes = true},
};

static void make(bool indirect, bool event_idx)
{
	struct guestring_params p = {
		.size = 8,
		.indirect = indirect,
		.event_idx = event_idx,
	};

	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0, 1 << 20), 0);
	cr_assert_eq(guestring_init(&ring, &mem, &p), 0);
}

static void teardown(void)
{
	guestring_fini(&ring);
	guestmem_fini(&mem);
}

TestSuite(guestring, .fini = teardown);

/* Plays the device. */
static void use(unsigned id, uint32_t len)
{
	struct vring_used *used = ring.vring.used;

	used->ring[used->idx % 8] = (struct vring_used_elem){id, len};
	used->idx++;
}

static void expect_chain(const struct vring_desc *table, unsigned i)
{
	for (unsigned n = 0; n < 3; n++) {
		cr_assert_eq(table[i].addr, segs[n].gpa);
		cr_assert_eq(table[i].len, segs[n].len);
		cr_assert_eq(table[i].flags,
			     (n < 2 ? VRING_DESC_F_NEXT : 0) |
				     (n > 0 ? VRING_DESC_F_WRITE : 0));
		i = table[i].next;
	}
}

Test(guestring, links_the_segments_of_a_chain)
{
	int id;

	make(false, false);
	id = guestring_add(&ring, segs, 3, NULL);
	cr_assert_geq(id, 0);
	expect_chain(ring.vring.desc, (unsigned)id);
	cr_assert_eq(ring.vring.avail->ring[0], id);
}

Test(guestring, puts_a_chain_in_a_table_when_told)
{
	const struct vring_desc *d;
	int id;

	make(true, false);
	id = guestring_add(&ring, segs, 3, NULL);
	d = &ring.vring.desc[id];
	cr_assert_eq(d->flags, VRING_DESC_F_INDIRECT);
	cr_assert_eq(d->len, 3 * sizeof(*d));
	expect_chain(guestmem_ptr(&mem, d->addr, d->len), 0);
}

Test(guestring, shows_nothing_before_it_is_published)
{
	make(false, false);
	guestring_add(&ring, segs, 3, NULL);
	cr_assert_eq(ring.vring.avail->idx, 0);
	cr_assert(guestring_publish(&ring));
	cr_assert_eq(ring.vring.avail->idx, 1);
	cr_assert_not(guestring_publish(&ring));
}

Test(guestring, gets_back_what_it_gave)
{
	struct guestring_used u;
	int id;

	make(false, false);
	id = guestring_add(&ring, segs, 3, &mem);
	guestring_publish(&ring);
	cr_assert_eq(guestring_pop(&ring, &u), 0);
	use((unsigned)id, 513);
	cr_assert_eq(guestring_pop(&ring, &u), 1);
	cr_assert_eq(u.id, (unsigned)id);
	cr_assert_eq(u.len, 513);
	cr_assert_eq(u.token, &mem);
	cr_assert_eq(guestring_pop(&ring, &u), 0);
}

Test(guestring, has_room_again_after_each_round)
{
	struct guestring_used u;

	make(false, false);
	for (int round = 0; round < 100000; round++) {
		int a = guestring_add(&ring, segs, 3, NULL);
		int b = guestring_add(&ring, segs, 3, NULL);

		cr_assert(a >= 0 && b >= 0);
		cr_assert_eq(guestring_add(&ring, segs, 3, NULL), -ENOSPC);
		guestring_publish(&ring);
		use((unsigned)b, 0);
		use((unsigned)a, 0);
		cr_assert_eq(guestring_pop(&ring, &u), 1);
		cr_assert_eq(guestring_pop(&ring, &u), 1);
	}
}

Test(guestring, keeps_a_prepared_buffer_for_the_next_time)
{
	struct guestring_used u;
	int id;

	make(true, false);
	id = guestring_prepare(&ring, 3);
	cr_assert_eq(guestring_fill(&ring, (unsigned)id, segs, 3), 0);
	for (int round = 0; round < 20; round++) {
		guestring_post(&ring, (unsigned)id, NULL);
		guestring_publish(&ring);
		use((unsigned)id, 1);
		cr_assert_eq(guestring_pop(&ring, &u), 1);
		cr_assert_eq(ring.nr_free, 7);
	}
	guestring_release(&ring, (unsigned)id);
	cr_assert_eq(ring.nr_free, 8);
}

Test(guestring, refuses_what_it_never_gave)
{
	struct guestring_used u;

	make(false, false);
	use(3, 0);
	cr_assert_eq(guestring_pop(&ring, &u), -EPROTO);
	guestring_reset(&ring);
	use(4711, 0);
	cr_assert_eq(guestring_pop(&ring, &u), -EPROTO);
}

Test(guestring, kicks_unless_the_device_says_no)
{
	make(false, false);
	ring.vring.used->flags = VRING_USED_F_NO_NOTIFY;
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(guestring_publish(&ring));
	ring.vring.used->flags = 0;
	guestring_add(&ring, segs, 1, NULL);
	cr_assert(guestring_publish(&ring));
}

Test(guestring, kicks_when_the_event_index_is_passed)
{
	make(false, true);
	vring_avail_event(&ring.vring) = 2;
	guestring_add(&ring, segs, 1, NULL);
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(guestring_publish(&ring));
	guestring_add(&ring, segs, 1, NULL);
	cr_assert(guestring_publish(&ring));
}

Test(guestring, asks_for_calls_and_takes_it_back)
{
	struct guestring_used u;
	int id;

	make(false, false);
	id = guestring_add(&ring, segs, 1, NULL);
	guestring_publish(&ring);
	guestring_disarm(&ring);
	cr_assert_eq(ring.vring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	cr_assert_not(guestring_arm(&ring));
	cr_assert_eq(ring.vring.avail->flags, 0);
	use((unsigned)id, 0);
	cr_assert(guestring_arm(&ring));
	cr_assert_eq(guestring_pop(&ring, &u), 1);
}

Test(guestring, names_the_used_index_it_waits_for)
{
	struct guestring_used u;
	int id;

	make(false, true);
	id = guestring_add(&ring, segs, 1, NULL);
	guestring_publish(&ring);
	use((unsigned)id, 0);
	cr_assert_eq(guestring_pop(&ring, &u), 1);
	guestring_arm(&ring);
	cr_assert_eq(vring_used_event(&ring.vring), 1);
	cr_assert(vring_need_event(vring_used_event(&ring.vring), 2, 1));
	guestring_disarm(&ring);
	cr_assert_not(vring_need_event(vring_used_event(&ring.vring), 5, 1));
}

Test(guestring, starts_anew_with_all_its_room)
{
	make(false, false);
	guestring_add(&ring, segs, 3, NULL);
	guestring_publish(&ring);
	guestring_reset(&ring);
	cr_assert_eq(ring.vring.avail->idx, 0);
	cr_assert_eq(ring.nr_free, 8);
	cr_assert_eq(ring.in_flight, 0);
}

Test(guestring, refuses_sizes_that_no_split_ring_has)
{
	struct guestring_params p = {.size = 6};

	guestmem_init(&mem);
	cr_assert_eq(guestring_init(&ring, &mem, &p), -EINVAL);
	p.size = 65536;
	cr_assert_eq(guestring_init(&ring, &mem, &p), -EINVAL);
	p.size = 0;
	cr_assert_eq(guestring_init(&ring, &mem, &p), -EINVAL);
	p.size = 16;
	cr_assert_eq(guestring_init(&ring, &mem, &p), -ENOMEM);
}
