/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/workload: what it asks for, and what it thinks of the answers. */
#include <criterion/criterion.h>
#include <endian.h>
#include <stdlib.h>

#include "base/util.h"
#include "workload.h"

#define CHUNKS 64
#define BS     1024u
#define SLOTS  16

static struct load_params params;
static struct load load;
static struct load_slot slots[SLOTS];
static struct load_shared shared[SLOTS];
static _Alignas(16) uint8_t data[SLOTS][BS];
static _Alignas(16) uint8_t disk[CHUNKS * BS];
static unsigned nr_of_type[32];

static void setup(void)
{
	params = (struct load_params){
		.bs = BS,
		.verify = true,
		.random = true,
		.reads = true,
		.writes = true,
	};
	load = (struct load){
		.p = &params,
		.path = "test",
		.features = 1ULL << VIRTIO_BLK_F_FLUSH |
			    1ULL << VIRTIO_BLK_F_DISCARD |
			    1ULL << VIRTIO_BLK_F_WRITE_ZEROES,
		.max_ranges = LOAD_RANGES_MAX,
		.nr_chunks = CHUNKS,
		.random = 4711,
		.phase = LOAD_RUN,
	};
	load.busy = calloc(CHUNKS / 8 + 1, 1);
	cr_assert_eq(verify_init(&load.verify, CHUNKS * BS / VERIFY_BLOCK, 1),
		     0);
	for (unsigned i = 0; i < SLOTS; i++) {
		slots[i].shared = &shared[i];
		slots[i].data = data[i];
	}
	/* What it complains of is counted; nobody wants to read it. */
	load.stats.errors = LOAD_COMPLAINTS;
	memset(disk, 0x11, sizeof(disk));
}

static void teardown(void)
{
	verify_fini(&load.verify);
	free(load.busy);
}

TestSuite(workload, .init = setup, .fini = teardown);

static uint64_t errors(void)
{
	return load.stats.errors - LOAD_COMPLAINTS;
}

static void zero_ranges(const struct load_slot *s)
{
	const struct virtio_blk_discard_write_zeroes *r = (void *)s->data;

	for (unsigned i = 0; i < s->nr_chunks; i++)
		memset(disk + le64toh(r[i].sector) * 512, 0,
		       le32toh(r[i].num_sectors) * 512);
}

/* Plays a right target. */
static void serve(struct load_slot *s)
{
	uint32_t type = le32toh(s->shared->hdr.type);
	uint8_t *at = disk + le64toh(s->shared->hdr.sector) * 512;

	nr_of_type[type]++;
	if (type == VIRTIO_BLK_T_IN)
		memcpy(s->data, at, BS);
	else if (type == VIRTIO_BLK_T_OUT)
		memcpy(at, s->data, BS);
	else if (type == VIRTIO_BLK_T_WRITE_ZEROES)
		zero_ranges(s);
	s->shared->status = VIRTIO_BLK_S_OK;
}

/* Makes, serves and judges so many requests, one after the other. */
static void run(unsigned n)
{
	while (n--) {
		cr_assert(workload_make(&load, &slots[0]));
		serve(&slots[0]);
		workload_judge(&load, &slots[0]);
	}
}

static void enter(enum load_phase phase)
{
	load.phase = phase;
	load.cursor = 0;
}

/* Runs the phase to its end. */
static unsigned run_phase(enum load_phase phase)
{
	unsigned n = 0;

	for (enter(phase); workload_make(&load, &slots[0]); n++) {
		serve(&slots[0]);
		workload_judge(&load, &slots[0]);
	}
	cr_assert(workload_is_over(&load));
	return n;
}

Test(workload, finds_nothing_wrong_with_a_right_target)
{
	run(20000);
	cr_assert_eq(errors(), 0);
	cr_assert_gt(load.verify.nr_checked, 10000);
	cr_assert_gt(run_phase(LOAD_READBACK), CHUNKS / 2);
	cr_assert_eq(errors(), 0);
}

Test(workload, asks_for_all_that_is_offered)
{
	run(20000);
	cr_assert_gt(nr_of_type[VIRTIO_BLK_T_IN], 5000);
	cr_assert_gt(nr_of_type[VIRTIO_BLK_T_OUT], 5000);
	cr_assert_gt(nr_of_type[VIRTIO_BLK_T_FLUSH], 100);
	cr_assert_gt(nr_of_type[VIRTIO_BLK_T_DISCARD], 100);
	cr_assert_gt(nr_of_type[VIRTIO_BLK_T_WRITE_ZEROES], 100);
}

Test(workload, asks_for_one_type_only_when_told)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_FLUSH,
					 VIRTIO_BLK_T_DISCARD,
					 VIRTIO_BLK_T_WRITE_ZEROES};

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		params.only = types[i];
		run(1000);
		cr_assert_eq(nr_of_type[types[i]], 1000);
	}
	cr_assert_gt(run_phase(LOAD_READBACK), CHUNKS / 2);
	cr_assert_eq(errors(), 0);
}

