/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake guest memory with one ring in it, for unit tests and fuzzing. */
#include "ringmem.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define SIZE_MAX_RING 32768
#define IDS	      65536 /* that a driver can write */
#define F_AVAIL	      (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED	      (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_BIT      (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

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

void rm_init(struct ringmem *rm, bool packed, unsigned size)
{
	rm_init_at(rm, packed, size, NULL);
}

void rm_init_at(struct ringmem *rm, bool packed, unsigned size,
		struct mailbox *home)
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
	rm_place(rm, packed, size);
}

static void set_true(void *flag)
{
	*(bool *)flag = true;
}

static void free_notes(struct ringmem *rm)
{
	if (rm->is_packed)
		free(rm->desc); /* else it is the ring's */
	free(rm->nr_desc);
	free(rm->answers);
	rm->desc = NULL;
	rm->nr_desc = NULL;
	rm->answers = NULL;
}

void rm_fini(struct ringmem *rm)
{
	bool gone = false;

	if (!rm->is_elsewhere) {
		memmap_on_gone(rm->map, set_true, &gone);
		memmap_put(rm->map);
		must(rm_wait(rm, &gone), "memmap_put");
	}
	free_notes(rm);
	mailbox_fini(&rm->home);
	munmap(rm->mem, FILE_SIZE);
	close(rm->fd);
	ev_loop_destroy(rm->loop);
}

static void place_split(struct ringmem *rm)
{
	uint64_t avail = RM_A + rm->size * sizeof(*rm->desc);
	uint64_t used = align_up(avail + 6 + rm->size * 2ull, 4096);

	rm->addr = (struct ring_addr){ RM_UVA + RM_A, RM_UVA + avail,
				       RM_UVA + used };
	rm->desc = rm_at(rm, RM_A);
	rm->avail = rm_at(rm, avail);
	rm->used = rm_at(rm, used);
}

static void place_packed(struct ringmem *rm)
{
	uint64_t driver = RM_A + rm->size * sizeof(*rm->packed);
	uint64_t device = align_up(driver + sizeof(*rm->driver), 4096);

	rm->addr = (struct ring_addr){ RM_UVA + RM_A, RM_UVA + driver,
				       RM_UVA + device };
	rm->packed = rm_at(rm, RM_A);
	rm->driver = rm_at(rm, driver);
	rm->device = rm_at(rm, device);
	rm->desc = calloc(rm->size, sizeof(*rm->desc));
	rm->nr_desc = calloc(IDS, sizeof(*rm->nr_desc));
	rm->answers = calloc(SIZE_MAX_RING, sizeof(*rm->answers));
	must(rm->desc && rm->nr_desc && rm->answers, "calloc");
}

void rm_place(struct ringmem *rm, bool packed, unsigned size)
{
	free_notes(rm);
	rm->is_packed = packed;
	rm->size = size;
	rm->avail = NULL;
	rm->used = NULL;
	rm->packed = NULL;
	rm->driver = NULL;
	rm->device = NULL;
	memset(rm->mem, 0, RM_A_SIZE);
	if (packed)
		place_packed(rm);
	else
		place_split(rm);
	rm_begin(rm, packed ? WRAP_BIT : 0);
}

