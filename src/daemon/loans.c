/* SPDX-License-Identifier: BSD-2-Clause */
/* What must be had before a target's queues are lent: claim and ports. */
#include "daemon/loans.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/offload.h"

/* How often a storage that somebody else has is asked for again. */
#define CLAIM_RETRY_NS 200000000

/* Bytes that processors hand to each other at once. */
#define CACHE_LINE 64

enum loan_state {
	LOAN_NONE,
	LOAN_ATTACHING,
	LOAN_ATTACHED,
	LOAN_DETACHING,
};

/* What is needed to lend one queue. */
struct loan {
	/* the worker's, while lent: no other worker's on the same line */
	struct counters counters __attribute__((aligned(CACHE_LINE)));
	struct device_load load;	/* of all its queues, in its first */
	struct gate gate;		/* the same */

	/* constant */
	struct loans *all;
	unsigned index;
	struct worker *worker;

	/* the home's */
	bool wanted;
	bool lent;
	bool failed;			/* not to be tried until unwanted */
	enum loan_state state;

	/* whoever has the mail */
	struct mail mail;
	struct turn_item detach;
	int result;
	struct device_queue dq;
};

enum claim_state {
	CLAIM_NONE,
	CLAIM_TAKING,
	CLAIM_HELD,
	CLAIM_DROPPING,
};

struct loans {
	/* constant */
	struct loans_params p;
	struct worker *home;
	struct loan *loans;		/* p.nr_queues of them */
	struct fixed *fixed;		/* one for each worker, or NULL */

	/* the home's */
	enum claim_state claim;
	struct alarm retry;
	bool waits;			/* for somebody else, as was said */
	bool is_new;			/* the guest has had nothing yet */
	char why[256];

	/* the offload thread's while taking or dropping */
	struct offload_job job;
	bool check;
	int result;
	char job_why[256];
};

static void settle(struct loans *l);

/* One loan: attach, lend, detach */

static void loan_settled(struct mail *m)
{
	struct loan *n = container_of(m, struct loan, mail);

	n->failed = n->state == LOAN_ATTACHING && n->result < 0;
	if (n->failed)
		log_event(LOG_BACKEND_UNUSABLE, n->all->p.tag,
			  "cannot use the backend worker=%u: %s",
			  worker_id(n->worker), strerror(-n->result));
	n->state = n->state == LOAN_ATTACHING && !n->failed ? LOAN_ATTACHED
							     : LOAN_NONE;
	settle(n->all);
}

static void reply_home(struct loan *n)
{
	n->mail.deliver = loan_settled;
	worker_post(n->all->home, &n->mail);
}

static void deliver_attach(struct mail *m)
{
	struct loan *n = container_of(m, struct loan, mail);

	n->result = backend_attach(n->all->p.device->backend, n->worker,
				   &n->dq.port);
	reply_home(n);
}

static void run_detach(struct turn_item *item)
{
	struct loan *n = container_of(item, struct loan, detach);

	backend_detach(n->dq.port);
	reply_home(n);
}

/* What its worker has pinned, or NULL where it does not. */
static struct fixed *fixed_of(const struct loan *n)
{
	const struct loans *l = n->all;

	return l->fixed ? &l->fixed[n->index % l->p.nr_workers] : NULL;
}

static void deliver_detach(struct mail *m)
{
	struct loan *n = container_of(m, struct loan, mail);

	if (fixed_of(n))
		fixed_wait(fixed_of(n), &n->detach);
	else
		run_detach(&n->detach);
}

static void send_loan(struct loan *n, enum loan_state state,
		      void (*deliver)(struct mail *m))
{
	n->state = state;
	n->mail.deliver = deliver;
	worker_post(n->worker, &n->mail);
}

static void lend(struct loan *n)
{
	struct loans *l = n->all;
	struct loan *first = &l->loans[n->index % l->p.nr_workers];
	const struct queue_user user = {
		.request = l->p.device->ops->request,
		.ctx = &n->dq,
		.room = l->p.device->ops->room,
		.counters = &n->counters,
		.gate = &first->gate,
		.fixed = fixed_of(n),
	};

	n->dq.device = l->p.device;
	n->dq.counters = &n->counters;
	n->dq.load = &first->load;
	n->dq.has_fixed = fixed_of(n);
	n->lent = true;
	l->p.lend(l->p.ctx, n->index, n->worker, &user);
}

static void settle_loan(struct loan *n)
{
	bool held = n->all->claim == CLAIM_HELD;

	if (!n->wanted && n->state == LOAN_ATTACHED)
		send_loan(n, LOAN_DETACHING, deliver_detach);
	else if (n->wanted && held && n->state == LOAN_NONE && !n->failed)
		send_loan(n, LOAN_ATTACHING, deliver_attach);
	else if (n->wanted && n->state == LOAN_ATTACHED && !n->lent)
		lend(n);
}

/* The claim: taken by an offload thread, and asked for until we have it */

static void run_claim(struct offload_job *j)
{
	struct loans *l = container_of(j, struct loans, job);
	struct backend *b = l->p.device->backend;

	l->result = 0;
	if (l->check)
		l->result = backend_check(b, l->job_why, sizeof(l->job_why));
	if (l->result == 0)
		l->result = backend_claim(b, l->job_why, sizeof(l->job_why));
}

static void retry_claim(struct alarm *a)
{
	settle(container_of(a, struct loans, retry));
}

