/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/slots: memory comes with use. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "run/offload.h"
#include "vhost/slots.h"

#define NR   129
#define ROOM 300

static unsigned char *page_of(const void *p)
{
	return (void *)align_down((uintptr_t)p, (uintptr_t)getpagesize());
}

/* Of the pages that the slots lie on, those that take memory. */
static unsigned resident(const struct slots *s)
{
	unsigned char *first = page_of(s->memory);
	unsigned char *last = page_of(s->memory + NR * s->size - 1);
	unsigned char in_core[256];
	unsigned n = 0;

	cr_assert_lt((unsigned)((last - first) / getpagesize()),
		     ARRAY_SIZE(in_core));
	cr_assert_eq(mincore(first, last - first + 1, in_core), 0);
	for (unsigned i = 0; i <= (last - first) / getpagesize(); i++)
		n += in_core[i] & 1;
	return n;
}

/* The heap, too, may have given back what others wrote to. */
Test(slots, take_no_memory_before_they_are_used)
{
	struct slots s;
	struct slot *slot[2];
	void *volatile dirt = malloc(100000);

	memset(dirt, 0xff, 100000);
	free(dirt);
	cr_assert_eq(slots_init(&s, NR, ROOM), 0);
	cr_expect_eq(resident(&s), 0);
	slot[0] = slots_get(&s);
	memset(slot[0]->chain.room, 1, ROOM);
	cr_expect_eq(resident(&s), 1);
	slots_put(&s, slot[0]);
	slot[1] = slots_get(&s);
	cr_expect_eq(slot[1], slot[0]);
	slots_fini(&s);
	slots_fini(&s);
	offload_stop(1000);
}

Test(slots, are_apart_and_zeroed)
{
	struct slots s;
	struct slot *slot[NR];

	cr_assert_eq(slots_init(&s, NR, ROOM), 0);
	for (unsigned i = 0; i < NR; i++) {
		const unsigned char *room;

		slot[i] = slots_get(&s);
		room = slot[i]->chain.room;
		cr_assert_eq((uintptr_t)slot[i] % 64, 0);
		for (unsigned j = 0; j < ROOM; j++)
			cr_assert_eq(room[j], 0);
		memset(slot[i]->chain.room, 1, ROOM);
	}
	for (unsigned i = 0; i < NR; i++)
		slots_put(&s, slot[i]);
	slots_fini(&s);
	offload_stop(1000);
}
