/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hostile guest writes to its rings, and whom it hurts: itself. */
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"
#include "prove.h"

#define BIT(n) (1ULL << (n))

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

#define RING_SIZE 128 /* testguest's */
#define PAGE	  4096u

/* Two regions touch at ADJACENT; behind the second one there is nothing. */
#define ADJACENT     (uint64_t) TESTTARGET_MEM
#define ADJACENT_END (ADJACENT + PAGE)

enum outcome {
	SERVED,	 /* answered, with success */
	FAILED,	 /* answered, with an error, and the queue goes on */
	BROKEN,	 /* the queue takes nothing more until it is reset */
	WHATEVER /* not defined, but nobody else suffers */
};

/* A guest about to do wrong: a correct read request, not yet announced. */
struct scene {
	struct testguest g;
	struct frontend_queue *q;
	struct vring_desc *desc;
	struct guestblk_req req;
	struct vring_desc *table; /* three descriptors, the same request */
	uint64_t table_gpa;
};

static struct scene scene;

static void set(struct vring_desc *d, uint64_t addr, uint32_t len,
		uint16_t flags, uint16_t next)
{
	*d = (struct vring_desc){addr, len, flags, next};
}

static uint64_t gpa(const void *ptr)
{
	return guestmem_gpa(&scene.g.mem, ptr);
}

static void write_request(struct vring_desc *d)
{
	set(&d[0], gpa(scene.req.hdr), 16, NEXT, 1);
	set(&d[1], gpa(scene.req.data), 512, NEXT | WRITE, 2);
	set(&d[2], gpa(scene.req.status), 1, WRITE, 0);
}

static void open_scene(uint64_t features)
{
	struct testguest *g = &scene.g;
	int nr;

	testguest_start(g, &attack.t, 2, features);
	nr = guestmem_add(&g->mem, ADJACENT, GUESTMEM_UVA_HOST, PAGE);
	cr_assert_geq(nr, 0);
	cr_assert_eq(frontend_add_region(&g->f, &g->mem.regions[nr]), 0);
	scene.q = &g->q[0];
	scene.desc = scene.q->ring.vring.desc;
	cr_assert_eq(guestblk_init(&scene.req, &g->mem, VIRTIO_BLK_T_IN, 0,
				   512),
		     0);
	scene.table = guestmem_alloc(&g->mem, 4 * sizeof(*scene.table), 16);
	scene.table_gpa = gpa(scene.table);
	write_request(scene.desc);
	write_request(scene.table);
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/*
 * The driver looks at the used index: calls may be part of the nonsense.  A
 * request that breaks its queue is given back, too, a moment before the error
 * is told.
 */
static enum outcome watch(enum outcome want)
{
	volatile __virtio16 *idx = &scene.q->ring.vring.used->idx;

	for (unsigned i = 0; i < 5000; i++) {
		if (is_readable(scene.q->err))
			return BROKEN;
		if (*idx != scene.q->ring.used_idx && want != BROKEN)
			return *scene.req.status ? FAILED : SERVED;
		usleep(i < 100 ? 10 : 1000);
	}
	return WHATEVER;
}

static void announce(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		guestring_post_raw(&scene.q->ring, 0);
	guestring_publish(&scene.q->ring);
	frontend_kick(scene.q);
}

/* A guest that was reset has a queue like new. */
static void reset_queue(const char *what)
{
	uint64_t count;

	cr_assert_eq(frontend_stop_queue(&scene.g.f, scene.q, NULL), 0, "%s",
		     what);
	(void)!read(scene.q->err, &count, sizeof(count));
	(void)!read(scene.q->call, &count, sizeof(count));
	guestring_reset(&scene.q->ring);
	memset(scene.q->ring.vring.used, 0, 4);
	cr_assert_eq(frontend_start_queue(&scene.g.f, scene.q), 0, "%s", what);
	cr_assert_eq(prove_disk(scene.q, 0, ++attack.seed), 0, "%s", what);
}

/* The guest's own other queue never notices. */
static void check_other_queue(const char *what)
{
	cr_assert_eq(prove_disk(&scene.g.q[1], 8, ++attack.seed), 0, "%s",
		     what);
}

static void close_scene(const char *what, unsigned nr)
{
	attack_check(&attack, what, nr);
	reset_queue(what);
	testguest_stop(&scene.g);
}

TestSuite(attacks_ring, .init = attack_suite_begin, .fini = attack_suite_end);

/* -- chains that the device must take apart ------------------------------- */

struct chain_case {
	const char *what;
	enum outcome outcome;
	struct vring_desc d[4];
};

/* Addresses in a table: what stands for the parts of the request. */
#define HDR	     0xaaaa0000aaaa0000
#define DATA	     0xbbbb0000bbbb0000
#define STATUS	     0xcccc0000cccc0000
#define TABLE	     0xdddd0000dddd0000
#define DESC_TABLE   0xeeee0000eeee0000
#define AVAIL_RING   0xeeee1000eeee1000
#define USED_RING    0xeeee2000eeee2000
#define ANYWHERE_END 0xfffffffffffffff0

static uint64_t resolve(uint64_t addr)
{
	const struct vring *v = &scene.q->ring.vring;

	switch (addr) {
	case HDR:
		return gpa(scene.req.hdr);
	case DATA:
		return gpa(scene.req.data);
	case STATUS:
		return gpa(scene.req.status);
	case TABLE:
		return scene.table_gpa;
	case DESC_TABLE:
		return gpa(v->desc);
	case AVAIL_RING:
		return gpa(v->avail);
	case USED_RING:
		return gpa(v->used);
	default:
		return addr;
	}
}

static void copy_chain(struct vring_desc *to, const struct chain_case *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(c->d); i++) {
		to[i] = c->d[i];
		to[i].addr = resolve(to[i].addr);
	}
}

