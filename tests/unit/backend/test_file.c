/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/file: what is opened, what is refused, and who may claim it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/util.h"
#include "iotest.h"
#include "loopdev.h"

#define SIZE ((off_t)16 << 20)

static char dir[] = "/tmp/vringd-test-XXXXXX";
static char path[64];
static char err[2048];

static void start(void)
{
	int fd;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, SIZE), 0);
	close(fd);
}

static void stop(void)
{
	unlink(path);
	rmdir(dir);
}

static int open_params(struct backend **b, struct backend_params p)
{
	if (!p.path)
		p.path = path;
	p.kind = "file";
	err[0] = '\0';
	return file_backend.open(b, &p, err, sizeof(err));
}

static int open_path(struct backend **b, const char *where)
{
	return open_params(b, (struct backend_params){.path = where});
}

static int open_blocks(struct backend **b, const char *where, unsigned size)
{
	struct backend_params p = {.path = where, .block_size = size};

	return open_params(b, p);
}

static void expect_refused(int error, const char *where, const char *word)
{
	struct backend *b;

	cr_assert_eq(open_path(&b, where), error, "%s: %s", where, err);
	cr_expect(strstr(err, where), "\"%s\" in: %s", where, err);
	cr_expect(strstr(err, word), "\"%s\" in: %s", word, err);
}

Test(file, learns_what_a_regular_file_can_do, .init = start, .fini = stop)
{
	struct backend *b;
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(open_params(&b, (struct backend_params){.discard = true}),
		     0, "%s", err);
	cr_expect_eq(b->info.size, SIZE);
	cr_expect_eq(b->info.physical_block_size, 4096);
	cr_expect(b->info.can_discard && b->info.can_unmap);
	cr_expect_eq(b->info.discard_align, 4096);
	cr_expect(!b->info.copies);
	cr_expect(!b->id.is_block);
	cr_expect_eq(b->id.dev, st.st_dev);
	cr_expect_eq(b->id.ino, st.st_ino);
	file_backend.close(b);
	cr_assert_eq(open_path(&b, path), 0, "%s", err);
	cr_expect(!b->info.can_discard && !b->info.can_unmap);
	file_backend.close(b);
}

Test(file, serves_whole_blocks_only, .init = start, .fini = stop)
{
	struct backend *b;

	cr_assert_eq(truncate(path, SIZE + 4096 + 700), 0);
	cr_assert_eq(open_blocks(&b, path, 512), 0, "%s", err);
	cr_expect_eq(b->info.size, SIZE + 4096 + 512);
	file_backend.close(b);
	cr_assert_eq(open_blocks(&b, path, 4096), 0, "%s", err);
	cr_expect_eq(b->info.size, SIZE + 4096);
	cr_expect_eq(b->info.block_size, 4096);
	file_backend.close(b);
	cr_expect_eq(open_blocks(&b, path, 1024), -EINVAL);
	cr_assert_eq(truncate(path, 511), 0);
	expect_refused(-EINVAL, path, "empty");
}

Test(file, refuses_what_is_no_disk, .init = start, .fini = stop)
{
	char name[96];

	snprintf(name, sizeof(name), "%s/nothing", dir);
	expect_refused(-ENOENT, name, "No such file");
	expect_refused(-EISDIR, dir, "directory");
	expect_refused(-ENOTBLK, "/dev/null", "character device");
	snprintf(name, sizeof(name), "%s/pipe", dir);
	cr_assert_eq(mkfifo(name, 0600), 0);
	expect_refused(-ENOTBLK, name, "pipe");
	unlink(name);
}

/* Run @fn as nobody, in a process of its own. */
static void as_nobody(void (*fn)(void))
{
	pid_t pid;
	int status;

	if (geteuid())
		cr_skip_test("only root can be nobody");
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(9);
		fn();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "status %x", status);
}

static void expect_words(const char *const *words, unsigned n)
{
	struct backend *b;

	if (open_path(&b, path) != -EACCES)
		_exit(1);
	for (unsigned i = 0; i < n; i++)
		if (!strstr(err, words[i])) {
			fprintf(stderr, "no \"%s\" in: %s\n", words[i], err);
			_exit(2);
		}
}

static void meet_a_closed_file(void)
{
	const char *words[] = {"disk is owned by root:root, mode 0600",
			       "we are user nobody (groups nogroup)",
			       "setfacl -m u:nobody:rw", "/disk"};

	expect_words(words, ARRAY_SIZE(words));
}

static void meet_a_closed_directory(void)
{
	const char *words[] = {dir, "is owned by root:root, mode 0700",
			       "setfacl -m u:nobody:x"};

	expect_words(words, ARRAY_SIZE(words));
}

