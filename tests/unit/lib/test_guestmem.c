/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/guestmem: regions, addresses, allocation. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guestmem.h"

#define MIB (1UL << 20)

static struct guestmem mem;

static void setup(void)
{
	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0x7000000000, MIB), 0);
	cr_assert_eq(guestmem_add(&mem, 4 * MIB, GUESTMEM_UVA_HOST, MIB), 1);
}

static void teardown(void)
{
	guestmem_fini(&mem);
}

TestSuite(guestmem, .init = setup, .fini = teardown);

Test(guestmem, knows_each_address_by_its_three_names)
{
	uint8_t *p = guestmem_alloc_in(&mem, 0, 100, 64);
	uint8_t *q = guestmem_alloc_in(&mem, 1, 100, 64);

	cr_assert_eq(guestmem_gpa(&mem, p + 5), 5);
	cr_assert_eq(guestmem_uva(&mem, p + 5), 0x7000000005);
	cr_assert_eq(guestmem_ptr(&mem, 5, 1), p + 5);
	cr_assert_eq(guestmem_gpa(&mem, q), 4 * MIB);
	cr_assert_eq(guestmem_uva(&mem, q), (uintptr_t)q);
}

Test(guestmem, has_no_name_for_what_lies_outside)
{
	int elsewhere = 0;

	cr_assert_eq(guestmem_gpa(&mem, &elsewhere), UINT64_MAX);
	cr_assert_eq(guestmem_uva(&mem, &elsewhere), UINT64_MAX);
	cr_assert_null(guestmem_ptr(&mem, MIB, 1));
	cr_assert_null(guestmem_ptr(&mem, MIB - 1, 2));
	cr_assert_null(guestmem_ptr(&mem, 4 * MIB, UINT64_MAX));
	cr_assert_not_null(guestmem_ptr(&mem, MIB - 1, 1));
}

Test(guestmem, gives_aligned_pieces_that_do_not_overlap)
{
	uint8_t *a = guestmem_alloc(&mem, 10, 1);
	uint8_t *b = guestmem_alloc(&mem, 10, 512);

	cr_assert_eq((uintptr_t)b % 512, 0);
	cr_assert_geq(b, a + 10);
}

Test(guestmem, goes_to_the_next_region_when_one_is_full)
{
	uint8_t *a = guestmem_alloc(&mem, MIB, 1);
	uint8_t *b = guestmem_alloc(&mem, 1, 1);

	cr_assert_eq(guestmem_gpa(&mem, a), 0);
	cr_assert_eq(guestmem_gpa(&mem, b), 4 * MIB);
	cr_assert_null(guestmem_alloc(&mem, MIB, 1));
	cr_assert_null(guestmem_alloc(&mem, SIZE_MAX, 1));
}

Test(guestmem, maps_parts_of_one_file_at_two_places)
{
	int fd = memfd_create("test", 0);

	cr_assert_eq(ftruncate(fd, 2 * MIB), 0);
	cr_assert_eq(guestmem_add_fd(&mem, fd, MIB, 16 * MIB, 0, MIB), 2);
	cr_assert_eq(guestmem_add_fd(&mem, fd, MIB, 32 * MIB, 0, MIB), 3);
	close(fd);
	strcpy(guestmem_ptr(&mem, 16 * MIB, 6), "hello");
	cr_assert_str_eq(guestmem_ptr(&mem, 32 * MIB, 6), "hello");
}

Test(guestmem, refuses_a_region_that_cannot_be_mapped)
{
	cr_assert_lt(guestmem_add(&mem, 64 * MIB, 0, 0), 0);
	cr_assert_eq(mem.nr_regions, 2);
}
