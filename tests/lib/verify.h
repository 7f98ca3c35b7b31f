/* SPDX-License-Identifier: BSD-2-Clause */
/* Knows what each block of a disk must hold, and says how it differs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Theory of operation
 *
 * Every 16 bytes of a block that was written say where they belong: byte
 * offset on the disk, generation of the block, seed of the run.  A generation
 * is used once: each write of a block takes the next.  So a block that is
 * stale, torn, misplaced or of an earlier run is told from the right one, down
 * to 16 bytes.
 *
 * What is expected changes when a request is made, not when it is answered.
 * That is sound as long as no two requests on one block are in flight at once,
 * which is the caller's part.
 *
 * Offsets and lengths are in blocks of 512 bytes.  One thread at a time.
 */

#define VERIFY_BLOCK 512u

struct verify {
	uint64_t nr_blocks;
	uint32_t seed;
	uint32_t *blocks;    /* generation << 2 | what is expected */
	uint64_t nr_checked; /* blocks that were found right */
};

/* The first bad block of a read. */
struct verify_finding {
	uint64_t block;
	const char *kind; /* stale, torn, misplaced, foreign, lost */
	char expected[96];
	char found[96];
};

/*
 * What a buffer is to be filled with before a read, so that what the target
 * leaves out is told from right data of an earlier read.
 */
#define VERIFY_POISON 0xa5

/* Nothing is known about any block.  Returns 0 or -ENOMEM. */
int verify_init(struct verify *v, uint64_t nr_blocks, uint32_t seed);

/* Accepts a zeroed one. */
void verify_fini(struct verify *v);

/* Fills @buf with the next generation of @n blocks, and expects it. */
void verify_write(struct verify *v, uint64_t block, uint64_t n, void *buf);

/* Expects zeroes. */
void verify_zero(struct verify *v, uint64_t block, uint64_t n);

/* Expects nothing: the blocks were discarded, or a write of them failed. */
void verify_forget(struct verify *v, uint64_t block, uint64_t n);

/* Whether anything is expected of any of these blocks. */
bool verify_is_known(const struct verify *v, uint64_t block, uint64_t n);

/*
 * Compares what was read.  Returns 0, or -EBADMSG and fills @f with the first
 * block that differs.
 */
int verify_check(struct verify *v, uint64_t block, uint64_t n, const void *buf,
		 struct verify_finding *f);
