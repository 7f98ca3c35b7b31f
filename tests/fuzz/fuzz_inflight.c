/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record of requests in flight, as a hostile front-end or another program
 * left it.  The input is what the ring is (a byte), its used index (two), how
 * much further its available index is (one), the bytes of the record, and for
 * each place of a packed ring a byte that says what the flags are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "ringmem.h"
#include "vhost/ring_verbs.h"

#define SIZE_BITS 0x07u /* of the first byte: of sizes[] */
#define PACKED	  0x08u
#define LARGER	  0x10u /* the record is of a larger ring */
#define HOLD	  0x20u /* chains are answered late */

#define OWN_IOV	 8
#define SIZE_MAX_FUZZ 16
#define PART_MAX (32 + 32 * 2 * SIZE_MAX_FUZZ)

static const uint8_t sizes[2][SIZE_BITS + 1] = {
	{ 1, 2, 4, 8, 16, 4, 4, 4 },
	{ 1, 2, 3, 4, 5, 7, 8, 16 },
};

static struct ringmem rm;
static struct ring r;
static _Alignas(8) unsigned char part[PART_MAX];
static struct iovec own[SIZE_MAX_FUZZ][OWN_IOV];
static struct chain held[SIZE_MAX_FUZZ];

static void expect(bool promise)
{
	if (!promise)
		abort();
}

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t next_byte(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

/* One buffer of one byte in each descriptor. */
static void fill_ring(struct input *in, uint16_t used, uint8_t more)
{
	for (unsigned i = 0; i < rm.size; i++)
		rm_desc(&rm, i, RM_B + i, 1, VRING_DESC_F_WRITE, 0);
	if (!rm.is_packed) {
		rm.used->idx = used;
		rm.avail->idx = used + more;
		for (unsigned i = 0; i < rm.size; i++)
			rm.avail->ring[i] = i;
		return;
	}
	for (unsigned i = 0; i < rm.size; i++) {
		uint8_t flags = next_byte(in);

		rm.packed[i] = (struct vring_packed_desc){
			RM_B + i, 1, i,
			(flags & 1 ? 1u << VRING_PACKED_DESC_F_AVAIL : 0) |
				(flags & 2 ? 1u << VRING_PACKED_DESC_F_USED : 0)
		};
	}
}

static int resume(unsigned flags)
{
	const struct inflight_part p = {
		.host = part,
		.nr_desc = flags & LARGER ? 2 * rm.size : rm.size,
		.resume = true,
	};

	ring_fini(&r);
	r = (struct ring){ .size = rm.size, .is_packed = rm.is_packed,
			   .map = rm.map, .indirect = true };
	expect(!ring_init(&r));
	expect(!ring_locate(&r, &rm.addr));
	return ring_restore(&r, -1, &p);
}

/* Who goes on twice gets the same. */
static void go_on_once_more(unsigned flags)
{
	struct inflight_found first[SIZE_MAX_FUZZ];
	unsigned nr = r.inflight.nr_found;
	uint32_t base = ring_base(&r);

	expect(nr <= rm.size);
	for (unsigned i = 0; i < nr; i++)
		first[i] = r.inflight.found[i];
	expect(!resume(flags));
	expect(r.inflight.nr_found == nr && ring_base(&r) == base);
	for (unsigned i = 0; i < nr; i++)
		expect(r.inflight.found[i].index == first[i].index);
}

static void answer(unsigned nr_held)
{
	for (unsigned i = 0; i < nr_held; i++)
		ring_push(&r, &held[i], 1);
	ring_publish(&r);
}

static void serve(unsigned flags)
{
	unsigned nr_found = r.inflight.nr_found, nr_held = 0;

	for (unsigned n = 0; n < 4 * rm.size; n++) {
		struct chain *c = &held[nr_held];

		*c = (struct chain){ .iov = own[nr_held], .max_iov = OWN_IOV };
		if (ring_pop(&r, c) != 1)
			break;
		expect(c->again == (n < nr_found) && c->id < rm.size);
		if (n % 2) {
			ring_unpop(&r, c);
			expect(ring_pop(&r, c) == 1);
		}
		if (!(flags & HOLD) || ++nr_held == rm.size) {
			answer(flags & HOLD ? nr_held : 1);
			nr_held = 0;
		}
	}
	answer(nr_held);
}

int fuzz_inflight(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned flags = next_byte(&in);
	bool packed = flags & PACKED;
	uint16_t used = next_byte(&in);
	unsigned char before[PART_MAX];
	int ret;

	used |= next_byte(&in) << 8;
	if (!rm.mem)
		rm_init(&rm, packed, 1);
	rm_place(&rm, packed, sizes[packed][flags & SIZE_BITS]);

	uint8_t more = next_byte(&in);
	size_t len = packed ? 32 + 32 * rm.size : 16 + 16 * rm.size;

	if (flags & LARGER)
		len += (packed ? 32 : 16) * rm.size;
	memset(part, 0, sizeof(part));
	for (size_t i = 0; i < len; i++)
		part[i] = next_byte(&in);
	fill_ring(&in, used, more);
	memcpy(before, part, sizeof(part));
	ret = resume(flags);
	expect(ret == 0 || (ret == -EPROTO && r.why[0]));
	if (ret) {
		expect(!memcmp(part, before, sizeof(part)));
		return 0;
	}
	expect(!memcmp(part + len, before + len, sizeof(part) - len));
	go_on_once_more(flags);
	serve(flags);
	return 0;
}
