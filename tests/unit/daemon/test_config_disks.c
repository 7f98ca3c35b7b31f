/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/config_disks: one disk under two names, and what would fail. */
#include "daemon/config_disks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"
#include "loopdev.h"
#include "silentfuse.h"

static char folder[] = "/tmp/vringd-disks-XXXXXX";
static struct config_errors errs;

static void make_file(const char *name, const char *head)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, head, strlen(head)), (ssize_t)strlen(head));
	cr_assert_eq(ftruncate(fd, 16 << 20), 0);
	close(fd);
}

/* The file a, a link of each kind to it, and another file. */
static void start(void)
{
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
	make_file("a", "");
	make_file("b", "QFI\xfb");
	cr_assert_eq(symlink("a", "soft"), 0);
	cr_assert_eq(link("a", "hard"), 0);
	cr_assert_eq(symlink(folder, "here"), 0);
}

static void stop(void)
{
	char command[100];

	config_errors_fini(&errs);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(config_disks, .init = start, .fini = stop);

/* Two targets on lines of their own; @first and @second are flow mappings. */
static struct config *parse(const char *first, const char *second)
{
	struct config *c = NULL;
	char text[1000];

	snprintf(text, sizeof(text),
		 "targets:\n"
		 "- {name: x, backend: {%s}}\n"
		 "- {name: y, backend: {%s}}\n",
		 first, second);
	cr_assert_eq(config_parse("f", text, strlen(text), &c, &errs), 0, "%s",
		     text);
	config_errors_fini(&errs);
	return c;
}

static char *errors_text(void)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	config_errors_print(&errs, f);
	fclose(f);
	return out;
}

static void expect_said(const char *expected)
{
	char *said = errors_text();

	cr_assert_str_eq(said, expected, "said:\n%s", said);
	free(said);
	config_errors_fini(&errs);
}

/* Both files are in the folder; the rest is as it stands in a mapping. */
static int check(const char *first, const char *second, const char *rest)
{
	char one[200], two[200];
	struct config *c;
	int ret;

	snprintf(one, sizeof(one), "path: %s/%s%s", folder, first, rest);
	snprintf(two, sizeof(two), "path: %s/%s%s", folder, second, rest);
	c = parse(one, two);
	ret = config_disks_check(c, &errs);
	config_put(c);
	return ret;
}

Test(config_disks, are_the_same_through_links)
{
	static const char *const names[] = {"soft", "hard", "here/a",
					    "here/soft"};
	char expected[1000];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cr_assert_eq(check("a", names[i], ""), -EINVAL, "%s", names[i]);
		snprintf(expected, sizeof(expected),
			 "f:3:29: targets[1].backend.path: %s/%s is the same "
			 "file as %s/a of targets[0] at f:2:29; to share it, "
			 "both must be read-only or say shared: true\n",
			 folder, names[i], folder);
		expect_said(expected);
	}
	cr_assert_eq(check("a", "b", ""), 0);
	cr_assert_eq(check("gone", "gone-too", ""), 0);
	expect_said("");
}

Test(config_disks, may_be_shared_on_purpose)
{
	cr_assert_eq(check("a", "soft", ", read-only: on"), 0);
	cr_assert_eq(check("a", "soft", ", shared: on"), 0);
	cr_assert_eq(check("a", "soft", ", discard: off"), -EINVAL);
}

static int check_paths(const char *first, const char *second)
{
	char one[100], two[100];
	struct config *c;
	int ret;

	snprintf(one, sizeof(one), "path: %s", first);
	snprintf(two, sizeof(two), "path: %s", second);
	c = parse(one, two);
	ret = config_disks_check(c, &errs);
	config_put(c);
	return ret;
}

Test(config_disks, overlap_their_partitions)
{
	char disk[32], first[40], second[40], expected[1000];
	int fd = loopdev_open_partitions("a", disk);

	if (fd < 0)
		cr_skip_test("no loop device with partitions here");
	snprintf(first, sizeof(first), "%sp1", disk);
	snprintf(second, sizeof(second), "%sp2", disk);
	cr_assert_eq(check_paths(first, second), 0);
	cr_assert_eq(check_paths(first, disk), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "f:3:29: targets[1].backend.path: %s is the disk that has "
		 "the partition %s of targets[0] at f:2:29; to share it, both "
		 "must be read-only or say shared: true\n",
		 disk, first);
	expect_said(expected);
	cr_assert_eq(check_paths(disk, second), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "f:3:29: targets[1].backend.path: %s is a partition of %s of "
		 "targets[0] at f:2:29; to share it, both must be read-only or "
		 "say shared: true\n",
		 second, disk);
	expect_said(expected);
	cr_assert_eq(symlink(first, "by-id"), 0);
	snprintf(second, sizeof(second), "%s/by-id", folder);
	cr_assert_eq(check_paths(first, second), -EINVAL);
	cr_assert_not_null(strstr(errs.list[0].text, "is the same device as"));
	close(fd);
}

/* What is said of a target with @backend, without the place and the key. */
static void expect_warning(const char *backend, const char *expected)
{
	struct config *c = parse(backend, "kind: mem, size: 1MiB");
	char whole[1000];

	cr_assert_eq(config_disks_warn(c, &errs), 0);
	snprintf(whole, sizeof(whole),
		 "f:2:29: warning: "
		 "targets[0].backend.path: %s\n",
		 expected);
	expect_said(*expected ? whole : "");
	config_put(c);
}

