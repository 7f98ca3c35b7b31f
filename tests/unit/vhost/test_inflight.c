/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/inflight: regions, where their parts are, what is refused. */
#include "vhost/inflight.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "fuzz.h"

#define PAGE 4096u

static struct inflight_region *region;

static void setup(void)
{
	cr_assert_eq(guard_init(), 0);
}

static void teardown(void)
{
	inflight_region_free(region);
	cr_assert_eq(offload_stop(10000), 0);
}

TestSuite(inflight, .init = setup, .fini = teardown, .timeout = 60);

static int memory_file(off_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	return fd;
}

/* header and entries, rounded up to 64 for each queue */
static const struct size {
	unsigned nr_queues, queue_size;
	bool packed;
	uint64_t size;
} sizes[] = {
	{ 1, 128, false, 2112 },
	{ 4, 128, false, 8448 },
	{ 1, 128, true, 4160 },
	{ 3, 256, true, 3 * 8256 },
	{ 1, 1, false, 64 },
	{ 1, 1, true, 64 },
	{ 1, 3, false, 64 },
	{ 2, 3, true, 256 },
	{ 256, 32768, true, 256ull * 1048640 },
};

Test(inflight, makes_sealed_memory_of_the_usual_size)
{
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct size *s = &sizes[i];
		uint64_t size = 0;
		struct stat st;
		char c = 1;
		int fd = inflight_make(s->nr_queues, s->queue_size, s->packed,
				       &size);

		cr_assert_geq(fd, 0);
		/* And a little more behind the parts. */
		cr_assert_eq(size, s->size + 128, "row %u: %lu", i,
			     (unsigned long)size);
		cr_assert_eq(fstat(fd, &st), 0);
		cr_assert_eq((uint64_t)st.st_size, size);
		cr_assert_eq(fcntl(fd, F_GET_SEALS),
			     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		cr_assert_lt(ftruncate(fd, 0), 0);
		cr_assert_eq(pread(fd, &c, 1, 8), 1);
		cr_assert_eq(c, 0, "version 0: nobody has used it");
		close(fd);
	}
}

static unsigned nr_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

Test(inflight, keeps_nothing_of_what_it_makes)
{
	unsigned before = nr_fds();

	for (unsigned i = 0; i < 10000; i++) {
		uint64_t size;
		int fd = inflight_make(4, 128, i % 2, &size);

		cr_assert_geq(fd, 0);
		close(fd);
	}
	cr_assert_eq(nr_fds(), before);
}

/* Where the part of queue @index begins; UINT64_MAX: there is none. */
static uint64_t part_at(unsigned index, bool packed)
{
	struct inflight_part first = inflight_region_part(region, 0, packed);
	struct inflight_part p = inflight_region_part(region, index, packed);

	cr_assert(first.host);
	if (!p.host)
		return UINT64_MAX;
	return (uint64_t)((char *)p.host - (char *)first.host);
}

static int map(struct vhost_user_inflight where, bool packed, off_t size)
{
	int fd = memory_file(size);
	int err = inflight_region_new(&region, fd, &where, packed,
				      MAPPING_SHMEM, false);

	if (err)
		close(fd);
	return err;
}

static const struct stride {
	const char *what;
	uint64_t size;
	unsigned nr_queues, queue_size;
	bool packed;
	uint64_t stride;
} strides[] = {
	{ "our own", 2 * 2112, 2, 128, false, 2112 },
	{ "our own, packed", 2 * 4160, 2, 128, true, 4160 },
	{ "without padding", 4 * 2064, 4, 128, false, 2064 },
	{ "with more room", 2 * 8192, 2, 128, false, 8192 },
	{ "rounded up, not divisible", 3 * 2112 + 4, 3, 128, false, 2112 },
	{ "divisible, not aligned", 2 * 2116, 2, 128, false, 2112 },
};

Test(inflight, finds_the_parts_by_the_size_of_the_region)
{
	for (unsigned i = 0; i < ARRAY_SIZE(strides); i++) {
		const struct stride *s = &strides[i];
		struct vhost_user_inflight where = {
			.mmap_size = s->size,
			.num_queues = s->nr_queues,
			.queue_size = s->queue_size,
		};

		cr_assert_eq(map(where, s->packed, 16 * PAGE), 0, "%s",
			     s->what);
		cr_assert_eq(part_at(1, s->packed), s->stride, "%s", s->what);
		cr_assert_eq(part_at(s->nr_queues - 1, s->packed),
			     (s->nr_queues - 1) * s->stride, "%s", s->what);
		cr_assert_eq(part_at(s->nr_queues, s->packed), UINT64_MAX,
			     "%s", s->what);
		inflight_region_free(region);
		region = NULL;
	}
}