void rm_begin(struct ringmem *rm, uint16_t base)
{
	if (!rm->is_packed) {
		rm->avail->idx = base;
		rm->used->idx = base;
		return;
	}
	rm->next_avail = (struct ring_pos){ base & (WRAP_BIT - 1),
					    base & WRAP_BIT };
	rm->next_used = rm->next_avail;
	rm->nr_used = 0;
	memset(rm->nr_desc, 0, IDS * sizeof(*rm->nr_desc));
	/* All was used: up to here in this lap, behind it in the one before. */
	for (unsigned i = 0; i < rm->size; i++) {
		bool wrap = rm->next_avail.wrap == (i < rm->next_avail.idx);

		rm->packed[i].flags = wrap ? F_AVAIL | F_USED : 0;
	}
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

	if (memmap_iov(rm->map, NULL, gpa, 1, &iov, 1) != 1)
		return NULL;
	return iov.iov_base;
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

/* ---- what the driver makes available ---- */

static void avail_split(struct ringmem *rm, unsigned head)
{
	uint16_t idx = rm->avail->idx;

	rm->avail->ring[idx & (rm->size - 1)] = head;
	/* The entry comes before the index: pairs with the pop's acquire. */
	__atomic_store_n(&rm->avail->idx, idx + 1, __ATOMIC_RELEASE);
}

static struct ring_pos after(const struct ringmem *rm, struct ring_pos pos,
			     unsigned n)
{
	if (pos.idx + n >= rm->size)
		return (struct ring_pos){ pos.idx + n - rm->size, !pos.wrap };
	return (struct ring_pos){ pos.idx + n, pos.wrap };
}

/* Returns the flags that make it available. */
static uint16_t put_packed(struct ringmem *rm, struct ring_pos at,
			   const struct vring_desc *note, unsigned id)
{
	struct vring_packed_desc *d = &rm->packed[at.idx];

	d->addr = note->addr;
	d->len = note->len;
	d->id = id;
	return (note->flags & ~(F_AVAIL | F_USED)) |
	       (at.wrap ? F_AVAIL : F_USED);
}

static void avail_packed(struct ringmem *rm, unsigned id)
{
	static const struct vring_desc none;
	const struct vring_desc *note = id < rm->size ? &rm->desc[id] : &none;
	struct ring_pos first = rm->next_avail, at = first;
	uint16_t first_flags = put_packed(rm, at, note, id);
	unsigned n = 1;

	for (; note->flags & VRING_DESC_F_NEXT && n < rm->size; n++) {
		note = &rm->desc[note->next];
		at = after(rm, at, 1);
		rm->packed[at.idx].flags = put_packed(rm, at, note, id);
	}
	rm->nr_desc[id] = n;
	rm->last_nr_desc = n;
	rm->next_avail = after(rm, first, n);
	/* The first one shows all of them: pairs with the pop's acquire. */
	__atomic_store_n(&rm->packed[first.idx].flags, first_flags,
			 __ATOMIC_RELEASE);
}

void rm_avail(struct ringmem *rm, unsigned head)
{
	if (rm->is_packed)
		avail_packed(rm, head);
	else
		avail_split(rm, head);
}

void rm_chain(struct ringmem *rm, unsigned head, const struct rm_buf *bufs,
	      unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rm_desc(rm, (head + i) % rm->size, bufs[i].addr, bufs[i].len,
			bufs[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
			(head + i + 1) % rm->size);
	rm_avail(rm, head);
}

void rm_table(struct ringmem *rm, uint64_t gpa, const struct rm_buf *bufs,
	      unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vring_desc d = { bufs[i].addr, bufs[i].len,
					bufs[i].flags, 0 };
		const unsigned char *from = (unsigned char *)&d;

		if (!rm->is_packed && i + 1 < n) {
			d.flags |= VRING_DESC_F_NEXT;
			d.next = i + 1;
		}
		if (rm->is_packed)
			memcpy(&d, &(struct vring_packed_desc){
				d.addr, d.len, 0, d.flags }, sizeof(d));
		/* It may cross from one region into another at any byte. */
		for (unsigned k = 0; k < sizeof(d); k++)
			*(unsigned char *)rm_at(rm, gpa++) = from[k];
	}
}

/* ---- what the device answers ---- */

static void read_answers(struct ringmem *rm)
{
	for (;;) {
		struct vring_packed_desc *d = &rm->packed[rm->next_used.idx];
		/* What it shows comes after it: pairs with the publish. */
		uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);

		if (!(flags & F_AVAIL) == rm->next_used.wrap ||
		    !(flags & F_USED) == rm->next_used.wrap)
			return;
		must(rm->nr_desc[d->id], "answer to what is not in flight");
		rm->answers[rm->nr_used++ % SIZE_MAX_RING] =
			(struct vring_used_elem){ d->id, d->len };
		rm->next_used = after(rm, rm->next_used, rm->nr_desc[d->id]);
		rm->nr_desc[d->id] = 0;
	}
}