Test(workload, asks_for_ranges_one_after_the_other_without_verify)
{
	params.only = VIRTIO_BLK_T_WRITE_ZEROES;
	params.verify = false;
	params.random = false;
	verify_fini(&load.verify);
	for (unsigned i = 0; i < SLOTS; i++) {
		cr_assert(workload_make(&load, &slots[i]));
		cr_assert_eq(slots[i].nr_chunks, 1);
		cr_assert_eq(slots[i].chunks[0], i);
	}
}

Test(workload, asks_for_nothing_that_is_not_offered)
{
	load.features = 0;
	run(20000);
	cr_assert_eq(nr_of_type[VIRTIO_BLK_T_IN] + nr_of_type[VIRTIO_BLK_T_OUT],
		     20000);
}

Test(workload, keeps_requests_in_flight_apart)
{
	static bool used[CHUNKS];
	bool in_flight[SLOTS] = {false};

	srand(3);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = (unsigned)rand() % SLOTS;
		struct load_slot *s = &slots[i];

		if (in_flight[i]) {
			for (unsigned c = 0; c < s->nr_chunks; c++)
				used[s->chunks[c]] = false;
			serve(s);
			workload_judge(&load, s);
			in_flight[i] = false;
			continue;
		}
		in_flight[i] = workload_make(&load, s);
		for (unsigned c = 0; in_flight[i] && c < s->nr_chunks; c++) {
			cr_assert_not(used[s->chunks[c]]);
			used[s->chunks[c]] = true;
		}
	}
	cr_assert_eq(errors(), 0);
}

Test(workload, makes_no_request_when_all_is_in_flight)
{
	load.nr_chunks = 4;
	load.features = 0;
	params.random = false;
	for (unsigned i = 0; i < 4; i++)
		cr_assert(workload_make(&load, &slots[i]));
	cr_assert_not(workload_make(&load, &slots[4]));
	serve(&slots[2]);
	workload_judge(&load, &slots[2]);
	cr_assert(workload_make(&load, &slots[4]));
	cr_assert_eq(slots[4].chunks[0], 2);
}

Test(workload, writes_all_before_a_load_that_only_reads)
{
	params.writes = false;
	cr_assert_eq(run_phase(LOAD_FILL), CHUNKS);
	cr_assert_eq(nr_of_type[VIRTIO_BLK_T_OUT], CHUNKS);
	enter(LOAD_RUN);
	run(1000);
	cr_assert_eq(load.verify.nr_checked, 1000 * BS / VERIFY_BLOCK);
	cr_assert_eq(run_phase(LOAD_READBACK), CHUNKS);
	cr_assert_eq(errors(), 0);
}

Test(workload, reads_back_only_what_it_knows)
{
	params.reads = false;
	params.random = false;
	load.features = 0;
	run(10);
	cr_assert_eq(run_phase(LOAD_READBACK), 10);
	cr_assert_eq(nr_of_type[VIRTIO_BLK_T_IN], 10);
}

Test(workload, notices_a_write_that_never_came)
{
	uint8_t before[BS];

	run_phase(LOAD_FILL);
	memcpy(before, disk + 7 * BS, BS);
	run_phase(LOAD_FILL);
	memcpy(disk + 7 * BS, before, BS);
	run_phase(LOAD_READBACK);
	cr_assert_eq(errors(), 1);
}

Test(workload, notices_zeroes_that_were_not_written)
{
	verify_zero(&load.verify, 3, 1);
	run_phase(LOAD_READBACK);
	cr_assert_eq(errors(), 1);
}

Test(workload, counts_a_bad_status_and_one_that_was_not_written)
{
	for (unsigned i = 0; i < 2; i++) {
		cr_assert(workload_make(&load, &slots[0]));
		shared[0].status = i ? GUESTBLK_NO_STATUS : VIRTIO_BLK_S_IOERR;
		workload_judge(&load, &slots[0]);
		cr_assert_eq(errors(), i + 1);
	}
}

Test(workload, knows_nothing_of_a_write_that_failed)
{
	params.reads = false;
	params.random = false;
	load.features = 0;
	run(1);
	load.cursor = 0;
	cr_assert(workload_make(&load, &slots[0]));
	shared[0].status = VIRTIO_BLK_S_IOERR;
	workload_judge(&load, &slots[0]);
	cr_assert_not(verify_is_known(&load.verify, 0, BS / VERIFY_BLOCK));
	cr_assert_eq(run_phase(LOAD_READBACK), 0);
}

Test(workload, ends_when_told)
{
	enter(LOAD_FILL);
	load.stop = LOAD_STOP;
	cr_assert_not(workload_make(&load, &slots[0]));
	load.stop = LOAD_GO_ON;
	run_phase(LOAD_FILL);
	enter(LOAD_RUN);
	load.past_deadline = true;
	cr_assert_not(workload_make(&load, &slots[0]));
	enter(LOAD_READBACK);
	load.stop = LOAD_STOP;
	cr_assert(workload_make(&load, &slots[0]));
	load.stop = LOAD_STOP_NOW;
	cr_assert_not(workload_make(&load, &slots[1]));
}
