/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that changes its rings while they are read, as fast as it can. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"
#include "prove.h"

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define PACKED	 (1ULL << VIRTIO_F_RING_PACKED)

#define SECONDS 2
/* As long as a queue that broke is left so. */
#define ROUND_CHANGES 20000

static struct testguest g;
static bool packed; /* its rings */
static _Atomic bool enough;
static uint32_t seed = 1;

/* The neighbour's guest, which lives through all of it. */
struct witness {
	pthread_t thread;
	unsigned rounds;
	int ret;
};

static void *watch_neighbour(void *arg)
{
	struct witness *w = arg;

	while (!atomic_load(&enough) && !w->ret) {
		w->ret = prove_disk(&attack.guard.q[0], 0, w->rounds);
		w->rounds++;
	}
	return NULL;
}

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Requests of four descriptors, half of them in a table of their own. */
static void write_requests(struct vring_desc *d, struct vring_desc *table,
			   uint64_t table_gpa, uint64_t data)
{
	for (uint16_t i = 0; i < 128; i += 4) {
		struct vring_desc *to = i & 4 ? &table[i] : &d[i];
		uint16_t first = i & 4 ? 0 : i;

		to[0] = (struct vring_desc){data, 16, NEXT,
					    (uint16_t)(first + 1)};
		to[1] = (struct vring_desc){data + 4096, 4096, NEXT | WRITE,
					    (uint16_t)(first + 2)};
		to[2] = (struct vring_desc){data + 8192, 4096, NEXT | WRITE,
					    (uint16_t)(first + 3)};
		to[3] = (struct vring_desc){data + 12288, 1, WRITE, 0};
		if (i & 4)
			d[i] = (struct vring_desc){table_gpa + i * 16u, 64,
						   INDIRECT, 0};
	}
}

/* The same for a packed ring, whose tables ignore NEXT. */
static void make_packed(struct vring_desc *all)
{
	for (uint16_t i = 0; i < 128; i++) {
		/* A request's id is its first, and in the last one. */
		struct vring_packed_desc p = {all[i].addr, all[i].len,
					      (uint16_t)(i & ~3),
					      all[i].flags};

		memcpy(&all[i], &p, sizeof(p));
	}
}

/* Where flags and what follows them lie differs, and nothing else. */
static volatile __virtio16 *flags_of(volatile struct vring_desc *d)
{
	return packed ? &d->next : &d->flags;
}

static volatile __virtio16 *next_of(volatile struct vring_desc *d)
{
	return packed ? &d->flags : &d->next;
}

static struct vring_desc *ring_descs(void)
{
	return packed ? (void *)g.q[0].ring.pvring.desc :
			g.q[0].ring.vring.desc;
}

/* One change that breaks no rule, or rarely one that may. */
static void change_something(struct vring_desc *table, uint64_t data,
			     bool break_rules)
{
	static const uint64_t wrong[] = {0xfffffffffffffff8, 1ULL << 40,
					 TESTTARGET_MEM - 100};
	struct vring_desc *all = any(2) ? table : ring_descs();
	volatile struct vring_desc *d = &all[any(32) * 4 + any(4)];
	unsigned what = any(break_rules ? 8 : 4);

	if (*flags_of(d) & INDIRECT && !break_rules)
		return;
	if (what == 0)
		d->addr = data + any(8192);
	else if (what == 1)
		d->len = any(4096);
	else if (what == 2)
		*(volatile uint32_t *)guestmem_ptr(&g.mem, data, 4) = any(16);
	else if (what == 3)
		*(volatile uint64_t *)guestmem_ptr(&g.mem, data + 8, 8) =
			any(4096);
	else if (what == 4)
		d->addr = wrong[any(ARRAY_SIZE(wrong))];
	else if (what == 5)
		d->len = any(2) ? 0xffffffff : any(100) * 16;
	else if (what == 6)
		*flags_of(d) = (uint16_t)(any(8) | (packed ? any(65536) : 0));
	else
		*next_of(d) = (uint16_t)any(256);
}

/*
 * One request after the other as it was written first.  Nobody looks whether
 * there is room: the device is quick, mostly.
 */
static void announce_packed(const struct vring_desc *requests, unsigned *next)
{
	for (unsigned n = 1 + any(4); n; n--) {
		unsigned first = *next % 128, nr = first & 4 ? 1 : 4;
		struct vring_packed_desc p[4];

		memcpy(p, &requests[first], nr * sizeof(p[0]));
		guestring_post_raw_packed(&g.q[0].ring, p, nr);
		*next += 4;
	}
	guestring_publish(&g.q[0].ring);
	frontend_kick(&g.q[0]);
}

static void announce_split(bool break_rules)
{
	struct vring_avail *avail = g.q[0].ring.vring.avail;
	uint16_t add = (uint16_t)(1 + any(4));

	for (uint16_t i = 0; i < 128; i++)
		avail->ring[i] = (uint16_t)(i * 4 % 128);
	if (break_rules && !any(100))
		add = (uint16_t)any(65536);
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + add),
			 __ATOMIC_RELEASE);
	frontend_kick(&g.q[0]);
}

static void attack_once(bool break_rules)
{
	struct vring_desc requests[128] = {0};
	unsigned next = 0;
	struct vring_desc *table;
	uint64_t data;

	testguest_start(&g, &attack.t, 1, packed ? UINT64_MAX : ~PACKED);
	table = guestmem_alloc(&g.mem, 128 * sizeof(*table), 16);
	data = guestmem_gpa(&g.mem, guestmem_alloc(&g.mem, 16384, 4096));
	write_requests(requests, table, guestmem_gpa(&g.mem, table), data);
	if (packed) {
		make_packed(requests);
		make_packed(table);
	} else {
		memcpy(ring_descs(), requests, sizeof(requests));
	}
	for (unsigned i = 0; i < ROUND_CHANGES; i++) {
		change_something(table, data, break_rules);
		if (i % 50 == 0 && packed)
			announce_packed(requests, &next);
		else if (i % 50 == 0)
			announce_split(break_rules);
	}
	testguest_stop(&g);
}

Test(attacks_race, a_guest_that_changes_everything_at_any_moment)
{
	struct witness w = {.ret = 0};
	time_t end;
	unsigned rounds = 0;

	attack_init(&attack);
	attack.t.config.packed = true;
	attack_begin(&attack);
	cr_assert_eq(pthread_create(&w.thread, NULL, watch_neighbour, &w), 0);
	end = time(NULL) + SECONDS;
	while (time(NULL) < end) {
		packed = rounds & 2;
		attack_once(rounds++ & 1);
	}
	atomic_store(&enough, true);
	pthread_join(w.thread, NULL);
	cr_assert_eq(w.ret, 0, "the neighbour, round %u: %d", w.rounds, w.ret);
	cr_assert_gt(w.rounds, 20);
	cr_assert_gt(rounds, 4);
	attack_settle(&attack, "changes", rounds);
	attack_end(&attack);
}
