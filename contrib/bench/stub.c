/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that answers at once, to measure what measures: it polls its rings,
 * moves no data, and says of every request that all went well.  What vringbench
 * makes of it is the most that it can show of any target.
 *
 *	bench-stub SOCKET
 *
 * It trusts its clients and serves one after the other, until it is killed.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "frontend.h"

#define BIT(n)	       (1ULL << (n))
#define NR_QUEUES      16
#define CAPACITY       BIT(40 - 9)
#define TURNS_PER_LOOK 4096 /* at the socket, which costs a system call */
#define PACKED_AVAIL   (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED    (1u << VRING_PACKED_DESC_F_USED)
#define PACKED_OWNER   (PACKED_AVAIL | PACKED_USED)

#define FEATURES                                                      \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) |        \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_BLK_F_FLUSH) | \
	 BIT(VIRTIO_BLK_F_MQ) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))
#define PROTOCOL_FEATURES \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_CONFIG))

/* Both formats have address and length in the same places. */
_Static_assert(offsetof(struct vring_desc, len) ==
		       offsetof(struct vring_packed_desc, len),
	       "descriptors");

struct region {
	struct vhost_user_mem_region is;
	uint8_t *at;
	size_t mapped;
};

struct stub_queue {
	struct vhost_user_vring_addr addr;
	unsigned size;
	int call;
	bool runs;
	uint16_t next; /* in a packed ring an index, else a count */
	bool wrap;
	union {
		struct vring split;
		struct {
			struct vring_packed_desc *desc;
			struct vring_packed_desc_event *driver;
		} packed;
	};
};

struct stub {
	struct frontend link; /* which sends and receives for either end */
	bool packed;
	struct region regions[VHOST_USER_MEM_REGIONS_MAX];
	unsigned nr_regions;
	struct stub_queue queues[NR_QUEUES];
};

/* -- memory --------------------------------------------------------------- */

