/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/guestring: the driver's side of split and packed rings. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "guestring.h"

static struct guestmem mem;
static struct guestring ring;
static const struct guestring_seg segs[3] = {
	{.gpa = 0x1000, .len = 16},
	{.gpa = 0x2000, .len = 512, .device_writes = true},
	{.gpa = 0x3000, .len = 1, .device_writes = true},
};

/* Where our device is in a packed ring. */
static struct guestring_pos device;

static void make_ring(bool packed, bool indirect, bool event_idx)
{
	struct guestring_params p = {
		.size = 8,
		.packed = packed,
		.indirect = indirect,
		.event_idx = event_idx,
	};

	device = (struct guestring_pos){.wrap = true};
	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0, 1 << 20), 0);
	cr_assert_eq(guestring_init(&ring, &mem, &p), 0);
}

static void make(bool indirect, bool event_idx)
{
	make_ring(false, indirect, event_idx);
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

#define FLAG_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1 << VRING_PACKED_DESC_F_USED)

static bool is_available(struct guestring_pos pos)
{
	uint16_t flags = ring.pvring.desc[pos.idx].flags;

	return !!(flags & FLAG_AVAIL) == pos.wrap &&
	       !!(flags & FLAG_USED) != pos.wrap;
}

/* Plays the device of a packed ring: takes one chain, returns its last. */
static struct vring_packed_desc *take(unsigned *n)
{
	struct vring_packed_desc *d;

	*n = 0;
	do {
		cr_assert(is_available(device));
		d = &ring.pvring.desc[device.idx];
		++*n;
		if (++device.idx == ring.size) {
			device.idx = 0;
			device.wrap = !device.wrap;
		}
	} while (d->flags & VRING_DESC_F_NEXT);
	return d;
}

/* Takes one chain and returns it at once. */
static unsigned use_packed(uint32_t len)
{
	struct guestring_pos at = device;
	unsigned n, id = take(&n)->id;

	ring.pvring.desc[at.idx] = (struct vring_packed_desc){
		.id = (uint16_t)id,
		.len = len,
		.flags = at.wrap ? FLAG_AVAIL | FLAG_USED : 0,
	};
	return id;
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

Test(guestring, lays_a_chain_out_in_a_packed_ring)
{
	const struct vring_packed_desc *d;
	int id;

	make_ring(true, false, false);
	d = ring.pvring.desc;
	id = guestring_add(&ring, segs, 3, NULL);
	cr_assert_not(is_available(device));
	cr_assert(guestring_publish(&ring));
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(d[i].addr, segs[i].gpa);
		cr_assert_eq(d[i].len, segs[i].len);
		cr_assert_eq(d[i].id, id);
		cr_assert_eq(d[i].flags,
			     FLAG_AVAIL | (i < 2 ? VRING_DESC_F_NEXT : 0) |
				     (i > 0 ? VRING_DESC_F_WRITE : 0));
	}
	cr_assert(is_available(device));
}

Test(guestring, puts_a_chain_of_a_packed_ring_in_a_table_without_links)
{
	const struct vring_packed_desc *d, *table;

	make_ring(true, true, false);
	guestring_add(&ring, segs, 3, NULL);
	guestring_publish(&ring);
	d = ring.pvring.desc;
	cr_assert_eq(d->flags, FLAG_AVAIL | VRING_DESC_F_INDIRECT);
	cr_assert_eq(d->len, 3 * sizeof(*d));
	table = guestmem_ptr(&mem, d->addr, d->len);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(table[i].addr, segs[i].gpa);
		cr_assert_eq(table[i].flags, i > 0 ? VRING_DESC_F_WRITE : 0);
	}
}

Test(guestring, shows_a_batch_of_a_packed_ring_all_at_once)
{
	unsigned n;

	make_ring(true, false, false);
	guestring_add(&ring, segs, 3, NULL);
	guestring_add(&ring, segs, 2, NULL);
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(is_available(device));
	guestring_publish(&ring);
	take(&n);
	cr_assert_eq(n, 3);
	take(&n);
	cr_assert_eq(n, 2);
	take(&n);
	cr_assert_eq(n, 1);
	cr_assert_not(is_available(device));
}