Test(file, names_what_denies_and_what_helps, .init = start, .fini = stop)
{
	chmod(dir, 0755);
	as_nobody(meet_a_closed_file);
	chmod(dir, 0700);
	as_nobody(meet_a_closed_directory);
}

/* A loop device of the file, or the test is skipped. */
static int make_loop(char *name)
{
	int fd = loopdev_open(path, 512, name);

	if (fd < 0) {
		stop();
		cr_skip_test("no loop devices here");
	}
	return fd;
}

Test(file, learns_what_a_device_can_do, .init = start, .fini = stop)
{
	char loop[32];
	int fd = make_loop(loop);
	struct backend *b;
	struct stat st;

	cr_assert_eq(stat(loop, &st), 0);
	cr_assert_eq(open_params(&b, (struct backend_params){.path = loop,
							     .discard = true}),
		     0, "%s", err);
	cr_expect_eq(b->info.size, SIZE);
	cr_expect_eq(b->info.block_size, 512);
	cr_expect(b->info.direct);
	cr_expect(b->info.can_discard);
	cr_expect_geq(b->info.discard_align, 512);
	cr_expect(b->id.is_block);
	cr_expect_eq(b->id.dev, st.st_rdev);
	file_backend.close(b);
	close(fd);
}

Test(file, refuses_blocks_smaller_than_the_device_has, .init = start,
     .fini = stop)
{
	char loop[32];
	int fd = loopdev_open(path, 4096, loop);
	struct backend *b;

	if (fd < 0) {
		stop();
		cr_skip_test("no loop devices here");
	}
	cr_expect_eq(open_blocks(&b, loop, 512), -EINVAL);
	cr_expect(strstr(err, "4096"), "%s", err);
	cr_assert_eq(open_path(&b, loop), 0, "%s", err);
	cr_expect_eq(b->info.block_size, 4096);
	file_backend.close(b);
	close(fd);
}

Test(file, serves_a_read_only_device_only_if_told_so, .init = start,
     .fini = stop)
{
	char loop[32];
	struct backend_params p = {.read_only = true};
	int one = 1, fd = make_loop(loop);
	struct backend *b;

	cr_assert_eq(ioctl(fd, BLKROSET, &one), 0);
	expect_refused(-EROFS, loop, "read-only: true");
	p.path = loop;
	cr_expect_eq(open_params(&b, p), 0, "%s", err);
	cr_expect(b->info.read_only);
	file_backend.close(b);
	close(fd);
}

Test(file, refuses_a_device_the_host_has_mounted, .init = start, .fini = stop)
{
	char loop[32], command[128], point[64];
	int fd = make_loop(loop);

	snprintf(command, sizeof(command), "mkfs.ext4 -q %s >/dev/null 2>&1",
		 loop);
	snprintf(point, sizeof(point), "%s/my mnt", dir);
	mkdir(point, 0700);
	if (system(command) || mount(loop, point, "ext4", 0, NULL)) {
		close(fd);
		rmdir(point);
		stop();
		cr_skip_test("cannot mount here");
	}
	expect_refused(-EBUSY, loop, "is mounted on");
	cr_expect(strstr(err, point), "%s", err);
	umount(point);
	rmdir(point);
	close(fd);
}

Test(file, refuses_an_image_attached_to_a_loop_device, .init = start,
     .fini = stop)
{
	char loop[32];
	int fd = make_loop(loop);
	struct backend *b;

	expect_refused(-EBUSY, path, "is attached to");
	cr_expect(strstr(err, loop), "%s", err);
	/* The device itself may be served. */
	cr_assert_eq(open_path(&b, loop), 0, "%s", err);
	file_backend.close(b);
	close(fd);
}

/* -- claims --------------------------------------------------------------- */

enum use {
	ALONE,
	READER,
	SHARED,
	NR_USES,
};

static int claim_as(struct backend **b, const char *where, enum use use)
{
	struct backend_params p = {.path = where, .read_only = use == READER,
				   .shared = use == SHARED};
	int ret = open_params(b, p);

	if (ret)
		return ret;
	ret = backend_claim(*b, err, sizeof(err));
	if (ret)
		file_backend.close(*b);
	return ret;
}

static void give_up(struct backend *b)
{
	backend_release(b);
	file_backend.close(b);
}

