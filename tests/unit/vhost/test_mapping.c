/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/mapping: what is mapped, what is refused, memory taken away. */
#include "vhost/mapping.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define PAGE 4096u

static struct mapping m;

static void setup(void)
{
	cr_assert_eq(guard_init(), 0);
}

static void teardown(void)
{
	mapping_close(&m);
}

TestSuite(mapping, .init = setup, .fini = teardown, .timeout = 30);

static int memory_file(off_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	return fd;
}

Test(mapping, begins_and_ends_at_any_byte)
{
	int fd = memory_file(4 * PAGE);

	cr_assert_eq(pwrite(fd, "a", 1, PAGE + 123), 1);
	cr_assert_eq(pwrite(fd, "z", 1, 4 * PAGE - 1), 1);
	cr_assert_eq(mapping_open(&m, fd, PAGE + 123, 3 * PAGE - 123,
				  MAPPING_SHMEM),
		     0);
	cr_assert_eq(m.host[0], 'a');
	cr_assert_eq(m.host[3 * PAGE - 124], 'z');
	cr_assert_eq(m.page, PAGE);

	char c;

	m.host[0] = 'b';
	cr_assert_eq(pread(fd, &c, 1, PAGE + 123), 1);
	cr_assert_eq(c, 'b', "it is shared");
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "and still the caller's");
	close(fd);
}

static const struct bad_range {
	uint64_t offset, size;
} bad_ranges[] = {
	{ 0, 0 },
	{ 0, 4 * PAGE + 1 },
	{ 4 * PAGE, 1 },
	{ 1, 4 * PAGE },
	{ UINT64_MAX, 1 },
	{ UINT64_MAX, UINT64_MAX },
	{ 1, UINT64_MAX },
	{ 0, INT64_MAX },
	{ INT64_MAX, 1 },
};

Test(mapping, refuses_what_is_not_in_the_file)
{
	int fd = memory_file(4 * PAGE);

	for (unsigned i = 0; i < ARRAY_SIZE(bad_ranges); i++) {
		const struct bad_range *b = &bad_ranges[i];

		cr_assert_eq(mapping_open(&m, fd, b->offset, b->size,
					  MAPPING_SHMEM),
			     -EINVAL, "range %u", i);
		cr_assert_null(m.map);
	}
	close(fd);
}

Test(mapping, takes_only_memory_files_unless_told_otherwise)
{
	char path[] = "/var/tmp/mapping-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(ftruncate(fd, PAGE), 0);
	cr_assert_eq(mapping_open(&m, fd, 0, PAGE, MAPPING_SHMEM),
		     -EMEDIUMTYPE);
	cr_assert_eq(mapping_open(&m, fd, 0, PAGE, MAPPING_ANY), 0);
	close(fd);
}

Test(mapping, refuses_what_is_no_file)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	int fds[] = { -1, open("/", O_RDONLY | O_DIRECTORY),
		      open("/tmp", O_PATH), p[0], p[1] };

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		cr_assert_lt(mapping_open(&m, fds[i], 0, PAGE, MAPPING_SHMEM),
			     0);
		cr_assert_lt(mapping_open(&m, fds[i], 0, PAGE, MAPPING_ANY), 0);
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

Test(mapping, refuses_a_file_that_it_may_not_write_to)
{
	int fd = memory_file(PAGE);

	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1,
		     "a file without MFD_ALLOW_SEALING has no seals to add");
	close(fd);
	fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(fd, PAGE), 0);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	cr_assert_eq(mapping_open(&m, fd, 0, PAGE, MAPPING_SHMEM), -EPERM);
	cr_assert_null(m.map);
	close(fd);
}

Test(mapping, is_guarded)
{
	int fd = memory_file(2 * PAGE);

	cr_assert_eq(mapping_open(&m, fd, 0, 2 * PAGE, MAPPING_SHMEM), 0);
	cr_assert_not(guard_is_gone(m.guard));
	cr_assert_eq(ftruncate(fd, 0), 0);
	close(fd);
	cr_assert_eq(*(volatile unsigned char *)m.host, 0);
	cr_assert(guard_is_gone(m.guard));
}

Test(mapping, replaces_huge_pages_as_a_whole)
{
	size_t huge = 2u << 20;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0 || ftruncate(fd, 2 * huge) < 0)
		cr_skip("no huge pages of 2 MiB");

	/* one small page of the first, and no huge page need be free */
	cr_assert_eq(mapping_open(&m, fd, PAGE, huge + PAGE, MAPPING_SHMEM), 0);
	cr_assert_eq(m.page, huge);

	volatile unsigned char *p = m.host + huge;

	cr_assert_eq(ftruncate(fd, 0), 0);
	close(fd);
	*p = 1;
	cr_assert_eq(*p, 1);
	cr_assert(guard_is_gone(m.guard));
}

Test(mapping, may_be_closed_twice)
{
	int fd = memory_file(PAGE);

	cr_assert_eq(mapping_open(&m, fd, 0, PAGE, MAPPING_SHMEM), 0);
	close(fd);
	mapping_close(&m);
	cr_assert_null(m.map);
	mapping_close(&m);
}
