/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtqueue: who owns it, what it does, its requests in flight. */
#include "vhost/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/util.h"
#include "run/offload.h"
#include "vhost/guard.h"
#include "vhost/notify.h"
#include "vhost/ring_verbs.h"
#include "vhost/slots.h"

struct queue {
	/* constant */
	struct worker *home;
	char tag[80];

	/* home only */
	enum queue_state state;
	char home_why[96];
	struct mail start_mail;
	struct mail drain_mail;
	void (*drained)(void *ctx, struct queue *q);
	void *drained_ctx;

	/* the owner's: home while idle, worker while lent */
	struct worker *worker;
	struct queue_user user;
	struct ring ring;
	struct ring_addr addr;
	struct slots slots;
	struct memmap_use *use;
	struct notify notify;
	struct turn_item ready;
	struct turn_item end;
	struct poller poller;
	struct gate_waiter waiter;
	bool is_enabled;
	bool is_draining;
	bool is_broken;
	bool is_lost;		/* the ring is in no memory that we have */
	bool is_resumed;	/* nobody knows whether the last call came */
	bool has_waited;	/* a turn, for the last call to get through */
	unsigned in_flight;
	uint64_t copied;	/* bytes, since the ring was looked at */
	unsigned faults;	/* guard_faults() as last seen */
	char why[96];
	struct mail broken_mail;
	struct mail drained_mail;
};

/* ---- memory ---- */

/* The queue goes on without @use; the last request of it sends it home. */
static void retire_use(struct queue *q, struct memmap_use *use)
{
	if (use == q->use || use->in_flight)
		return;
	if (q->user.fixed)
		fixed_end(q->user.fixed, use);
	else
		memmap_use_end(use);
}

static void take_use(struct queue *q, struct memmap_use *use)
{
	q->use = use;
	if (q->user.fixed)
		fixed_begin(q->user.fixed, use);
}

int queue_buffer(struct queue *q, const struct iovec *iov, unsigned nr)
{
	int place = fixed_find(q->use, iov, nr);

	if (place >= 0)
		counters_add(&q->user.counters->fixed, 1);
	return place;
}

/* ---- broken queues ---- */

/* On the home. */
static void deliver_broken(struct mail *m)
{
	struct queue *q = container_of(m, struct queue, broken_mail);

	/* The worker wrote it before posting and will not write it again. */
	memcpy(q->home_why, q->why, sizeof(q->home_why));
}

static void set_broken(struct queue *q, const char *why)
{
	if (q->is_broken)
		return;
	q->is_broken = true;
	snprintf(q->why, sizeof(q->why), "%s", why);
	log_event(LOG_QUEUE_BROKEN, q->tag, "broken, guest must reset: %s",
		  q->why);
	counters_add(&q->user.counters->broken, 1);
	notify_err(&q->notify);
	worker_post(q->home, &q->broken_mail);
}

/* Was memory of ours taken away?  Costs one load if none was anywhere. */
static void check_memory(struct queue *q)
{
	unsigned faults = guard_faults();

	if (likely(faults == q->faults))
		return;
	q->faults = faults;
	if (memmap_is_gone(q->use->map))
		set_broken(q, "guest memory was taken away");
	else if (inflight_is_gone(&q->ring.inflight))
		set_broken(q, "the in-flight region was taken away");
}

/* ---- taking requests ---- */

static void look(struct queue *q)
{
	worker_add(q->worker, TURN_READY, &q->ready);
}

/*
 * Requests that a predecessor took and did not answer are as good as taken: a
 * drain, which answers all that was, has them run before it is over.
 */
static bool has_found(const struct queue *q)
{
	return !q->is_broken && inflight_has_found(&q->ring.inflight);
}

static bool can_take(const struct queue *q)
{
	if (q->is_broken || gate_is_waiting(&q->waiter))
		return false;
	return q->is_draining ? has_found(q) : q->is_enabled;
}

/*
 * The driver broke a rule, it seems.  But memory may have been added for which
 * our mail has not come yet, while the guest uses it already: deliver that and
 * look again.
 */
static void pop_failed(struct queue *q)
{
	if (mailbox_has_mail(worker_mailbox(q->worker)))
		look(q);
	else
		set_broken(q, q->ring.why);
}

