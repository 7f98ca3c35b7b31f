/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/guard: memory that is taken away, and other SIGBUS. */
#include "vhost/guard.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define PAGE 4096u

/* Memory of a file that can be cut off. */
struct memory {
	int fd;
	void *map;
	volatile char *p;	/* the same */
	size_t len;
	struct guard *guard;
};

static void setup(void)
{
	cr_assert_eq(guard_init(), 0);
}

TestSuite(guard, .init = setup, .timeout = 30);

static void map(struct memory *m, size_t len)
{
	m->fd = memfd_create("test", MFD_CLOEXEC);
	m->len = len;
	cr_assert_geq(m->fd, 0);
	cr_assert_eq(ftruncate(m->fd, (off_t)len), 0);
	m->map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	cr_assert_neq(m->map, MAP_FAILED);
	m->p = m->map;
	m->guard = NULL;
}

static void guard(struct memory *m)
{
	m->guard = guard_add(m->map, m->len);
	cr_assert(m->guard);
}

static void cut(const struct memory *m, off_t len)
{
	cr_assert_eq(ftruncate(m->fd, len), 0);
}

static void unmap(struct memory *m)
{
	guard_del(m->guard);
	munmap(m->map, m->len);
	close(m->fd);
}

Test(guard, puts_zeroes_where_memory_was_taken_away)
{
	unsigned before = guard_faults();
	struct memory m;

	map(&m, 4 * PAGE);
	guard(&m);
	m.p[0] = 'a';
	m.p[3 * PAGE] = 'd';
	cut(&m, PAGE);
	cr_assert_eq(m.p[0], 'a', "what is left is read as ever");
	cr_assert_not(guard_is_gone(m.guard));
	cr_assert_eq(guard_faults(), before);

	cr_assert_eq(m.p[3 * PAGE], 0);
	cr_assert(guard_is_gone(m.guard));
	cr_assert_eq(guard_faults(), before + 1);
	cr_assert_eq(m.p[0], 0, "all of it is replaced");
	m.p[4 * PAGE - 1] = 'x';
	cr_assert_eq(m.p[4 * PAGE - 1], 'x');
	cr_assert_eq(guard_faults(), before + 1);
	unmap(&m);
}

static void *touch(void *arg)
{
	const struct memory *m = arg;

	for (size_t i = 0; i < m->len; i++)
		m->p[i] = 1;
	return NULL;
}

Test(guard, survives_that_several_threads_meet_the_hole)
{
	struct memory m[2];
	pthread_t t[4];

	for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
		map(&m[i], 16 * PAGE);
		guard(&m[i]);
		cut(&m[i], 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, touch, &m[i % 2]), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
		cr_assert(guard_is_gone(m[i].guard));
		unmap(&m[i]);
	}
	cr_assert_geq(guard_faults(), 2);
}

Test(guard, guards_more_than_one_chunk_holds)
{
	static struct memory m[300];
	struct memory *last = &m[ARRAY_SIZE(m) - 1];

	for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
		map(&m[i], PAGE);
		guard(&m[i]);
	}
	cut(last, 0);
	cr_assert_eq(last->p[0], 0);
	cr_assert(guard_is_gone(last->guard));
	cr_assert_not(guard_is_gone(m[0].guard));
	for (unsigned i = 0; i < ARRAY_SIZE(m); i++)
		unmap(&m[i]);
}

Test(guard, does_not_call_new_memory_gone_in_an_old_place)
{
	struct memory old, new;

	map(&old, PAGE);
	guard(&old);
	cut(&old, 0);
	cr_assert_eq(old.p[0], 0);
	cr_assert(guard_is_gone(old.guard));
	unmap(&old);
	map(&new, PAGE);
	guard(&new);
	cr_assert_eq(new.guard, old.guard, "the place is used again");
	cr_assert_not(guard_is_gone(new.guard));
	unmap(&new);
}

Test(guard, accepts_that_nothing_is_guarded)
{
	guard_del(NULL);
}

Test(guard, lets_any_other_sigbus_end_the_process, .signal = SIGBUS)
{
	struct memory m;

	map(&m, PAGE);
	cut(&m, 0);
	cr_assert_eq(m.p[0], 0);
}

Test(guard, is_over_when_it_was_told_so, .signal = SIGBUS)
{
	struct memory m;

	map(&m, PAGE);
	guard(&m);
	guard_del(m.guard);
	cut(&m, 0);
	cr_assert_eq(m.p[0], 0);
}

Test(guard, lets_a_sigbus_that_was_sent_end_the_process, .signal = SIGBUS)
{
	raise(SIGBUS);
}
