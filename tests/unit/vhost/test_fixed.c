/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/fixed: what is pinned, found, shared, let go, and given up. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "iotest.h"
#include "vhost/fixed.h"

#define MIB   ((uint64_t)1 << 20)
#define SMALL (64 << 10)
#define GPA(i) ((uint64_t)(i) << 32)

static struct worker *worker;
static struct fixed fixed;
static atomic_int nr_gone;

/* Each runs on the worker, which is the home, too. */
static void run(void (*fn)(void *arg), void *arg)
{
	iotest_call(worker, fn, arg);
}

static void start(void)
{
	struct worker_params wp = {.cpu = -1, .sqpoll_cpu = -1,
				   .io_workers = 4};

	cr_assert_eq(worker_new(&worker, &wp), 0);
	cr_assert_eq(worker_start(worker), 0);
	fixed_init(&fixed, worker, "test");
}

static void stop(void)
{
	worker_stop(worker);
	cr_assert_eq(offload_stop(10000), 0);
	worker_free(worker);
}

TestSuite(fixed, .init = start, .fini = stop, .timeout = 60);

/* -- memory ---------------------------------------------------------------- */

static void note_gone(void *ctx)
{
	(void)ctx;
	nr_gone++;
}

/* A copy of @old, if any, with one more region; @old is put. */
static struct memmap *add_region(struct memmap *old, unsigned i, uint64_t size,
				 uint64_t offset)
{
	struct memmap_range r = {GPA(i), size, GPA(i), offset};
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct memmap *m;

	cr_assert_eq(ftruncate(fd, (off_t)(offset + size)), 0);
	if (!old)
		cr_assert_eq(memmap_new(&old, worker_mailbox(worker)), 0);
	cr_assert_eq(memmap_add(&m, old, &r, fd, MAPPING_SHMEM), 0);
	memmap_put(old);
	memmap_on_gone(m, note_gone, NULL);
	return m;
}

static unsigned char *host(const struct memmap *m, unsigned i)
{
	return memmap_uva(m, GPA(i), 1);
}

static int find(const struct memmap_use *u, const void *addr, size_t len)
{
	/* It is looked at, not changed. */
	const struct iovec iov = {(void *)(uintptr_t)addr, len};

	return fixed_find(u, &iov, 1);
}

static unsigned nr_buffers(void)
{
	const struct uring *r = worker_ring(worker, URING_DIRECT);
	unsigned n = 0;

	for (unsigned i = 0; i < r->buffers.nr; i++)
		n += r->buffers.used[i];
	return n;
}

/* -- waiting --------------------------------------------------------------- */

struct question {
	uint64_t bytes;
	bool over;
};

static void look(void *arg)
{
	struct question *q = arg;

	q->over = fixed.bytes >= q->bytes || fixed.why[0];
}

static void wait_pinned(uint64_t bytes)
{
	struct question q = {.bytes = bytes};

	for (unsigned i = 0; !q.over; i++) {
		cr_assert_lt(i, 20000);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		run(look, &q);
	}
}

static struct turn_item nothing_left;
static sem_t left;

static void note_left(struct turn_item *item)
{
	(void)item;
	sem_post(&left);
}

static void ask_left(void *arg)
{
	(void)arg;
	turn_item_init(&nothing_left, note_left);
	fixed_wait(&fixed, &nothing_left);
}

static void wait_dropped(void)
{
	sem_init(&left, 0, 0);
	run(ask_left, NULL);
	cr_assert_eq(sem_wait(&left), 0);
}

