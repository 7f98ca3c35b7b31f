/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of a hostile driver.  The input is how the ring is set up (one byte),
 * which heads are available (their number, then a byte each), and descriptors
 * in a short form, since nobody finds 64-bit addresses by chance: the first
 * ones are the ring's, those behind are an indirect table's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "ringmem.h"
#include "vhost/split.h"

#define SIZE_BITS   0x07u /* of the byte that sets the ring up: log2 */
#define EVENT_IDX   0x08u
#define NO_INDIRECT 0x10u
#define NO_SPARE    0x20u
#define JUMP	    0x40u /* the index goes further than the heads */
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
	uint8_t next;
	uint8_t off[2];
	uint8_t len[2];
};

static const uint64_t bases[] = {
	RM_A, RM_B, RM_C, RM_D, RM_B - 1, RM_C - 32, RM_D - 1,
	RM_A + RM_A_SIZE - 32, RM_C + RM_DATA_SIZE - 32, 0, 1ull << 32,
	UINT64_MAX - 0xffff, UINT64_MAX - 31, RM_UVA + RM_A,
};
static const uint32_t units[] = { 1, 16, 4096, 1u << 16, UINT32_MAX };

static struct ringmem rm;
static struct ring r;
static _Alignas(8) unsigned char part[16 + 16 * 128]; /* in flight */
static struct iovec spare[RING_CHAIN_MAX];
static struct iovec own[OWN_IOV];
static struct chain held[MAX_HELD];

static void expect(bool promise)
{
	if (!promise)
		abort();
}

static void put_desc(void *at, const struct brief *b)
{
	uint64_t addr = bases[b->base % ARRAY_SIZE(bases)];
	uint32_t len = units[b->unit % ARRAY_SIZE(units)];

	rm_set_desc(at, addr + (b->off[0] | b->off[1] << 8),
		    len * (b->len[0] | (uint32_t)b->len[1] << 8), b->flags,
		    b->next);
}

/* The driver's half, from the input. */
static void fill(const uint8_t *data, size_t size, unsigned flags)
{
	unsigned nr = size ? *data++ : 0;

	size -= !!size;
	nr = MIN(nr, size);
	for (unsigned i = 0; i < nr; i++)
		rm_avail(&rm, data[i]);
	if (flags & JUMP)
		rm.avail->idx += nr;
	data += nr;
	size -= nr;
	for (unsigned i = 0; size >= sizeof(struct brief) &&
			     i < rm.size + TABLE_MAX; i++) {
		struct brief b;

		memcpy(&b, data, sizeof(b));
		data += sizeof(b);
		size -= sizeof(b);
		if (i < rm.size)
			put_desc(&rm.desc[i], &b);
		else
			put_desc((char *)rm_at(&rm, RM_D) +
					 16 * (i - rm.size),
				 &b);
	}
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

static unsigned answer(unsigned nr_held)
{
	for (unsigned i = 0; i < nr_held; i++)
		split_push(&r, &held[i], held[i].writable_len);
	split_publish(&r);
	expect(!nr_held || rm.used->idx == r.split.last_used);
	return 0;
}

static int pop(struct chain *c, unsigned flags)
{
	*c = (struct chain){ .iov = own, .max_iov = OWN_IOV,
			     .spare = flags & NO_SPARE ? NULL : spare };
	return split_pop(&r, c);
}

/* What was taken can be put back, and is there again. */
static void pop_once_more(struct chain *c, unsigned flags)
{
	unsigned head = c->id;

	split_unpop(&r, c);
	expect(split_has_work(&r));
	expect(pop(c, flags) == 1 && c->id == head);
}

static void serve(unsigned flags)
{
	unsigned nr_held = 0;

	split_disarm(&r);
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
	answer(nr_held);
	split_arm(&r);
}

int fuzz_split(const uint8_t *data, size_t size)
{
	unsigned flags = size ? *data++ : 0;

	size -= !!size;
	if (!rm.mem)
		rm_init(&rm, false, 1);
	rm_place(&rm, false, 1u << (flags & SIZE_BITS));
	memset(rm_at(&rm, RM_D), 0, RM_DATA_SIZE);
	ring_fini(&r);
	r = (struct ring){ .size = rm.size, .map = rm.map,
			   .event_idx = flags & EVENT_IDX,
			   .indirect = !(flags & NO_INDIRECT) };
	expect(!ring_init(&r));
	expect(!split_locate(&r, &rm.addr));
	expect(!split_restore(&r, 0, &(struct inflight_part){
					     .host = part,
					     .nr_desc = rm.size,
				     }));
	fill(data, size, flags);
	serve(flags);
	return 0;
}
