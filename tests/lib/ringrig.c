/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of either format with a driver on its other side, for unit tests. */
#include "ringrig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "vhost/guard.h"

#define PART_MAX (32 + 32 * 32768)

struct ringrig ringrig;

static struct ringmem *const rm = &ringrig.mem;
static struct ring *const r = &ringrig.ring;
static struct chain *const c = &ringrig.chain;

const struct rr_kind rr_split = { "split", false, false };
const struct rr_kind rr_split_event = { "split, event index", false, true };
const struct rr_kind rr_packed = { "packed", true, false };
const struct rr_kind rr_packed_event = { "packed, event index", true, true };

static const struct rr_kind *const kinds[] = {
	&rr_split, &rr_split_event, &rr_packed, &rr_packed_event,
};

static const struct rr_kind *kind; /* NULL when its test is over */

void rr_init(void)
{
	rm_init(rm, false, 4);
	ringrig.part = mmap(NULL, PART_MAX, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)ringrig.part, MAP_FAILED);
	cr_assert_eq(guard_init(), 0);
	/* one past the end, which nobody may touch */
	ringrig.spare[RING_CHAIN_MAX].iov_len = 0x5a5a;
}

void rr_fini(void)
{
	if (kind)
		fprintf(stderr, "this was in a ring of this kind: %s\n",
			kind->name);
	cr_assert_eq(ringrig.spare[RING_CHAIN_MAX].iov_len, 0x5a5a);
	ring_fini(r);
	munmap(ringrig.part, PART_MAX);
	rm_fini(rm);
}

void rr_with(const struct rr_kind *k, void (*body)(void))
{
	rr_start(k, 4);
	body();
	kind = NULL;
}

void rr_each(void (*body)(void))
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		rr_with(kinds[i], body);
}

void rr_each_split(void (*body)(void))
{
	rr_with(&rr_split, body);
	rr_with(&rr_split_event, body);
}

void rr_each_packed(void (*body)(void))
{
	rr_with(&rr_packed, body);
	rr_with(&rr_packed_event, body);
}

void rr_start(const struct rr_kind *k, unsigned size)
{
	kind = k;
	rr_start_again(size);
}

/* As a driver begins, whatever the format. */
void rr_start_again(unsigned size)
{
	rr_start_at(size, kind->packed ? 0x8000 : 0);
}

static int start(unsigned size, int64_t base, bool resume)
{
	const struct inflight_part part = {
		.host = ringrig.part,
		.nr_desc = size,
		.resume = resume,
	};

	ring_fini(r);
	*r = (struct ring){ .size = size, .is_packed = kind->packed,
			    .event_idx = kind->event_idx, .indirect = true,
			    .map = rm->map };
	cr_assert_eq(ring_init(r), 0);
	cr_assert_eq(ring_locate(r, &rm->addr), 0, "%s", r->why);
	return ring_restore(r, base, &part);
}

void rr_start_at(unsigned size, uint16_t base)
{
	rm_place(rm, kind->packed, size);
	rm_begin(rm, base);
	cr_assert_eq(start(size, base, false), 0, "%s", r->why);
}

int rr_restart(int64_t base)
{
	return start(r->size, base, false);
}

int rr_resume(void)
{
	return start(r->size, -1, true);
}

const struct rr_kind *rr_kind(void)
{
	return kind;
}

bool rr_can_have(unsigned size)
{
	return kind->packed || is_power_of_two(size);
}

int rr_pop(void)
{
	*c = (struct chain){ .iov = ringrig.own, .max_iov = RR_MAX_IOV,
			     .spare = ringrig.spare };
	return ring_pop(r, c);
}

int rr_pop_head(unsigned head)
{
	rm_avail(rm, head);
	return rr_pop();
}

int rr_pop_chain(unsigned head, const struct rm_buf *bufs, unsigned n)
{
	rm_chain(rm, head, bufs, n);
	return rr_pop();
}

const struct rm_buf *rr_bytes(unsigned n)
{
	static struct rm_buf bufs[32768];

	for (unsigned i = 0; i < n; i++)
		bufs[i] = (struct rm_buf){
			RM_B + i, 1, i + 1 < n ? 0 : VRING_DESC_F_WRITE
		};
	return bufs;
}

bool rr_answer(unsigned n)
{
	cr_assert_leq(n, r->size);
	while (n--) {
		cr_assert_eq(rr_pop_chain(n, RR_BUFS({ RM_B, 1, 0 })), 1, "%s",
			     r->why);
		ring_push(r, c, 0);
	}

	bool call = ring_publish(r);

	rm_nr_used(rm); /* The driver sees them before it goes on. */
	return call;
}

void rr_expect_iov(unsigned i, uint64_t gpa, size_t len)
{
	cr_assert_eq(c->iov[i].iov_base, rm_host(rm, gpa), "iovec %u", i);
	cr_assert_eq(c->iov[i].iov_len, len, "iovec %u: %zu", i,
		     c->iov[i].iov_len);
}

void rr_expect_refusal(const char *what, const char *why)
{
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(rr_pop(), -EPROTO, "%s", what);
		cr_assert(strstr(r->why, why), "%s: %s", what, r->why);
	}
	cr_assert_not(ring_publish(r), "%s", what);
}