static const struct refused {
	const char *what;
	struct vhost_user_inflight where;
	bool packed;
} refused[] = {
	{ "no queue", { PAGE, 0, 0, 128, 0 }, false },
	{ "no size", { PAGE, 0, 1, 0, 0 }, false },
	{ "no memory", { 0, 0, 1, 128, 0 }, false },
	{ "too small by a byte", { 2063, 0, 1, 128, 0 }, false },
	{ "too small for packed", { 4127, 0, 1, 128, 0 }, true },
	{ "too small for the second", { 2 * 2064 - 1, 0, 2, 128, 0 }, false },
	{ "nowhere near", { 4 * PAGE, 0, 65535, 65535, 0 }, true },
	{ "larger than the file", { 4 * PAGE + 1, 0, 1, 128, 0 }, false },
	{ "behind the file", { PAGE, 4 * PAGE, 1, 128, 0 }, false },
	{ "half behind the file", { 2 * PAGE, 3 * PAGE, 1, 128, 0 }, false },
	{ "misaligned by 1", { PAGE, 1, 1, 128, 0 }, false },
	{ "misaligned by 4", { PAGE, 4, 1, 128, 0 }, false },
	{ "offset overflows", { PAGE, UINT64_MAX - 7, 1, 128, 0 }, false },
	{ "size overflows", { UINT64_MAX, 8, 1, 128, 0 }, false },
	{ "all there is", { UINT64_MAX, 0, 1, 128, 0 }, false },
};

Test(inflight, refuses_what_cannot_be_a_region)
{
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct refused *r = &refused[i];

		cr_assert_eq(map(r->where, r->packed, 4 * PAGE), -EINVAL, "%s",
			     r->what);
		cr_assert_null(region, "%s", r->what);
	}
}

Test(inflight, begins_anywhere_in_its_file)
{
	struct vhost_user_inflight where = { 2112, PAGE + 24, 1, 128, 0 };
	int fd = memory_file(2 * PAGE);
	struct inflight_part p;

	cr_assert_eq(pwrite(fd, "x", 1, PAGE + 24), 1);
	cr_assert_eq(inflight_region_new(&region, fd, &where, false,
					 MAPPING_SHMEM, false),
		     0);
	p = inflight_region_part(region, 0, false);
	cr_assert_eq(*(char *)p.host, 'x');
	cr_assert_not(p.resume);
	cr_assert_eq(p.nr_desc, 128);
}

Test(inflight, has_no_part_for_larger_entries_than_fit)
{
	struct vhost_user_inflight where = { 2112, 0, 1, 128, 0 };

	cr_assert_eq(map(where, false, PAGE), 0);
	cr_assert(inflight_region_part(region, 0, false).host);
	cr_assert_null(inflight_region_part(region, 0, true).host,
		       "the front-end chose packed rings afterwards");
}

Test(inflight, takes_only_memory_files_unless_told_otherwise)
{
	struct vhost_user_inflight where = { 2112, 0, 1, 128, 0 };
	char path[] = "/var/tmp/inflight-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(ftruncate(fd, PAGE), 0);
	cr_assert_eq(inflight_region_new(&region, fd, &where, false,
					 MAPPING_SHMEM, false),
		     -EMEDIUMTYPE);
	cr_assert_eq(inflight_region_new(&region, fd, &where, false,
					 MAPPING_ANY, false),
		     0);
}

Test(inflight, tells_what_it_is)
{
	struct inflight_region_facts facts;
	struct vhost_user_inflight where = { .num_queues = 2,
					     .queue_size = 128 };
	int fd = inflight_make(2, 128, true, &where.mmap_size);

	cr_assert_geq(fd, 0);
	cr_assert_eq(inflight_region_new(&region, fd, &where, true,
					 MAPPING_SHMEM, true),
		     0);
	inflight_region_facts(region, &facts);
	cr_assert(facts.own);
	cr_assert_eq(facts.nr_queues, 2);
	cr_assert_eq(facts.queue_size, 128);
	cr_assert_eq(facts.size, where.mmap_size);
	cr_assert_eq(facts.fd, fd);
}

static const struct keep {
	unsigned nr_queues;
	bool packed;
} keeps[] = { { 1, false }, { 2, false }, { 3, true }, { 16, true } };

