/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that are given up, in three ways, with requests in flight. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"
#include "prove.h"

#define NR_QUEUES 4
#define NR_EACH	  32 /* requests of a queue: 128 in all */
#define BLOCK	  4096u

static const struct {
	uint32_t request;
	unsigned size;
	const char *name;
} ways[] = {
	{VHOST_USER_RESET_OWNER, 0, "RESET_OWNER"},
	{VHOST_USER_RESET_DEVICE, 0, "RESET_DEVICE"},
	{VHOST_USER_SET_STATUS, 8, "SET_STATUS 0"},
};

static const uint64_t zero;
static char path[128];

/* The attacked target is on a file, so that requests are under way. */
static void begin(void)
{
	int fd;

	attack_init(&attack);
	snprintf(path, sizeof(path), "%s/disk.img", attack.t.dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	attack.t.config.backend =
		(struct config_backend){.kind = CONFIG_KIND_FILE,
					.path = path,
					.delay_us = 1000};
	attack_begin(&attack);
}

static void end(void)
{
	cr_assert_eq(unlink(path), 0);
	attack_suite_end();
}

TestSuite(attacks_reset, .init = begin, .fini = end, .timeout = 120);

/* A guest with all queues; it goes, and nobody suffered. */
static void come(void)
{
	testguest_start(&attack.g, &attack.t, NR_QUEUES, UINT64_MAX);
}

/* -- requests ------------------------------------------------------------- */

static struct guestblk_req reqs[NR_QUEUES][NR_EACH];

static uint8_t pattern(unsigned queue, unsigned n, unsigned seed)
{
	return (uint8_t)(1 + queue * NR_EACH + n + seed * 37);
}

static uint64_t sector_of(unsigned queue, unsigned n)
{
	return (queue * NR_EACH + n) * (BLOCK / 512);
}

/* Memory for all requests, once for each guest. */
static void make_requests(uint32_t type)
{
	for (unsigned q = 0; q < NR_QUEUES; q++)
		for (unsigned n = 0; n < NR_EACH; n++)
			cr_assert_eq(guestblk_init(&reqs[q][n], &attack.g.mem,
						   type, sector_of(q, n),
						   BLOCK),
				     0);
}

/* Every block of the disk is in one of them. */
static void submit_writes(unsigned seed)
{
	struct guestring_seg seg[3];

	for (unsigned n = 0; n < NR_EACH; n++) {
		for (unsigned q = 0; q < NR_QUEUES; q++) {
			struct guestblk_req *r = &reqs[q][n];

			memset(r->data, pattern(q, n, seed), BLOCK);
			*r->status = GUESTBLK_NO_STATUS;
			cr_assert_eq(guestblk_segs(r, &attack.g.mem, NULL, seg,
						   3),
				     3);
			cr_assert_geq(frontend_submit(&attack.g.q[q], seg, 3,
						      r),
				      0);
		}
	}
}

static void await_writes(void)
{
	struct guestring_used u;

	for (unsigned q = 0; q < NR_QUEUES; q++) {
		for (unsigned n = 0; n < NR_EACH; n++) {
			cr_assert_eq(frontend_wait(&attack.g.q[q], &u, 5000),
				     0);
			cr_assert_eq(*((struct guestblk_req *)u.token)->status,
				     0);
		}
	}
}

static void check_disk(unsigned seed, const char *what, unsigned nr)
{
	static uint8_t want[BLOCK], got[BLOCK];
	int fd = open(path, O_RDONLY);

	cr_assert(fd >= 0);
	for (unsigned q = 0; q < NR_QUEUES; q++) {
		for (unsigned n = 0; n < NR_EACH; n++) {
			memset(want, pattern(q, n, seed), BLOCK);
			cr_assert_eq(pread(fd, got, BLOCK,
					   (off_t)sector_of(q, n) * 512),
				     BLOCK);
			cr_assert_eq(memcmp(want, got, BLOCK), 0,
				     "%s %u: block %u of ring %u", what, nr, n,
				     q);
		}
	}
	close(fd);
}

static enum attack_reply reset(unsigned way)
{
	return attack_send(&attack.g.f, ways[way].request,
			   ways[way].size ? &zero : NULL, ways[way].size, NULL,
			   0);
}

/* What a driver does after a reset; the VMM says nothing of its memory. */
static void set_up_again(void)
{
	cr_assert_eq(frontend_set_u64(&attack.g.f, VHOST_USER_SET_FEATURES,
				      attack.g.f.features),
		     0);
	for (unsigned q = 0; q < NR_QUEUES; q++) {
		guestring_reset(&attack.g.q[q].ring);
		cr_assert_eq(frontend_start_queue(&attack.g.f, &attack.g.q[q]),
			     0);
	}
}

/* -- attacks -------------------------------------------------------------- */

/*
 * A write that is answered after the reset could land on what is written then,
 * or use memory that is the guest's again.
 */
Test(attacks_reset, leaves_nothing_under_way)
{
	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		come();
		make_requests(VIRTIO_BLK_T_OUT);
		for (unsigned i = 0; i < 20; i++) {
			submit_writes(2 * i);
			attack_expect(ATTACK_ACCEPTED, reset(way),
				      ways[way].name, i);
			set_up_again();
			submit_writes(2 * i + 1);
			await_writes();
			usleep(2000);
			check_disk(2 * i + 1, ways[way].name, i);
		}
		attack_go(&attack, ways[way].name, 0);
	}
}

