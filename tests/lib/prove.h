/* SPDX-License-Identifier: BSD-2-Clause */
/* A proof that a queue serves its disk: data that is read back. */
#pragma once

#include <stdint.h>

#include "frontend.h"

#define PROVE_SECTORS 8

/*
 * Writes PROVE_SECTORS sectors from @sector on with a pattern of its own for
 * each @seed, asks for a flush, reads them back and compares.  Takes no guest
 * memory for good.  Returns 0; the status of a request that failed; -EIO when
 * other data came back; or -errno of guestblk_run().
 */
int prove_disk(struct frontend_queue *q, uint64_t sector, uint32_t seed);
