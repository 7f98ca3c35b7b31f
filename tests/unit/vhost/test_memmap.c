/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/memmap: lookups, what is refused, lifetime, memory taken away. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "ringmem.h"
#include "vhost/guard.h"
#include "vhost/memmap.h"

#define PAGE 4096u

static struct ringmem rm;

static void setup(void)
{
	rm_init(&rm, false, 8);
	cr_assert_eq(guard_init(), 0);
}

static void teardown(void)
{
	rm_fini(&rm);
}

TestSuite(memmap, .init = setup, .fini = teardown, .timeout = 30);

static int memory_file(off_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	return fd;
}

static int add(struct memmap **out, const struct memmap *old, uint64_t gpa,
	       uint64_t size, uint64_t uva, uint64_t offset)
{
	struct memmap_range r = { gpa, size, uva, offset };

	return memmap_add(out, old, &r, memory_file(16 * PAGE), MAPPING_SHMEM);
}

static void set_true(void *flag)
{
	*(bool *)flag = true;
}

/* Let go of @m and wait until its regions are unmapped. */
static void put(struct memmap *m)
{
	bool gone = false;

	memmap_on_gone(m, set_true, &gone);
	memmap_put(m);
	cr_assert_not(gone);
	cr_assert(rm_wait(&rm, &gone));
}

Test(memmap, finds_the_first_and_the_last_byte_of_each_region)
{
	static const struct {
		uint64_t gpa, size;
	} regions[] = {
		{ RM_A, RM_A_SIZE },
		{ RM_B, RM_DATA_SIZE },
		{ RM_C, RM_DATA_SIZE },
		{ RM_D, RM_DATA_SIZE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
		uint64_t last = regions[i].gpa + regions[i].size - 1;
		struct iovec iov;

		*(char *)rm_at(&rm, regions[i].gpa) = 'f';
		*(char *)rm_at(&rm, last) = 'l';
		cr_assert_eq(memmap_iov(rm.map, NULL, regions[i].gpa,
					regions[i].size, &iov, 1),
			     1);
		cr_assert_eq(iov.iov_len, regions[i].size);
		cr_assert_eq(((char *)iov.iov_base)[0], 'f');
		cr_assert_eq(((char *)iov.iov_base)[iov.iov_len - 1], 'l');
		cr_assert_eq(memmap_uva(rm.map, RM_UVA + last, 1),
			     (char *)iov.iov_base + iov.iov_len - 1);
	}
	cr_assert_eq(memmap_nr_regions(rm.map), 4);
	cr_assert_eq(memmap_bytes(rm.map), RM_A_SIZE + 3 * RM_DATA_SIZE);
}

Test(memmap, splits_a_range_at_the_border_of_neighbours)
{
	struct iovec iov[2];

	cr_assert_eq(memmap_iov(rm.map, NULL, RM_C - 3, 8, iov, 2), 2);
	cr_assert_eq(iov[0].iov_len, 3);
	cr_assert_eq(iov[1].iov_len, 5);
	cr_assert_eq(iov[0].iov_base, rm_host(&rm, RM_C - 3));
	cr_assert_eq(iov[1].iov_base, rm_host(&rm, RM_C));
	cr_assert_eq(memmap_iov(rm.map, NULL, RM_C - 3, 8, iov, 1), -E2BIG);
	cr_assert_eq(memmap_iov(rm.map, NULL, RM_C - 3, 3, iov, 1), 1);
}

/* A hint is about one region, to its very end. */
Test(memmap, finds_what_is_near_the_last_lookup)
{
	struct memmap_hint h = { 0 };
	struct iovec iov[2];

	cr_assert_null(memmap_near(&h, 0, 0));
	cr_assert_null(memmap_near(&h, RM_C, 1));
	cr_assert_eq(memmap_iov(rm.map, &h, RM_C - 3, 8, iov, 2), 2);
	cr_assert_eq(memmap_near(&h, RM_C, 1), rm_host(&rm, RM_C));
	cr_assert_eq(memmap_near(&h, RM_C + 5, RM_DATA_SIZE - 5),
		     rm_host(&rm, RM_C + 5));
	cr_assert_null(memmap_near(&h, RM_C + 5, RM_DATA_SIZE - 4));
	cr_assert_null(memmap_near(&h, RM_C + 5, UINT64_MAX));
	cr_assert_null(memmap_near(&h, RM_C + RM_DATA_SIZE, 1));
	cr_assert_null(memmap_near(&h, RM_C - 1, 1));
	cr_assert_null(memmap_near(&h, UINT64_MAX, 1));
	cr_assert_eq(memmap_iov(rm.map, &h, RM_A, 1, iov, 1), 1);
	cr_assert_null(memmap_near(&h, RM_C, 1));
}

Test(memmap, refuses_a_range_with_any_byte_outside)
{
	static const struct {
		uint64_t gpa, len;
	} ranges[] = {
		{ 0, 1 },
		{ RM_A - 1, 1 },
		{ RM_A - 1, 2 },
		{ RM_A + RM_A_SIZE, 1 },
		{ RM_A + RM_A_SIZE - 1, 2 },
		{ RM_B, 2 * RM_DATA_SIZE + 1 },
		{ RM_C, RM_D - RM_C + 1 },
		{ RM_D + RM_DATA_SIZE - 1, UINT64_MAX },
		{ RM_D, UINT64_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, UINT64_MAX },
		{ UINT64_MAX - RM_A, 2 * RM_A },
	};
	struct iovec iov[8];

	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++)
		cr_assert_eq(memmap_iov(rm.map, NULL, ranges[i].gpa,
					ranges[i].len, iov, 8),
			     -EFAULT, "range %u", i);
	cr_assert_eq(memmap_iov(rm.map, NULL, 0, 0, iov, 8), 0);
}