static void note_refused(struct loans *l)
{
	bool is_new = !l->waits || strcmp(l->why, l->job_why);

	memcpy(l->why, l->job_why, sizeof(l->why));
	if (is_new)
		log_event(LOG_BACKEND_TAKEN, l->p.tag,
			  "waits for its backend, no request is served "
			  "meanwhile: %s",
			  l->why);
	l->claim = CLAIM_NONE;
	l->waits = true;
	alarms_set(worker_alarms(l->home), &l->retry,
		   worker_now_ns(l->home) + CLAIM_RETRY_NS);
}

static void claim_done(struct offload_job *j)
{
	struct loans *l = container_of(j, struct loans, job);

	if (l->result < 0) {
		note_refused(l);
	} else {
		if (l->waits)
			log_event(LOG_BACKEND_CLAIMED, l->p.tag,
				  "has its backend path=%s",
				  l->p.device->backend->name);
		l->claim = CLAIM_HELD;
		l->waits = false;
		l->is_new = false;
	}
	settle(l);
}

static void take_claim(struct loans *l)
{
	l->claim = CLAIM_TAKING;
	l->check = l->is_new;
	offload_run(&l->job, run_claim, claim_done, worker_mailbox(l->home));
}

static void run_release(struct offload_job *j)
{
	backend_release(container_of(j, struct loans, job)->p.device->backend);
}

static void release_done(struct offload_job *j)
{
	struct loans *l = container_of(j, struct loans, job);

	l->claim = CLAIM_NONE;
	settle(l);
}

static void drop_claim(struct loans *l)
{
	l->claim = CLAIM_DROPPING;
	offload_run(&l->job, run_release, release_done,
		    worker_mailbox(l->home));
}

static void settle_claim(struct loans *l, bool wanted, bool used)
{
	if (l->claim == CLAIM_HELD && !wanted && !used)
		drop_claim(l);
	if (l->claim != CLAIM_NONE)
		return;
	if (wanted && !alarm_is_set(&l->retry))
		take_claim(l);
	if (!wanted) {
		alarms_clear(worker_alarms(l->home), &l->retry);
		l->waits = false;
	}
}

/* All of them */

static bool is_any_wanted(const struct loans *l)
{
	for (unsigned i = 0; i < l->p.nr_queues; i++)
		if (l->loans[i].wanted)
			return true;
	return false;
}

static bool is_any_used(const struct loans *l)
{
	for (unsigned i = 0; i < l->p.nr_queues; i++)
		if (l->loans[i].state != LOAN_NONE)
			return true;
	return false;
}

bool loans_are_idle(const struct loans *l)
{
	return l->claim == CLAIM_NONE && !is_any_wanted(l) && !is_any_used(l);
}

static void settle(struct loans *l)
{
	settle_claim(l, is_any_wanted(l), is_any_used(l));
	for (unsigned i = 0; i < l->p.nr_queues; i++)
		settle_loan(&l->loans[i]);
	if (loans_are_idle(l))
		l->p.idle(l->p.ctx);
}

void loans_begin(struct loans *l)
{
	l->is_new = true;
}

void loans_want(struct loans *l, unsigned index)
{
	l->loans[index].wanted = true;
	l->loans[index].lent = false;
	settle(l);
}

static void forget(struct loan *n)
{
	n->wanted = false;
	n->lent = false;
	n->failed = false;
}

void loans_forget(struct loans *l, unsigned index)
{
	forget(&l->loans[index]);
	settle(l);
}

void loans_forget_all(struct loans *l)
{
	for (unsigned i = 0; i < l->p.nr_queues; i++)
		forget(&l->loans[i]);
	settle(l);
}

enum loans_claim loans_claim(const struct loans *l, char *why, size_t len)
{
	if (l->claim == CLAIM_HELD)
		return LOANS_CLAIM_HELD;
	if (!l->waits)
		return LOANS_CLAIM_NONE;
	snprintf(why, len, "%s", l->why);
	return LOANS_CLAIM_WAITING;
}

void loans_counters(const struct loans *l, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < l->p.nr_queues; i++)
		counters_sum(sum, &l->loans[i].counters);
}

/* Life */

static void free_loans(struct loans *l)
{
	free(l->loans);
	free(l->fixed);
	free(l);
}

static struct loan *new_loans(struct loans *l)
{
	size_t size = l->p.nr_queues * sizeof(struct loan);
	struct loan *n = aligned_alloc(CACHE_LINE, size);

	if (!n)
		return NULL;
	memset(n, 0, size);
	for (unsigned i = 0; i < l->p.nr_queues; i++) {
		n[i].all = l;
		n[i].index = i;
		n[i].worker = l->p.workers[i % l->p.nr_workers];
		gate_init(&n[i].gate, l->p.limits, n[i].worker);
		turn_item_init(&n[i].detach, run_detach);
	}
	return n;
}

static struct fixed *new_fixed(const struct loans *l)
{
	struct fixed *f = calloc(l->p.nr_workers, sizeof(*f));

	for (unsigned i = 0; f && i < l->p.nr_workers; i++)
		fixed_init(&f[i], l->p.workers[i], l->p.tag);
	return f;
}

int loans_new(struct loans **out, const struct loans_params *p)
{
	struct loans *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->p = *p;
	l->home = p->workers[0];
	l->loans = new_loans(l);
	if (p->fixed)
		l->fixed = new_fixed(l);
	if (!l->loans || (p->fixed && !l->fixed)) {
		free_loans(l);
		return -ENOMEM;
	}
	/* The array of workers was the caller's. */
	l->p.workers = NULL;
	alarm_init(&l->retry, retry_claim);
	*out = l;
	return 0;
}

void loans_free(struct loans *l)
{
	if (!l)
		return;
	assert(loans_are_idle(l));
	free_loans(l);
}