uint16_t rm_nr_used(struct ringmem *rm)
{
	if (!rm->is_packed)
		return __atomic_load_n(&rm->used->idx, __ATOMIC_ACQUIRE);
	read_answers(rm);
	return rm->nr_used;
}

struct vring_used_elem rm_used(struct ringmem *rm, unsigned i)
{
	if (!rm->is_packed)
		return rm->used->ring[i & (rm->size - 1)];
	read_answers(rm);
	return rm->answers[i % SIZE_MAX_RING];
}

/* ---- kicks and calls ---- */

void rm_want_calls(struct ringmem *rm, bool wanted)
{
	if (rm->is_packed)
		__atomic_store_n(&rm->driver->flags,
				 wanted ? VRING_PACKED_EVENT_FLAG_ENABLE :
					  VRING_PACKED_EVENT_FLAG_DISABLE,
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&rm->avail->flags,
				 wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT,
				 __ATOMIC_RELAXED);
}

void rm_want_call_at(struct ringmem *rm, unsigned n)
{
	if (!rm->is_packed) {
		__atomic_store_n(rm_used_event(rm), n, __ATOMIC_SEQ_CST);
		return;
	}

	bool wrap = !(n / rm->size % 2);

	__atomic_store_n(&rm->driver->off_wrap,
			 n % rm->size | (wrap ? WRAP_BIT : 0),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&rm->driver->flags, VRING_PACKED_EVENT_FLAG_DESC,
			 __ATOMIC_SEQ_CST);
}

bool rm_is_disarmed(const struct ringmem *rm)
{
	return rm->is_packed ?
		       rm->device->flags == VRING_PACKED_EVENT_FLAG_DISABLE :
		       rm->used->flags & VRING_USED_F_NO_NOTIFY;
}

static bool packed_wants_kick(const struct ringmem *rm)
{
	uint16_t flags = __atomic_load_n(&rm->device->flags, __ATOMIC_ACQUIRE);

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;

	uint16_t event =
		__atomic_load_n(&rm->device->off_wrap, __ATOMIC_RELAXED);
	uint16_t at = event & (WRAP_BIT - 1);
	uint16_t now = rm->next_avail.idx;

	/* An event of the round before lies a whole ring behind. */
	if (!(event & WRAP_BIT) == rm->next_avail.wrap)
		at -= rm->size;
	return vring_need_event(at, now, now - rm->last_nr_desc);
}

bool rm_wants_kick(const struct ringmem *rm, bool event_idx)
{
	if (rm->is_packed)
		return packed_wants_kick(rm);
	if (!event_idx)
		return !(__atomic_load_n(&rm->used->flags, __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);

	const __virtio16 *event = (void *)&rm->used->ring[rm->size];
	uint16_t now = rm->avail->idx;

	return vring_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), now,
				now - 1);
}

static bool packed_wants_next_kick(const struct ringmem *rm)
{
	uint16_t flags = __atomic_load_n(&rm->device->flags, __ATOMIC_ACQUIRE);
	uint16_t event =
		__atomic_load_n(&rm->device->off_wrap, __ATOMIC_RELAXED);

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	return event == (rm->next_avail.idx |
			 (rm->next_avail.wrap ? WRAP_BIT : 0));
}

bool rm_wants_next_kick(const struct ringmem *rm, bool event_idx)
{
	if (rm->is_packed)
		return packed_wants_next_kick(rm);
	if (!event_idx)
		return rm_wants_kick(rm, false);

	const __virtio16 *event = (void *)&rm->used->ring[rm->size];

	return __atomic_load_n(event, __ATOMIC_RELAXED) == rm->avail->idx;
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