Test(memmap, wants_vmm_ranges_whole_in_one_region)
{
	uint64_t d = RM_UVA + RM_D, end = d + RM_DATA_SIZE;

	cr_assert_not_null(memmap_uva(rm.map, d, RM_DATA_SIZE));
	cr_assert_null(memmap_uva(rm.map, d, RM_DATA_SIZE + 1));
	cr_assert_null(memmap_uva(rm.map, d - 1, 1));
	cr_assert_null(memmap_uva(rm.map, end, 1));
	cr_assert_null(memmap_uva(rm.map, end, 0));
	cr_assert_null(memmap_uva(rm.map, RM_UVA + RM_C - 1, 2));
	cr_assert_null(memmap_uva(rm.map, d, UINT64_MAX));
	cr_assert_null(memmap_uva(rm.map, 0, 1));
	cr_assert_null(memmap_uva(rm.map, UINT64_MAX, 1));
	cr_assert_null(memmap_uva(rm.map, RM_D, 1));
}

Test(memmap, refuses_a_range_that_cannot_be)
{
	static const struct memmap_range bad[] = {
		{ 0, 0, 0, 0 },
		{ UINT64_MAX - PAGE + 2, PAGE, 0, 0 },
		{ 0, PAGE, UINT64_MAX - PAGE + 2, 0 },
		{ 0, PAGE, 0, UINT64_MAX - PAGE + 2 },
		{ 0, UINT64_MAX, 0, 0 },
		{ 0, 1ull << 63, 0, 0 },
		{ 0, PAGE, 0, (1ull << 63) - PAGE },
		{ 0, 16 * PAGE + 1, 0, 0 },
		{ 0, PAGE, 0, 15 * PAGE + 1 },
		{ 0, 1, 0, 16 * PAGE },
	};

	struct memmap *empty, *m = NULL;

	cr_assert_eq(memmap_new(&empty, &rm.home), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(add(&m, empty, bad[i].gpa, bad[i].size,
				 bad[i].uva, bad[i].offset),
			     -EINVAL, "range %u", i);
	}
	cr_assert_null(m);
	memmap_put(empty);
}

Test(memmap, refuses_an_overlap_by_guest_or_by_vmm_address)
{
	struct memmap *m = NULL;
	uint64_t free_gpa = 0x10000000, free_uva = 0x10000000;

	for (int side = 0; side < 2; side++) {
		/* one byte into D from either side, inside it, and around */
		uint64_t at[] = { RM_D - PAGE + 1, RM_D + RM_DATA_SIZE - 1,
				  RM_D + PAGE, RM_D, RM_D - PAGE };
		uint64_t size[] = { PAGE, PAGE, PAGE, PAGE, 16 * PAGE };

		for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
			cr_assert_eq(add(&m, rm.map, side ? free_gpa : at[i],
					 size[i],
					 side ? RM_UVA + at[i] : free_uva, 0),
				     -EEXIST, "side %d range %u", side, i);
	}
	cr_assert_null(m);
}

Test(memmap, accepts_regions_that_touch)
{
	struct memmap *m, *n;

	cr_assert_eq(add(&m, rm.map, RM_D - PAGE, PAGE, RM_UVA + RM_D - PAGE,
			 0),
		     0);
	cr_assert_eq(add(&n, m, RM_D + RM_DATA_SIZE, PAGE,
			 RM_UVA + RM_D + RM_DATA_SIZE, 0),
		     0);
	put(m);
	put(n);
}

Test(memmap, accepts_vmm_addresses_equal_to_guest_addresses_and_zero)
{
	struct memmap *m;

	cr_assert_eq(add(&m, rm.map, 0, PAGE, 0, 0), 0);
	cr_assert_not_null(memmap_uva(m, 0, PAGE));
	cr_assert_null(memmap_uva(m, 0, PAGE + 1));
	put(m);
}

Test(memmap, maps_from_an_offset_that_is_not_aligned)
{
	int fd = memory_file(4 * PAGE);
	struct memmap_range r = { 0, 2 * PAGE, 0, 1234 };
	struct memmap *m;
	struct iovec iov;
	char buf[6] = "";

	cr_assert_eq(pwrite(fd, "first", 5, 1234), 5);
	cr_assert_eq(pwrite(fd, "z", 1, 1234 + 2 * PAGE - 1), 1);
	cr_assert_eq(memmap_add(&m, rm.map, &r, fd, MAPPING_SHMEM), 0);
	cr_assert_eq(memmap_iov(m, NULL, 0, 2 * PAGE, &iov, 1), 1);
	memcpy(buf, iov.iov_base, 5);
	cr_assert_str_eq(buf, "first");
	cr_assert_eq(((char *)iov.iov_base)[2 * PAGE - 1], 'z');
	put(m);
}

