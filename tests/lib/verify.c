/* SPDX-License-Identifier: BSD-2-Clause */
/* Knows what each block of a disk must hold, and says how it differs. */
#include "verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a block must hold; the low bits of its word. */
enum {
	ANY,
	PATTERN,
	ZEROES,
	STATE_BITS = 2,
	STATE_MASK = 3,
};

struct mark {
	uint64_t offset;
	uint32_t generation;
	uint32_t seed;
};

#define MARKS (VERIFY_BLOCK / sizeof(struct mark))

int verify_init(struct verify *v, uint64_t nr_blocks, uint32_t seed)
{
	*v = (struct verify){.nr_blocks = nr_blocks, .seed = seed};
	v->blocks = calloc(nr_blocks, sizeof(*v->blocks));
	return v->blocks ? 0 : -ENOMEM;
}

void verify_fini(struct verify *v)
{
	free(v->blocks);
	v->blocks = NULL;
}

static struct mark mark_at(const struct verify *v, uint64_t block, unsigned i)
{
	return (struct mark){
		.offset = block * VERIFY_BLOCK + i * sizeof(struct mark),
		.generation = v->blocks[block] >> STATE_BITS,
		.seed = v->seed,
	};
}

void verify_write(struct verify *v, uint64_t block, uint64_t n, void *buf)
{
	struct mark *m = buf;

	for (; n; n--, block++) {
		uint32_t generation = (v->blocks[block] >> STATE_BITS) + 1;

		v->blocks[block] = generation << STATE_BITS | PATTERN;
		for (unsigned i = 0; i < MARKS; i++)
			*m++ = mark_at(v, block, i);
	}
}

static void expect(struct verify *v, uint64_t block, uint64_t n, uint32_t state)
{
	for (; n; n--, block++)
		v->blocks[block] =
			(v->blocks[block] & ~(uint32_t)STATE_MASK) | state;
}

void verify_zero(struct verify *v, uint64_t block, uint64_t n)
{
	expect(v, block, n, ZEROES);
}

void verify_forget(struct verify *v, uint64_t block, uint64_t n)
{
	expect(v, block, n, ANY);
}

bool verify_is_known(const struct verify *v, uint64_t block, uint64_t n)
{
	for (; n; n--, block++)
		if ((v->blocks[block] & STATE_MASK) != ANY)
			return true;
	return false;
}

static bool is_mark(const struct mark *m, struct mark want)
{
	return m->offset == want.offset && m->generation == want.generation &&
	       m->seed == want.seed;
}

static bool is_zero(const struct mark *m)
{
	return !m->offset && !m->generation && !m->seed;
}

static bool is_poison(const struct mark *m)
{
	struct mark poison;

	memset(&poison, VERIFY_POISON, sizeof(poison));
	return is_mark(m, poison);
}

/* The first 16 bytes that are not as expected, or MARKS. */
static unsigned first_bad(const struct verify *v, uint64_t block,
			  const struct mark *m)
{
	bool zeroes = (v->blocks[block] & STATE_MASK) == ZEROES;

	for (unsigned i = 0; i < MARKS; i++)
		if (zeroes ? !is_zero(&m[i])
			   : !is_mark(&m[i], mark_at(v, block, i)))
			return i;
	return MARKS;
}

/* Whether @m, the mark number @i of its block, is one of this run. */
static bool is_ours(const struct verify *v, const struct mark *m, unsigned i)
{
	return m->seed == v->seed &&
	       m->offset % VERIFY_BLOCK == i * sizeof(*m) &&
	       m->offset / VERIFY_BLOCK < v->nr_blocks;
}

static void describe_found(const struct verify *v, const struct mark *m,
			   unsigned i, struct verify_finding *f)
{
	char *s = f->found;

	if (is_zero(m))
		snprintf(s, sizeof(f->found), "zeroes from byte %zu on",
			 i * sizeof(*m));
	else if (is_poison(m))
		snprintf(s, sizeof(f->found), "nothing from byte %zu on",
			 i * sizeof(*m));
	else if (is_ours(v, m, i))
		snprintf(s, sizeof(f->found),
			 "offset %#" PRIx64 " generation %" PRIu32
			 " from byte %zu on",
			 m->offset - i * sizeof(*m), m->generation,
			 i * sizeof(*m));
	else
		snprintf(s, sizeof(f->found),
			 "%016" PRIx64 " %08" PRIx32 " %08" PRIx32
			 " from byte %zu on",
			 m->offset, m->generation, m->seed, i * sizeof(*m));
}

/* Whether mark @i is what its neighbours in the block lead to expect. */
static bool goes_on(const struct mark *m, unsigned i)
{
	if (is_zero(&m[i - 1]) || is_zero(&m[i]))
		return is_zero(&m[i - 1]) && is_zero(&m[i]);
	return m[i].offset == m[i - 1].offset + sizeof(*m) &&
	       m[i].generation == m[i - 1].generation &&
	       m[i].seed == m[i - 1].seed;
}

static const char *kind_of(const struct verify *v, uint64_t block,
			   const struct mark *m, unsigned bad)
{
	if (is_poison(&m[bad]))
		return "unread";
	for (unsigned i = 1; i < MARKS; i++)
		if (!goes_on(m, i) &&
		    (is_ours(v, &m[i], i) || is_zero(&m[i])) &&
		    (is_ours(v, &m[i - 1], i - 1) || is_zero(&m[i - 1])))
			return "torn";
	if (is_zero(&m[bad]))
		return "lost";
	if (!is_ours(v, &m[bad], bad))
		return "foreign";
	return m[bad].offset / VERIFY_BLOCK == block ? "stale" : "misplaced";
}

static void describe(const struct verify *v, uint64_t block,
		     const struct mark *m, unsigned bad,
		     struct verify_finding *f)
{
	f->block = block;
	f->kind = kind_of(v, block, m, bad);
	if ((v->blocks[block] & STATE_MASK) == ZEROES)
		snprintf(f->expected, sizeof(f->expected), "zeroes");
	else
		snprintf(f->expected, sizeof(f->expected),
			 "offset %#" PRIx64 " generation %" PRIu32,
			 block * VERIFY_BLOCK, v->blocks[block] >> STATE_BITS);
	describe_found(v, &m[bad], bad, f);
}

int verify_check(struct verify *v, uint64_t block, uint64_t n, const void *buf,
		 struct verify_finding *f)
{
	const struct mark *m = buf;

	for (; n; n--, block++, m += MARKS) {
		unsigned bad;

		if ((v->blocks[block] & STATE_MASK) == ANY)
			continue;
		bad = first_bad(v, block, m);
		if (bad < MARKS) {
			describe(v, block, m, bad, f);
			return -EBADMSG;
		}
		v->nr_checked++;
	}
	return 0;
}
