/* SPDX-License-Identifier: BSD-2-Clause */
/* The slots of a queue: what a request needs, made once. */
#include "vhost/slots.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "base/util.h"
#include "run/offload.h"

#define CACHE_LINE 64

int slots_init(struct slots *s, unsigned nr, size_t room)
{
	size_t size = align_up(sizeof(struct slot) + room, CACHE_LINE);
	void *at = mmap(NULL, nr * size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*s = (struct slots){.size = size, .max = nr};
	if (at == MAP_FAILED)
		return -ENOMEM;
	/* A huge page would be all there at the first touch. */
	madvise(at, nr * size, MADV_NOHUGEPAGE);
	s->memory = at;
	return 0;
}

void slots_fini(struct slots *s)
{
	offload_munmap(s->memory, s->max * s->size);
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
	slot = (void *)(s->memory + s->made++ * s->size);
	slot->chain.max_iov = SLOT_IOV;
	slot->chain.room = slot + 1;
	return slot;
}

void slots_put(struct slots *s, struct slot *slot)
{
	slot->next = s->free;
	s->free = slot;
}
