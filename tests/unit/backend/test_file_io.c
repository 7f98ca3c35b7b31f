/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/file_io: every operation, compared with what the storage holds. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/file_io.h"
#include "base/util.h"
#include "iotest.h"
#include "loopdev.h"
#include "silentfuse.h"

#define SIZE ((size_t)2 << 20)

/* A backend on storage of SIZE bytes, and what it must hold. */
static struct storage {
	struct iotest t;
	char path[64];
	char loop[32];
	int loop_fd;
	int file_fd;
	char *model;
	char *area;		/* aligned, for buffers */
} s;

static const struct place {
	const char *dir;
	unsigned loop;		/* block size of a loop device, or 0 */
	enum backend_direct direct;
	bool sqpoll;
} places[] = {
	{".", 0, BACKEND_DIRECT_AUTO, false},
	{".", 0, BACKEND_DIRECT_OFF, false},
	{".", 0, BACKEND_DIRECT_AUTO, true},
	{"/dev/shm", 0, BACKEND_DIRECT_AUTO, false},
	{".", 512, BACKEND_DIRECT_AUTO, false},
	{".", 4096, BACKEND_DIRECT_AUTO, false},
	{".", 512, BACKEND_DIRECT_OFF, false},
};

/* Contents that tell every block from every other. */
static void make_file(const struct place *at)
{
	s.model = malloc(SIZE);
	cr_assert_eq(posix_memalign((void **)&s.area, 4096, 2 * SIZE), 0);
	for (size_t i = 0; i < SIZE; i++)
		s.model[i] = (char)(i / 512 + i % 512 * 7 + 1);
	snprintf(s.path, sizeof(s.path), "%s/vringd-test-XXXXXX", at->dir);
	s.file_fd = mkstemp(s.path);
	cr_assert_geq(s.file_fd, 0);
	cr_assert_eq(write(s.file_fd, s.model, SIZE), (ssize_t)SIZE);
	cr_assert_eq(fsync(s.file_fd), 0);
}

static bool start(const struct place *at)
{
	struct backend_params p = {.kind = "file", .direct = at->direct,
				   .discard = true};

	make_file(at);
	p.path = s.path;
	s.loop_fd = -1;
	if (at->loop) {
		s.loop_fd = loopdev_open(s.path, at->loop, s.loop);
		p.path = s.loop;
	}
	if (at->loop && s.loop_fd < 0) {
		cr_log_info("no loop devices here");
		close(s.file_fd);
		unlink(s.path);
		return false;
	}
	s.t.sqpoll = at->sqpoll;
	iotest_open(&s.t, &file_backend, &p);
	cr_assert_eq(s.t.backend->info.size, SIZE);
	return true;
}

static void stop(void)
{
	iotest_close(&s.t);
	if (s.loop_fd >= 0)
		close(s.loop_fd);
	close(s.file_fd);
	unlink(s.path);
	free(s.model);
	free(s.area);
}

static struct file_port *port(void)
{
	return container_of(s.t.port, struct file_port, port);
}

static void expect_equal(const char *is, uint64_t offset, size_t len)
{
	size_t at = 0;

	if (!memcmp(is, s.model + offset, len))
		return;
	while (is[at] == s.model[offset + at])
		at++;
	cr_assert_fail("%s: byte %zu", s.t.backend->name, (size_t)offset + at);
}

/* What is stored is the model: by our own reads, and by the file's bytes. */
static void expect_model(void)
{
	char *buf = s.area;

	cr_assert_eq(iotest_one(&s.t, IO_FLUSH, 0, NULL, 0), 0);
	memset(buf, 0, SIZE);
	cr_assert_eq(iotest_one(&s.t, IO_READ, 0, buf, SIZE), 0);
	expect_equal(buf, 0, SIZE);
	memset(buf, 0, SIZE);
	cr_assert_eq(pread(s.file_fd, buf, SIZE, 0), (ssize_t)SIZE);
	expect_equal(buf, 0, SIZE);
}