/* A child that does not outlive a test that fails. */
static pid_t fork_child(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* A process that claims @where, says so, and waits to be killed. */
static pid_t start_claimer(const char *where, enum use use)
{
	int fds[2];
	char ok;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	pid = fork_child();
	if (!pid) {
		struct backend *b;

		ok = claim_as(&b, where, use) ? 'n' : 'y';
		if (write(fds[1], &ok, 1) == 1)
			pause();
		_exit(0);
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], &ok, 1), 1);
	cr_assert_eq(ok, 'y');
	close(fds[0]);
	return pid;
}

static void end_claimer(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static void try_all_pairs(const char *where)
{
	static const bool together[NR_USES][NR_USES] = {
		[READER] = {false, true, true},
		[SHARED] = {false, true, true},
	};

	for (int first = 0; first < NR_USES; first++)
		for (int second = 0; second < NR_USES; second++) {
			pid_t pid = start_claimer(where, first);
			struct backend *b;
			char who[32];
			int ret = claim_as(&b, where, second);

			snprintf(who, sizeof(who), "pid %d (", (int)pid);
			cr_expect_eq(ret, together[first][second] ? 0 : -EBUSY,
				     "%d then %d: %d %s", first, second, ret,
				     err);
			if (!ret)
				give_up(b);
			else
				cr_expect(strstr(err, who), "%s in: %s", who,
					  err);
			end_claimer(pid);
			cr_assert_eq(claim_as(&b, where, second), 0, "%s", err);
			give_up(b);
		}
}

Test(file, lets_two_processes_have_a_file_by_consent, .init = start,
     .fini = stop)
{
	try_all_pairs(path);
}

Test(file, lets_two_processes_have_a_device_by_consent, .init = start,
     .fini = stop)
{
	char loop[32];
	int fd = make_loop(loop);

	try_all_pairs(loop);
	close(fd);
}

/* Claims @path to be shared, or only read, in the name of @user. */
static int claim_for(struct backend **b, const char *user, bool read_only)
{
	const struct backend_params p = {
		.kind = "file",
		.path = path,
		.shared = !read_only,
		.read_only = read_only,
		.user = user,
	};
	int ret = file_backend.open(b, &p, err, sizeof(err));

	cr_assert_eq(ret, 0, "%s", err);
	ret = backend_claim(*b, err, sizeof(err));
	if (ret)
		file_backend.close(*b);
	return ret;
}

/* Another process has it in the name of @user, until it is ended. */
static pid_t start_user(const char *user, bool read_only)
{
	int fds[2];
	char ok = 'n';
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	pid = fork_child();
	if (!pid) {
		struct backend *b;

		ok = claim_for(&b, user, read_only) ? 'n' : 'y';
		if (write(fds[1], &ok, 1) == 1)
			pause();
		_exit(0);
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], &ok, 1), 1);
	cr_assert_eq(ok, 'y', "%s", user);
	close(fds[0]);
	return pid;
}

/* However it had the disk, and is to have it. */
static void wait_for_predecessor(bool before, bool now)
{
	pid_t predecessor = start_user("/run/a", before);
	pid_t other = start_user("/run/b", before);
	struct backend *b, *nobody;

	cr_assert_eq(claim_for(&nobody, NULL, now), 0, "%s", err);
	cr_assert_eq(claim_for(&b, "/run/a", now), -EBUSY);
	cr_assert(strstr(err, "the vringd that was here before"), "%s", err);
	cr_assert_eq(claim_as(&b, path, ALONE), -EBUSY);
	end_claimer(predecessor);
	cr_assert_eq(claim_for(&b, "/run/a", now), 0, "%s", err);
	give_up(b);
	cr_assert_eq(claim_for(&b, "/run/b", now), -EBUSY);
	end_claimer(other);
	give_up(nobody);
	cr_assert_eq(claim_as(&b, path, ALONE), 0, "%s", err);
	give_up(b);
}

Test(file, waits_for_its_predecessor_also_when_shared, .init = start,
     .fini = stop)
{
	for (int before = 0; before < 2; before++)
		for (int now = 0; now < 2; now++)
			wait_for_predecessor(before, now);
}

Test(file, has_a_disk_in_two_ways_at_once, .init = start, .fini = stop)
{
	const struct backend_params ways[] = {
		{.path = path, .user = "/run/a", .shared = true},
		{.path = path, .user = "/run/a", .shared = true,
		 .discard = true},
		{.path = path, .user = "/run/a", .shared = true,
		 .direct = BACKEND_DIRECT_OFF},
		{.path = path, .user = "/run/a", .shared = true,
		 .block_size = 4096},
		{.path = path, .user = "/run/a", .shared = true,
		 .delay_us = 1000},
		{.path = path, .user = "/run/a", .read_only = true},
	};
	struct backend *b[ARRAY_SIZE(ways)];

	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		cr_assert_eq(open_params(&b[i], ways[i]), 0, "%s", err);
		cr_assert_eq(backend_claim(b[i], err, sizeof(err)), 0,
			     "%u: %s", i, err);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
		give_up(b[i]);
}