/* A request that was taken is over. */
static void put_slot(struct queue *q, struct slot *s)
{
	struct memmap_use *use = s->use;

	assert(use);
	if (s->borrowed)
		worker_iov_put(q->worker, s->borrowed);
	s->borrowed = NULL;
	s->use = NULL;
	slots_put(&q->slots, s);
	q->in_flight--;
	use->in_flight--;
	retire_use(q, use);
}

/*
 * Take one request and hand it to the device.  @spare is a large array, which
 * becomes NULL when a long chain has taken it.  Returns what ring_pop() did.
 */
static int take_one(struct queue *q, struct iovec **spare)
{
	struct slot *s = slots_get(&q->slots);
	struct chain *c = &s->chain;

	c->iov = s->iov;
	c->spare = *spare;

	int got = ring_pop(&q->ring, c);

	if (got <= 0) {
		slots_put(&q->slots, s);
		return got;
	}
	if (c->iov == *spare) {
		s->borrowed = *spare;
		*spare = NULL;
	}
	s->use = q->use;
	s->use->in_flight++;
	q->in_flight++;
	if (c->again)
		CRASH_POINT(RECOVER_POPPED);
	CRASH_POINT(FETCH_POPPED);
	q->user.request(q->user.ctx, q, c);
	return 1;
}

/* Take what a turn may.  Returns what the last pop did; 1 if there is more. */
static int take_some(struct queue *q, struct iovec **spare)
{
	/* Without a slot: in an idle queue none takes memory. */
	int got = ring_has_work(&q->ring);

	for (unsigned n = 0; n < QUEUE_TURN_REQUESTS && got > 0; n++) {
		if (q->copied >= QUEUE_TURN_COPY || !can_take(q))
			break;
		if (!*spare) {
			*spare = worker_iov_get(q->worker);
			if (!*spare)
				break;
		}
		got = take_one(q, spare);
	}
	/* What is copied from here on counts for the next turn. */
	q->copied = 0;
	return got;
}

/* There was work, or there soon is: look at the ring while awake. */
static void heat(struct queue *q)
{
	if (!worker_poll(q->worker, &q->poller))
		ring_disarm(&q->ring);
}

static void run_ready(struct turn_item *item)
{
	struct queue *q = container_of(item, struct queue, ready);
	struct iovec *spare;
	int got;

	if (!can_take(q))
		return;
	if (q->is_resumed) {
		q->is_resumed = false;
		notify_call(&q->notify);
	}

	spare = worker_iov_get(q->worker);
	if (!spare) {
		worker_iov_wait(q->worker, item);
		return;
	}
	heat(q);

	got = take_some(q, &spare);
	if (spare)
		worker_iov_put(q->worker, spare);
	if (got < 0)
		pop_failed(q);
	else if (gate_is_waiting(&q->waiter))
		/* No kick is needed: the gate tells when to look. */
		worker_unpoll(&q->poller);
	else if (got > 0)
		look(q);
	check_memory(q);
	/* It may be over without an answer. */
	if (q->is_draining)
		worker_add(q->worker, TURN_END, &q->end);
}

static void look_at_ring(struct poller *p)
{
	struct queue *q = container_of(p, struct queue, poller);

	if (can_take(q) && ring_has_work(&q->ring))
		look(q);
}

static void arm_ring(struct poller *p)
{
	struct queue *q = container_of(p, struct queue, poller);

	if (can_take(q) && ring_arm(&q->ring))
		look(q);
}

/* ---- limits ---- */

static void count_wait(struct queue *q)
{
	uint64_t waited_ns = worker_now_ns(q->worker) - q->waiter.since_ns;

	counters_add(&q->user.counters->throttled_us, waited_ns / 1000);
}

static void go_on(struct gate_waiter *w)
{
	struct queue *q = container_of(w, struct queue, waiter);

	count_wait(q);
	/* A kick may have it run once more in this turn. */
	list_del(&q->ready.link);
	run_ready(&q->ready);
}

static void stop_waiting(struct queue *q)
{
	if (!gate_is_waiting(&q->waiter))
		return;
	count_wait(q);
	gate_leave(&q->waiter);
}

bool queue_admit(struct queue *q, struct chain *c, enum limits_kind kind,
		 uint64_t bytes)
{
	/* A drain is not held up. */
	if (!q->user.gate || q->is_draining ||
	    gate_admit(q->user.gate, &q->waiter, kind, bytes))
		return true;
	ring_unpop(&q->ring, c);
	put_slot(q, container_of(c, struct slot, chain));
	return false;
}