static void for_places(void (*body)(void))
{
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		if (!start(&places[i]))
			continue;
		body();
		expect_model();
		stop();
	}
}

/* Split [buf, buf + len) in pieces of @piece bytes. */
static unsigned cut(struct iovec *iov, char *buf, size_t len, size_t piece)
{
	unsigned n = 0;

	for (size_t at = 0; at < len; at += piece)
		iov[n++] = (struct iovec){buf + at, MIN(piece, len - at)};
	return n;
}

static void transfer(enum io_op op, uint64_t offset, size_t len, size_t shift,
		     size_t piece)
{
	static struct iovec iov[SIZE / 512];
	char *buf = s.area + shift;
	struct iotest_io io = {.op = op, .offset = offset, .length = len,
			       .iov = iov};

	io.nr_iov = cut(iov, buf, len, piece);
	if (op == IO_WRITE) {
		for (size_t i = 0; i < len; i++)
			buf[i] = (char)rand();
		memcpy(s.model + offset, buf, len);
	} else {
		memset(buf, 0, len);
	}
	iotest_run(&s.t, &io, 1);
	cr_assert_eq(io.result, 0, "%s: %d of %zu at %llu shift %zu piece %zu",
		     s.t.backend->name, io.result, len,
		     (unsigned long long)offset, shift, piece);
	if (op == IO_READ)
		expect_equal(buf, offset, len);
}

static void transfer_all_shapes(void)
{
	/* Aligned; odd addresses; odd pieces; more iovecs than one call takes;
	 * more than a bounce buffer. */
	static const struct {
		size_t len, shift, piece;
	} shapes[] = {
		{4096, 0, 4096},       {65536, 0, 65536}, {65536, 0, 4096},
		{4096, 1, 4096},       {4096, 0, 100},	  {8192, 4, 4095},
		{1 << 20, 0, 512},     {1 << 20, 3, 512}, {SIZE, 0, SIZE},
		{SIZE, 1, SIZE},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++)
		for (int op = IO_READ; op <= IO_WRITE; op++) {
			uint64_t room = SIZE - shapes[i].len;

			transfer(op, 0, shapes[i].len, shapes[i].shift,
				 shapes[i].piece);
			transfer(op, room, shapes[i].len, shapes[i].shift,
				 shapes[i].piece);
		}
}

Test(file_io, moves_what_the_storage_holds)
{
	for_places(transfer_all_shapes);
}

/* Takes a bounce buffer's place in the ring away, or gives it back. */
static void spoil_bounce(void *arg)
{
	struct bounce *b = port()->bounce;
	struct bounce_buffer *buf = bounce_get(b);

	(void)arg;
	worker_drop_buffer(s.t.worker, buf->place);
	bounce_put(b, buf);
}

static void mend_bounce(void *arg)
{
	struct bounce *b = port()->bounce;
	struct bounce_buffer *buf = bounce_get(b);

	(void)arg;
	cr_assert_eq(worker_add_buffer(s.t.worker, buf->memory, BOUNCE_SIZE),
		     buf->place);
	bounce_put(b, buf);
}

static void bounce(void)
{
	if (!port()->bounce)
		return;
	transfer(IO_READ, 0, 8192, 1, 8192);
	iotest_call(s.t.worker, spoil_bounce, NULL);
	cr_expect_eq(iotest_one(&s.t, IO_READ, 0, s.area + 1, 8192), -EFAULT);
	cr_expect_eq(iotest_one(&s.t, IO_WRITE, 0, s.area + 1, 8192), -EFAULT);
	iotest_call(s.t.worker, mend_bounce, NULL);
	transfer(IO_WRITE, 0, 8192, 1, 8192);
}

/* One that the ring does not know any more would not be missed otherwise. */
Test(file_io, bounces_through_fixed_buffers)
{
	for_places(bounce);
}

static int area_place;

static void fix_area(void *arg)
{
	(void)arg;
	area_place = worker_add_buffer(s.t.worker, s.area, SIZE);
}

