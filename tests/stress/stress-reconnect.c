/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMM that comes back thousands of times: it connects, gets as far as it
 * gets, and vanishes, with requests in flight and answers unread.  Now and then
 * it stays, and its disk must work.
 *
 *	stress-reconnect SOCKET COUNT [SEED]
 *
 * Needs a target with 4 queues.  Says what it did; status 1 if the target did
 * not serve it.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend.h"
#include "guestblk.h"

#define NR_QUEUES 4
#define NR_REQS	  16 /* of a queue */
#define MEM_SIZE  (4u << 20)
#define SECTORS	  8192u /* that are read and written */
#define BIT(n)	  (1ULL << (n))
#define PACKED	  BIT(34)

#define FEATURES                                         \
	(BIT(32) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) | \
	 BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ))
#define PROTOCOL                                          \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) |                  \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | \
	 BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |      \
	 BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |        \
	 BIT(VHOST_USER_PROTOCOL_F_STATUS))

/* The rings and requests of one format, made once. */
struct guest {
	struct guestmem mem;
	struct frontend_queue q[NR_QUEUES];
	struct guestblk_req reqs[NR_QUEUES][NR_REQS];
	uint64_t features;
};

static struct guest guests[2]; /* split, packed */
static uint64_t seed;
static unsigned nr_begun, nr_loaded, nr_proved;

