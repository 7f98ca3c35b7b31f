/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/inuse: what strangers have does not keep us from an answer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/inuse.h"
#include "loopdev.h"
#include "silentfuse.h"

#define TIME_LIMIT 10 /* seconds, of which an answer needs almost nothing */

static char dir[] = "/tmp/test_inuse.XXXXXX";
static char path[64];  /* the storage that we ask about, */
static char point[64]; /* and where something is mounted */
static struct silentfuse silent;

static void start(void)
{
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(point, sizeof(point), "%s/point", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(mkdir(point, 0700), 0);
}

static void stop(void)
{
	umount(point);
	rmdir(point);
	unlink(path);
	rmdir(dir);
}

/* Mounts what falls silent later, where we alone see it. */
static void mount_silent(void)
{
	int ret = silentfuse_mount(&silent);

	if (ret) {
		stop();
		cr_skip_test("no FUSE here: %s", strerror(-ret));
	}
}

/* A question and its answer. */
struct question {
	struct backend_id id;
	bool locked;
	bool is_by_host; /* which of the two functions is asked */
	int host;
	enum inuse_by by;
	struct inuse_process p;
	char err[256];
};

static void *ask(void *arg)
{
	struct question *q = arg;

	if (q->is_by_host)
		q->host = inuse_by_host(&q->id, q->err, sizeof(q->err));
	else
		q->by = inuse_by_process(&q->id, q->locked, &q->p);
	return NULL;
}

/* Is there an answer in time, though silent is silent?  Ends silent. */
static bool is_answered(struct question *q)
{
	struct timespec limit;
	pthread_t thread;
	bool is;

	cr_assert_eq(pthread_create(&thread, NULL, ask, q), 0);
	cr_assert_eq(clock_gettime(CLOCK_REALTIME, &limit), 0);
	limit.tv_sec += TIME_LIMIT;
	is = !pthread_timedjoin_np(thread, NULL, &limit);
	silentfuse_end(&silent);
	if (!is)
		pthread_join(thread, NULL);
	return is;
}

/* A process that has the silent file open, and then the storage, locked. */
static pid_t make_user(void)
{
	struct flock fl = {.l_type = F_WRLCK};
	int said[2], fd;
	char byte;
	pid_t pid;

	cr_assert_eq(pipe2(said, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = open(path, O_RDWR | O_CLOEXEC);
		close(silent.dev);
		if (fd < silent.file || fcntl(fd, F_OFD_SETLK, &fl) ||
		    write(said[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(said[1]);
	cr_assert_eq(read(said[0], &byte, 1), 1);
	close(said[0]);
	return pid;
}

static void expect_user_found(bool locked)
{
	struct question q = {.locked = locked};
	bool answered;
	pid_t pid;

	mount_silent();
	pid = make_user();
	cr_assert_eq(inuse_identify_path(path, &q.id), 0);
	silentfuse_silence(&silent);
	answered = is_answered(&q);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert(answered, "it waits for a stranger's file");
	cr_expect_eq(q.by, INUSE_BY_PROCESS);
	cr_expect_eq(q.p.pid, pid);
}

Test(inuse, finds_who_has_files_that_do_not_answer_too, .init = start,
     .fini = stop)
{
	expect_user_found(false);
}

Test(inuse, finds_whose_lock_it_is_though_his_files_do_not_answer,
     .init = start, .fini = stop)
{
	expect_user_found(true);
}

/* Mounts something that has a device number of its own, and says @source. */
static bool mount_of(const char *source)
{
	return !mount(source, point, "tmpfs", 0, NULL);
}

Test(inuse, does_not_wait_for_what_a_mount_says_it_is_of, .init = start,
     .fini = stop)
{
	struct question q = {
		.is_by_host = true,
		.id = {.is_block = true, .dev = makedev(7, 0xfffff)},
	};

	mount_silent();
	cr_assert(mount_of(silent.path));
	silentfuse_silence(&silent);
	cr_assert(is_answered(&q), "it waits for a stranger's file");
	cr_expect_eq(q.host, 0, "%s", q.err);
}

Test(inuse, does_not_wait_for_the_file_of_a_loop_device, .init = start,
     .fini = stop)
{
	struct question q = {.is_by_host = true};
	char loop[32];
	bool answered;
	int fd;

	mount_silent();
	fd = loopdev_open(silent.path, 512, loop);
	if (fd < 0) {
		silentfuse_silence(&silent);
		silentfuse_end(&silent);
		stop();
		cr_skip_test("no loop device here");
	}
	cr_assert_eq(inuse_identify_path(path, &q.id), 0);
	silentfuse_silence(&silent);
	answered = is_answered(&q);
	close(fd);
	cr_assert(answered, "it waits for a stranger's file");
	cr_expect_eq(q.host, 0, "%s", q.err);
}

/* As btrfs, whose mounts do not tell the number of the device. */
Test(inuse, sees_a_mount_by_the_name_of_its_device, .init = start, .fini = stop)
{
	struct backend_id id = {.is_block = true, .dev = makedev(7, 0xfffff)};
	char node[80], err[256];
	int ret = -EPERM;

	snprintf(node, sizeof(node), "%s/node", dir);
	if (!mknod(node, S_IFBLK | 0600, id.dev) && mount_of(node))
		ret = inuse_by_host(&id, err, sizeof(err));
	unlink(node);
	if (ret == -EPERM) {
		stop();
		cr_skip_test("cannot mount here");
	}
	cr_expect_eq(ret, -EBUSY);
	cr_expect(strstr(err, point), "%s", err);
}
