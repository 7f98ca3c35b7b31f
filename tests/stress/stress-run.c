/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything in run/ and base/log that crosses threads, all at once: mail from
 * many posters, kicks, calls, offloaded jobs with replies, lines for control.
 * A program without Criterion, which cannot start under ThreadSanitizer.
 */
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "run/offload.h"
#include "run/worker.h"

#define NR_WORKERS 2
#define NR_POSTERS 3
#define NR_LETTERS 3000 /* of each poster */

/* One piece of work and the stations it passes; each has one thread. */
struct letter {
	struct mail mail;	  /* a poster's, then a worker's */
	struct turn_item item;	  /* in a phase of its turn */
	struct uring_op op;	  /* through its ring */
	struct offload_job job;	  /* on an offload thread, and back */
	struct place *place;
	unsigned value;
	char byte;
};

/* A worker and what only it touches. */
struct place {
	struct worker *worker;
	struct wake kick;
	int bytes[2]; /* a pipe: one byte for each letter, soon after it */
	unsigned nr_kicks;
	unsigned nr_done;
	struct letter letters[NR_POSTERS][NR_LETTERS];
};

static struct place places[NR_WORKERS];
static struct ev_loop *control;
static struct ev_async flush;
static struct mailbox control_mail;
static unsigned nr_finished; /* control only */

static void note_finished(struct mail *m)
{
	struct letter *l = container_of(m, struct letter, mail);

	assert(l->value == 4);
	if (++nr_finished == NR_WORKERS * NR_POSTERS * NR_LETTERS)
		ev_break(control, EVBREAK_ALL);
}

static void note_replied(struct offload_job *j)
{
	struct letter *l = container_of(j, struct letter, job);

	assert(worker_is_self(l->place->worker));
	l->value++;
	l->place->nr_done++;
	log_warn("stress", "letter done=%u", l->place->nr_done);
	l->mail.deliver = note_finished;
	mailbox_post(&control_mail, &l->mail);
}

static void run_elsewhere(struct offload_job *j)
{
	struct letter *l = container_of(j, struct letter, job);

	assert(!worker_is_self(l->place->worker));
	l->value++;
}

static void note_completed(struct uring_op *op, int res)
{
	struct letter *l = container_of(op, struct letter, op);

	assert(res == 1);
	l->value++;
	offload_run(&l->job, run_elsewhere, note_replied,
		    worker_mailbox(l->place->worker));
}

static void run_in_turn(struct turn_item *item)
{
	struct letter *l = container_of(item, struct letter, item);
	struct io_path *path = worker_io_path(l->place->worker);
	struct io_uring_sqe *sqe = uring_sqe(path->ring);

	l->value++;
	l->op.done = note_completed;
	io_uring_prep_read(sqe, l->place->bytes[0], &l->byte, 1, 0);
	uring_sqe_done(sqe, &l->op);
}

static void deliver_letter(struct mail *m)
{
	struct letter *l = container_of(m, struct letter, mail);

	turn_item_init(&l->item, run_in_turn);
	worker_add(l->place->worker, TURN_READY, &l->item);
}

static void note_kick(struct wake *k)
{
	container_of(k, struct place, kick)->nr_kicks++;
}

struct watch {
	struct mail mail;
	struct place *place;
};

static void deliver_watch(struct mail *m)
{
	struct place *p = container_of(m, struct watch, mail)->place;
	int err = worker_watch(p->worker, &p->kick);

	assert(!err);
}

static void *post_letters(void *arg)
{
	unsigned poster = (uintptr_t)arg;

	for (unsigned i = 0; i < NR_LETTERS; i++) {
		for (unsigned n = 0; n < NR_WORKERS; n++) {
			struct letter *l = &places[n].letters[poster][i];

			l->place = &places[n];
			l->mail.deliver = deliver_letter;
			worker_post(places[n].worker, &l->mail);
			eventfd_write(places[n].kick.fd, 1);
			ssize_t written = write(places[n].bytes[1], "", 1);

			assert(written == 1);
		}
		if (i % 64 == 0)
			log_info("stress", "posted poster=%u i=%u", poster, i);
	}
	return NULL;
}

static void flush_log(struct ev_loop *loop, struct ev_async *async, int events)
{
	(void)loop;
	(void)async;
	(void)events;
	log_flush();
}

static void wake_control(void *arg)
{
	ev_async_send(arg, &flush);
}

static void start_control(void)
{
	control = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	assert(control);
	mailbox_init(&control_mail, control);
	ev_async_init(&flush, flush_log);
	ev_async_start(control, &flush);
	log_start(wake_control, control);
}

/* Returns 77 where no ring can be made. */
static int start_workers(struct watch watches[NR_WORKERS])
{
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		struct worker_params p = {.id = i, .cpu = -1, .io_workers = 4};
		struct place *place = &places[i];

		if (worker_new(&place->worker, &p))
			return 77;
		place->kick.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		place->kick.fire = note_kick;
		int err = pipe2(place->bytes, O_CLOEXEC);

		assert(!err);
		err = worker_start(place->worker);

		assert(!err);
		watches[i].place = place;
		watches[i].mail.deliver = deliver_watch;
		worker_post(place->worker, &watches[i].mail);
	}
	return 0;
}

static void stop_workers(void)
{
	for (unsigned i = 0; i < NR_WORKERS; i++)
		worker_stop(places[i].worker);
	int err = offload_stop(10000);

	assert(!err);
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		assert(places[i].nr_done == NR_POSTERS * NR_LETTERS);
		assert(places[i].nr_kicks > 0);
		worker_free(places[i].worker);
		close(places[i].kick.fd);
		close(places[i].bytes[0]);
		close(places[i].bytes[1]);
	}
}

int main(void)
{
	struct watch watches[NR_WORKERS];
	pthread_t posters[NR_POSTERS];

	/* A lost wake shows as a hang. */
	alarm(120);
	start_control();
	int err = start_workers(watches);

	if (err)
		return err;
	for (uintptr_t i = 0; i < NR_POSTERS; i++) {
		err = pthread_create(&posters[i], NULL, post_letters,
				     (void *)i);
		assert(!err);
	}
	ev_run(control, 0);
	for (unsigned i = 0; i < NR_POSTERS; i++)
		pthread_join(posters[i], NULL);
	stop_workers();
	log_stop();
	mailbox_fini(&control_mail);
	ev_loop_destroy(control);
	return 0;
}