static void unfix_area(void *arg)
{
	(void)arg;
	worker_drop_buffer(s.t.worker, area_place);
}

/* A transfer of four iovecs, or of one, in the fixed area. */
static int transfer_fixed(enum io_op op, uint64_t offset, size_t len,
			  unsigned nr_iov)
{
	struct iovec iov[4];
	struct iotest_io io = {.op = op, .offset = offset, .length = len,
			       .iov = iov, .is_fixed = true,
			       .buffer = area_place};

	io.nr_iov = cut(iov, s.area, len, len / nr_iov);
	iotest_run(&s.t, &io, 1);
	return io.result;
}

static void use_fixed_area(void)
{
	unsigned max = uring_has_op(URING_OP_READV_FIXED) ? 4 : 1;

	iotest_call(s.t.worker, fix_area, NULL);
	cr_assert_geq(area_place, 0);
	for (unsigned n = 1; n <= max; n *= 4) {
		memset(s.area, 0, 65536);
		cr_assert_eq(transfer_fixed(IO_READ, 4096, 65536, n), 0);
		expect_equal(s.area, 4096, 65536);
		memset(s.area, (int)n, 65536);
		memset(s.model + 131072 * n, (int)n, 65536);
		cr_assert_eq(transfer_fixed(IO_WRITE, 131072 * n, 65536, n), 0);
	}
	iotest_call(s.t.worker, unfix_area, NULL);
	/* They were entries for a fixed buffer: now there is none. */
	for (unsigned n = 1; n <= max; n *= 4) {
		cr_expect_eq(transfer_fixed(IO_READ, 0, 65536, n), -EFAULT);
		cr_expect_eq(transfer_fixed(IO_WRITE, 0, 65536, n), -EFAULT);
	}
}

Test(file_io, moves_data_of_fixed_buffers)
{
	for_places(use_fixed_area);
}

static void write_through(void)
{
	struct iovec iov[2] = {{s.area, 4096}, {s.area + 4097, 4096}};
	struct iotest_io ios[2];

	memset(s.area, 'x', 16384);
	for (int i = 0; i < 2; i++)
		ios[i] = (struct iotest_io){.op = IO_WRITE, .flags = IO_FUA,
					    .offset = 8192 + i * 4096,
					    .length = 4096, .iov = &iov[i],
					    .nr_iov = 1};
	iotest_run(&s.t, ios, 2);
	cr_expect_eq(ios[0].result, 0);
	cr_expect_eq(ios[1].result, 0);
	memset(s.model + 8192, 'x', 8192);
}

Test(file_io, writes_through)
{
	for_places(write_through);
}

static void empty(enum io_op op, unsigned flags, uint64_t offset, size_t len)
{
	struct iotest_io io = {.op = op, .flags = flags, .offset = offset,
			       .length = len};

	iotest_run(&s.t, &io, 1);
	cr_assert_eq(io.result, 0, "%s: %s", s.t.backend->name,
		     strerror(-io.result));
	if (op == IO_WRITE_ZEROES)
		memset(s.model + offset, 0, len);
	else	/* any contents are right; ours must be what we read */
		cr_assert_eq(iotest_one(&s.t, IO_READ, offset, s.model + offset,
					len), 0);
}

static void empty_ranges(void)
{
	cr_assert(s.t.backend->info.can_discard);
	for (unsigned flags = 0; flags <= (IO_FUA | IO_UNMAP); flags++) {
		uint64_t at = (1 + flags) << 18;

		empty(IO_WRITE_ZEROES, flags, at, 4096);
		empty(IO_WRITE_ZEROES, flags, at + 8192, 65536);
		empty(IO_DISCARD, 0, at + 128 * 1024, 65536);
	}
	empty(IO_WRITE_ZEROES, 0, SIZE - 65536, 65536);
	empty(IO_WRITE_ZEROES, IO_UNMAP, SIZE - (1 << 19), 1 << 18);
}

Test(file_io, empties_exactly_the_range)
{
	for_places(empty_ranges);
}

