/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of a hostile driver, of both formats.  The input is how the ring is set
 * up (one byte, and in a packed ring a second one: where it begins), which
 * chains are available (their number, then a byte each), and descriptors in a
 * short form, since nobody finds 64-bit addresses by chance: the first ones are
 * the ring's, those behind are an indirect table's.
 *
 * When chains are held, the daemon dies before it answers all of them, and a
 * successor finds the rest in flight, whatever the driver has done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "ringmem.h"
#include "vhost/ring_verbs.h"

#define SIZE_BITS   0x07u /* of the byte that sets the ring up: of sizes[] */
#define EVENT_IDX   0x08u
#define NO_INDIRECT 0x10u
#define NO_SPARE    0x20u
#define JUMP	    0x40u /* split: the index goes further than the heads */
#define RAW	    0x40u /* packed: all places are as descriptors say */
#define HOLD	    0x80u /* chains are answered late */

#define OWN_IOV	  8
#define MAX_HELD  (128 + 1) /* and one to pop into */
#define MAX_POPS  200
#define TABLE_MAX 1100 /* descriptors, more than are allowed */

/* A descriptor of the input. */
struct brief {
	uint8_t base;		/* of bases[] */
	uint8_t unit;		/* of units[] */
	uint8_t flags;
	uint8_t next; /* or id */
	uint8_t off[2];
	uint8_t len[2];
};

static const uint64_t bases[] = {
	RM_A, RM_B, RM_C, RM_D, RM_B - 1, RM_C - 32, RM_D - 1,
	RM_A + RM_A_SIZE - 32, RM_C + RM_DATA_SIZE - 32, 0, 1ull << 32,
	UINT64_MAX - 0xffff, UINT64_MAX - 31, RM_UVA + RM_A,
};
static const uint32_t units[] = { 1, 16, 4096, 1u << 16, UINT32_MAX };

static const uint8_t sizes[2][SIZE_BITS + 1] = {
	{ 1, 2, 4, 8, 16, 32, 64, 128 },
	{ 1, 2, 3, 4, 5, 7, 16, 100 },
};

/* The flags of a brief descriptor that are a packed ring's. */
#define BRIEF_AVAIL 0x40u
#define BRIEF_USED  0x80u

static struct ringmem rm;
static struct ring r;
static _Alignas(8) unsigned char part[32 + 32 * 128]; /* in flight */
static struct iovec spare[RING_CHAIN_MAX];
static struct iovec own[OWN_IOV];
static struct chain held[MAX_HELD];

static void expect(bool promise)
{
	if (!promise)
		abort();
}

static uint64_t addr_of(const struct brief *b)
{
	return bases[b->base % ARRAY_SIZE(bases)] +
	       (b->off[0] | b->off[1] << 8);
}

static uint32_t len_of(const struct brief *b)
{
	return units[b->unit % ARRAY_SIZE(units)] *
	       (b->len[0] | (uint32_t)b->len[1] << 8);
}

/* A place of a packed ring, or one of its tables. */
static void put_packed(void *at, const struct brief *b)
{
	struct vring_packed_desc d = {
		addr_of(b), len_of(b), b->next,
		(b->flags & 0x3f) |
			(b->flags & BRIEF_AVAIL ?
				 1u << VRING_PACKED_DESC_F_AVAIL : 0) |
			(b->flags & BRIEF_USED ?
				 1u << VRING_PACKED_DESC_F_USED : 0),
	};

	memcpy(at, &d, sizeof(d));
}

static void put_desc(unsigned i, const struct brief *b, unsigned flags)
{
	char *table = rm_at(&rm, RM_D);

	if (i < rm.size && rm.is_packed && flags & RAW)
		put_packed(&rm.packed[i], b);
	else if (i < rm.size)
		rm_desc(&rm, i, addr_of(b), len_of(b), b->flags,
			rm.is_packed ? b->next % rm.size : b->next);
	else if (rm.is_packed)
		put_packed(table + 16 * (i - rm.size), b);
	else
		rm_set_desc(table + 16 * (i - rm.size), addr_of(b), len_of(b),
			    b->flags, b->next);
}