/* ---- kicks ---- */

static void note_kick(struct notify *n)
{
	struct queue *q = container_of(n, struct queue, notify);

	counters_add(&q->user.counters->kicks, 1);
	look(q);
}

static void poll_ring(struct notify *n)
{
	struct queue *q = container_of(n, struct queue, notify);

	if (can_take(q) && ring_has_work(&q->ring))
		look(q);
}

/* From now on @fd, or a timer with -1, tells when to look. */
static void watch_kick(struct queue *q, int fd)
{
	const char *why = notify_watch(&q->notify, fd);

	if (why)
		set_broken(q, why);
}

/* ---- answering ---- */

void queue_push(struct queue *q, struct chain *c, uint32_t len)
{
	if (!q->is_lost)
		ring_push(&q->ring, c, len);
	CRASH_POINT(COMPLETE_PUSHED);
	put_slot(q, container_of(c, struct slot, chain));
	worker_add(q->worker, TURN_END, &q->end);
}

void queue_break(struct queue *q, struct chain *c, const char *why)
{
	queue_push(q, c, 0);
	set_broken(q, why);
}

void queue_copied(struct queue *q, uint64_t bytes)
{
	q->copied += bytes;
}

/* ---- draining ---- */

static void free_slots(struct queue *q)
{
	slots_fini(&q->slots);
	ring_fini(&q->ring);
}

/* On the home: the queue is idle again. */
static void deliver_drained(struct mail *m)
{
	struct queue *q = container_of(m, struct queue, drained_mail);

	free_slots(q);
	q->worker = NULL;
	q->state = QUEUE_IDLE;
	q->drained(q->drained_ctx, q);
}

/* A call has been cancelled. */
static void note_stopped(struct notify *n)
{
	struct queue *q = container_of(n, struct queue, notify);

	worker_add(q->worker, TURN_END, &q->end);
}

/*
 * In the end of a turn, while draining: is everything over?  The last call was
 * submitted after the turn in which it was wanted, and gets the next turn to
 * arrive.  A VMM that leaves no room for it does not hold us up.
 */
static void try_to_finish(struct queue *q)
{
	if (q->in_flight || has_found(q))
		return;
	if (!q->has_waited && notify_is_busy(&q->notify)) {
		q->has_waited = true;
		worker_add(q->worker, TURN_END, &q->end);
		return;
	}
	if (!notify_stop(&q->notify))
		return;

	struct memmap_use *use = q->use;

	list_del(&q->ready.link);
	list_del(&q->end.link);
	worker_unpoll(&q->poller);
	q->use = NULL;
	retire_use(q, use);
	/* The queue is the home's when it gets this. */
	worker_post(q->home, &q->drained_mail);
}

static void run_end(struct turn_item *item)
{
	struct queue *q = container_of(item, struct queue, end);

	/* Who is answered may ask for more, and need not kick. */
	if (!q->is_draining && can_take(q))
		heat(q);
	if (!q->is_lost && ring_publish(&q->ring))
		notify_call(&q->notify);
	worker_note_answer(q->worker);
	check_memory(q);
	if (q->is_draining)
		try_to_finish(q);
}

static void deliver_drain(struct mail *m)
{
	struct queue *q = container_of(m, struct queue, drain_mail);

	q->is_draining = true;
	stop_waiting(q);
	notify_unwatch(&q->notify);
	worker_unpoll(&q->poller);
	list_del(&q->ready.link);
	if (has_found(q))
		look(q);
	worker_add(q->worker, TURN_END, &q->end);
}

void queue_drain(struct queue *q, void (*drained)(void *ctx, struct queue *q),
		 void *ctx)
{
	assert(q->state != QUEUE_DRAINING);
	if (q->state == QUEUE_IDLE) {
		drained(ctx, q);
		return;
	}
	q->state = QUEUE_DRAINING;
	q->drained = drained;
	q->drained_ctx = ctx;
	worker_post(q->worker, &q->drain_mail);
}

/* ---- starting ---- */

/* On the worker: the queue is lent. */
static void deliver_start(struct mail *m)
{
	struct queue *q = container_of(m, struct queue, start_mail);

	counters_add(&q->user.counters->run_again, q->ring.inflight.nr_found);
	take_use(q, q->use);
	watch_kick(q, q->notify.kick.fd);
	/* The kick may have come before there was somebody to see it. */
	look(q);
}