static void wait_gone(int nr)
{
	for (unsigned i = 0; nr_gone < nr; i++) {
		cr_assert_lt(i, 20000);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	cr_assert_eq(nr_gone, nr);
}

/* -- tests ----------------------------------------------------------------- */

static char page[4096] __attribute__((aligned(4096)));
static struct memmap *map;
static struct memmap_use *use, *other;

static struct memmap_use *begin(struct memmap *m)
{
	struct memmap_use *u = memmap_use_new(m);

	cr_assert(u);
	fixed_begin(&fixed, u);
	return u;
}

static void end(void *arg)
{
	struct memmap_use **u = arg;

	fixed_end(&fixed, *u);
	*u = NULL;
}

static void put(void *arg)
{
	struct memmap **m = arg;

	memmap_put(*m);
	*m = NULL;
}

/* Two regions, of which one lies askew in its pages. */
static void begin_two(void *arg)
{
	(void)arg;
	map = add_region(NULL, 1, SMALL, 0);
	map = add_region(map, 0, SMALL, 100);
	use = begin(map);
	/* Not yet: a thread has just been asked. */
	cr_expect_eq(find(use, host(map, 0), 1), -1);
}

static void find_in_two(void *arg)
{
	unsigned char *a = host(map, 0), *b = host(map, 1);
	int pa = find(use, a, 1), pb = find(use, b, 1);
	unsigned char elsewhere[1];

	(void)arg;
	cr_expect_geq(pa, 0);
	cr_expect_geq(pb, 0);
	cr_expect_neq(pa, pb);
	cr_expect_eq(find(use, a, SMALL), pa);
	cr_expect_eq(find(use, a + SMALL - 1, 1), pa);
	cr_expect_eq(find(use, a + SMALL - 1, 2), -1);
	cr_expect_eq(find(use, a + 1, SMALL), -1);
	cr_expect_eq(find(use, a - 1, 2), -1);
	cr_expect_eq(find(use, b, SMALL), pb);
	cr_expect_eq(find(use, elsewhere, 1), -1);
	cr_expect_eq(find(use, NULL, 1), -1);
	cr_expect_eq(nr_buffers(), 2);
}

static void find_several(void *arg)
{
	struct iovec iov[3] = {
		{host(map, 0) + 4096, 512},
		{host(map, 0), 4096},
		{host(map, 0) + SMALL - 1, 1},
	};
	bool can = uring_has_op(URING_OP_READV_FIXED);

	(void)arg;
	cr_expect_eq(fixed_find(use, iov, 3),
		     can ? find(use, host(map, 0), 1) : -1);
	iov[1].iov_base = host(map, 1);
	cr_expect_eq(fixed_find(use, iov, 3), -1);
}

static void end_all(void)
{
	run(end, &use);
	run(put, &map);
	wait_dropped();
}

static void expect_nothing(void *arg)
{
	(void)arg;
	cr_expect_eq(nr_buffers(), 0);
	cr_expect_eq(fixed.bytes, 0);
}

Test(fixed, finds_memory_that_lies_in_one_buffer)
{
	run(begin_two, NULL);
	wait_pinned(2 * SMALL);
	run(find_in_two, NULL);
	run(find_several, NULL);
	end_all();
	run(expect_nothing, NULL);
	wait_gone(2);
}

/* A limit of RLIMIT_MEMLOCK would be met here, without root. */
static bool can_pin(uint64_t bytes)
{
	struct rlimit lim;

	return !getrlimit(RLIMIT_MEMLOCK, &lim) &&
	       (lim.rlim_cur >= bytes || !geteuid());
}

#define LARGE (2 * FIXED_PIECE + MIB)

static void begin_large(void *arg)
{
	(void)arg;
	map = add_region(NULL, 0, LARGE, 0);
	use = begin(map);
}

static void find_in_large(void *arg)
{
	unsigned char *a = host(map, 0);
	struct iovec iov[2] = {{a, 1}, {a + FIXED_PIECE, 1}};
	int places[3];

	(void)arg;
	for (unsigned i = 0; i < 3; i++) {
		places[i] = find(use, a + i * FIXED_PIECE, MIB);
		cr_assert_geq(places[i], 0);
		for (unsigned k = 0; k < i; k++)
			cr_expect_neq(places[k], places[i]);
	}
	cr_expect_eq(find(use, a, FIXED_PIECE), places[0]);
	cr_expect_eq(find(use, a + FIXED_PIECE - 1, 1), places[0]);
	cr_expect_eq(find(use, a + FIXED_PIECE - 1, 2), -1);
	cr_expect_eq(find(use, a + LARGE - 1, 2), -1);
	cr_expect_eq(fixed_find(use, iov, 2), -1);
	cr_expect_eq(nr_buffers(), 3);
}

Test(fixed, pins_large_regions_in_pieces)
{
	if (!can_pin(LARGE))
		cr_skip_test("RLIMIT_MEMLOCK is too low here");
	run(begin_large, NULL);
	wait_pinned(LARGE);
	run(find_in_large, NULL);
	end_all();
	run(expect_nothing, NULL);
}

/* As on a change of memory: the new one begins before the old one ends. */
static void add_memory(void *arg)
{
	struct memmap *more;

	(void)arg;
	memmap_get(map);
	more = add_region(map, 2, SMALL, 0);
	other = begin(more);
	/* What both have needs no more time. */
	cr_expect_geq(find(other, host(more, 0), SMALL), 0);
	cr_expect_eq(find(other, host(more, 0), 1), find(use, host(map, 0), 1));
	cr_expect_eq(find(other, host(more, 2), 1), -1);
	memmap_put(map);
	map = more;
}

static void find_added(void *arg)
{
	(void)arg;
	cr_expect_geq(find(other, host(map, 2), SMALL), 0);
	cr_expect_eq(find(use, host(map, 2), SMALL), -1);
	cr_expect_eq(nr_buffers(), 3);
}

static void find_after_old(void *arg)
{
	(void)arg;
	cr_expect_geq(find(other, host(map, 0), SMALL), 0);
	cr_expect_eq(nr_buffers(), 3);
}

Test(fixed, pins_once_what_several_have)
{
	run(begin_two, NULL);
	wait_pinned(2 * SMALL);
	run(add_memory, NULL);
	wait_pinned(3 * SMALL);
	run(find_added, NULL);
	run(end, &use);
	wait_dropped();
	run(find_after_old, NULL);
	run(end, &other);
	wait_dropped();
	run(expect_nothing, NULL);
	run(put, &map);
}

/* Removed memory is let go while the rest stays. */
static void remove_memory(void *arg)
{
	struct memmap_range r = {GPA(1), SMALL, GPA(1), 0};
	struct memmap *less;

	(void)arg;
	cr_assert_eq(memmap_remove(&less, map, &r), 0);
	memmap_on_gone(less, note_gone, NULL);
	other = begin(less);
	memmap_put(map);
	map = less;
}

static void find_rest(void *arg)
{
	(void)arg;
	cr_expect_geq(find(other, host(map, 0), SMALL), 0);
	cr_expect_eq(nr_buffers(), 1);
	cr_expect_eq(fixed.bytes, SMALL);
}

Test(fixed, lets_go_of_what_nobody_has_any_more)
{
	run(begin_two, NULL);
	wait_pinned(2 * SMALL);
	run(remove_memory, NULL);
	run(end, &use);
	wait_dropped();
	run(find_rest, NULL);
	run(end, &other);
	run(put, &map);
	wait_dropped();
	wait_gone(3);
}

/* More than there are offload threads, so jobs after them have to wait. */
#define NR_JAMS 64

static struct jam {
	struct offload_job job;
	sem_t *go;
} jams[NR_JAMS];

static sem_t go;

static void run_jam(struct offload_job *j)
{
	(void)j;
	while (sem_wait(&go))
		;
}

static void jam_offload(void)
{
	sem_init(&go, 0, 0);
	for (unsigned i = 0; i < NR_JAMS; i++)
		offload_run(&jams[i].job, run_jam, NULL, NULL);
}

static void free_offload(void)
{
	for (unsigned i = 0; i < NR_JAMS; i++)
		sem_post(&go);
}

static void is_held(void *arg)
{
	*(bool *)arg = fixed.held;
}

static void expect_no_wait(struct turn_item *item)
{
	(void)item;
	cr_assert_not(fixed.held, "the memory is still in use");
	sem_post(&left);
}

static void ask_early(void *arg)
{
	(void)arg;
	turn_item_init(&nothing_left, expect_no_wait);
	fixed_wait(&fixed, &nothing_left);
}

Test(fixed, keeps_memory_that_a_thread_works_on)
{
	bool held = false;

	sem_init(&left, 0, 0);
	jam_offload();
	run(begin_two, NULL);
	run(end, &use);
	run(put, &map);
	run(ask_early, NULL);
	run(is_held, &held);
	cr_expect(held);
	cr_expect_eq(nr_gone, 0);
	free_offload();
	cr_assert_eq(sem_wait(&left), 0);
	wait_gone(2);
	run(expect_nothing, NULL);
}

/* Begun again before all of it was let go. */
static void begin_again(void *arg)
{
	(void)arg;
	fixed_end(&fixed, use);
	use = begin(map);
	cr_expect_eq(find(use, host(map, 0), 1), -1);
}

Test(fixed, pins_anew_what_was_let_go)
{
	run(begin_two, NULL);
	wait_pinned(2 * SMALL);
	for (unsigned i = 0; i < 20; i++)
		run(begin_again, NULL);
	wait_pinned(2 * SMALL);
	run(find_in_two, NULL);
	end_all();
	run(expect_nothing, NULL);
}

#define NR_REGIONS 200 /* letting them go takes so many turns */

static void begin_many(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NR_REGIONS; i++)
		map = add_region(map, i, sizeof(page), 0);
	use = begin(map);
}