static void empty_the_slow_ways(void)
{
	port()->zero_step = FILE_STEP_WRITE;
	empty(IO_WRITE_ZEROES, 0, 4096, 1 << 20);
	empty(IO_WRITE_ZEROES, IO_FUA, SIZE - 8192, 4096);
	if (s.loop_fd < 0)
		return;
	port()->discard_step = FILE_STEP_DISCARD_IOCTL;
	empty(IO_DISCARD, 0, SIZE - (1 << 18), 65536);
}

Test(file_io, empties_where_the_kernel_cannot_help)
{
	for_places(empty_the_slow_ways);
}

/* Ways that do not exist on this storage are left for ones that do. */
Test(file_io, finds_a_way_that_works)
{
	cr_assert(start(&places[3]));
	empty(IO_WRITE_ZEROES, 0, 4096, 8192);
	cr_expect_eq(port()->zero_step, FILE_STEP_WRITE,
		     "tmpfs has FALLOC_FL_ZERO_RANGE now: test another way");
	empty(IO_WRITE_ZEROES, 0, 65536, 8192);
	/* A regular file has no block device's commands. */
	port()->discard_step = FILE_STEP_DISCARD;
	cr_expect_lt(iotest_one(&s.t, IO_DISCARD, 0, NULL, 4096), 0);
	expect_model();
	stop();
}

Test(file_io, shares_one_fsync_among_the_flushes_of_a_turn)
{
	static struct iotest_io ios[32];

	cr_assert(start(&places[0]));
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++)
		ios[i] = (struct iotest_io){.op = IO_FLUSH};
	iotest_run(&s.t, ios, ARRAY_SIZE(ios));
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++)
		cr_expect_eq(ios[i].result, 0);
	cr_expect_eq(port()->nr_fsyncs, 1);
	iotest_run(&s.t, ios, 2);
	cr_expect_eq(port()->nr_fsyncs, 2);
	stop();
}

/* 200 ios of all kinds at once: more than there are bounce buffers. */
static void crowd(void)
{
	static struct iotest_io ios[200];
	static struct iovec iov[200];

	for (unsigned i = 0; i < 200; i++) {
		char *buf = s.area + i * 12288 + i % 3;

		ios[i] = (struct iotest_io){.op = i % 5, .offset = i * 8192,
					    .length = 8192, .iov = &iov[i],
					    .nr_iov = i % 5 < 2};
		iov[i] = (struct iovec){buf, 8192};
		memset(buf, (int)i, 8192);
		if (ios[i].op == IO_WRITE)
			memcpy(s.model + i * 8192, buf, 8192);
		if (ios[i].op == IO_WRITE_ZEROES)
			memset(s.model + i * 8192, 0, 8192);
	}
	iotest_run(&s.t, ios, 200);
	for (unsigned i = 0; i < 200; i++) {
		cr_assert_eq(ios[i].result, 0, "op %d: %d", ios[i].op,
			     ios[i].result);
		if (ios[i].op == IO_DISCARD)
			cr_assert_eq(iotest_one(&s.t, IO_READ, i * 8192,
						s.model + i * 8192, 8192), 0);
	}
}

Test(file_io, serves_a_crowd)
{
	for_places(crowd);
}

/* -- threads of the kernel */

static void empty_and_fill(void)
{
	static struct iotest_io ios[SIZE / 16384];
	static struct iovec iov[ARRAY_SIZE(ios)];

	empty(IO_WRITE_ZEROES, IO_UNMAP, 0, SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++) {
		iov[i] = (struct iovec){s.area + i * 20480 + (i % 8 == 7),
					16384};
		memset(iov[i].iov_base, (int)i + 1, 16384);
		memset(s.model + i * 16384, (int)i + 1, 16384);
		ios[i] = (struct iotest_io){.op = IO_WRITE,
					    .offset = i * 16384,
					    .length = 16384, .iov = &iov[i],
					    .nr_iov = 1};
	}
	iotest_run(&s.t, ios, ARRAY_SIZE(ios));
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++)
		cr_assert_eq(ios[i].result, 0);
}