static void die(const char *what)
{
	fprintf(stderr, "bench-stub: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *guest(const struct stub *s, uint64_t gpa)
{
	for (const struct region *r = s->regions;; r++)
		if (gpa - r->is.guest_addr < r->is.size)
			return r->at + (gpa - r->is.guest_addr);
}

static void *user(const struct stub *s, uint64_t uva)
{
	for (const struct region *r = s->regions;; r++)
		if (uva - r->is.user_addr < r->is.size)
			return r->at + (uva - r->is.user_addr);
}

static void unmap(struct stub *s)
{
	while (s->nr_regions) {
		struct region *r = &s->regions[--s->nr_regions];

		munmap(r->at - r->is.mmap_offset, r->mapped);
	}
}

static void map(struct stub *s, const struct frontend_msg *m)
{
	struct vhost_user_mem_table t;

	unmap(s);
	memcpy(&t, m->payload.bytes, sizeof(t));
	for (unsigned i = 0; i < t.nr_regions && i < m->nr_fds; i++) {
		struct region *r = &s->regions[s->nr_regions++];
		void *at;

		r->is = t.regions[i];
		r->mapped = r->is.size + r->is.mmap_offset;
		at = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, m->fds[i], 0);
		if (at == MAP_FAILED)
			die("mmap");
		r->at = (uint8_t *)at + r->is.mmap_offset;
	}
}

/* -- rings ---------------------------------------------------------------- */

/* The last byte of a request is its status. */
static void succeed(const struct stub *s, const struct vring_desc *last,
		    bool indirect)
{
	if (indirect) {
		const struct vring_desc *table = guest(s, le64toh(last->addr));

		last = &table[le32toh(last->len) / sizeof(*table) - 1];
	}
	*(uint8_t *)guest(s, le64toh(last->addr) + le32toh(last->len) - 1) =
		VIRTIO_BLK_S_OK;
}

static void call(const struct stub_queue *q, bool wanted)
{
	/* A full eventfd is as good as one more call. */
	if (wanted && q->call >= 0 && eventfd_write(q->call, 1))
		return;
}

static void answer_split(const struct stub *s, struct stub_queue *q)
{
	const struct vring *v = &q->split;
	uint16_t head = le16toh(v->avail->ring[q->next % q->size]);
	const struct vring_desc *d = &v->desc[head];

	while (le16toh(d->flags) & VRING_DESC_F_NEXT)
		d = &v->desc[le16toh(d->next)];
	succeed(s, d, le16toh(d->flags) & VRING_DESC_F_INDIRECT);
	v->used->ring[q->next % q->size] = (struct vring_used_elem){
		.id = htole32(head),
		.len = htole32(1),
	};
	q->next++;
}

static void serve_split(const struct stub *s, struct stub_queue *q)
{
	const struct vring *v = &q->split;
	uint16_t end =
		le16toh(__atomic_load_n(&v->avail->idx, __ATOMIC_ACQUIRE));

	if (q->next == end)
		return;
	while (q->next != end)
		answer_split(s, q);
	__atomic_store_n(&v->used->idx, htole16(end), __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	call(q, !(le16toh(v->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT));
}

static uint16_t packed_flags(const struct stub_queue *q, unsigned at)
{
	return le16toh(
		__atomic_load_n(&q->packed.desc[at].flags, __ATOMIC_ACQUIRE));
}

static bool is_available(const struct stub_queue *q)
{
	return (packed_flags(q, q->next) & PACKED_OWNER) ==
	       (q->wrap ? PACKED_AVAIL : PACKED_USED);
}

static void answer_packed(const struct stub *s, struct stub_queue *q)
{
	struct vring_packed_desc *first = &q->packed.desc[q->next];
	unsigned at = q->next;
	unsigned n = 1;

	for (; packed_flags(q, at) & VRING_DESC_F_NEXT; n++)
		at = at + 1 == q->size ? 0 : at + 1;
	succeed(s, (const struct vring_desc *)&q->packed.desc[at],
		packed_flags(q, at) & VRING_DESC_F_INDIRECT);
	first->id = q->packed.desc[at].id;
	first->len = htole32(1);
	__atomic_store_n(&first->flags, htole16(q->wrap ? PACKED_OWNER : 0),
			 __ATOMIC_RELEASE);
	if (q->next + n >= q->size)
		q->wrap = !q->wrap;
	q->next = (uint16_t)((q->next + n) % q->size);
}

static void serve_packed(const struct stub *s, struct stub_queue *q)
{
	if (!is_available(q))
		return;
	while (is_available(q))
		answer_packed(s, q);
	atomic_thread_fence(memory_order_seq_cst);
	call(q, le16toh(q->packed.driver->flags) !=
			VRING_PACKED_EVENT_FLAG_DISABLE);
}

/* Finds the ring, and wants no kicks ever. */
static void start_queue(const struct stub *s, struct stub_queue *q)
{
	if (s->packed) {
		struct vring_packed_desc_event *device = user(s, q->addr.used);

		q->packed.desc = user(s, q->addr.desc);
		q->packed.driver = user(s, q->addr.avail);
		device->flags = htole16(VRING_PACKED_EVENT_FLAG_DISABLE);
	} else {
		q->split.desc = user(s, q->addr.desc);
		q->split.avail = user(s, q->addr.avail);
		q->split.used = user(s, q->addr.used);
		q->split.used->flags = htole16(VRING_USED_F_NO_NOTIFY);
	}
	q->runs = true;
}

/* -- messages ------------------------------------------------------------- */

static int reply(struct stub *s, const struct frontend_msg *m,
		 const void *payload, size_t size)
{
	return frontend_send(&s->link, m->hdr.request, VHOST_USER_REPLY_MASK,
			     payload, size, NULL, 0);
}

static int reply_u64(struct stub *s, const struct frontend_msg *m,
		     uint64_t value)
{
	return reply(s, m, &value, sizeof(value));
}

static int reply_config(struct stub *s, struct frontend_msg *m)
{
	struct vhost_user_config *c = &m->payload.config;
	struct virtio_blk_config blk = {
		.capacity = htole64(CAPACITY),
		.num_queues = htole16(NR_QUEUES),
	};

	if (c->offset || c->size > sizeof(blk))
		c->size = 0;
	memcpy(c->payload, &blk, c->size);
	return reply(s, m, c, VHOST_USER_CONFIG_HEADER_SIZE + c->size);
}

static void set_base(const struct stub *s, struct stub_queue *q, uint32_t base)
{
	q->next = (uint16_t)(s->packed ? base & 0x7fff : base);
	q->wrap = base >> 15 & 1;
}

static int stop_queue(struct stub *s, const struct frontend_msg *m,
		      struct stub_queue *q)
{
	struct vhost_user_vring_state state = m->payload.state;

	q->runs = false;
	state.num = q->next | (s->packed && q->wrap ? 1u << 15 : 0);
	return reply(s, m, &state, sizeof(state));
}

static void set_call(struct stub_queue *q, struct frontend_msg *m)
{
	if (q->call >= 0)
		close(q->call);
	q->call = m->nr_fds ? m->fds[--m->nr_fds] : -1;
}

/* What needs no answer and is not named here is of no interest. */
static int handle(struct stub *s, struct frontend_msg *m)
{
	struct stub_queue *q = &s->queues[m->payload.state.index % NR_QUEUES];

	switch (m->hdr.request) {
	case VHOST_USER_GET_FEATURES:
		return reply_u64(s, m, FEATURES);
	case VHOST_USER_SET_FEATURES:
		s->packed = m->payload.u64 & BIT(VIRTIO_F_RING_PACKED);
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		return reply_u64(s, m, PROTOCOL_FEATURES);
	case VHOST_USER_GET_QUEUE_NUM:
		return reply_u64(s, m, NR_QUEUES);
	case VHOST_USER_GET_CONFIG:
		return reply_config(s, m);
	case VHOST_USER_SET_MEM_TABLE:
		map(s, m);
		break;
	case VHOST_USER_SET_VRING_NUM:
		q->size = m->payload.state.num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		memcpy(&q->addr, m->payload.bytes, sizeof(q->addr));
		break;
	case VHOST_USER_SET_VRING_BASE:
		set_base(s, q, m->payload.state.num);
		break;
	case VHOST_USER_GET_VRING_BASE:
		return stop_queue(s, m, q);
	case VHOST_USER_SET_VRING_CALL:
		set_call(q, m);
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		q->runs = false;
		if (m->payload.state.num)
			start_queue(s, q);
		break;
	}
	return 0;
}

/* Returns true while the client is there. */
static bool look_at_socket(struct stub *s)
{
	struct pollfd p = {.fd = s->link.fd, .events = POLLIN};
	struct frontend_msg m;
	int err;

	if (poll(&p, 1, 0) <= 0)
		return true;
	memset(&m.payload, 0, sizeof(m.payload));
	err = frontend_recv(&s->link, s->link.fd, &m);
	if (!err)
		err = handle(s, &m);
	frontend_msg_close(&m);
	return !err;
}

/* -- one client after the other -------------------------------------------- */

static void serve_client(int fd)
{
	struct stub s = {.nr_regions = 0};

	for (unsigned i = 0; i < NR_QUEUES; i++)
		s.queues[i].call = -1;
	frontend_init(&s.link);
	frontend_attach(&s.link, fd);
	do {
		for (unsigned turn = 0; turn < TURNS_PER_LOOK; turn++)
			for (struct stub_queue *q = s.queues;
			     q < s.queues + NR_QUEUES && q->runs; q++)
				if (s.packed)
					serve_packed(&s, q);
				else
					serve_split(&s, q);
	} while (look_at_socket(&s));
	unmap(&s);
	for (unsigned i = 0; i < NR_QUEUES; i++)
		if (s.queues[i].call >= 0)
			close(s.queues[i].call);
	frontend_close(&s.link);
}

int main(int argc, char **argv)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(sa.sun_path)) {
		fprintf(stderr, "usage: bench-stub SOCKET\n");
		return 2;
	}
	strcpy(sa.sun_path, argv[1]);
	if (listener < 0 || bind(listener, (void *)&sa, sizeof(sa)) ||
	    listen(listener, 1))
		die(argv[1]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		serve_client(fd);
	}
}
