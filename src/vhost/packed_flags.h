/* SPDX-License-Identifier: BSD-2-Clause */
/* The two bits that make a descriptor of a packed ring available or used. */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)

/*
 * Is a descriptor with @flags, in our byte order, available in a ring whose
 * wrap counter is @wrap; was it used there?  Any thread.
 */
static inline bool packed_flags_available(uint16_t flags, bool wrap)
{
	return !!(flags & PACKED_AVAIL) == wrap &&
	       !!(flags & PACKED_USED) != wrap;
}

static inline bool packed_flags_used(uint16_t flags, bool wrap)
{
	return !!(flags & PACKED_AVAIL) == wrap &&
	       !!(flags & PACKED_USED) == wrap;
}