/* The driver's half, from the input. */
static void fill(const uint8_t *data, size_t size, unsigned flags)
{
	unsigned nr = size ? *data++ : 0;
	const uint8_t *heads = data;

	size -= !!size;
	nr = MIN(nr, size);
	data += nr;
	size -= nr;
	for (unsigned i = 0; size >= sizeof(struct brief) &&
			     i < rm.size + TABLE_MAX; i++) {
		struct brief b;

		memcpy(&b, data, sizeof(b));
		data += sizeof(b);
		size -= sizeof(b);
		put_desc(i, &b, flags);
	}
	/* Chains of a packed ring are copied to where they become available. */
	for (unsigned i = 0; i < nr && !(rm.is_packed && flags & RAW); i++)
		rm_avail(&rm, heads[i]);
	if (!rm.is_packed && flags & JUMP)
		rm.avail->idx += nr;
}

static bool is_in(const struct iovec *iov, uint64_t gpa, uint64_t size)
{
	uintptr_t start = (uintptr_t)rm_host(&rm, gpa);
	uintptr_t at = (uintptr_t)iov->iov_base;

	return at >= start && at - start < size &&
	       iov->iov_len <= size - (at - start);
}

/* All of it is guest memory, and the device may touch it. */
static void check_iovec(const struct iovec *iov, bool is_writable)
{
	volatile char *first = iov->iov_base;

	expect(iov->iov_len > 0);
	expect(is_in(iov, RM_A, RM_A_SIZE) || is_in(iov, RM_B, RM_DATA_SIZE) ||
	       is_in(iov, RM_C, RM_DATA_SIZE) ||
	       is_in(iov, RM_D, RM_DATA_SIZE));
	if (is_writable) {
		first[0] = 'w';
		first[iov->iov_len - 1] = 'w';
	}
}

static void check_chain(const struct chain *c)
{
	unsigned max = c->iov == spare ? RING_CHAIN_MAX : OWN_IOV;
	uint64_t len[2] = { 0, 0 };

	expect(c->iov == spare || c->iov == own);
	expect(c->nr_readable + c->nr_writable <= max);
	expect(c->nr_desc >= 1 && c->nr_desc <= rm.size);
	expect(c->id < rm.size);
	expect(!c->too_long || c->nr_writable <= 1);
	for (unsigned i = 0; i < c->nr_readable + c->nr_writable; i++) {
		bool is_writable = i >= c->nr_readable;

		check_iovec(&c->iov[i], is_writable);
		len[is_writable] += c->iov[i].iov_len;
	}
	expect(len[0] == c->readable_len && len[1] == c->writable_len);
	expect(len[0] + len[1] <= UINT32_MAX);
}

/* The places at which answers stand, as the standard has them. */
static void check_used(struct ring_pos at, unsigned nr_held)
{
	for (unsigned i = 0; i < nr_held; i++) {
		const struct chain *c = &held[i];
		const struct vring_packed_desc *d = &rm.packed[at.idx];
		unsigned used = 1u << VRING_PACKED_DESC_F_AVAIL |
				1u << VRING_PACKED_DESC_F_USED;

		expect(d->id == c->id && d->len == c->writable_len);
		expect(d->flags == ((at.wrap ? used : 0) |
				    (d->len ? VRING_DESC_F_WRITE : 0)));
		at.wrap ^= at.idx + c->nr_desc >= rm.size;
		at.idx = (at.idx + c->nr_desc) % rm.size;
	}
}

static unsigned answer(unsigned nr_held)
{
	struct ring_pos at = r.packed.used;

	for (unsigned i = 0; i < nr_held; i++)
		ring_push(&r, &held[i], held[i].writable_len);
	ring_publish(&r);
	if (rm.is_packed)
		check_used(at, nr_held);
	else
		expect(!nr_held || rm.used->idx == r.split.last_used);
	return 0;
}

static int pop(struct chain *c, unsigned flags)
{
	*c = (struct chain){ .iov = own, .max_iov = OWN_IOV,
			     .spare = flags & NO_SPARE ? NULL : spare };
	return ring_pop(&r, c);
}

/* What was taken can be put back, and is there again. */
static void pop_once_more(struct chain *c, unsigned flags)
{
	unsigned head = c->id;

	ring_unpop(&r, c);
	expect(ring_has_work(&r));
	expect(pop(c, flags) == 1 && c->id == head);
}