/* More of them than the port may have threads, some by way of buffers. */
Test(file_io, writes_where_nothing_is_allocated)
{
	for_places(empty_and_fill);
}

/* A disk whose storage hangs, and more requests than it may have threads. */
static struct hung {
	struct iotest t;
	struct iotest_io ios[3 * IOTEST_IO_WORKERS];
	pthread_t thread;
	unsigned nr_threads;
} hung[IOTEST_IO_WORKERS];

static struct silentfuse silent;

/* A flush and reads that are not answered. */
static void *run_hung(void *arg)
{
	static char buf[SILENTFUSE_SIZE] __attribute__((aligned(4096)));
	static struct iovec iov = {buf, sizeof(buf)};
	struct hung *h = arg;

	for (unsigned i = 0; i < ARRAY_SIZE(h->ios); i++)
		h->ios[i] = (struct iotest_io){.op = IO_READ,
					       .length = SILENTFUSE_SIZE,
					       .iov = &iov, .nr_iov = 1};
	h->ios[0].op = IO_FLUSH;
	h->ios[0].nr_iov = 0;
	iotest_run(&h->t, h->ios, ARRAY_SIZE(h->ios));
	return NULL;
}

static void look_at_threads(void *arg)
{
	struct hung *h = arg;

	h->nr_threads = container_of(h->t.port, struct file_port, port)
				->nr_threads;
}

static void open_hung(void)
{
	struct backend_params p = {.kind = "file", .path = silent.path,
				   .shared = true};

	for (unsigned i = 0; i < ARRAY_SIZE(hung); i++) {
		hung[i].t.neighbour = &s.t;
		iotest_open(&hung[i].t, &file_backend, &p);
	}
	silentfuse_silence(&silent);
}

static void start_hung(struct hung *h)
{
	cr_assert_eq(pthread_create(&h->thread, NULL, run_hung, h), 0);
	do {
		iotest_call(s.t.worker, look_at_threads, h);
	} while (h->nr_threads < IOTEST_IO_WORKERS);
}

static void end_hung(struct hung *h)
{
	pthread_join(h->thread, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(h->ios); i++)
		cr_expect_lt(h->ios[i].result, 0);
	iotest_close(&h->t);
}

Test(file_io, is_not_held_up_by_neighbours_that_hang, .timeout = 60)
{
	int ret = silentfuse_mount(&silent);

	if (ret) {
		cr_log_info("no FUSE: %s", strerror(-ret));
		return;
	}
	cr_assert(start(&places[0]));
	open_hung();
	for (unsigned i = 0; i < ARRAY_SIZE(hung); i++)
		start_hung(&hung[i]);
	/* By now they have all the threads that they ever get. */
	usleep(100000);
	empty_and_fill();
	expect_model();
	for (unsigned i = 0; i < ARRAY_SIZE(hung); i++) {
		iotest_call(s.t.worker, look_at_threads, &hung[i]);
		cr_expect_eq(hung[i].nr_threads, IOTEST_IO_WORKERS);
	}
	silentfuse_end(&silent);
	for (unsigned i = 0; i < ARRAY_SIZE(hung); i++)
		end_hung(&hung[i]);
	stop();
}

/* -- with two rings */

static struct turn_item changer;
static bool changing;

static void change_ring(struct turn_item *item)
{
	struct io_path *path = worker_io_path(s.t.worker);
	bool was_direct = path->ring->kind == URING_DIRECT;

	path->ring = worker_ring(s.t.worker,
				 was_direct ? URING_SQPOLL : URING_DIRECT);
	if (changing)
		worker_add(s.t.worker, TURN_READY, item);
}

static void begin_changing(void *arg)
{
	(void)arg;
	changing = true;
	turn_item_init(&changer, change_ring);
	worker_add(s.t.worker, TURN_READY, &changer);
}