static void expect(enum outcome want, const char *what, unsigned nr)
{
	enum outcome got = watch(want);

	cr_assert(want == WHATEVER || got == want,
		  "%s: outcome %d, expected %d", what, got, want);
	check_other_queue(what);
	close_scene(what, nr);
}

static const struct chain_case chains[] = {
	{"a proper request",
	 SERVED,
	 {{HDR, 16, NEXT, 1},
	  {DATA, 512, NEXT | WRITE, 2},
	  {STATUS, 1, WRITE, 0}}},
	{"a chain that bites its tail",
	 BROKEN,
	 {{HDR, 16, NEXT, 1},
	  {DATA, 512, NEXT | WRITE, 2},
	  {STATUS, 1, NEXT | WRITE, 1}}},
	{"a descriptor that is its own next", BROKEN, {{HDR, 16, NEXT, 0}}},
	{"a writable loop", BROKEN, {{HDR, 16, NEXT, 1}, {DATA, 1, 3, 1}}},
	{"an empty loop", BROKEN, {{HDR, 16, NEXT, 1}, {0, 0, NEXT, 1}}},
	{"next at the ring's size", BROKEN, {{HDR, 16, NEXT, RING_SIZE}}},
	{"next far outside", BROKEN, {{HDR, 16, NEXT, 0xffff}}},
	{"an empty descriptor among others",
	 SERVED,
	 {{HDR, 16, NEXT, 1},
	  {0xdead0000dead0000, 0, NEXT, 2},
	  {DATA, 512, NEXT | WRITE, 3},
	  {STATUS, 1, WRITE, 0}}},
	{"nothing at all", BROKEN, {{0, 0, 0, 0}}},
	{"only empty descriptors",
	 BROKEN,
	 {{HDR, 0, NEXT, 1}, {DATA, 0, 2, 0}}},
	{"an address that wraps around",
	 BROKEN,
	 {{HDR, 16, NEXT, 1},
	  {ANYWHERE_END, 512, NEXT | WRITE, 2},
	  {STATUS, 1, 2, 0}}},
	{"an address where no memory is",
	 BROKEN,
	 {{HDR, 16, NEXT, 1},
	  {BIT(40), 512, NEXT | WRITE, 2},
	  {STATUS, 1, 2, 0}}},
	{"a length of 4 GiB",
	 BROKEN,
	 {{HDR, 16, NEXT, 1},
	  {DATA, 0xffffffff, NEXT | WRITE, 2},
	  {STATUS, 1, 2, 0}}},
	{"a buffer across two regions",
	 SERVED,
	 {{HDR, 16, NEXT, 1},
	  {ADJACENT - 100, 512, 3, 2},
	  {STATUS, 1, WRITE, 0}}},
	{"a buffer that ends outside",
	 BROKEN,
	 {{HDR, 16, NEXT, 1},
	  {ADJACENT_END - 511, 512, 3, 2},
	  {STATUS, 1, 2, 0}}},
	{"a buffer that ends where memory ends",
	 SERVED,
	 {{HDR, 16, NEXT, 1},
	  {ADJACENT_END - 512, 512, 3, 2},
	  {STATUS, 1, 2, 0}}},
	{"readable behind writable",
	 BROKEN,
	 {{DATA, 512, NEXT | WRITE, 1},
	  {HDR, 16, NEXT, 2},
	  {STATUS, 1, WRITE, 0}}},
	{"nothing writable", BROKEN, {{HDR, 16, NEXT, 1}, {DATA, 512, 0, 0}}},
	{"nothing readable",
	 FAILED,
	 {{DATA, 512, 3, 1}, {STATUS, 1, WRITE, 0}}},
	{"a header of 15 bytes",
	 FAILED,
	 {{HDR, 15, NEXT, 1},
	  {DATA, 512, NEXT | WRITE, 2},
	  {STATUS, 1, WRITE, 0}}},
	{"half a sector",
	 FAILED,
	 {{HDR, 16, NEXT, 1},
	  {DATA, 256, NEXT | WRITE, 2},
	  {STATUS, 1, WRITE, 0}}},
	{"data in the descriptor table",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {DESC_TABLE, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"data in the available ring",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {AVAIL_RING, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"data in the used ring",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {USED_RING, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"a status in the used index",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {DATA, 512, 3, 2}, {USED_RING + 2, 1, WRITE, 0}}},
	{"an indirect table", SERVED, {{TABLE, 48, INDIRECT, 0}}},
	{"an indirect table marked writable",
	 SERVED,
	 {{TABLE, 48, INDIRECT | WRITE, 0}}},
	{"a descriptor, then an indirect table",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {TABLE, 48, INDIRECT, 0}}},
	{"an indirect table of no bytes", BROKEN, {{TABLE, 0, INDIRECT, 0}}},
	{"an indirect table of 47 bytes", BROKEN, {{TABLE, 47, INDIRECT, 0}}},
	{"an indirect table of 4 GiB",
	 BROKEN,
	 {{TABLE, 0xfffffff0, INDIRECT, 0}}},
	{"an indirect table at the end of all",
	 BROKEN,
	 {{ANYWHERE_END, 48, INDIRECT, 0}}},
	{"an indirect table that ends outside",
	 BROKEN,
	 {{ADJACENT_END - 32, 48, INDIRECT, 0}}},
	{"an indirect table with a next",
	 BROKEN,
	 {{TABLE, 48, INDIRECT | NEXT, 1}, {DATA, 512, WRITE, 0}}},
	{"the ring as its own indirect table",
	 BROKEN,
	 {{DESC_TABLE, 48, INDIRECT, 0}}},
};

Test(attacks_ring, chains)
{
	for (unsigned i = 0; i < ARRAY_SIZE(chains); i++) {
		open_scene(UINT64_MAX);
		copy_chain(scene.desc, &chains[i]);
		announce(1);
		expect(chains[i].outcome, chains[i].what, i);
	}
}

static const struct chain_case tables[] = {
	{"a table in a table", BROKEN, {{TABLE, 48, INDIRECT, 0}}},
	{"a loop in a table", BROKEN, {{HDR, 16, NEXT, 1}, {DATA, 1, 3, 1}}},
	{"next at the end of the table", BROKEN, {{HDR, 16, NEXT, 3}}},
	{"next far outside the table", BROKEN, {{HDR, 16, NEXT, 0xfff0}}},
	{"nothing in a table", BROKEN, {{0, 0, 0, 0}}},
	{"no memory behind a table's descriptor",
	 BROKEN,
	 {{HDR, 16, NEXT, 1}, {BIT(40), 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"a table backwards",
	 SERVED,
	 {{HDR, 16, NEXT, 2}, {STATUS, 1, WRITE, 0}, {DATA, 512, 3, 1}}},
};

Test(attacks_ring, indirect_tables)
{
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		open_scene(UINT64_MAX);
		copy_chain(scene.table, &tables[i]);
		set(&scene.desc[0], scene.table_gpa, 48, INDIRECT, 0);
		announce(1);
		expect(tables[i].outcome, tables[i].what, i);
	}
}

Test(attacks_ring, an_indirect_table_that_was_not_agreed_on)
{
	open_scene(0);
	set(&scene.desc[0], scene.table_gpa, 48, INDIRECT, 0);
	announce(1);
	expect(BROKEN, "not negotiated", 0);
}

Test(attacks_ring, an_indirect_table_across_two_regions)
{
	for (unsigned i = 0; i <= 48; i += 3) {
		open_scene(UINT64_MAX);
		for (unsigned n = 0; n < 48; n++)
			*(uint8_t *)guestmem_ptr(&scene.g.mem, ADJACENT - i + n,
						 1) =
				((uint8_t *)scene.table)[n];
		set(&scene.desc[0], ADJACENT - i, 48, INDIRECT, 0);
		announce(1);
		expect(SERVED, "crossing at", i);
	}
}

/* -- what is announced ----------------------------------------------------- */

Test(attacks_ring, heads_outside_the_ring)
{
	static const uint16_t heads[] = {RING_SIZE, RING_SIZE + 1, 0x8000,
					 0xffff};

	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		open_scene(UINT64_MAX);
		guestring_post_raw(&scene.q->ring, heads[i]);
		guestring_publish(&scene.q->ring);
		frontend_kick(scene.q);
		expect(BROKEN, "head", heads[i]);
	}
}

Test(attacks_ring, an_available_index_that_jumps)
{
	static const uint16_t jumps[] = {RING_SIZE + 1, 0x7fff, 0x8000, 0xfffe,
					 0xffff};

	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		struct vring_avail *avail;

		open_scene(UINT64_MAX);
		cr_assert_eq(prove_disk(scene.q, 0, ++attack.seed), 0);
		write_request(scene.desc);
		avail = scene.q->ring.vring.avail;
		avail->idx = (uint16_t)(avail->idx + jumps[i]);
		frontend_kick(scene.q);
		expect(BROKEN, "jump", jumps[i]);
	}
}