static void look_at_order(void *arg)
{
	cr_assert(!fixed.bytes || list_empty(&fixed.dropped),
		  "both together may be too much");
	look(arg);
}

Test(fixed, lets_go_before_it_pins_anew)
{
	struct question q = {.bytes = NR_REGIONS * sizeof(page)};

	run(begin_many, NULL);
	wait_pinned(q.bytes);
	run(begin_again, NULL);
	while (!q.over)
		run(look_at_order, &q);
	cr_expect_str_empty(fixed.why);
	end_all();
}

/* -- what cannot be pinned ------------------------------------------------- */

static void fill_table(void *arg)
{
	(void)arg;
	while (worker_add_buffer(worker, page, sizeof(page)) >= 0)
		;
}

static void expect_plain(void *arg)
{
	(void)arg;
	cr_expect(fixed.why[0]);
	cr_expect_eq(fixed.bytes, 0);
	cr_expect_eq(find(use, host(map, 0), 1), -1);
	cr_expect_eq(find(use, host(map, 1), 1), -1);
}

Test(fixed, goes_on_where_nothing_can_be_pinned)
{
	run(fill_table, NULL);
	run(begin_two, NULL);
	wait_pinned(2 * SMALL);
	run(expect_plain, NULL);
	end_all();
}

static void truncate_region(void *arg)
{
	(void)arg;
	map = add_region(NULL, 0, SMALL, 0);
	/*
	 * As by a VMM that makes its file shorter.  To unmap it would let a
	 * thread have its stack there, until the map is put.
	 */
	cr_assert_eq(mprotect(host(map, 0), SMALL, PROT_NONE), 0);
	use = begin(map);
}

