/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/look: storage that grew, shrank, or does not answer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "backend/kinds.h"
#include "backend/look.h"
#include "base/util.h"
#include "run/offload.h"

static struct ev_loop *loop;
static struct mailbox box;

/* Storage whose size is what the test says, when it says so. */
struct storage {
	struct backend backend;
	_Atomic uint64_t size;
	_Atomic int ret;
	_Atomic unsigned calls;
	sem_t answers;
	bool closed;
	struct backend_watch watch;
	unsigned grew;
};

struct question {
	struct look look;
	bool done;
};

static int rescan(struct backend *b, uint64_t *size)
{
	struct storage *s = container_of(b, struct storage, backend);

	atomic_fetch_add(&s->calls, 1);
	*size = atomic_load(&s->size);
	while (sem_wait(&s->answers))
		continue;
	return atomic_load(&s->ret);
}

static void close_storage(struct backend *b)
{
	struct storage *s = container_of(b, struct storage, backend);

	s->closed = true;
	list_del(&s->watch.link);
	backend_fini(b);
}

static const struct backend_ops ops = {
	.name = "test",
	.close = close_storage,
	.rescan = rescan,
};

static void note_growth(struct backend_watch *w)
{
	container_of(w, struct storage, watch)->grew++;
}

static void open_storage(struct storage *s)
{
	memset(s, 0, sizeof(*s));
	cr_assert_eq(backend_init(&s->backend, &ops, "test"), 0);
	s->backend.info.size = 4096;
	s->size = 4096;
	sem_init(&s->answers, 0, 0);
	s->watch.grew = note_growth;
	backend_watch(&s->backend, &s->watch);
}

static void note_done(struct look *l)
{
	container_of(l, struct question, look)->done = true;
}

static void ask(struct question *q, struct storage *s)
{
	q->done = false;
	cr_assert_eq(look_begin(&q->look, &s->backend, &box, note_done), 0);
	cr_assert_not(q->done);
}

static void wait_for(const struct question *q)
{
	while (!q->done)
		ev_run(loop, EVRUN_ONCE);
}

static void wait_for_call(struct storage *s, unsigned nr)
{
	while (atomic_load(&s->calls) < nr)
		usleep(1000);
}

static void setup(void)
{
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	mailbox_init(&box, loop);
}

static void teardown(void)
{
	cr_assert_eq(offload_stop(5000), 0);
	mailbox_fini(&box);
	ev_loop_destroy(loop);
}

TestSuite(look, .init = setup, .fini = teardown, .timeout = 30);

Test(look, tells_what_storage_has)
{
	static const struct {
		uint64_t size, after;
		unsigned grew;
	} steps[] = {
		{4096, 4096, 0}, {8192, 8192, 1},
		{4096, 8192, 1}, /* what shrank is used as before */
		{8192, 8192, 1}, {12288, 12288, 2},
	};
	struct storage s;
	struct question q;

	open_storage(&s);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		s.size = steps[i].size;
		ask(&q, &s);
		sem_post(&s.answers);
		wait_for(&q);
		cr_assert_eq(q.look.ret, 0);
		cr_assert_eq(q.look.size, steps[i].size);
		cr_assert_eq(s.backend.info.size, steps[i].after);
		cr_assert_eq(s.grew, steps[i].grew);
	}
	kinds_close(&s.backend);
}

Test(look, tells_that_it_failed)
{
	struct storage s;
	struct question q;

	open_storage(&s);
	s.ret = -ENXIO;
	s.size = 8192;
	ask(&q, &s);
	sem_post(&s.answers);
	wait_for(&q);
	cr_assert_eq(q.look.ret, -ENXIO);
	cr_assert_eq(s.backend.info.size, 4096);
	cr_assert_eq(s.grew, 0);
	kinds_close(&s.backend);
}

/* The first look may have seen the size before it changed. */
Test(look, looks_once_more_for_all_who_came_too_late)
{
	struct storage s;
	struct question q[5];

	open_storage(&s);
	ask(&q[0], &s);
	wait_for_call(&s, 1);
	s.size = 8192;
	for (int i = 1; i < 5; i++)
		ask(&q[i], &s);
	sem_post(&s.answers);
	wait_for(&q[0]);
	cr_assert_eq(q[0].look.size, 4096);
	sem_post(&s.answers);
	for (int i = 1; i < 5; i++) {
		wait_for(&q[i]);
		cr_assert_eq(q[i].look.size, 8192);
	}
	cr_assert_eq(s.calls, 2);
	cr_assert_eq(s.grew, 1);
	kinds_close(&s.backend);
}

Test(look, lets_dead_storage_hold_up_no_other)
{
	struct storage dead, alive;
	struct question q[20], other;

	open_storage(&dead);
	open_storage(&alive);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		ask(&q[i], &dead);
	ask(&other, &alive);
	sem_post(&alive.answers);
	wait_for(&other);
	cr_assert_not(q[0].done);
	sem_post(&dead.answers);
	sem_post(&dead.answers);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		wait_for(&q[i]);
	cr_assert_eq(dead.calls, 2);
	kinds_close(&dead.backend);
	kinds_close(&alive.backend);
}

Test(look, keeps_few_threads)
{
	static struct storage s[LOOK_THREADS + 2];
	struct question q[LOOK_THREADS + 2];

	for (unsigned i = 0; i < ARRAY_SIZE(s); i++) {
		open_storage(&s[i]);
		ask(&q[i], &s[i]);
	}
	for (unsigned i = 0; i < LOOK_THREADS; i++)
		wait_for_call(&s[i], 1);
	usleep(20000);
	cr_assert_eq(s[LOOK_THREADS].calls, 0);
	cr_assert_eq(s[LOOK_THREADS + 1].calls, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
		sem_post(&s[i].answers);
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++) {
		wait_for(&q[i]);
		kinds_close(&s[i].backend);
	}
}

Test(look, keeps_the_backend_open)
{
	struct storage s;
	struct question q[2];

	open_storage(&s);
	ask(&q[0], &s);
	wait_for_call(&s, 1);
	ask(&q[1], &s);
	kinds_close(&s.backend);
	cr_assert_not(s.closed);
	sem_post(&s.answers);
	sem_post(&s.answers);
	wait_for(&q[1]);
	cr_assert(s.closed);
}
