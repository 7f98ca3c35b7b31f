/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake guest memory with one split ring in it, for unit tests and fuzzing. */
#include "ringmem.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

/* C lies before B in the file, so they are not neighbours in a mapping. */
static const struct memmap_range regions[] = {
	{ RM_A, RM_A_SIZE, RM_UVA + RM_A, 0 },
	{ RM_D, RM_DATA_SIZE, RM_UVA + RM_D, RM_A_SIZE },
	{ RM_C, RM_DATA_SIZE, RM_UVA + RM_C, RM_A_SIZE + RM_DATA_SIZE },
	{ RM_B, RM_DATA_SIZE, RM_UVA + RM_B, RM_A_SIZE + 2 * RM_DATA_SIZE },
};
#define FILE_SIZE (RM_A_SIZE + 3 * RM_DATA_SIZE)

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static void make_map(struct ringmem *rm, struct mailbox *home)
{
	must(!memmap_new(&rm->map, home), "memmap_new");
	for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
		struct memmap *more;

		must(!memmap_add(&more, rm->map, &regions[i], dup(rm->fd),
				 MAPPING_SHMEM),
		     "memmap_add");
		memmap_put(rm->map);
		rm->map = more;
	}
}

void rm_init(struct ringmem *rm, unsigned size)
{
	rm_init_at(rm, size, NULL);
}

void rm_init_at(struct ringmem *rm, unsigned size, struct mailbox *home)
{
	memset(rm, 0, sizeof(*rm));
	rm->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	must(rm->loop, "ev_loop_new");
	mailbox_init(&rm->home, rm->loop);
	rm->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(rm->fd >= 0 && !ftruncate(rm->fd, FILE_SIZE), "memfd");
	rm->mem = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       rm->fd, 0);
	must(rm->mem != MAP_FAILED, "mmap");
	rm->is_elsewhere = home;
	make_map(rm, home ? home : &rm->home);
	rm_set_size(rm, size);
}

static void set_true(void *flag)
{
	*(bool *)flag = true;
}

void rm_fini(struct ringmem *rm)
{
	bool gone = false;

	if (!rm->is_elsewhere) {
		memmap_on_gone(rm->map, set_true, &gone);
		memmap_put(rm->map);
		must(rm_wait(rm, &gone), "memmap_put");
	}
	mailbox_fini(&rm->home);
	munmap(rm->mem, FILE_SIZE);
	close(rm->fd);
	ev_loop_destroy(rm->loop);
}

void rm_set_size(struct ringmem *rm, unsigned size)
{
	uint64_t avail = RM_A + size * sizeof(*rm->desc);
	uint64_t used = align_up(avail + 6 + size * 2ull, 4096);

	rm->size = size;
	rm->addr = (struct ring_addr){ RM_UVA + RM_A, RM_UVA + avail,
				       RM_UVA + used };
	rm->desc = rm_at(rm, RM_A);
	rm->avail = rm_at(rm, avail);
	rm->used = rm_at(rm, used);
	memset(rm->mem, 0, RM_A_SIZE);
}

void *rm_at(const struct ringmem *rm, uint64_t gpa)
{
	for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
		if (gpa - regions[i].gpa < regions[i].size)
			return rm->mem + regions[i].offset +
			       (gpa - regions[i].gpa);
	}
	return NULL;
}

void *rm_host(const struct ringmem *rm, uint64_t gpa)
{
	struct iovec iov;

	return memmap_iov(rm->map, gpa, 1, &iov, 1) == 1 ? iov.iov_base : NULL;
}

void rm_set_desc(void *at, uint64_t addr, uint32_t len, unsigned flags,
		 unsigned next)
{
	struct vring_desc d = {
		.addr = addr, .len = len, .flags = flags, .next = next
	};

	memcpy(at, &d, sizeof(d));
}

void rm_desc(struct ringmem *rm, unsigned i, uint64_t addr, uint32_t len,
	     unsigned flags, unsigned next)
{
	rm_set_desc(&rm->desc[i], addr, len, flags, next);
}

void rm_avail(struct ringmem *rm, unsigned head)
{
	uint16_t idx = rm->avail->idx;

	rm->avail->ring[idx & (rm->size - 1)] = head;
	/* The entry comes before the index: pairs with the pop's acquire. */
	__atomic_store_n(&rm->avail->idx, idx + 1, __ATOMIC_RELEASE);
}

__virtio16 *rm_used_event(struct ringmem *rm)
{
	return &rm->avail->ring[rm->size];
}

__virtio16 *rm_avail_event(struct ringmem *rm)
{
	return (__virtio16 *)(void *)&rm->used->ring[rm->size];
}

static void timed_out(struct ev_loop *loop, struct ev_timer *t, int events)
{
	(void)events;
	(void)t;
	ev_break(loop, EVBREAK_ALL);
}

bool rm_wait(struct ringmem *rm, const bool *done)
{
	struct ev_timer limit;

	ev_timer_init(&limit, timed_out, 10, 0);
	ev_now_update(rm->loop);
	ev_timer_start(rm->loop, &limit);
	while (!*done && ev_is_active(&limit))
		ev_run(rm->loop, EVRUN_ONCE);
	ev_timer_stop(rm->loop, &limit);
	return *done;
}
