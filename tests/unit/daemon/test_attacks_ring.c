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

#define PACKED	 BIT(VIRTIO_F_RING_PACKED)
#define EVENTS	 BIT(VIRTIO_RING_F_EVENT_IDX)

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

#define CHAIN_MAX 4

/*
 * A guest about to do wrong: a correct read request, not yet announced, and a
 * table with the same.  Chains are written down as for a split ring; a packed
 * one has them in the order of their places.
 */
struct scene {
	struct testguest g;
	struct frontend_queue *q;
	struct vring_desc chain[CHAIN_MAX];
	uint16_t id; /* head, or buffer id */
	struct guestblk_req req;
	void *table;
	uint64_t table_gpa;
};

static struct scene scene;
static bool packed; /* the rings */

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

/* The first @n of a chain, as a table in memory or a ring has them. */
static void put_descs(void *to, const struct vring_desc *d, unsigned n)
{
	struct vring_packed_desc *p = to;

	for (unsigned i = 0; packed && i < n; i++)
		p[i] = (struct vring_packed_desc){d[i].addr, d[i].len, 0,
						  d[i].flags};
	if (!packed)
		memcpy(to, d, n * sizeof(*d));
}

static void open_scene(uint64_t features)
{
	struct testguest *g = &scene.g;
	int nr;

	features = packed ? features | PACKED : features & ~PACKED;
	testguest_start(g, &attack.t, 2, features);
	cr_assert_eq(g->q[0].ring.packed, packed);
	nr = guestmem_add(&g->mem, ADJACENT, GUESTMEM_UVA_HOST, PAGE);
	cr_assert_geq(nr, 0);
	cr_assert_eq(frontend_add_region(&g->f, &g->mem.regions[nr]), 0);
	scene.q = &g->q[0];
	scene.id = 0;
	memset(scene.chain, 0, sizeof(scene.chain));
	cr_assert_eq(guestblk_init(&scene.req, &g->mem, VIRTIO_BLK_T_IN, 0,
				   512),
		     0);
	scene.table = guestmem_alloc(&g->mem, sizeof(scene.chain), 16);
	scene.table_gpa = gpa(scene.table);
	write_request(scene.chain);
	put_descs(scene.table, scene.chain, 3);
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/*
 * The driver looks at the ring: calls may be part of the nonsense, and so may
 * be what it finds.  A request that breaks its queue is given back, too, a
 * moment before the error is told.
 */
static enum outcome watch(enum outcome want)
{
	struct guestring_used u;

	for (unsigned i = 0; i < 5000; i++) {
		if (is_readable(scene.q->err))
			return BROKEN;
		if (want != BROKEN && guestring_pop(&scene.q->ring, &u))
			return *scene.req.status ? FAILED : SERVED;
		usleep(i < 100 ? 10 : 1000);
	}
	return WHATEVER;
}

/* The chain, until there is no next one. */
static void post_packed(void)
{
	struct vring_packed_desc descs[CHAIN_MAX];
	unsigned n = 1;

	put_descs(descs, scene.chain, CHAIN_MAX);
	while (n < CHAIN_MAX && descs[n - 1].flags & NEXT)
		n++;
	descs[n - 1].id = scene.id;
	guestring_post_raw_packed(&scene.q->ring, descs, n);
}

static void announce(unsigned nr)
{
	if (!packed)
		put_descs(scene.q->ring.vring.desc, scene.chain, CHAIN_MAX);
	for (unsigned i = 0; i < nr; i++) {
		if (packed)
			post_packed();
		else
			guestring_post_raw(&scene.q->ring, scene.id);
	}
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
	if (!packed)
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

/* The guest chooses the format. */
static void begin_suite(void)
{
	attack_init(&attack);
	attack.t.config.packed = true;
	attack_begin(&attack);
}

TestSuite(attacks_ring, .init = begin_suite, .fini = attack_suite_end);

static void run_with_both(void (*body)(void))
{
	for (unsigned i = 0; i < 2; i++) {
		packed = i;
		body();
	}
}

/* An attack on a ring of each format. */
#define RING_ATTACK(name)                    \
	static void attack_##name(void);     \
	Test(attacks_ring, name)             \
	{                                    \
		run_with_both(attack_##name); \
	}                                    \
	static void attack_##name(void)

/* -- chains that the device must take apart ------------------------------- */

struct chain_case {
	const char *what;
	enum outcome outcome;
	struct vring_desc d[CHAIN_MAX];
};

/* Addresses in a table: what stands for the parts of the request. */
#define HDR	     0xaaaa0000aaaa0000
#define DATA	     0xbbbb0000bbbb0000
#define STATUS	     0xcccc0000cccc0000
#define TABLE	     0xdddd0000dddd0000
#define DESC_TABLE   0xeeee0000eeee0000
#define DRIVER_AREA  0xeeee1000eeee1000
#define DEVICE_AREA  0xeeee2000eeee2000
#define ANYWHERE_END 0xfffffffffffffff0

static uint64_t resolve(uint64_t addr)
{
	const void *desc, *device, *driver;

	guestring_areas(&scene.q->ring, &desc, &device, &driver);
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
		return gpa(desc);
	case DRIVER_AREA:
		return gpa(driver);
	case DEVICE_AREA:
	case DEVICE_AREA + 2:
		return gpa(device) + addr - DEVICE_AREA;
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
		  "%s, %s: outcome %d, expected %d", what,
		  packed ? "packed" : "split", got, want);
	check_other_queue(what);
	close_scene(what, nr);
}

static const struct chain_case chains[] = {
	{"a proper request",
	 SERVED,
	 {{HDR, 16, NEXT, 1},
	  {DATA, 512, NEXT | WRITE, 2},
	  {STATUS, 1, WRITE, 0}}},
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
	{"data in the descriptors",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {DESC_TABLE, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"data in what the driver says",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {DRIVER_AREA, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"data in what the device says",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1}, {DEVICE_AREA, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"a status in the used index",
	 WHATEVER,
	 {{HDR, 16, NEXT, 1},
	  {DATA, 512, 3, 2},
	  {DEVICE_AREA + 2, 1, WRITE, 0}}},
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

static void attack_with_chains(const struct chain_case *cases, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		open_scene(UINT64_MAX);
		copy_chain(scene.chain, &cases[i]);
		announce(1);
		expect(cases[i].outcome, cases[i].what, i);
	}
}

RING_ATTACK(chains)
{
	attack_with_chains(chains, ARRAY_SIZE(chains));
}

/* A packed ring has no such thing as a next one that is elsewhere. */
static const struct chain_case loops[] = {
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
};

Test(attacks_ring, chains_that_go_nowhere)
{
	attack_with_chains(loops, ARRAY_SIZE(loops));
}

static void attack_with_tables(const struct chain_case *cases, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		struct vring_desc table[CHAIN_MAX];

		open_scene(UINT64_MAX);
		copy_chain(table, &cases[i]);
		put_descs(scene.table, table, CHAIN_MAX);
		set(&scene.chain[0], scene.table_gpa, 48, INDIRECT, 0);
		announce(1);
		expect(cases[i].outcome, cases[i].what, i);
	}
}

static const struct chain_case tables[] = {
	{"a proper table",
	 SERVED,
	 {{HDR, 16, NEXT, 1}, {DATA, 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"nothing in a table", BROKEN, {{0, 0, 0, 0}}},
	{"no memory behind a table's descriptor",
	 BROKEN,
	 {{HDR, 16, NEXT, 1}, {BIT(40), 512, 3, 2}, {STATUS, 1, WRITE, 0}}},
	{"readable behind writable in a table",
	 BROKEN,
	 {{DATA, 512, 3, 1}, {HDR, 16, NEXT, 2}, {STATUS, 1, WRITE, 0}}},
};

static const struct chain_case split_tables[] = {
	{"a table in a table", BROKEN, {{TABLE, 48, INDIRECT, 0}}},
	{"a loop in a table", BROKEN, {{HDR, 16, NEXT, 1}, {DATA, 1, 3, 1}}},
	{"next at the end of the table", BROKEN, {{HDR, 16, NEXT, 3}}},
	{"next far outside the table", BROKEN, {{HDR, 16, NEXT, 0xfff0}}},
	{"a table backwards",
	 SERVED,
	 {{HDR, 16, NEXT, 2}, {STATUS, 1, WRITE, 0}, {DATA, 512, 3, 1}}},
};

/* No flag but WRITE has a meaning there. */
static const struct chain_case packed_tables[] = {
	{"a table without next",
	 SERVED,
	 {{HDR, 16, 0, 0}, {DATA, 512, WRITE, 0}, {STATUS, 1, WRITE, 0}}},
	{"a table of tables",
	 SERVED,
	 {{HDR, 16, 0xfffd, 0},
	  {DATA, 512, 0xffff, 0},
	  {STATUS, 1, 0xffff, 0}}},
};

RING_ATTACK(indirect_tables)
{
	attack_with_tables(tables, ARRAY_SIZE(tables));
	if (packed)
		attack_with_tables(packed_tables, ARRAY_SIZE(packed_tables));
	else
		attack_with_tables(split_tables, ARRAY_SIZE(split_tables));
}

RING_ATTACK(an_indirect_table_that_was_not_agreed_on)
{
	open_scene(0);
	set(&scene.chain[0], scene.table_gpa, 48, INDIRECT, 0);
	announce(1);
	expect(BROKEN, "not negotiated", 0);
}

RING_ATTACK(an_indirect_table_across_two_regions)
{
	for (unsigned i = 0; i <= 48; i += 3) {
		open_scene(UINT64_MAX);
		for (unsigned n = 0; n < 48; n++)
			*(uint8_t *)guestmem_ptr(&scene.g.mem, ADJACENT - i + n,
						 1) =
				((uint8_t *)scene.table)[n];
		set(&scene.chain[0], ADJACENT - i, 48, INDIRECT, 0);
		announce(1);
		expect(SERVED, "crossing at", i);
	}
}

/* -- what is announced ----------------------------------------------------- */

RING_ATTACK(heads_outside_the_ring)
{
	static const uint16_t heads[] = {RING_SIZE, RING_SIZE + 1, 0x8000,
					 0xffff};

	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		open_scene(UINT64_MAX);
		scene.id = heads[i];
		announce(1);
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
		put_descs(scene.q->ring.vring.desc, scene.chain, 3);
		avail = scene.q->ring.vring.avail;
		avail->idx = (uint16_t)(avail->idx + jumps[i]);
		frontend_kick(scene.q);
		expect(BROKEN, "jump", jumps[i]);
	}
}

/* A packed ring has no index, but each place may look available. */
Test(attacks_ring, a_packed_ring_that_is_full_of_nonsense)
{
	packed = true;
	for (unsigned i = 0; i < 6; i++) {
		struct vring_packed_desc nothing = {0, 0, 0, i & 1 ? NEXT : 0};
		struct guestring *r;

		open_scene(UINT64_MAX);
		r = &scene.q->ring;
		/* more than there are, from the start and in the middle */
		if (i > 1)
			cr_assert_eq(prove_disk(scene.q, 0, ++attack.seed), 0);
		for (unsigned n = 0; n < RING_SIZE + 50 * (i / 2); n++)
			guestring_post_raw_packed(r, &nothing, 1);
		guestring_publish(r);
		frontend_kick(scene.q);
		expect(BROKEN, "full", i);
	}
}

/* Nothing is there for the device, and when it is, all goes on. */
Test(attacks_ring, bits_of_another_lap)
{
	static const uint16_t bits[] = {0, 0x8000, 0x8080};

	packed = true;
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
		struct vring_packed_desc *d;
		struct guestring_used u;

		open_scene(UINT64_MAX);
		d = scene.q->ring.pvring.desc;
		put_descs(d, scene.chain, 3);
		d[0].flags |= bits[i];
		frontend_kick(scene.q);
		usleep(2000);
		cr_assert_not(is_readable(scene.q->err));
		d[0].flags = 0;
		cr_assert_eq(guestring_pop(&scene.q->ring, &u), 0);
		announce(1);
		expect(SERVED, "bits", bits[i]);
	}
}

/* The same buffers in flight 128 times, if it were let. */
RING_ATTACK(one_head_again_and_again)
{
	for (unsigned i = 0; i < 20; i++) {
		open_scene(UINT64_MAX);
		announce(RING_SIZE);
		expect(WHATEVER, "again", i);
	}
}

/* In what the driver says about calls, and the device about kicks. */
static void write_nonsense(uint16_t value)
{
	struct guestring *r = &scene.q->ring;
	struct vring_packed_desc_event event = {value, value};

	if (packed) {
		*r->pvring.driver_event = event;
		*r->pvring.device_event = event;
		return;
	}
	r->vring.avail->flags = value;
	r->vring.used->flags = value;
	vring_used_event(&r->vring) = value;
	vring_avail_event(&r->vring) = value;
}

RING_ATTACK(nonsense_in_flags_and_event_indices)
{
	static const uint16_t values[] = {1, 2, 3, 0x7fff, 0x8000, 0xffff};
	static const uint64_t features[] = {0, EVENTS};

	for (unsigned i = 0; i < ARRAY_SIZE(values) * 2; i++) {
		open_scene(features[i % 2]);
		write_nonsense(values[i / 2]);
		announce(1);
		expect(SERVED, "value", values[i / 2]);
	}
}

/*
 * Almost right, most of the time.  Where the data goes is not for us to know:
 * it may well hit the guest's other rings.
 */
RING_ATTACK(random_descriptors)
{
	uint32_t seed = 1;

	for (unsigned i = 0; i < 80; i++) {
		uint8_t *bytes;

		open_scene(UINT64_MAX);
		bytes = (uint8_t *)scene.chain;
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