Test(file, keeps_other_programs_off_a_claimed_device, .init = start,
     .fini = stop)
{
	char loop[32];
	int other, fd = make_loop(loop);
	struct backend *b;

	cr_assert_eq(claim_as(&b, loop, ALONE), 0, "%s", err);
	other = open(loop, O_RDWR | O_EXCL);
	cr_expect_eq(other, -1);
	cr_expect_eq(errno, EBUSY);
	give_up(b);
	other = open(loop, O_RDWR | O_EXCL);
	cr_expect_geq(other, 0);
	cr_assert_eq(open_path(&b, loop), 0);
	cr_expect_eq(backend_claim(b, err, sizeof(err)), -EBUSY);
	close(other);
	cr_expect_eq(backend_claim(b, err, sizeof(err)), 0, "%s", err);
	give_up(b);
	close(fd);
}

/* A path may lead elsewhere by the time of the claim; the backend does not. */
Test(file, claims_what_it_opened_and_not_what_has_its_name, .init = start,
     .fini = stop)
{
	char moved[80];
	struct backend *b, *second;
	uint64_t size;
	int fd;

	snprintf(moved, sizeof(moved), "%s-moved", path);
	cr_assert_eq(open_path(&b, path), 0);
	cr_assert_eq(rename(path, moved), 0);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(backend_claim(b, err, sizeof(err)), 0, "%s", err);
	close(fd);
	cr_expect_eq(file_backend.rescan(b, &size), 0);
	cr_expect_eq(size, SIZE);
	cr_expect_eq(claim_as(&second, moved, ALONE), -EBUSY);
	give_up(b);
	cr_assert_eq(rename(moved, path), 0);
}

/* -- a dead predecessor ---------------------------------------------------- */

#define BLKIO "/sys/fs/cgroup/blkio/vringd-test"

static bool put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Submits a write of 1 MiB, and says when it is under way. */
static void write_slowly(const char *where, int say)
{
	struct backend_params p = {.kind = "file", .path = where};
	struct iotest t = {0};
	char *buf;

	if (!put(BLKIO "/cgroup.procs", "0"))
		_exit(1);
	iotest_open(&t, &file_backend, &p);
	buf = aligned_alloc(4096, 1 << 20);
	memset(buf, 'x', 1 << 20);
	if (write(say, "y", 1) != 1)
		_exit(2);
	iotest_one(&t, IO_WRITE, 0, buf, 1 << 20);
	_exit(3);
}

static pid_t start_writer(const char *where)
{
	int fds[2];
	char ok;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	pid = fork_child();
	if (!pid)
		write_slowly(where, fds[1]);
	close(fds[1]);
	cr_assert_eq(read(fds[0], &ok, 1), 1);
	close(fds[0]);
	return pid;
}

static unsigned wait_for_claim(const char *where, struct backend **b)
{
	unsigned refused = 0;

	while (claim_as(b, where, ALONE)) {
		cr_assert_lt(++refused, 200, "never claimed: %s", err);
		cr_expect(strstr(err, "requests of a process that has ended"),
			  "%s", err);
		usleep(50000);
	}
	return refused;
}

Test(file, waits_for_the_writes_of_a_dead_process, .init = start,
     .fini = stop)
{
	char loop[32], rule[64], byte = 0;
	int fd = make_loop(loop);
	struct backend *b;
	unsigned refused;
	struct stat st;
	pid_t pid;

	cr_assert_eq(stat(loop, &st), 0);
	snprintf(rule, sizeof(rule), "%u:%u 524288", major(st.st_rdev),
		 minor(st.st_rdev));
	mkdir(BLKIO, 0755);
	if (!put(BLKIO "/blkio.throttle.write_bps_device", rule)) {
		rmdir(BLKIO);
		close(fd);
		stop();
		cr_skip_test("no cgroup that slows a device down");
	}
	pid = start_writer(loop);
	usleep(300000);
	end_claimer(pid);
	refused = wait_for_claim(loop, &b);
	cr_expect_gt(refused, 5, "refused %u times", refused);
	cr_expect_eq(pread(fd, &byte, 1, (1 << 20) - 1), 1);
	cr_expect_eq(byte, 'x', "claimed before the write was over");
	give_up(b);
	rmdir(BLKIO);
	close(fd);
}
