/* SPDX-License-Identifier: BSD-2-Clause */
/* A proof that a queue serves its disk: data that is read back. */
#include "prove.h"

#include <errno.h>
#include <string.h>

#include "guestblk.h"

#define BYTES (PROVE_SECTORS * 512)

static void fill(uint8_t *buf, uint32_t seed)
{
	for (unsigned i = 0; i < BYTES; i++) {
		seed = seed * 1664525 + 1013904223;
		buf[i] = (uint8_t)(seed >> 24);
	}
}

static int write_and_read(struct frontend_queue *q, uint64_t sector,
			  uint32_t seed)
{
	uint8_t out[BYTES], in[BYTES];
	int ret;

	fill(out, seed);
	memset(in, 0, sizeof(in));
	ret = guestblk_write(q, sector, out, BYTES);
	if (!ret)
		ret = guestblk_flush(q);
	/* Whoever has not agreed on flushes may be told so. */
	if (!ret || ret == VIRTIO_BLK_S_UNSUPP)
		ret = guestblk_read(q, sector, in, BYTES);
	if (!ret && memcmp(in, out, BYTES) != 0)
		ret = -EIO;
	return ret;
}

int prove_disk(struct frontend_queue *q, uint64_t sector, uint32_t seed)
{
	struct guestmem *m = q->ring.mem;
	uint64_t used[64];
	unsigned nr = m->nr_regions < 64 ? m->nr_regions : 64;
	int ret;

	for (unsigned i = 0; i < nr; i++)
		used[i] = m->regions[i].used;
	ret = write_and_read(q, sector, seed);
	/* Only what is surely over may be used again. */
	for (unsigned i = 0; i < nr && !ret; i++)
		m->regions[i].used = used[i];
	return ret;
}
