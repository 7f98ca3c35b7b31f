/* SPDX-License-Identifier: BSD-2-Clause */
/* The slots of a queue: what a request needs, made once. */
#include "vhost/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/util.h"

#define CACHE_LINE 64

int slots_init(struct slots *s, unsigned nr, size_t room)
{
	*s = (struct slots){
		.size = align_up(sizeof(struct slot) + room, CACHE_LINE),
		.max = nr,
	};
	/* Large, so pages of zeroes that come when touched. */
	s->memory = calloc(1, nr * s->size + CACHE_LINE);
	if (!s->memory)
		return -ENOMEM;
	s->first = (void *)align_up((uintptr_t)s->memory, CACHE_LINE);
	return 0;
}

void slots_fini(struct slots *s)
{
	free(s->memory);
	s->memory = NULL;
}

struct slot *slots_get(struct slots *s)
{
	struct slot *slot = s->free;

	if (slot) {
		s->free = slot->next;
		return slot;
	}
	assert(s->made < s->max);
	slot = (void *)(s->first + s->made++ * s->size);
	slot->chain.max_iov = SLOT_IOV;
	slot->chain.room = slot + 1;
	return slot;
}

void slots_put(struct slots *s, struct slot *slot)
{
	slot->next = s->free;
	s->free = slot;
}
