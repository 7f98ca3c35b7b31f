/* SPDX-License-Identifier: BSD-2-Clause */
/* One ring is stopped and begins anew with another size; others run on. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"
#include "testtarget.h"

#define NR_OTHERS 3
#define NR_REQS	  16u
#define BLOCK	  4096u
#define NR_ROUNDS 300

static struct testtarget t;
static struct testguest g;
static char path[128];

static void begin(void)
{
	int fd;

	testtarget_init(&t);
	t.nr_workers = 2;
	t.config.packed = true;
	snprintf(path, sizeof(path), "%s/disk.img", t.dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	/* So that a ring is stopped with requests in flight. */
	t.config.backend = (struct config_backend){.kind = CONFIG_KIND_FILE,
						   .path = path,
						   .delay_us = 500};
	testtarget_start(&t);
}

static void end(void)
{
	cr_assert_eq(unlink(path), 0);
	testtarget_stop(&t);
}

TestSuite(restarts, .init = begin, .fini = end, .timeout = 120);

/* -- a queue's blocks of the disk ----------------------------------------- */

struct blocks {
	struct frontend_queue *q;
	unsigned index; /* of the queue */
	unsigned nr;
	struct guestblk_req out[NR_REQS], in[NR_REQS];
};

static void make_blocks(struct blocks *b, unsigned index)
{
	b->index = index;
	b->nr = NR_REQS;
	for (unsigned n = 0; n < NR_REQS; n++) {
		uint64_t sector = (index * NR_REQS + n) * (BLOCK / 512);

		cr_assert_eq(guestblk_init(&b->out[n], &g.mem, VIRTIO_BLK_T_OUT,
					   sector, BLOCK),
			     0);
		cr_assert_eq(guestblk_init(&b->in[n], &g.mem, VIRTIO_BLK_T_IN,
					   sector, BLOCK),
			     0);
	}
}

static uint8_t pattern(const struct blocks *b, unsigned n, unsigned seed)
{
	return (uint8_t)(b->index * 67 + n * 3 + seed);
}

static int submit(struct blocks *b, struct guestblk_req *reqs)
{
	struct guestring_seg segs[3];
	int ret = 0;

	for (unsigned n = 0; n < b->nr && ret >= 0; n++) {
		*reqs[n].status = GUESTBLK_NO_STATUS;
		ret = guestblk_segs(&reqs[n], &g.mem, NULL, segs, 3);
		if (ret > 0)
			ret = frontend_submit(b->q, segs, (unsigned)ret,
					      &reqs[n]);
	}
	return ret < 0 ? ret : 0;
}

static int await(struct blocks *b)
{
	int ret = 0;

	for (unsigned n = 0; n < b->nr && !ret; n++) {
		struct guestring_used u;

		ret = frontend_wait(b->q, &u, 5000);
		if (!ret)
			ret = *((struct guestblk_req *)u.token)->status;
	}
	return ret;
}

static int submit_writes(struct blocks *b, unsigned seed)
{
	for (unsigned n = 0; n < b->nr; n++)
		memset(b->out[n].data, pattern(b, n, seed), BLOCK);
	return submit(b, b->out);
}

/* Writes all blocks and reads them back. */
static int verify(struct blocks *b, unsigned seed)
{
	int ret = submit_writes(b, seed);

	if (!ret)
		ret = await(b);
	for (unsigned n = 0; n < b->nr; n++)
		memset(b->in[n].data, 0, BLOCK);
	if (!ret)
		ret = submit(b, b->in);
	if (!ret)
		ret = await(b);
	for (unsigned n = 0; n < b->nr && !ret; n++)
		if (memcmp(b->in[n].data, b->out[n].data, BLOCK) != 0)
			ret = -EIO;
	return ret;
}

/* -- the others ----------------------------------------------------------- */

struct other {
	pthread_t thread;
	struct blocks blocks;
	unsigned rounds;
	int ret;
};

static struct other others[NR_OTHERS];
static atomic_bool enough;

static void *run_other(void *arg)
{
	struct other *o = arg;

	while (!atomic_load(&enough) && !o->ret)
		o->ret = verify(&o->blocks, ++o->rounds);
	return NULL;
}