static int keep_why(struct queue *q, int err)
{
	snprintf(q->home_why, sizeof(q->home_why), "%s", q->ring.why);
	return err;
}

static int prepare(struct queue *q, struct memmap *map,
		   const struct queue_setup *setup)
{
	q->ring = (struct ring){
		.size = setup->size,
		.is_packed = setup->packed,
		.event_idx = setup->event_idx,
		.indirect = setup->indirect,
		.map = map,
	};
	q->faults = guard_faults();

	int err = ring_locate(&q->ring, &setup->addr);

	if (err)
		return keep_why(q, err);
	if (memmap_is_gone(map)) {
		snprintf(q->home_why, sizeof(q->home_why),
			 "guest memory was taken away");
		return -EFAULT;
	}
	q->use = memmap_use_new(map);
	/* One for each head that can be in flight, and one to pop into. */
	err = slots_init(&q->slots, setup->size + 1, q->user.room);
	if (!q->use || err || ring_init(&q->ring))
		return -ENOMEM;
	err = ring_restore(&q->ring, setup->base, &setup->inflight);
	if (err)
		return keep_why(q, err);
	if (inflight_is_gone(&q->ring.inflight)) {
		snprintf(q->home_why, sizeof(q->home_why),
			 "the in-flight region was taken away");
		return -EFAULT;
	}
	return 0;
}

static void say_found(const struct queue *q)
{
	unsigned nr = q->ring.inflight.nr_found;

	if (nr)
		log_event(LOG_REQUESTS_FOUND, q->tag,
			  "requests found in flight are run again requests=%u",
			  nr);
}

/* The descriptors stay the caller's. */
static void undo_prepare(struct queue *q)
{
	notify_unset(&q->notify);
	if (q->use)
		memmap_use_end(q->use);
	q->use = NULL;
	free_slots(q);
}

static void begin(struct queue *q, const struct queue_setup *setup)
{
	q->addr = setup->addr;
	q->is_enabled = setup->enabled;
	q->is_draining = false;
	q->is_broken = false;
	q->is_lost = false;
	q->is_resumed =
		q->ring.inflight.is_resumed || !ring_is_fresh(&q->ring);
	q->has_waited = false;
	q->in_flight = 0;
	q->copied = 0;
	q->why[0] = '\0';
	q->home_why[0] = '\0';
	q->state = QUEUE_RUNNING;
}

int queue_start(struct queue *q, struct worker *w, struct memmap *map,
		const struct queue_setup *setup, const struct queue_user *user)
{
	assert(q->state == QUEUE_IDLE);
	q->user = *user;
	q->home_why[0] = '\0';

	int err = prepare(q, map, setup);

	if (!err)
		err = notify_set(&q->notify, w, setup->kick, setup->call,
				 setup->err, &q->user.counters->calls);
	if (err) {
		undo_prepare(q);
		return err;
	}
	begin(q, setup);
	say_found(q);
	q->worker = w;
	worker_post(w, &q->start_mail);
	return 0;
}

/* ---- changes ---- */

struct change {
	struct mail mail;
	struct queue *q;
	enum queue_change_what what;
	int kick;
	bool enabled;
	struct call *call;
	struct memmap_use *use;
};

static void change_err(struct queue *q, struct call *call)
{
	notify_change_err(&q->notify, call);
	if (q->is_broken)
		notify_err(&q->notify);
}

static void change_kick(struct queue *q, int fd)
{
	notify_unwatch(&q->notify);
	watch_kick(q, fd);
	/* A kick on the old one may have been missed. */
	look(q);
}

static void change_enabled(struct queue *q, bool enabled)
{
	q->is_enabled = enabled;
	/* A kick that came meanwhile was not followed by a look. */
	look(q);
}

static void change_map(struct queue *q, struct memmap_use *use)
{
	struct memmap_use *old = q->use;

	take_use(q, use);
	q->ring.map = use->map;
	q->is_lost = ring_locate(&q->ring, &q->addr);
	if (q->is_lost)
		set_broken(q, q->ring.why);
	retire_use(q, old);
}