Test(memmap, accepts_no_more_regions_than_the_maximum)
{
	struct memmap *m = memmap_get(rm.map), *next = NULL;

	for (unsigned i = memmap_nr_regions(m); i < MEMMAP_MAX_REGIONS; i++) {
		uint64_t at = 0x10000000ull + (uint64_t)i * PAGE;

		cr_assert_eq(add(&next, m, at, PAGE, at, 0), 0);
		memmap_put(m);
		m = next;
	}
	cr_assert_eq(add(&next, m, 0, PAGE, 0, 0), -ENOSPC);
	put(m);
}

static bool is_closed_soon(int fd)
{
	for (int i = 0; i < 1000; i++) {
		if (fcntl(fd, F_GETFD) < 0)
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

Test(memmap, closes_the_descriptor_whatever_happens)
{
	struct memmap_range good = { 0, PAGE, 0, 0 };
	struct memmap_range bad = { 0, PAGE, 0, PAGE };
	struct memmap *m;
	int fd = memory_file(PAGE);

	cr_assert_eq(memmap_add(&m, rm.map, &bad, fd, MAPPING_SHMEM), -EINVAL);
	cr_assert(is_closed_soon(fd));
	fd = memory_file(PAGE);
	cr_assert_eq(memmap_add(&m, rm.map, &good, fd, MAPPING_SHMEM), 0);
	cr_assert(is_closed_soon(fd));
	put(m);
}

Test(memmap, removes_only_the_very_region)
{
	struct memmap_range d = { RM_D, RM_DATA_SIZE, RM_UVA + RM_D, 7 };
	struct memmap_range wrong[] = {
		{ RM_D + 1, RM_DATA_SIZE - 1, RM_UVA + RM_D + 1, 7 },
		{ RM_D, RM_DATA_SIZE - 1, RM_UVA + RM_D, 7 },
		{ RM_D, RM_DATA_SIZE, RM_UVA + RM_C, 7 },
		{ 0, RM_DATA_SIZE, RM_UVA + RM_D, 7 },
		{ UINT64_MAX, RM_DATA_SIZE, RM_UVA + RM_D, 7 },
	};
	struct memmap *m = NULL, *again;

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_assert_eq(memmap_remove(&m, rm.map, &wrong[i]), -ENOENT);
	cr_assert_null(m);
	cr_assert_eq(memmap_remove(&m, rm.map, &d), 0);
	cr_assert_eq(memmap_nr_regions(m), 3);
	cr_assert_null(memmap_uva(m, d.uva, 1));
	cr_assert_eq(memmap_remove(&again, m, &d), -ENOENT);
	/* the old one still has it */
	cr_assert_not_null(memmap_uva(rm.map, d.uva, 1));
	put(m);
}

/* Is something mapped at @p? */
static bool is_mapped(void *p)
{
	void *page = (void *)align_down((uintptr_t)p, PAGE);

	return !msync(page, PAGE, MS_ASYNC);
}

Test(memmap, unmaps_when_the_last_user_of_a_region_is_gone)
{
	struct memmap_range r = { 0, PAGE, 0, 0 };
	struct memmap *with, *without;

	cr_assert_eq(add(&with, rm.map, 0, PAGE, 0, 0), 0);
	cr_assert_eq(memmap_remove(&without, with, &r), 0);

	void *removed = memmap_uva(with, 0, 1);
	void *kept = memmap_uva(with, RM_UVA + RM_D, 1);

	memmap_put(memmap_get(with));
	cr_assert(is_mapped(removed));
	put(with);
	cr_assert_not(is_mapped(removed));
	cr_assert(is_mapped(kept));
	put(without);
	cr_assert(is_mapped(kept));
}

Test(memmap, accepts_that_nothing_is_put)
{
	memmap_put(NULL);
	cr_assert_eq(memmap_nr_regions(rm.map), 4);
}

Test(memmap, survives_memory_that_is_taken_away)
{
	volatile char *b = rm_host(&rm, RM_B + RM_DATA_SIZE - 1);
	volatile char *d = rm_host(&rm, RM_D);
	unsigned before = guard_faults();

	*b = 'b';
	*d = 'd';
	cr_assert_not(memmap_is_gone(rm.map));
	/* B is the last in the file: its second half goes */
	cr_assert_eq(ftruncate(rm.fd,
			       RM_A_SIZE + 2 * RM_DATA_SIZE +
				       RM_DATA_SIZE / 2),
		     0);
	cr_assert_eq(*d, 'd');
	cr_assert_eq(guard_faults(), before);
	cr_assert_eq(*b, 0);
	cr_assert_eq(guard_faults(), before + 1);
	cr_assert(memmap_is_gone(rm.map));
	*b = 'x';
	cr_assert_eq(*b, 'x');
	cr_assert_eq(guard_faults(), before + 1);
	cr_assert_eq(*d, 'd');
}