static void start_others(void)
{
	for (unsigned i = 0; i < NR_OTHERS; i++) {
		make_blocks(&others[i].blocks, i);
		others[i].blocks.q = &g.q[i];
	}
	for (unsigned i = 0; i < NR_OTHERS; i++)
		cr_assert_eq(pthread_create(&others[i].thread, NULL, run_other,
					    &others[i]),
			     0);
}

static void stop_others(void)
{
	atomic_store(&enough, true);
	for (unsigned i = 0; i < NR_OTHERS; i++) {
		pthread_join(others[i].thread, NULL);
		cr_assert_eq(others[i].ret, 0, "queue %u, round %u: %d", i,
			     others[i].rounds, others[i].ret);
		cr_assert_geq(others[i].rounds, 5);
	}
}

/* -- the one that is restarted -------------------------------------------- */

/* Of memory files: an offload thread, say, has a stack. */
static unsigned count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:") != NULL;
	fclose(f);
	return n;
}

static bool is_back_to(unsigned fds, unsigned mappings)
{
	for (int i = 0; i < 2000; i++) {
		if (attack_count_fds() <= fds && count_mappings() <= mappings)
			return true;
		usleep(1000);
	}
	return false;
}

static const unsigned split_sizes[] = {4, 8, 16, 32, 64, 128, 256};
static const unsigned packed_sizes[] = {3, 5, 7, 12, 100, 128, 199, 256};

static struct frontend_queue rings[ARRAY_SIZE(packed_sizes)];

static void make_rings(const unsigned *sizes, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		const struct guestring_params p = {
			.size = sizes[i],
			.packed = g.q[0].ring.packed,
			.event_idx = g.q[0].ring.event_idx,
		};

		cr_assert_eq(frontend_queue_init(&rings[i], NR_OTHERS, &g.mem,
						 &p),
			     0);
	}
}

/*
 * What is in flight when the ring is stopped is answered by then, and writes to
 * nothing afterwards, neither the disk nor the ring.
 */
static void stop_in_mid_request(struct blocks *b, unsigned round)
{
	struct guestring_used u;
	unsigned base, nr = 0;

	cr_assert_eq(submit_writes(b, round), 0);
	if (round % 3)
		usleep(round % 3 * 200);
	cr_assert_eq(frontend_stop_queue(&g.f, b->q, &base), 0);
	while (guestring_pop(&b->q->ring, &u) > 0) {
		cr_assert_eq(*((struct guestblk_req *)u.token)->status, 0);
		nr++;
	}
	for (unsigned n = 0; n < b->nr; n++)
		nr += *b->out[n].status == GUESTBLK_NO_STATUS;
	cr_assert_eq(nr, b->nr, "each is answered or was never taken");
}

static void restart_often(unsigned nr)
{
	static struct blocks b;
	unsigned fds = 0, mappings = 0;

	make_blocks(&b, NR_OTHERS);
	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		struct frontend_queue *q = &rings[round * 3 % nr];

		guestring_reset(&q->ring);
		cr_assert_eq(frontend_start_queue(&g.f, q), 0);
		b.q = q;
		b.nr = MIN(q->ring.size / 3, NR_REQS);
		cr_assert_eq(verify(&b, round), 0, "round %u, size %u", round,
			     q->ring.size);
		stop_in_mid_request(&b, round + 100);
		/* What is made once is made. */
		if (round == nr) {
			usleep(20000);
			fds = attack_count_fds();
			mappings = count_mappings();
		}
	}
	cr_assert(is_back_to(fds, mappings),
		  "%u descriptors, not %u; %u mappings, not %u",
		  attack_count_fds(), fds, count_mappings(), mappings);
}

static void run(const unsigned *sizes, unsigned nr, uint64_t features)
{
	testguest_start(&g, &t, NR_OTHERS, features);
	make_rings(sizes, nr);
	start_others();
	restart_often(nr);
	stop_others();
	for (unsigned i = 0; i < nr; i++)
		frontend_queue_fini(&rings[i]);
	testguest_stop(&g);
}

Test(restarts, of_a_split_ring_beside_others)
{
	run(split_sizes, ARRAY_SIZE(split_sizes), 1ULL << 29);
}

Test(restarts, of_a_packed_ring_beside_others)
{
	run(packed_sizes, ARRAY_SIZE(packed_sizes), 1ULL << 34);
}