static void deliver_change(struct mail *m)
{
	struct change *ch = container_of(m, struct change, mail);
	struct queue *q = ch->q;

	switch (ch->what) {
	case QUEUE_CHANGE_CALL:
		notify_change_call(&q->notify, ch->call);
		break;
	case QUEUE_CHANGE_ERR:
		change_err(q, ch->call);
		break;
	case QUEUE_CHANGE_KICK:
		change_kick(q, ch->kick);
		break;
	case QUEUE_CHANGE_ENABLED:
		change_enabled(q, ch->enabled);
		break;
	case QUEUE_CHANGE_MAP:
		change_map(q, ch->use);
		break;
	}
	free(ch);
}

/* What the change brings, made here: the worker allocates nothing. */
static int fill_change(struct change *ch, const struct queue_change *change)
{
	ch->what = change->what;
	ch->kick = change->fd;
	ch->enabled = change->enabled;
	switch (change->what) {
	case QUEUE_CHANGE_CALL:
	case QUEUE_CHANGE_ERR:
		return call_new(&ch->call, change->fd);
	case QUEUE_CHANGE_MAP:
		ch->use = memmap_use_new(change->map);
		return ch->use ? 0 : -ENOMEM;
	default:
		return 0;
	}
}

static bool has_fd(const struct queue_change *change)
{
	return change->what == QUEUE_CHANGE_CALL ||
	       change->what == QUEUE_CHANGE_ERR ||
	       change->what == QUEUE_CHANGE_KICK;
}

int queue_change(struct queue *q, const struct queue_change *change)
{
	assert(q->state != QUEUE_IDLE);

	struct change *ch = NULL;
	int err = 0;

	/* A draining queue takes nothing more, and will be told anew. */
	if (q->state == QUEUE_RUNNING) {
		ch = calloc(1, sizeof(*ch));
		err = ch ? fill_change(ch, change) : -ENOMEM;
	}
	if (!ch || err) {
		if (has_fd(change))
			offload_close(change->fd);
		free(ch);
		return err;
	}
	ch->q = q;
	ch->mail.deliver = deliver_change;
	worker_post(q->worker, &ch->mail);
	return 0;
}

/* ---- the queue ---- */

int queue_new(struct queue **out, struct worker *home, const char *tag)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->home = home;
	snprintf(q->tag, sizeof(q->tag), "%s", tag);
	q->start_mail.deliver = deliver_start;
	q->drain_mail.deliver = deliver_drain;
	q->broken_mail.deliver = deliver_broken;
	q->drained_mail.deliver = deliver_drained;
	turn_item_init(&q->ready, run_ready);
	turn_item_init(&q->end, run_end);
	poller_init(&q->poller, look_at_ring, arm_ring);
	gate_waiter_init(&q->waiter, go_on);
	notify_init(&q->notify, q->tag, note_kick, poll_ring, note_stopped);
	*out = q;
	return 0;
}

void queue_free(struct queue *q)
{
	assert(!q || q->state == QUEUE_IDLE);
	free(q);
}

const char *queue_tag(const struct queue *q)
{
	return q->tag;
}

enum queue_state queue_state(const struct queue *q)
{
	return q->state;
}

uint32_t queue_base(const struct queue *q)
{
	return ring_base(&q->ring);
}

const char *queue_why(const struct queue *q)
{
	return q->home_why;
}

struct worker *queue_worker(const struct queue *q)
{
	return q->worker;
}

void queue_facts(const struct queue *q, struct queue_facts *f)
{
	worker_io_facts(q->worker, &f->io);
	f->size = q->ring.size;
	f->pending = q->is_lost ? 0 : ring_pending(&q->ring);
	f->packed = q->ring.is_packed;
	f->event_idx = q->ring.event_idx;
	f->indirect = q->ring.indirect;
	f->enabled = q->is_enabled;
	f->has_kick = q->notify.kick.fd >= 0;
	f->has_call = q->notify.call;
	f->worker = worker_id(q->worker);
	f->in_flight = q->in_flight + q->ring.inflight.nr_found -
		       q->ring.inflight.next_found;
	f->throttled = gate_is_waiting(&q->waiter);
	f->has_fixed = q->user.fixed;
	if (q->user.fixed) {
		f->fixed_bytes = q->user.fixed->bytes;
		memcpy(f->fixed_why, q->user.fixed->why, sizeof(f->fixed_why));
	}
	f->broken = q->is_broken;
	memcpy(f->why, q->why, sizeof(f->why));
}
