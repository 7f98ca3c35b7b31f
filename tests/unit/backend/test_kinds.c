/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/kinds: one storage is opened once, and used once or by consent. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/kinds.h"
#include "base/util.h"
#include "loopdev.h"

static char path[64] = "./vringd-test-XXXXXX";
static char other[80];	/* leads to the same file */
static char err[512];

static void start(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 16 << 20), 0);
	close(fd);
	snprintf(other, sizeof(other), "%s-link", path);
	cr_assert_eq(symlink(strrchr(path, '/') + 1, other), 0);
}

static void stop(void)
{
	unlink(path);
	unlink(other);
}

static int open_kind(struct backend **b, const char *where, bool read_only,
		     bool shared)
{
	struct backend_params p = {.kind = "file", .path = where,
				   .read_only = read_only, .shared = shared};

	*b = NULL;
	err[0] = '\0';

	int ret = kinds_open(b, &p, err, sizeof(err));

	if (!ret)
		ret = kinds_admit(b, &p, err, sizeof(err));
	if (ret && *b)
		kinds_close(*b);
	return ret;
}

Test(kinds, knows_its_names)
{
	struct backend_params p = {.kind = "floppy"};
	struct backend *b;

	cr_expect_eq(kinds_find("file"), &file_backend);
	cr_expect_eq(kinds_find("mem"), &mem_backend);
	cr_expect_eq(kinds_find("null"), &null_backend);
	cr_expect_null(kinds_find("fil"));
	cr_expect_eq(kinds_open(&b, &p, err, sizeof(err)), -EINVAL);
	cr_expect(strstr(err, "floppy"), "%s", err);
	kinds_close(NULL);
}

Test(kinds, opens_many_disks_without_storage)
{
	struct backend_params p = {.kind = "null", .size = 4096};
	struct backend *a, *b;

	cr_assert_eq(kinds_open(&a, &p, err, sizeof(err)), 0, "%s", err);
	cr_assert_eq(kinds_open(&b, &p, err, sizeof(err)), 0, "%s", err);
	cr_expect_neq(a, b);
	kinds_close(a);
	kinds_close(b);
}

Test(kinds, shares_one_storage_by_consent, .init = start, .fini = stop)
{
	static const bool consent[][2] = {{true, false}, {false, true},
					  {true, true}};

	for (unsigned i = 0; i < ARRAY_SIZE(consent); i++) {
		bool read_only = consent[i][0], shared = consent[i][1];
		struct backend *a, *b;

		cr_assert_eq(open_kind(&a, path, read_only, shared), 0, "%s",
			     err);
		cr_assert_eq(open_kind(&b, other, read_only, shared), 0, "%s",
			     err);
		cr_expect_eq(a, b);
		cr_expect_eq(a->users, 2);
		kinds_close(a);
		cr_expect_eq(b->users, 1);
		kinds_close(b);
	}
}

Test(kinds, keeps_uses_with_other_settings_apart, .init = start, .fini = stop)
{
	struct backend *a, *b;

	cr_assert_eq(open_kind(&a, path, false, true), 0, "%s", err);
	cr_assert_eq(open_kind(&b, path, true, true), 0, "%s", err);
	cr_expect_neq(a, b);
	cr_expect(!a->info.read_only);
	cr_expect(b->info.read_only);
	cr_expect_eq(backend_claim(a, err, sizeof(err)), 0, "%s", err);
	cr_expect_eq(backend_claim(b, err, sizeof(err)), 0, "%s", err);
	backend_release(a);
	backend_release(b);
	kinds_close(a);
	kinds_close(b);
}

static unsigned nr_grew;

static void note_growth(struct backend_watch *w)
{
	(void)w;
	nr_grew++;
}

Test(kinds, notices_at_an_open_that_storage_grew, .init = start, .fini = stop)
{
	struct backend_watch watch = {.grew = note_growth};
	struct backend *a, *b;

	cr_assert_eq(open_kind(&a, path, false, true), 0, "%s", err);
	backend_watch(a, &watch);
	cr_assert_eq(truncate(path, 32 << 20), 0);
	cr_assert_eq(open_kind(&b, path, false, true), 0, "%s", err);
	cr_expect_eq(a, b);
	cr_expect_eq(a->info.size, 32 << 20);
	cr_expect_eq(nr_grew, 1);
	kinds_close(b);
	cr_assert_eq(truncate(path, 8 << 20), 0);
	cr_assert_eq(open_kind(&b, path, false, true), 0, "%s", err);
	cr_expect_eq(a->info.size, 32 << 20);
	cr_expect_eq(nr_grew, 1);
	kinds_close(b);
	list_del(&watch.link);
	kinds_close(a);
}

Test(kinds, refuses_two_uses_without_consent, .init = start, .fini = stop)
{
	static const bool uses[][4] = {
		/* read-only, shared; read-only, shared */
		{false, false, false, false},
		{false, false, true, false},
		{false, true, false, false},
		{true, false, false, true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(uses); i++) {
		const bool *u = uses[i];
		struct backend *a, *b;

		cr_assert_eq(open_kind(&a, path, u[0], u[1]), 0, "%s", err);
		cr_assert_eq(open_kind(&b, other, u[2], u[3]), -EEXIST);
		cr_expect(strstr(err, path), "%s", err);
		cr_expect(strstr(err, other), "%s", err);
		kinds_close(a);
		cr_assert_eq(open_kind(&b, other, u[2], u[3]), 0, "%s", err);
		kinds_close(b);
	}
}

Test(kinds, refuses_a_partition_and_its_disk, .init = start, .fini = stop)
{
	char disk[32], first[40], second[40];
	int fd = loopdev_open_partitions(path, disk);
	struct backend *a, *b, *c;

	if (fd < 0)
		cr_skip_test("no loop device with partitions here");
	snprintf(first, sizeof(first), "%sp1", disk);
	snprintf(second, sizeof(second), "%sp2", disk);
	cr_assert_eq(open_kind(&a, first, false, false), 0, "%s", err);
	cr_expect_eq(a->info.size, 4 << 20);
	cr_expect_eq(open_kind(&b, disk, false, false), -EEXIST);
	cr_expect(strstr(err, "overlap"), "%s", err);
	cr_assert_eq(open_kind(&c, second, false, false), 0, "%s", err);
	kinds_close(a);
	kinds_close(c);
	cr_assert_eq(open_kind(&b, disk, false, false), 0, "%s", err);
	cr_expect_eq(open_kind(&a, first, false, false), -EEXIST);
	kinds_close(b);
	close(fd);
}