/* A ring as it is, begun at @base, or found as a predecessor left it. */
static int start(unsigned flags, uint16_t base, bool is_successor)
{
	const struct inflight_part region = {
		.host = part,
		.nr_desc = rm.size,
		.resume = is_successor,
	};

	ring_fini(&r);
	r = (struct ring){ .size = rm.size, .is_packed = rm.is_packed,
			   .map = rm.map, .event_idx = flags & EVENT_IDX,
			   .indirect = !(flags & NO_INDIRECT) };
	expect(!ring_init(&r));
	expect(!ring_locate(&r, &rm.addr));
	return ring_restore(&r, base, &region);
}

/* No driver takes for an answer what was not announced. */
static void check_hidden(void)
{
	struct ring_pos at = r.packed.used;

	for (unsigned n = r.packed.nr_held; n; n--) {
		uint16_t flags = rm.packed[at.idx].flags;

		expect(!(flags & 1u << VRING_PACKED_DESC_F_AVAIL) == at.wrap ||
		       !(flags & 1u << VRING_PACKED_DESC_F_USED) == at.wrap);
		at.wrap ^= at.idx + 1u == rm.size;
		at.idx = (at.idx + 1) % rm.size;
	}
}

/*
 * Half of what is held was pushed, and not shown.  Whoever dies then has
 * answered nothing.  Returns how many the successor has.  The descriptors of a
 * split ring, and all tables, may be spoilt since they were read first.
 */
static unsigned die(unsigned nr_held, unsigned flags)
{
	static struct chain was[MAX_HELD];
	struct ring old = r;
	unsigned i;
	int err;

	memcpy(was, held, nr_held * sizeof(*held));
	for (i = 0; i < nr_held / 2; i++)
		ring_push(&r, &held[i], 0);
	err = start(flags, 0, true);
	expect(!err || (err == -EPROTO && !rm.is_packed && r.why[0]));
	if (err)
		return 0;
	expect(ring_base(&r) == ring_base(&old));
	if (rm.is_packed)
		check_hidden();
	for (i = 0; i < nr_held; i++) {
		struct chain *c = &held[i];
		int got = pop(c, flags);

		if (got != 1) {
			expect(got == -EPROTO && r.why[0]);
			break;
		}
		expect(c->again && c->id == was[i].id);
		expect(!rm.is_packed || c->nr_desc == was[i].nr_desc);
		check_chain(c);
	}
	return i;
}

static void serve(unsigned flags)
{
	unsigned nr_held = 0;

	ring_disarm(&r);
	for (unsigned n = 0; n < MAX_POPS; n++) {
		struct chain *c = &held[nr_held];
		int got = pop(c, flags);

		expect(got == 1 || got == 0 || got == -EPROTO);
		expect(got >= 0 || r.why[0]);
		if (got != 1)
			break;
		if (n % 2)
			pop_once_more(c, flags);
		check_chain(c);
		/* No head is in flight twice, so there is always a place. */
		expect(++nr_held <= rm.size);
		if (!(flags & HOLD))
			nr_held = answer(nr_held);
	}
	if (flags & HOLD)
		nr_held = die(nr_held, flags);
	answer(nr_held);
	ring_arm(&r);
}

static int fuzz(const uint8_t *data, size_t size, bool packed)
{
	unsigned flags = size ? *data++ : 0;
	uint8_t where = 0;
	uint16_t base = 0;

	size -= !!size;
	if (packed && size) {
		where = *data++;
		size--;
	}
	if (!rm.mem)
		rm_init(&rm, packed, 1);
	rm_place(&rm, packed, sizes[packed][flags & SIZE_BITS]);
	memset(rm_at(&rm, RM_D), 0, RM_DATA_SIZE);
	if (packed)
		base = where % rm.size | (where & 0x80 ? 0 : 0x8000);
	rm_begin(&rm, base);
	expect(!start(flags, base, false));
	fill(data, size, flags);
	serve(flags);
	return 0;
}

int fuzz_split(const uint8_t *data, size_t size)
{
	return fuzz(data, size, false);
}

int fuzz_packed(const uint8_t *data, size_t size)
{
	return fuzz(data, size, true);
}
