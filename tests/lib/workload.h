/* SPDX-License-Identifier: BSD-2-Clause */
/* Which request a load makes next, and what its answer means. */
#pragma once

#include "load.h"

/*
 * Makes the next request of the phase in @s: header, data and what is to be
 * expected.  Returns false when there is none now: the phase is over, or all
 * that was tried is in flight.
 */
bool workload_make(struct load *l, struct load_slot *s);

/* Whether the phase has no more requests to make. */
bool workload_is_over(const struct load *l);

/* Judges the answer: status, and data if they are to be verified. */
void workload_judge(struct load *l, struct load_slot *s);

/* The name of a VIRTIO_BLK_T_. */
const char *workload_type_name(uint32_t type);

/* Whether the disk offers requests of this type. */
bool workload_is_offered(const struct load *l, uint32_t type);

/* The bytes of the disk that a read or write moves, 0 for any other. */
uint64_t workload_bytes(const struct load *l, const struct load_slot *s);
