/* SPDX-License-Identifier: BSD-2-Clause */
/* run/uring: both kinds of ring, restrictions, full queues, explanations. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "run/uring.h"

#define ENTRIES 8

struct result {
	struct uring_op op;
	unsigned count;
	int res;
};

static struct uring r;

static void note(struct uring_op *op, int res)
{
	struct result *result = container_of(op, struct result, op);

	result->count++;
	result->res = res;
}

static void make(enum uring_kind kind)
{
	struct uring_params p = {
		.kind = kind,
		.entries = ENTRIES,
		.nr_files = 4,
		.nr_buffers = 4,
		.sqpoll_cpu = -1,
		.sqpoll_idle_ms = 10,
	};

	cr_assert_eq(uring_init(&r, &p), 0);
	cr_assert_eq(uring_enable(&r, 4, NULL), 0);
}

/* Until @n completions came, for at most five seconds. */
static void reap(unsigned n)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	for (unsigned tries = 0, got = 0; got < n; tries++) {
		cr_assert_lt(tries, 5000);
		uring_submit(&r);
		got += uring_reap(&r);
		if (got < n)
			nanosleep(&ms, NULL);
	}
}

static void add_nop(struct result *result)
{
	struct io_uring_sqe *sqe = uring_sqe(&r);

	result->op.done = note;
	io_uring_prep_nop(sqe);
	uring_sqe_done(sqe, &result->op);
}