/* The answer comes when all that was taken is answered, and nothing after. */
Test(attacks_reset, answers_before_it_is_answered)
{
	uint16_t used[NR_QUEUES];

	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		come();
		make_requests(VIRTIO_BLK_T_OUT);
		submit_writes(way);
		attack_expect(ATTACK_ACCEPTED, reset(way), ways[way].name, 0);
		for (unsigned q = 0; q < NR_QUEUES; q++)
			used[q] = attack.g.q[q].ring.vring.used->idx;
		usleep(50000);
		for (unsigned q = 0; q < NR_QUEUES; q++) {
			cr_assert_eq(used[q],
				     attack.g.q[q].ring.vring.used->idx);
			frontend_kick(&attack.g.q[q]);
		}
		usleep(10000);
		for (unsigned q = 0; q < NR_QUEUES; q++)
			cr_assert_eq(used[q],
				     attack.g.q[q].ring.vring.used->idx);
		attack_go(&attack, ways[way].name, 0);
	}
}

/* Nobody waits for the answer, and more is sent, or nothing ever again. */
Test(attacks_reset, without_waiting_for_it)
{
	struct vhost_user_vring_state s = {1, 16};

	for (unsigned i = 0; i < 60; i++) {
		unsigned way = i % ARRAY_SIZE(ways);
		struct frontend *f = &attack.g.f;

		come();
		make_requests(i % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
		submit_writes(i);
		for (unsigned n = 0; n < i % 5; n++) {
			frontend_send(f, ways[way].request, 0,
				      ways[way].size ? &zero : NULL,
				      ways[way].size, NULL, 0);
			frontend_send(f, VHOST_USER_SET_VRING_NUM, 0, &s,
				      sizeof(s), NULL, 0);
			frontend_send(f, VHOST_USER_GET_VRING_BASE, 0, &s,
				      sizeof(s), NULL, 0);
		}
		frontend_send(f, ways[way].request, 0,
			      ways[way].size ? &zero : NULL, ways[way].size,
			      NULL, 0);
		attack_go(&attack, ways[way].name, i);
	}
}

/* A guest that broke its queue has it back after a reset. */
Test(attacks_reset, with_a_queue_that_is_broken)
{
	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		come();
		make_requests(VIRTIO_BLK_T_OUT);
		submit_writes(way);
		attack.g.q[1].ring.vring.avail->idx =
			(uint16_t)(attack.g.q[1].ring.vring.avail->idx + 999);
		frontend_kick(&attack.g.q[1]);
		attack_expect(ATTACK_ACCEPTED, reset(way), ways[way].name, 0);
		set_up_again();
		submit_writes(way + 1);
		await_writes();
		check_disk(way + 1, ways[way].name, 0);
		attack_go(&attack, ways[way].name, 0);
	}
}

/* Memory goes while what is in it is given up, and the other way round. */
Test(attacks_reset, together_with_its_memory)
{
	const struct vhost_user_mem_table none = {.nr_regions = 0};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(ways); i++) {
		unsigned way = i / 2;

		come();
		make_requests(VIRTIO_BLK_T_OUT);
		submit_writes(i);
		if (i % 2)
			attack_expect(ATTACK_ACCEPTED, reset(way),
				      ways[way].name, i);
		attack_expect(ATTACK_ACCEPTED,
			      attack_send(&attack.g.f, VHOST_USER_SET_MEM_TABLE,
					  &none, 8, NULL, 0),
			      ways[way].name, i);
		attack_expect(ATTACK_ACCEPTED, reset(way), ways[way].name, i);
		cr_assert_eq(frontend_share_memory(&attack.g.f, &attack.g.mem),
			     0);
		set_up_again();
		submit_writes(i + 1);
		await_writes();
		check_disk(i + 1, ways[way].name, i);
		attack_go(&attack, ways[way].name, i);
	}
}

/* Every status there is, and what is none, while requests are in flight. */
Test(attacks_reset, by_a_status_of_any_number)
{
	static const uint64_t more[] = {0x100, 0x10000, 1ULL << 32, 1ULL << 63,
					UINT64_MAX};

	come();
	make_requests(VIRTIO_BLK_T_OUT);
	for (unsigned i = 1; i < 256 + ARRAY_SIZE(more); i++) {
		uint64_t s = i < 256 ? i : more[i - 256];

		attack_expect(s & ~0xcfULL ? ATTACK_REFUSED : ATTACK_ACCEPTED,
			      attack_send(&attack.g.f, VHOST_USER_SET_STATUS,
					  &s, 8, NULL, 0),
			      "status", i);
		if (i % 16)
			continue;
		submit_writes(i);
		await_writes();
		check_disk(i, "status", i);
	}
	attack_go(&attack, "status", 0);
}
