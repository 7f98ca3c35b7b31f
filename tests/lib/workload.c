/* SPDX-License-Identifier: BSD-2-Clause */
/* Which request a load makes next, and what its answer means. */
#include "workload.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"

/* Of 64 requests of a verified load that writes, so many are something else. */
enum {
	MIX = 64,
	MIX_FLUSH = 1,
	MIX_DISCARD = 2,
	MIX_ZEROES = 4,
};

#define TRIES 8 /* to find a chunk that is not in flight */

static uint64_t next_random(struct load *l)
{
	l->random ^= l->random >> 12;
	l->random ^= l->random << 25;
	l->random ^= l->random >> 27;
	return l->random * 0x2545f4914f6cdd1d;
}

static uint64_t random_below(struct load *l, uint64_t n)
{
	return (uint64_t)((unsigned __int128)next_random(l) * n >> 64);
}

static uint64_t chunk_blocks(const struct load *l)
{
	return l->p->bs / VERIFY_BLOCK;
}

static bool is_busy(const struct load *l, uint64_t chunk)
{
	return l->busy && l->busy[chunk / 8] >> chunk % 8 & 1;
}

static void take_chunk(struct load *l, struct load_slot *s, uint64_t chunk)
{
	if (l->busy)
		l->busy[chunk / 8] |= (uint8_t)(1 << chunk % 8);
	s->chunks[s->nr_chunks++] = chunk;
}

static void give_back(struct load *l, struct load_slot *s)
{
	for (unsigned i = 0; l->busy && i < s->nr_chunks; i++)
		l->busy[s->chunks[i] / 8] &= (uint8_t) ~(1 << s->chunks[i] % 8);
	s->nr_chunks = 0;
}

/* A chunk of the running load, in its order, that nobody uses. */
static bool pick_chunk(struct load *l, struct load_slot *s)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t chunk;

		if (l->p->random) {
			chunk = random_below(l, l->nr_chunks);
		} else {
			chunk = l->cursor++;
			if (l->cursor == l->nr_chunks)
				l->cursor = 0;
		}
		if (is_busy(l, chunk))
			continue;
		take_chunk(l, s, chunk);
		return true;
	}
	return false;
}

/* The next chunk of one pass over the disk. */
static bool next_chunk(struct load *l, struct load_slot *s)
{
	uint64_t n = chunk_blocks(l);

	while (l->phase == LOAD_READBACK && l->cursor < l->nr_chunks &&
	       !verify_is_known(&l->verify, l->cursor * n, n))
		l->cursor++;
	if (l->cursor >= l->nr_chunks)
		return false;
	take_chunk(l, s, l->cursor++);
	return true;
}

static void set_header(struct load_slot *s, uint32_t type, uint64_t sector)
{
	s->type = type;
	s->shared->hdr.type = htole32(type);
	s->shared->hdr.sector = htole64(sector);
}

static bool make_read(struct load *l, struct load_slot *s)
{
	set_header(s, VIRTIO_BLK_T_IN, s->chunks[0] * chunk_blocks(l));
	/* What the target does not write must not look right. */
	if (l->p->verify)
		memset(s->data, VERIFY_POISON, l->p->bs);
	return true;
}

static bool make_write(struct load *l, struct load_slot *s)
{
	uint64_t block = s->chunks[0] * chunk_blocks(l);

	set_header(s, VIRTIO_BLK_T_OUT, block);
	if (l->p->verify)
		verify_write(&l->verify, block, chunk_blocks(l), s->data);
	return true;
}

/* Discard or write zeroes, of several ranges if the target takes them. */
static bool make_ranges(struct load *l, struct load_slot *s, uint32_t type)
{
	struct virtio_blk_discard_write_zeroes *range = (void *)s->data;
	uint64_t n = chunk_blocks(l);
	unsigned want = 1;

	if (l->p->verify)
		want += (unsigned)random_below(l, l->max_ranges);

	while (s->nr_chunks < want && pick_chunk(l, s))
		;
	if (!s->nr_chunks)
		return false;
	set_header(s, type, 0);
	for (unsigned i = 0; i < s->nr_chunks; i++, range++) {
		uint64_t block = s->chunks[i] * n;
		bool unmap = type == VIRTIO_BLK_T_WRITE_ZEROES &&
			     l->p->verify && next_random(l) >> 63;

		range->sector = htole64(block);
		range->num_sectors = htole32((uint32_t)n);
		range->flags =
			htole32(unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0);
		if (!l->p->verify)
			continue;
		if (type == VIRTIO_BLK_T_DISCARD)
			verify_forget(&l->verify, block, n);
		else
			verify_zero(&l->verify, block, n);
	}
	return true;
}