static bool is_eventfd_ready(void)
{
	struct pollfd p = {.fd = r.eventfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void both_kinds(void (*test)(void))
{
	for (int kind = 0; kind < URING_NR_KINDS; kind++) {
		make(kind);
		test();
		uring_fini(&r);
	}
}

static void hand_out_results(void)
{
	struct result a = {0}, b = {0};
	struct io_uring_sqe *sqe;

	add_nop(&a);
	sqe = uring_sqe(&r);
	io_uring_prep_read(sqe, -1, NULL, 1, 0);
	b.op.done = note;
	uring_sqe_done(sqe, &b.op);
	cr_assert(uring_has_work(&r));
	cr_assert_gt(uring_submit(&r), 0);
	cr_assert_eq(a.count, 0);
	reap(2);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.res, 0);
	cr_assert_eq(b.count, 1);
	cr_assert_eq(b.res, -EBADF);
	cr_assert_not(uring_has_work(&r));
	cr_assert_eq(uring_submit(&r), 0);
}

Test(uring, hands_out_results)
{
	both_kinds(hand_out_results);
}

/* Far more than the queues hold, and nothing completes inside the calls. */
static void overfill(void)
{
	static struct result many[20 * ENTRIES];

	memset(many, 0, sizeof(many));
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		add_nop(&many[i]);
	uring_submit(&r);
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		cr_assert_eq(many[i].count, 0);
	reap(ARRAY_SIZE(many));
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		cr_assert_eq(many[i].count, 1);
}

Test(uring, loses_nothing_when_both_queues_are_full)
{
	both_kinds(overfill);
}

static struct result follow_up;

static void add_follow_up(struct uring_op *op, int res)
{
	note(op, res);
	add_nop(&follow_up);
}

static void submit_from_done(void)
{
	struct result a = {0};

	memset(&follow_up, 0, sizeof(follow_up));
	add_nop(&a);
	a.op.done = add_follow_up;
	reap(1);
	cr_assert_eq(follow_up.count, 0);
	/* Nobody sleeps over the entry that done() made. */
	cr_assert(uring_has_work(&r));
	reap(1);
	cr_assert_eq(follow_up.count, 1);
}

Test(uring, takes_entries_made_by_a_completion)
{
	both_kinds(submit_from_done);
}

Test(uring, announces_completions_of_the_sqpoll_ring_when_armed)
{
	struct result a = {0};

	make(URING_SQPOLL);
	add_nop(&a);
	reap(1);
	cr_assert_not(is_eventfd_ready());
	uring_arm(&r);
	add_nop(&a);
	uring_submit(&r);
	for (int i = 0; i < 5000 && !is_eventfd_ready(); i++)
		usleep(1000);
	cr_assert(is_eventfd_ready());
	uring_disarm(&r);
	reap(1);
	uring_fini(&r);
}

Test(uring, waits_until_there_is_a_completion)
{
	struct __kernel_timespec ts = {.tv_nsec = 20000000};
	struct result a = {.op.done = note};

	make(URING_DIRECT);
	cr_assert_eq(r.eventfd, -1, "it needs none");

	struct io_uring_sqe *sqe = uring_sqe(&r);

	io_uring_prep_timeout(sqe, &ts, 0, 0);
	uring_sqe_done(sqe, &a.op);
	/* It submits, too.  A signal may end it early. */
	for (int i = 0; i < 100 && !a.count; i++) {
		uring_wait(&r);
		uring_reap(&r);
	}
	cr_assert_eq(a.res, -ETIME);
	uring_fini(&r);
}

static void use_registered_files(void)
{
	char in[5] = "";
	struct result a = {.op.done = note};
	int p[2], place;

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(write(p[1], "hello", 5), 5);
	place = uring_add_file(&r, p[0]);
	cr_assert_geq(place, 0);
	close(p[0]);

	struct io_uring_sqe *sqe = uring_sqe(&r);

	io_uring_prep_read(sqe, place, in, sizeof(in), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	uring_sqe_done(sqe, &a.op);
	reap(1);
	cr_assert_eq(a.res, 5);
	cr_assert_arr_eq(in, "hello", 5);

	uring_drop_file(&r, place);
	sqe = uring_sqe(&r);
	io_uring_prep_read(sqe, place, in, sizeof(in), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	uring_sqe_done(sqe, &a.op);
	reap(1);
	cr_assert_eq(a.res, -EBADF);
	close(p[1]);
}

Test(uring, reads_registered_files_and_forgets_them)
{
	both_kinds(use_registered_files);
}

#define PAGE 4096

static char pages[3 * PAGE] __attribute__((aligned(PAGE)));

/* From a pipe that has enough; @buffer is the place of a fixed buffer. */
static int read_fixed(int op, void *addr, unsigned len, int buffer)
{
	struct result a = {.op.done = note};
	struct io_uring_sqe *sqe;
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(write(p[1], "hello", 5), 5);
	sqe = uring_sqe(&r);
	io_uring_prep_rw(op, sqe, p[0], addr, len, 0);
	sqe->buf_index = (uint16_t)buffer;
	uring_sqe_done(sqe, &a.op);
	reap(1);
	close(p[0]);
	close(p[1]);
	return a.res;
}

static void use_fixed_buffers(void)
{
	int place = uring_add_buffer(&r, pages + PAGE, PAGE);

	cr_assert_geq(place, 0);
	memset(pages, 0, sizeof(pages));
	cr_expect_eq(read_fixed(IORING_OP_READ_FIXED, pages + 2 * PAGE - 5, 5,
				place), 5);
	cr_expect_arr_eq(pages + 2 * PAGE - 5, "hello", 5);
	/* Not beyond its ends. */
	cr_expect_eq(read_fixed(IORING_OP_READ_FIXED, pages + 2 * PAGE - 4, 5,
				place), -EFAULT);
	cr_expect_eq(read_fixed(IORING_OP_READ_FIXED, pages + PAGE - 1, 5,
				place), -EFAULT);
	uring_drop_buffer(&r, place);
	cr_expect_eq(read_fixed(IORING_OP_READ_FIXED, pages + PAGE, 5, place),
		     -EFAULT);
}

Test(uring, reads_into_fixed_buffers_and_forgets_them)
{
	both_kinds(use_fixed_buffers);
}

static void use_vectors(void)
{
	struct iovec iov[2] = {{pages + PAGE + 100, 2}, {pages + PAGE, 3}};
	int place = uring_add_buffer(&r, pages + PAGE, PAGE);

	if (!uring_has_op(URING_OP_READV_FIXED)) {
		cr_expect_eq(read_fixed(URING_OP_READV_FIXED, iov, 2, place),
			     -EINVAL);
		return;
	}
	memset(pages, 0, sizeof(pages));
	cr_expect_eq(read_fixed(URING_OP_READV_FIXED, iov, 2, place), 5);
	cr_expect_arr_eq(pages + PAGE + 100, "he", 2);
	cr_expect_arr_eq(pages + PAGE, "llo", 3);
	iov[1].iov_base = pages;
	cr_expect_eq(read_fixed(URING_OP_READV_FIXED, iov, 2, place), -EFAULT);
}

Test(uring, reads_into_parts_of_a_fixed_buffer_where_the_kernel_can)
{
	both_kinds(use_vectors);
}

static void fill_buffer_table(void)
{
	for (int i = 0; i < 4; i++)
		cr_assert_eq(uring_add_buffer(&r, pages, PAGE), i);
	cr_assert_eq(uring_add_buffer(&r, pages, PAGE), -ENFILE);
	uring_drop_buffer(&r, 1);
	cr_assert_eq(uring_add_buffer(&r, NULL, PAGE), -EFAULT);
	cr_assert_eq(uring_add_buffer(&r, pages, URING_BUFFER_MAX + PAGE),
		     -EFAULT);
	cr_assert_eq(uring_add_buffer(&r, pages + PAGE, PAGE), 1);
}

Test(uring, refuses_buffers_that_it_has_no_place_for)
{
	both_kinds(fill_buffer_table);
}

static void fill_file_table(void)
{
	int places[4];

	for (int i = 0; i < 4; i++) {
		places[i] = uring_add_file(&r, STDIN_FILENO);
		cr_assert_geq(places[i], 0);
	}
	cr_assert_eq(uring_add_file(&r, STDIN_FILENO), -ENFILE);
	uring_drop_file(&r, places[2]);
	cr_assert_eq(uring_add_file(&r, STDIN_FILENO), places[2]);
	uring_drop_file(&r, places[2]);
	cr_assert_eq(uring_add_file(&r, -5), -EBADF);
}

Test(uring, says_when_the_file_table_is_full)
{
	both_kinds(fill_file_table);
}

static void try_forbidden(void)
{
	struct result a = {.op.done = note};
	struct io_uring_sqe *sqe = uring_sqe(&r);

	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
	uring_sqe_done(sqe, &a.op);
	reap(1);
	cr_assert_eq(a.res, -EACCES);

	add_nop(&a);
	sqe = uring_sqe(&r);
	io_uring_prep_nop(sqe);
	sqe->flags |= IOSQE_IO_DRAIN;
	uring_sqe_done(sqe, &a.op);
	reap(2);
	cr_assert_eq(a.res, -EACCES);

	cr_assert_eq(io_uring_register_personality(&r.ring), -EACCES);
	cr_assert_eq(io_uring_register_files_sparse(&r.ring, 9), -EACCES);
}

Test(uring, is_restricted_to_what_we_use)
{
	both_kinds(try_forbidden);
}

static void read_on_io_wq(enum uring_kind kind, const cpu_set_t *cpus)
{
	struct uring_params p = {
		.kind = kind,
		.entries = ENTRIES,
		.sqpoll_cpu = -1,
	};
	char bytes[16];
	struct result a = {.op.done = note};

	cr_assert_eq(uring_init(&r, &p), 0);
	cr_assert_eq(uring_enable(&r, 2, cpus), 0);

	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct io_uring_sqe *sqe = uring_sqe(&r);

	io_uring_prep_read(sqe, fd, bytes, sizeof(bytes), 0);
	sqe->flags |= IOSQE_ASYNC;
	uring_sqe_done(sqe, &a.op);
	reap(1);
	cr_assert_eq(a.res, (int)sizeof(bytes));
	close(fd);
	uring_fini(&r);
}

Test(uring, keeps_io_wq_on_the_given_cpus)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	for (int kind = 0; kind < URING_NR_KINDS; kind++)
		read_on_io_wq(kind, &cpus);
}

Test(uring, registers_no_files_without_a_table)
{
	struct uring_params p = {.entries = ENTRIES, .sqpoll_cpu = -1};

	cr_assert_eq(uring_init(&r, &p), 0);
	cr_assert_eq(uring_enable(&r, 2, NULL), 0);
	cr_assert_eq(uring_add_file(&r, STDIN_FILENO), -ENFILE);
	uring_fini(&r);
}

Test(uring, shares_one_sqpoll_thread)
{
	struct uring_params p = {
		.kind = URING_SQPOLL,
		.entries = ENTRIES,
		.sqpoll_cpu = -1,
		.sqpoll_idle_ms = 10,
	};
	struct uring first;

	cr_assert_eq(uring_init(&first, &p), 0);
	p.share = &first;
	cr_assert_eq(uring_init(&r, &p), 0);
	cr_assert_eq(uring_enable(&first, 4, NULL), 0);
	cr_assert_eq(uring_enable(&r, 4, NULL), 0);
	overfill();
	uring_fini(&first);
	overfill();
	uring_fini(&r);
}

Test(uring, wakes_its_sqpoll_thread_from_sleep)
{
	struct result a = {0};

	make(URING_SQPOLL);
	for (int i = 0; i < 3; i++) {
		usleep(100000);
		add_nop(&a);
		reap(1);
	}
	cr_assert_eq(a.count, 3);
	uring_fini(&r);
}

Test(uring, finishes_what_was_never_made)
{
	struct uring none = {.ring.ring_fd = -1};

	uring_fini(&none);
	uring_fini(&none);
}

Test(uring, says_that_a_cpu_is_not_there)
{
	struct uring_params p = {
		.kind = URING_SQPOLL,
		.entries = ENTRIES,
		.sqpoll_cpu = 100000,
	};
	char why[300];

	cr_assert_eq(uring_init(&r, &p), -ENXIO);
	cr_assert_not_null(strstr(uring_explain(-ENXIO, why, sizeof(why)),
				  "sqpoll-cpu"));
	uring_fini(&r);
}

Test(uring, knows_what_the_kernel_can)
{
	make(URING_DIRECT);
	cr_assert(uring_has_op(IORING_OP_READV));
	cr_assert_not(uring_has_op(255));
	uring_fini(&r);
}

static void expect_explained(int err, const char *part)
{
	char why[300];

	uring_explain(err, why, sizeof(why));
	cr_assert_not_null(strstr(why, part), "%s", why);
	cr_assert_lt(strlen(why), sizeof(why) - 1);
}

Test(uring, explains_errors_with_their_remedy)
{
	expect_explained(-ENOSYS, "CONFIG_IO_URING");
	expect_explained(-ENOMEM, "LimitMEMLOCK");
	expect_explained(-EINVAL, "6.1 or later");
	expect_explained(-EMFILE, "LimitNOFILE");
	expect_explained(-EIO, "Input/output error");
}

/* Show the process another value of a sysctl; false if we may not. */
static bool pretend(const char *value)
{
	const char *sysctl = "/proc/sys/kernel/io_uring_disabled";
	char path[] = "/tmp/vringd-test-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_gt(write(fd, value, strlen(value)), 0);
	close(fd);
	umount2(sysctl, MNT_DETACH);
	bool ok = !mount(path, sysctl, NULL, MS_BIND, NULL);

	unlink(path);
	return ok;
}

Test(uring, names_the_sysctl_or_clears_it)
{
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || !pretend("0"))
		cr_skip_test("needs root and kernel.io_uring_disabled");
	expect_explained(-EPERM, "seccomp");
	cr_assert(pretend("1"));
	expect_explained(-EPERM, "kernel.io_uring_group");
	cr_assert(pretend("2"));
	expect_explained(-EPERM, "kernel.io_uring_disabled=2");
}
