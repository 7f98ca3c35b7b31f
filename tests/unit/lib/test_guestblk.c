/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/guestblk: requests in any layout. */
#include <criterion/criterion.h>
#include <errno.h>

#include "guestblk.h"

static struct guestmem mem;
static struct guestblk_req req;
static struct guestring_seg segs[16];

static void setup(void)
{
	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0, 1 << 20), 0);
}

static void teardown(void)
{
	guestmem_fini(&mem);
}

TestSuite(guestblk, .init = setup, .fini = teardown);

static void expect(unsigned i, const void *at, uint32_t len, bool writes)
{
	cr_assert_eq(segs[i].gpa, guestmem_gpa(&mem, at));
	cr_assert_eq(segs[i].len, len);
	cr_assert_eq(segs[i].device_writes, writes);
}

Test(guestblk, gives_header_data_and_status_a_descriptor_each)
{
	cr_assert_eq(guestblk_init(&req, &mem, VIRTIO_BLK_T_OUT, 7, 1024), 0);
	cr_assert_eq(guestblk_segs(&req, &mem, NULL, segs, 16), 3);
	expect(0, req.hdr, 16, false);
	expect(1, req.data, 1024, false);
	expect(2, req.status, 1, true);
	cr_assert_eq(req.hdr->sector, 7);

	cr_assert_eq(guestblk_init(&req, &mem, VIRTIO_BLK_T_IN, 7, 512), 0);
	cr_assert_eq(guestblk_segs(&req, &mem, NULL, segs, 16), 3);
	expect(0, req.hdr, 16, false);
	expect(1, req.data, 512, true);
	expect(2, req.status, 1, true);
}

Test(guestblk, has_no_empty_descriptor_without_data)
{
	cr_assert_eq(guestblk_init(&req, &mem, VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	cr_assert_eq(guestblk_segs(&req, &mem, NULL, segs, 16), 2);
	expect(0, req.hdr, 16, false);
	expect(1, req.status, 1, true);
}

Test(guestblk, cuts_the_header_and_joins_data_with_status)
{
	const struct guestblk_layout layout = {
		.out_cuts = (const uint32_t[]){1, 14, 0},
		.in_cuts = (const uint32_t[]){0},
	};

	cr_assert_eq(guestblk_init(&req, &mem, VIRTIO_BLK_T_IN, 0, 512), 0);
	cr_assert_eq(guestblk_segs(&req, &mem, &layout, segs, 16), 4);
	expect(0, req.hdr, 1, false);
	expect(1, (uint8_t *)req.hdr + 1, 14, false);
	expect(2, (uint8_t *)req.hdr + 15, 1, false);
	expect(3, req.data, 513, true);
}

Test(guestblk, joins_the_header_with_data)
{
	const struct guestblk_layout layout = {
		.out_cuts = (const uint32_t[]){100, 0},
	};

	cr_assert_eq(guestblk_init(&req, &mem, VIRTIO_BLK_T_OUT, 0, 512), 0);
	cr_assert_eq(guestblk_segs(&req, &mem, &layout, segs, 16), 3);
	expect(0, req.hdr, 100, false);
	expect(1, (uint8_t *)req.hdr + 100, 428, false);
	expect(2, req.status, 1, true);
	cr_assert_eq(guestblk_segs(&req, &mem, &layout, segs, 2), -E2BIG);
}

Test(guestblk, says_when_nobody_answers)
{
	struct guestring_params p = {.size = 16};
	struct frontend_queue q;

	cr_assert_eq(frontend_queue_init(&q, 0, &mem, &p), 0);
	cr_assert_eq(guestblk_init(&req, &mem, VIRTIO_BLK_T_IN, 0, 512), 0);
	cr_assert_eq(guestblk_run(&q, &req, NULL, 10), -ETIMEDOUT);
	cr_assert_eq(*req.status, GUESTBLK_NO_STATUS);
	frontend_queue_fini(&q);
}