Test(config_disks, are_warned_of_when_they_would_fail)
{
	char backend[200], expected[300];

	snprintf(backend, sizeof(backend), "path: %s/a", folder);
	expect_warning(backend, "");
	snprintf(backend, sizeof(backend), "path: %s/b", folder);
	snprintf(expected, sizeof(expected),
		 "%s/b looks like qcow2, but is served as it is, raw", folder);
	expect_warning(backend, expected);
	snprintf(backend, sizeof(backend), "path: %s/gone", folder);
	snprintf(expected, sizeof(expected),
		 "%s/gone: No such file or directory; the target would fail "
		 "until that changes",
		 folder);
	expect_warning(backend, expected);
	expect_warning("path: /dev/null",
		       "/dev/null is no file or block device");
	expect_warning("path: /tmp", "/tmp is no file or block device");
}

/* Root may do all, so this is about somebody else. */
Test(config_disks, are_warned_of_when_rights_lack)
{
	struct config *c;
	char backend[200];

	if (getuid() != 0)
		cr_skip_test("only root can become another user");
	cr_assert_eq(chmod(folder, 0755), 0);
	cr_assert_eq(chmod("a", 0640), 0);
	snprintf(backend, sizeof(backend), "path: %s/a", folder);
	c = parse(backend, "kind: mem, size: 1MiB");
	cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(config_disks_warn(c, &errs), 0);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(errs.nr, 1);
	cr_assert(errs.list[0].warning);
	cr_assert_not_null(strstr(errs.list[0].text, "a: permission denied: "),
			   "%s", errs.list[0].text);
	cr_assert_not_null(strstr(errs.list[0].text,
				  "owned by root:root, mode 0640"),
			   "%s", errs.list[0].text);
	cr_assert_not_null(strstr(errs.list[0].text, "setfacl -m u:nobody:rw"),
			   "%s", errs.list[0].text);
	config_put(c);
}

Test(config_disks, are_warned_of_when_nobody_can_connect)
{
	static const char text[] =
		"socket-group: no-such-group\n"
		"control: {group: nor-this}\n"
		"cpus: [0, 1023]\n"
		"targets:\n"
		"- {name: x, backend: {kind: mem, size: 1MiB}}\n"
		"- {name: y, backend: {kind: mem, size: 1MiB},"
		" socket-group: \"0\", socket-owner: root,"
		" socket: /no/such/y.sock}\n";
	char cpu[128], expected[600];
	struct config *c = NULL;

	cr_assert_eq(config_parse("f", text, strlen(text), &c, &errs), 0);
	cr_assert_eq(config_disks_warn(c, &errs), 0);
	snprintf(cpu, sizeof(cpu),
		 "f: warning: cpus: there is no CPU 1023, the last is %ld; the "
		 "program would not start\n",
		 sysconf(_SC_NPROCESSORS_CONF) - 1);
	snprintf(expected, sizeof(expected),
		 "%s"
		 "f: warning: control.group: no group named nor-this; the "
		 "program would not start\n"
		 "f:5:3: warning: targets[0].socket: no group named "
		 "no-such-group; the target would fail until that changes\n"
		 "f:6:3: warning: targets[1].socket: there is no folder "
		 "/no/such; the target would fail until that changes\n",
		 cpu);
	expect_said(expected);
	config_put(c);
}

/* Nothing is opened, so the number of the device does not matter. */
Test(config_disks, that_udev_made_are_given_by_udev)
{
	struct config *c;
	char backend[200];

	if (getuid() != 0)
		cr_skip_test("only root can become another user");
	cr_assert_eq(chmod(folder, 0755), 0);
	if (mknod("disk", S_IFBLK | 0600, makedev(7, 4000)))
		cr_skip_test("no device nodes here");
	snprintf(backend, sizeof(backend), "path: %s/here/disk", folder);
	c = parse(backend, "kind: mem, size: 1MiB");
	cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(config_disks_warn(c, &errs), 0);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(errs.nr, 1);
	cr_assert_not_null(strstr(errs.list[0].text,
				  "try: a udev rule such as "
				  "SUBSYSTEM==\"block\", SYMLINK==\""),
			   "%s", errs.list[0].text);
	config_put(c);
}

/* Everything in the folder of @silent waits until the end of the test. */
Test(config_disks, that_do_not_answer_hold_up_nobody)
{
	struct silentfuse silent;
	char one[100], two[100];
	struct config *c;

	if (silentfuse_begin(&silent))
		cr_skip_test("no FUSE here");
	snprintf(one, sizeof(one), "path: %s/disk", silent.dir);
	snprintf(two, sizeof(two), "path: %s/gone", folder);
	c = parse(one, two);
	cr_assert_eq(config_disks_check(c, &errs), 0);
	cr_assert_eq(config_disks_warn(c, &errs), 0);
	cr_assert_eq(errs.nr, 2, "%s", errors_text());
	cr_assert_not_null(strstr(errs.list[0].text, "/disk does not answer"));
	cr_assert_not_null(strstr(errs.list[1].text, "/gone: No such file"));
	config_put(c);
	silentfuse_end(&silent);
}
