/* SPDX-License-Identifier: BSD-2-Clause */
/* A session on a worker of its own, with a front-end at the other end. */
#pragma once

#include <pthread.h>

#include "base/counters.h"
#include "frontend.h"
#include "vhost/link.h"
#include "vhost/session.h"

#define SESSIONTEST_QUEUES 4
#define SESSIONTEST_HELD   64

/* A chain that a request brought and that is not answered yet. */
struct sessiontest_chain {
	struct queue *queue;
	struct chain *chain;
	struct turn_item item; /* answers it in a turn */
};

/* What the target of the session saw; guarded by @lock. */
struct sessiontest_seen {
	unsigned ready[SESSIONTEST_QUEUES];
	unsigned idle[SESSIONTEST_QUEUES];
	int started[SESSIONTEST_QUEUES]; /* of session_start_queue() */
	unsigned requests;
	unsigned resets;
	unsigned closing;
	enum session_end how; /* it closes, and why */
	char why[256];
	unsigned ended;
	uint64_t accepted;
};

struct sessiontest {
	/* set these before sessiontest_open(), or leave them */
	enum proto_device device; /* PROTO_BLK */
	unsigned nr_queues;	  /* SESSIONTEST_QUEUES */
	uint64_t refuse;	  /* feature bits that accept() dislikes */
	bool packed;		  /* offer packed rings */
	bool wait;		  /* do not start queues when ready */
	bool hold;		  /* do not answer requests */

	struct worker *home;
	struct worker *helper;	 /* queue 1 is lent to this one */
	struct session *session; /* home only; NULL when ended */
	struct frontend vmm;
	uint8_t config[256];
	struct counters counters; /* of the session; home only */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sessiontest_seen seen;
	struct sessiontest_chain held[SESSIONTEST_HELD];
};

/* A failure fails the test, here and below. */
void sessiontest_open(struct sessiontest *t);

/* Another session on the same workers; sessiontest_leave() ends it. */
void sessiontest_join(struct sessiontest *t, const struct sessiontest *with);

/* The front-end hangs up; wait until the session has ended. */
void sessiontest_leave(struct sessiontest *t);

/* sessiontest_leave(), then the workers are stopped. */
void sessiontest_close(struct sessiontest *t);

/* A copy of what was seen so far. */
struct sessiontest_seen sessiontest_look(struct sessiontest *t);

/* Wait until @is is true of what was seen; five seconds, then fail. */
void sessiontest_wait(struct sessiontest *t,
		      bool (*is)(const struct sessiontest_seen *seen));

/* Answer the requests that were held. */
void sessiontest_release(struct sessiontest *t);

/* Start a queue that was ready while @t->wait was set. */
int sessiontest_start(struct sessiontest *t, unsigned index);

/* Tell the session that the configuration changed; can the front-end know? */
bool sessiontest_config_changed(struct sessiontest *t);

/* Negotiate everything that is offered. */
void sessiontest_negotiate(struct sessiontest *t);

/* The number of descriptors of this process. */
unsigned sessiontest_count_fds(void);