/* Of those below @n, one. */
static unsigned any(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

static int complain(const char *what, int ret)
{
	fprintf(stderr, "stress-reconnect: %s: %s\n", what,
		ret < 0 ? strerror(-ret) : "status of a request");
	return 1;
}

/* -- the guest ------------------------------------------------------------ */

static int make_guest(struct guest *g, bool packed)
{
	const struct guestring_params p = {.size = 128, .packed = packed};
	int ret;

	g->features = FEATURES | (packed ? PACKED : 0);
	guestmem_init(&g->mem);
	ret = guestmem_add(&g->mem, 0, GUESTMEM_UVA_HOST, MEM_SIZE);
	for (unsigned i = 0; i < NR_QUEUES && ret >= 0; i++) {
		ret = frontend_queue_init(&g->q[i], i, &g->mem, &p);
		for (unsigned n = 0; n < NR_REQS && !ret; n++)
			ret = guestblk_init(&g->reqs[i][n], &g->mem,
					    n % 2 ? VIRTIO_BLK_T_IN
						  : VIRTIO_BLK_T_OUT,
					    0, 8192);
	}
	return ret;
}

static void free_guest(struct guest *g)
{
	for (unsigned i = 0; i < NR_QUEUES; i++)
		frontend_queue_fini(&g->q[i]);
	guestmem_fini(&g->mem);
}

/* All requests of a queue, to places of their own. */
static int submit_all(struct guest *g, unsigned queue)
{
	struct guestring_seg segs[3];
	int ret = 0;

	for (unsigned n = 0; n < NR_REQS && ret >= 0; n++) {
		struct guestblk_req *r = &g->reqs[queue][n];

		r->hdr->sector = any(SECTORS / 16) * 16;
		*r->status = GUESTBLK_NO_STATUS;
		ret = guestblk_segs(r, &g->mem, NULL, segs, 3);
		if (ret > 0)
			ret = frontend_submit(&g->q[queue], segs, (unsigned)ret,
					      r);
	}
	return ret < 0 ? ret : 0;
}

static int await_all(struct guest *g, unsigned queue)
{
	for (unsigned n = 0; n < NR_REQS; n++) {
		struct guestring_used u;
		int ret = frontend_wait(&g->q[queue], &u, 10000);

		if (ret)
			return ret;
		ret = *((struct guestblk_req *)u.token)->status;
		if (ret)
			return ret;
	}
	return 0;
}

/* -- one that knows what it does ------------------------------------------ */

static int negotiate(struct frontend *f, struct guest *g)
{
	const struct frontend_params p = {
		.features = g->features,
		.protocol_features = UINT64_MAX,
		.required = g->features,
		.queues = NR_QUEUES,
	};

	return frontend_negotiate(f, &p);
}

/* Half of them want to find again what is in flight. */
static int agree_on_inflight(struct frontend *f, unsigned nr_queues)
{
	struct frontend_inflight i;
	int ret;

	if (!frontend_has(f, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) || any(2))
		return 0;
	ret = frontend_get_inflight(f, nr_queues, 128, &i);
	if (ret)
		return ret;
	ret = frontend_set_inflight(f, &i);
	frontend_inflight_close(&i);
	return ret;
}

static int start(struct frontend *f, struct guest *g, unsigned nr_queues)
{
	int ret = agree_on_inflight(f, nr_queues);

	if (!ret)
		ret = frontend_share_memory(f, &g->mem);
	for (unsigned i = 0; i < nr_queues && !ret; i++) {
		/* Whoever was here before has let go of it by now. */
		guestring_reset(&g->q[i].ring);
		ret = frontend_start_queue(f, &g->q[i]);
	}
	return ret;
}

/* Starts @nr_queues and loads them; may stay to see that they work. */
static int be_served(struct frontend *f, struct guest *g, unsigned nr_queues,
		     bool stay)
{
	int ret = negotiate(f, g);

	if (!ret)
		ret = start(f, g, nr_queues);
	if (ret)
		return ret;
	for (unsigned i = 0; i < nr_queues && !ret; i++)
		ret = submit_all(g, i);
	nr_loaded++;
	if (!stay)
		return ret;
	for (unsigned i = 0; i < nr_queues && !ret; i++)
		ret = await_all(g, i);
	nr_proved += !ret;
	return ret;
}

/* -- one that does not wait ----------------------------------------------- */

static void send_u64(struct frontend *f, uint32_t request, uint64_t value)
{
	frontend_send(f, request, 0, &value, sizeof(value), NULL, 0);
}

static void send_state(struct frontend *f, uint32_t request, unsigned index,
		       unsigned num)
{
	struct vhost_user_vring_state s = {index, num};

	frontend_send(f, request, 0, &s, sizeof(s), NULL, 0);
}

/* The step @n of the set-up; of what goes wrong the target may make its own. */
static void take_step(struct frontend *f, struct guest *g, unsigned n)
{
	switch (n) {
	case 0:
		frontend_send(f, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
		break;
	case 1:
		send_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
		break;
	case 2:
		send_u64(f, VHOST_USER_SET_FEATURES, g->features);
		f->features = g->features;
		break;
	case 3:
		frontend_share_memory(f, &g->mem);
		break;
	default:
		n -= 4;
		if (n % 2 == 0)
			frontend_start_queue(f, &g->q[n / 2]);
		else
			submit_all(g, n / 2);
		break;
	}
}

#define NR_STEPS (4 + 2 * NR_QUEUES)

/* A last word that the answer to is not waited for. */
static void say_good_bye(struct frontend *f, struct guest *g)
{
	static const uint32_t half[] = {VHOST_USER_SET_VRING_NUM, 1, 8, 0};
	const struct vhost_user_mem_table none = {0};
	const struct vhost_user_inflight inflight = {.num_queues = NR_QUEUES,
						     .queue_size = 128};
	struct guestmem_region *r = &g->mem.regions[0];
	const struct vhost_user_single_mem_region region = {
		.region = {r->gpa, r->size, r->uva, r->fd_offset}};

	switch (any(11)) {
	case 0:
		send_state(f, VHOST_USER_GET_VRING_BASE, any(NR_QUEUES), 0);
		break;
	case 1:
		frontend_send(f, VHOST_USER_RESET_DEVICE, 0, NULL, 0, NULL, 0);
		break;
	case 2:
		send_u64(f, VHOST_USER_SET_STATUS, 0);
		break;
	case 3:
		frontend_send(f, VHOST_USER_SET_MEM_TABLE, 0, &none, 8, NULL,
			      0);
		break;
	case 4:
		frontend_send(f, VHOST_USER_REM_MEM_REG, 0, &region,
			      sizeof(region), NULL, 0);
		break;
	case 5:
		/* Its answer brings a descriptor. */
		frontend_send(f, VHOST_USER_GET_INFLIGHT_FD, 0, &inflight,
			      sizeof(inflight), NULL, 0);
		break;
	case 6:
		frontend_send_raw(f, half, 1 + any(sizeof(half) - 1), NULL, 0);
		break;
	default:
		break;
	}
}

/* Some steps without an answer to any; but mostly the target is there. */
static void rush(struct frontend *f, struct guest *g)
{
	unsigned nr = any(NR_STEPS + 8);
	uint64_t features;

	if (any(4) && frontend_get_u64(f, VHOST_USER_GET_FEATURES, &features))
		return;
	nr_begun++;
	for (unsigned i = 0; i < NR_QUEUES; i++)
		guestring_reset(&g->q[i].ring);
	for (unsigned n = 0; n < nr && n < NR_STEPS; n++)
		take_step(f, g, n);
	say_good_bye(f, g);
}

/* -- all of them ---------------------------------------------------------- */

/*
 * While one of us is leaving, the next is held, and turned away when one more
 * comes: so who wants to be served may have to come again.
 */
static int come_to_stay(const char *path, struct guest *g)
{
	int ret = 0;

	for (unsigned i = 0; i < 5; i++) {
		struct frontend f;

		frontend_init(&f);
		ret = frontend_connect(&f, path);
		if (!ret)
			ret = be_served(&f, g, 2 + any(3), any(2));
		frontend_close(&f);
		if (!ret)
			break;
		usleep(10000);
	}
	return ret;
}

static int come_and_go(const char *path, unsigned nr)
{
	struct guest *g = &guests[any(2)];
	struct frontend f;
	int ret;

	if (nr % 8 == 0)
		return come_to_stay(path, g);
	frontend_init(&f);
	ret = frontend_connect(&f, path);
	if (!ret)
		rush(&f, g);
	frontend_close(&f);
	return ret;
}

int main(int argc, char **argv)
{
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	int ret = 0;

	if (argc < 3) {
		fprintf(stderr, "stress-reconnect SOCKET COUNT [SEED]\n");
		return 2;
	}
	seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = make_guest(&guests[i], i);
	if (ret)
		return complain("cannot make a guest", ret);
	for (unsigned i = 0; i < count; i++) {
		ret = come_and_go(argv[1], i);
		if (ret)
			return complain("it is not served", ret);
	}
	for (unsigned i = 0; i < 2; i++)
		free_guest(&guests[i]);
	printf("%u connections: %u rushed, %u loaded, %u stayed\n", count,
	       nr_begun, nr_loaded, nr_proved);
	return nr_begun && nr_loaded && nr_proved ? 0 : 1;
}