Test(inflight, keeps_a_few_bytes_behind_the_parts)
{
	char buf[INFLIGHT_KEEP_MAX], most[INFLIGHT_KEEP_MAX];

	memset(most, 'm', sizeof(most));
	for (unsigned i = 0; i < ARRAY_SIZE(keeps); i++) {
		unsigned nr = keeps[i].nr_queues;
		bool packed = keeps[i].packed;
		struct vhost_user_inflight where = { .num_queues =
							     (uint16_t)nr,
						     .queue_size = 64 };
		int fd = inflight_make(nr, 64, packed, &where.mmap_size);
		int other = dup(fd);

		cr_assert_eq(inflight_region_new(&region, fd, &where, packed,
						 MAPPING_SHMEM, false),
			     0);
		cr_assert_eq(part_at(nr - 1, packed),
			     (nr - 1) * (where.mmap_size - 128) / nr);
		cr_assert_eq(inflight_region_kept(region, buf), 0);
		inflight_region_keep(region, "first", 6);
		inflight_region_keep(region, "second", 7);
		inflight_region_free(region);
		cr_assert_eq(inflight_region_new(&region, other, &where, packed,
						 MAPPING_SHMEM, false),
			     0);
		cr_assert_eq(inflight_region_kept(region, buf), 7);
		cr_assert_str_eq(buf, "second");
		inflight_region_keep(region, most, sizeof(most));
		cr_assert_eq(inflight_region_kept(region, buf), sizeof(most));
		cr_assert_arr_eq(buf, most, sizeof(most));
		if (i + 1 < ARRAY_SIZE(keeps))
			inflight_region_free(region);
	}
}

/* All bytes behind the parts, one after the other, have another value. */
Test(inflight, believes_nothing_that_is_kept)
{
	struct vhost_user_inflight where = { .num_queues = 1,
					     .queue_size = 64 };
	int fd = inflight_make(1, 64, false, &where.mmap_size);
	unsigned char *bytes = mmap(NULL, where.mmap_size,
				    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char buf[INFLIGHT_KEEP_MAX];
	unsigned nr_lost = 0;

	for (uint64_t at = where.mmap_size - 128; at < where.mmap_size; at++) {
		unsigned char was;

		cr_assert_eq(inflight_region_new(&region, dup(fd), &where,
						 false, MAPPING_SHMEM, false),
			     0);
		inflight_region_keep(region, "text", 5);
		was = bytes[at];
		bytes[at] = 0xff;
		cr_assert_leq(inflight_region_kept(region, buf), sizeof(buf));
		inflight_region_free(region);
		cr_assert_eq(inflight_region_new(&region, dup(fd), &where,
						 false, MAPPING_SHMEM, false),
			     0);
		nr_lost += inflight_region_kept(region, buf) == 0;
		bytes[at] = was;
		inflight_region_free(region);
	}
	/* The magic, and the length that counts. */
	cr_assert_geq(nr_lost, 9);
	region = NULL;
	munmap(bytes, where.mmap_size);
	close(fd);
}

Test(inflight, keeps_nothing_with_the_region_of_others)
{
	struct vhost_user_inflight where = { 2112, 0, 1, 128, 0 };
	int fd = memory_file(PAGE);
	char buf[INFLIGHT_KEEP_MAX];

	cr_assert_eq(inflight_region_new(&region, fd, &where, false,
					 MAPPING_SHMEM, false),
		     0);
	inflight_region_keep(region, "text", 5);
	cr_assert_eq(inflight_region_kept(region, buf), 0);
	for (uint64_t at = 0; at < where.mmap_size; at++)
		cr_assert_eq(((char *)inflight_region_part(region, 0, false)
				      .host)[at],
			     0);
}

Test(inflight, is_guarded)
{
	struct vhost_user_inflight where = { 2112, 0, 1, 128, 0 };
	int fd = memory_file(PAGE);
	struct inflight_part p;

	cr_assert_eq(inflight_region_new(&region, fd, &where, false,
					 MAPPING_SHMEM, false),
		     0);
	p = inflight_region_part(region, 0, false);
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(*(volatile char *)p.host, 0);
	cr_assert(guard_is_gone(p.guard));
}

Test(inflight, accepts_that_there_is_nothing)
{
	struct inflight f = { 0 };

	inflight_region_free(NULL);
	inflight_fini(&f);
	cr_assert_eq(inflight_init(&f, 8, true), 0);
	inflight_fini(&f);
	inflight_fini(&f);
}

/* ---- what the fuzzer knows ---- */

Test(inflight, keeps_its_promises_for_the_whole_corpus)
{
	cr_assert_geq(fuzz_corpus("inflight", fuzz_inflight), 52);
}