static void expect_no_pages(void *arg)
{
	(void)arg;
	cr_expect(fixed.why[0]);
	cr_expect_eq(nr_buffers(), 0);
}

Test(fixed, goes_on_where_no_pages_can_be_had)
{
	run(truncate_region, NULL);
	wait_pinned(SMALL);
	run(expect_no_pages, NULL);
	end_all();
}

static void drop_ipc_lock(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	cr_assert_eq(syscall(SYS_capget, &head, data), 0);
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	data[0].permitted &= ~(1u << CAP_IPC_LOCK);
	cr_assert_eq(syscall(SYS_capset, &head, data), 0);
}

#define LIMIT (40 * MIB)

static void start_limited(void)
{
	struct rlimit lim;

	cr_assert_eq(getrlimit(RLIMIT_MEMLOCK, &lim), 0);
	lim.rlim_cur = MIN(lim.rlim_cur, LIMIT);
	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &lim), 0);
	drop_ipc_lock();
	start();
}

static void expect_limit(void *arg)
{
	(void)arg;
	cr_expect(strstr(fixed.why, "LimitMEMLOCK"), "%s", fixed.why);
	cr_expect_leq(fixed.bytes, LIMIT);
	cr_expect_eq(find(use, host(map, 0), 1) >= 0, fixed.bytes > 0);
	cr_expect_eq(find(use, host(map, 0) + LARGE - 1, 1), -1);
}

Test(fixed, stays_within_the_limit_of_locked_memory, .init = start_limited)
{
	run(begin_large, NULL);
	wait_pinned(LARGE);
	run(expect_limit, NULL);
	end_all();
	run(expect_nothing, NULL);
}