Test(guestring, goes_round_a_packed_ring_with_chains_of_any_length)
{
	make_ring(true, false, false);
	srand(1);
	for (int round = 0; round < 100000; round++) {
		struct guestring_used u;
		unsigned len = 1 + (unsigned)rand() % 3;
		int a = guestring_add(&ring, segs, len, &mem);
		int b = guestring_add(&ring, segs, 4 - len, &ring);

		cr_assert(a >= 0 && b >= 0);
		cr_assert_eq(guestring_add(&ring, segs, 5, NULL), -ENOSPC);
		guestring_publish(&ring);
		cr_assert_eq(use_packed(len), (unsigned)a);
		cr_assert_eq(guestring_pop(&ring, &u), 1);
		cr_assert(u.id == (unsigned)a && u.len == len);
		cr_assert_eq(u.token, &mem);
		cr_assert_eq(guestring_pop(&ring, &u), 0);
		cr_assert_eq(use_packed(0), (unsigned)b);
		cr_assert_eq(guestring_pop(&ring, &u), 1);
		cr_assert_eq(u.token, &ring);
	}
}

Test(guestring, kicks_a_packed_ring_as_the_device_asks)
{
	struct vring_packed_desc_event *e;

	make_ring(true, false, true);
	e = ring.pvring.device_event;
	e->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(guestring_publish(&ring));
	e->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	guestring_add(&ring, segs, 1, NULL);
	cr_assert(guestring_publish(&ring));
	/* Place 3 of the first round: not with place 2, but with 3 and 4. */
	e->flags = VRING_PACKED_EVENT_FLAG_DESC;
	e->off_wrap = 3 | 0x8000;
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(guestring_publish(&ring));
	guestring_add(&ring, segs, 2, NULL);
	cr_assert(guestring_publish(&ring));
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(guestring_publish(&ring));
}

Test(guestring, kicks_for_an_event_before_the_end_of_a_packed_ring)
{
	struct guestring_used u;

	make_ring(true, false, true);
	for (int i = 0; i < 6; i++) {
		guestring_add(&ring, segs, 1, NULL);
		guestring_publish(&ring);
		use_packed(0);
		guestring_pop(&ring, &u);
	}
	/* From place 6 over the end to place 0 of the next round. */
	ring.pvring.device_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
	ring.pvring.device_event->off_wrap = 7 | 0x8000;
	guestring_add(&ring, segs, 3, NULL);
	cr_assert(guestring_publish(&ring));
	/* And one in the next round. */
	ring.pvring.device_event->off_wrap = 1;
	guestring_add(&ring, segs, 1, NULL);
	cr_assert(guestring_publish(&ring));
	guestring_add(&ring, segs, 1, NULL);
	cr_assert_not(guestring_publish(&ring));
}

Test(guestring, names_the_place_of_a_packed_ring_that_it_waits_for)
{
	struct guestring_used u;

	make_ring(true, false, true);
	guestring_add(&ring, segs, 3, NULL);
	guestring_publish(&ring);
	cr_assert_not(guestring_arm(&ring));
	cr_assert_eq(ring.pvring.driver_event->flags,
		     VRING_PACKED_EVENT_FLAG_DESC);
	cr_assert_eq(ring.pvring.driver_event->off_wrap, 0x8000);
	use_packed(0);
	cr_assert(guestring_arm(&ring));
	cr_assert_eq(guestring_pop(&ring, &u), 1);
	cr_assert_not(guestring_arm(&ring));
	cr_assert_eq(ring.pvring.driver_event->off_wrap, 3 | 0x8000);
	guestring_disarm(&ring);
	cr_assert_eq(ring.pvring.driver_event->flags,
		     VRING_PACKED_EVENT_FLAG_DISABLE);
}

Test(guestring, tells_the_base_of_both_rings)
{
	struct guestring_used u;

	make_ring(true, false, false);
	cr_assert_eq(guestring_base(&ring), 0x80008000);
	guestring_add(&ring, segs, 3, NULL);
	guestring_publish(&ring);
	use_packed(0);
	guestring_pop(&ring, &u);
	cr_assert_eq(guestring_base(&ring), 0x80038003);
	teardown();
	make(false, false);
	cr_assert_eq(guestring_base(&ring), 0);
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
	p.packed = true;
	p.size = 7;
	cr_assert_eq(guestring_init(&ring, &mem, &p), -ENOMEM);
}