/* The same buffers in flight 128 times, if it were let. */
Test(attacks_ring, one_head_again_and_again)
{
	for (unsigned i = 0; i < 20; i++) {
		open_scene(UINT64_MAX);
		announce(RING_SIZE);
		expect(WHATEVER, "again", i);
	}
}

Test(attacks_ring, nonsense_in_flags_and_event_indices)
{
	static const uint16_t values[] = {1, 2, 0x7fff, 0x8000, 0xffff};
	static const uint64_t features[] = {0, BIT(VIRTIO_RING_F_EVENT_IDX)};

	for (unsigned i = 0; i < ARRAY_SIZE(values) * 2; i++) {
		struct vring *v;
		uint16_t value = values[i / 2];

		open_scene(features[i % 2]);
		v = &scene.q->ring.vring;
		v->avail->flags = value;
		v->used->flags = value;
		vring_used_event(v) = value;
		vring_avail_event(v) = value;
		announce(1);
		expect(SERVED, "value", value);
	}
}

/*
 * Almost right, most of the time.  Where the data goes is not for us to know:
 * it may well hit the guest's other rings.
 */
Test(attacks_ring, random_descriptors)
{
	uint32_t seed = 1;

	for (unsigned i = 0; i < 80; i++) {
		uint8_t *bytes;

		open_scene(UINT64_MAX);
		bytes = (uint8_t *)scene.desc;
		for (unsigned n = 0; n <= i % 8; n++) {
			seed = seed * 1103515245 + 12345;
			bytes[(seed >> 16) % 48] = (uint8_t)(seed >> 8);
		}
		announce(1);
		/* Long enough for most of what can happen. */
		usleep(100);
		close_scene("random", i);
	}
}