static bool has(const struct load *l, unsigned feature)
{
	return l->features >> feature & 1;
}

bool workload_is_offered(const struct load *l, uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_FLUSH:
		return has(l, VIRTIO_BLK_F_FLUSH);
	case VIRTIO_BLK_T_DISCARD:
		return has(l, VIRTIO_BLK_F_DISCARD);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return has(l, VIRTIO_BLK_F_WRITE_ZEROES);
	default:
		return true;
	}
}

/* One that is neither a read nor a write. */
static bool make_other(struct load *l, struct load_slot *s, uint32_t type)
{
	if (!workload_is_offered(l, type))
		return false;
	if (type != VIRTIO_BLK_T_FLUSH)
		return make_ranges(l, s, type);
	set_header(s, type, 0);
	return true;
}

/* The rarer kinds of request, that belong to a verified load. */
static bool make_rare(struct load *l, struct load_slot *s, uint64_t dice)
{
	if (dice < MIX_FLUSH)
		return make_other(l, s, VIRTIO_BLK_T_FLUSH);
	if (dice < MIX_DISCARD)
		return make_other(l, s, VIRTIO_BLK_T_DISCARD);
	return dice < MIX_ZEROES && make_other(l, s, VIRTIO_BLK_T_WRITE_ZEROES);
}

static bool make_load(struct load *l, struct load_slot *s)
{
	bool read = l->p->reads;

	if (workload_is_over(l) || l->p->idle)
		return false;
	if (l->p->only)
		return make_other(l, s, l->p->only);
	if (l->p->verify && l->p->writes &&
	    make_rare(l, s, random_below(l, MIX)))
		return true;
	if (!pick_chunk(l, s))
		return false;
	if (read && l->p->writes)
		read = next_random(l) >> 63;
	return read ? make_read(l, s) : make_write(l, s);
}

bool workload_is_over(const struct load *l)
{
	if (l->phase == LOAD_RUN)
		return l->past_deadline;
	return l->cursor >= l->nr_chunks || l->stop == LOAD_STOP_NOW ||
	       (l->phase == LOAD_FILL && l->stop != LOAD_GO_ON);
}

bool workload_make(struct load *l, struct load_slot *s)
{
	if (likely(l->phase == LOAD_RUN))
		return make_load(l, s);
	if (l->phase > LOAD_READBACK || workload_is_over(l) ||
	    !next_chunk(l, s))
		return false;
	return l->phase == LOAD_FILL ? make_write(l, s) : make_read(l, s);
}

const char *workload_type_name(uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return "read";
	case VIRTIO_BLK_T_OUT:
		return "write";
	case VIRTIO_BLK_T_FLUSH:
		return "flush";
	case VIRTIO_BLK_T_DISCARD:
		return "discard";
	default:
		return "write zeroes";
	}
}

static void judge_status(struct load *l, struct load_slot *s)
{
	uint64_t n = chunk_blocks(l);
	uint64_t at = s->nr_chunks ? s->chunks[0] * l->p->bs : 0;

	if (s->shared->status == GUESTBLK_NO_STATUS)
		load_complain(l, "%s at %#" PRIx64 ": no status was written",
			      workload_type_name(s->type), at);
	else
		load_complain(l, "%s at %#" PRIx64 ": status %u",
			      workload_type_name(s->type), at,
			      s->shared->status);
	/* It may or may not have been done, in whole or in part. */
	for (unsigned i = 0; l->p->verify && i < s->nr_chunks; i++)
		if (s->type != VIRTIO_BLK_T_IN)
			verify_forget(&l->verify, s->chunks[i] * n, n);
}

static void judge_data(struct load *l, struct load_slot *s)
{
	struct verify_finding f;
	uint64_t n = chunk_blocks(l);

	if (verify_check(&l->verify, s->chunks[0] * n, n, s->data, &f) == 0)
		return;
	load_complain(l,
		      "read at %#" PRIx64 ": %s: offset %#" PRIx64
		      " expected %s, found %s",
		      s->chunks[0] * l->p->bs, f.kind, f.block * VERIFY_BLOCK,
		      f.expected, f.found);
}

void workload_judge(struct load *l, struct load_slot *s)
{
	if (unlikely(s->shared->status != VIRTIO_BLK_S_OK))
		judge_status(l, s);
	else if (l->p->verify && s->type == VIRTIO_BLK_T_IN)
		judge_data(l, s);
	give_back(l, s);
}

uint64_t workload_bytes(const struct load *l, const struct load_slot *s)
{
	return s->type == VIRTIO_BLK_T_IN || s->type == VIRTIO_BLK_T_OUT
		       ? l->p->bs
		       : 0;
}