static void end_changing(void *arg)
{
	(void)arg;
	changing = false;
	list_del(&changer.link);
}

/* Each entry is on the ring of its turn, and so is what follows from it. */
Test(file_io, follows_a_path_that_changes)
{
	static const struct place at[] = {
		{".", 0, BACKEND_DIRECT_AUTO, true},
		{".", 4096, BACKEND_DIRECT_AUTO, true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(at) && start(&at[i]); i++) {
		iotest_call(s.t.worker, begin_changing, NULL);
		transfer_all_shapes();
		empty_ranges();
		crowd();
		iotest_call(s.t.worker, end_changing, NULL);
		expect_model();
		stop();
	}
}

Test(file_io, counts_what_is_read_and_written_at_once)
{
	cr_assert(start(&places[0]));
	const uint64_t *nr_done = &worker_io_path(s.t.worker)->nr_done;
	uint64_t before = *nr_done;

	if (!port()->can_refuse) {
		cr_log_info("all goes by threads here");
		stop();
		return;
	}
	for (int i = 0; i < 3; i++)
		cr_assert_eq(iotest_one(&s.t, IO_READ, 0, s.area, 4096), 0);
	cr_expect_eq(*nr_done - before, 3);
	cr_assert_eq(iotest_one(&s.t, IO_FLUSH, 0, NULL, 0), 0);
	cr_expect_eq(*nr_done - before, 3);
	/* Not to where it would be aligned, so by way of a buffer. */
	cr_assert_eq(iotest_one(&s.t, IO_READ, 0, s.area + 1, 4096), 0);
	cr_expect_eq(*nr_done - before, 4);
	/* Not at once, but by a thread. */
	empty(IO_DISCARD, 0, 65536, 65536);
	before = *nr_done;
	transfer(IO_WRITE, 65536, 4096, 0, 4096);
	cr_expect_eq(*nr_done - before, 0);
	expect_model();
	stop();
}

Test(file_io, gives_an_error_past_the_end_of_a_file_that_shrank)
{
	static const enum backend_direct modes[] = {BACKEND_DIRECT_AUTO,
						    BACKEND_DIRECT_OFF};

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		struct place at = {".", 0, modes[i], false};
		uint64_t now;

		cr_assert(start(&at));
		cr_assert_eq(ftruncate(s.file_fd, 65536 + 100), 0);
		cr_expect_eq(iotest_one(&s.t, IO_READ, 0, s.area, 65536), 0);
		cr_expect_eq(iotest_one(&s.t, IO_READ, 65536, s.area, 4096),
			     -EIO);
		cr_expect_eq(iotest_one(&s.t, IO_READ, 61440, s.area, 8192),
			     -EIO);
		cr_expect_eq(iotest_one(&s.t, IO_READ, 61440, s.area + 1, 8192),
			     -EIO);
		cr_expect_eq(iotest_one(&s.t, IO_READ, SIZE - 4096, s.area,
					4096), -EIO);
		cr_expect_eq(file_backend.rescan(s.t.backend, &now), 0);
		cr_expect_eq(now, 65536);
		stop();
	}
}

Test(file_io, hands_errors_of_the_kernel_on)
{
	struct backend_params p = {.kind = "file", .read_only = true};

	make_file(&places[0]);
	p.path = s.path;
	s.loop_fd = -1;
	iotest_open(&s.t, &file_backend, &p);
	cr_expect_eq(iotest_one(&s.t, IO_READ, 0, s.area, 4096), 0);
	cr_expect_eq(iotest_one(&s.t, IO_WRITE, 0, s.area, 4096), -EBADF);
	cr_expect_eq(iotest_one(&s.t, IO_WRITE, 0, s.area + 1, 4096), -EBADF);
	cr_expect_lt(iotest_one(&s.t, IO_WRITE_ZEROES, 0, NULL, 4096), 0);
	cr_expect_eq(iotest_one(&s.t, IO_FLUSH, 0, NULL, 0), 0);
	expect_model();
	stop();
}
