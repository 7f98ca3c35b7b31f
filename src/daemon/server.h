/* SPDX-License-Identifier: BSD-2-Clause */
/* What a target's home does: clients, one session at a time, their queues. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/counters.h"
#include "daemon/loans.h"
#include "device/device.h"
#include "run/worker.h"
#include "vhost/session.h"

/*
 * Theory of operation: a server
 *
 * A target that is open is served by its home, the worker that has its
 * listening socket and its session.  Before a queue is lent, its loan is
 * settled: see loans.h.
 *
 * A second client is held for a moment, as the first may be just leaving, and
 * as long as the first one's session drains.  Its requests must all be over
 * before anybody else is served.
 *
 * Control starts a server once, and asks it to retire, which it answers:
 *
 *	CUT      the client is cut off, its requests finish  -> CLOSED
 *	LINGER   nobody new is served; a client that is
 *	         there may stay as long as it likes          -> LINGERS, CLOSED
 *	IF_FREE  only if nobody is served                    -> BUSY, or CLOSED
 *
 * A server without a listening socket serves one client, whose descriptor
 * becomes its own.  When that one has left, it is over: news() tells, and all
 * that is left to do is to retire it.
 *
 * LINGERS is also answered where only the requests of a client that has left
 * are not over.  CUT may follow LINGERS and BUSY, also just when the client
 * leaves by itself.  CLOSED is answered once, whatever was asked meanwhile, and
 * the home has nothing of it any more.
 */
enum server_retire {
	SERVER_CUT,
	SERVER_LINGER,
	SERVER_IF_FREE,
};

enum server_answer {
	SERVER_BUSY,
	SERVER_LINGERS,
	SERVER_CLOSED,
};

struct server;

/* Plain functions, as what is above is one target. */
struct server_params {
	const char *tag;		/* outlives the server */
	struct worker **workers;	/* to lend queues to */
	unsigned nr_workers;		/* the first one is the home */
	struct device *device;
	struct limits *limits;		/* outlive the server */
	int listen_fd;			/* remains the caller's, or -1 */
	int client_fd;			/* without listen_fd: the only client */
	unsigned nr_queues;
	unsigned max_queue_size;
	bool packed;
	enum mapping_files memory_files;
	bool fixed;		/* have guest memory in fixed buffers */
	struct mailbox *control;

	/* on the control thread */
	void (*answered)(void *ctx, enum server_answer answer);
	void (*news)(void *ctx);	/* a client came or went */
	void *ctx;
};

/*
 * Make a server, which is then started, retired and, once it is CLOSED, freed.
 * Returns 0 or -ENOMEM.  server_free() accepts NULL and one that was never
 * started.  Control only, as all here.
 */
int server_new(struct server **out, const struct server_params *p);
void server_start(struct server *s);
void server_free(struct server *s);

/* answered() follows, never inside this call; before that no second one. */
void server_retire(struct server *s, enum server_retire how);

/* Was a client served a moment ago?  Has the only one left? */
bool server_is_connected(const struct server *s);
bool server_is_over(const struct server *s);

/* Sum of the counters of all queues and of the sessions, since the start. */
void server_counters(const struct server *s, struct counters *sum);

/* A backend has grown: what the home did about it. */
struct server_growth {
	uint64_t size;
	bool connected;	/* there was a client */
	bool told;	/* who is told, now or when its queues run */

	/* private to server.c */
	struct server *server;
	struct mail mail;
	void (*done)(struct server_growth *g);
};

/*
 * Have the device show its guests @size bytes, more than before.  @g is busy
 * until done(@g) is called on the control thread, never inside this call; the
 * server must not be freed meanwhile.  One that is CLOSED does nothing.
 */
void server_grow(struct server *s, struct server_growth *g, uint64_t size,
		 void (*done)(struct server_growth *g));

/* Who was cut off, if anybody was. */
struct server_cut {
	bool was_cut;
	pid_t pid;
	uid_t uid;
	gid_t gid;

	/* private to server.c */
	struct server *server;
	struct mail mail;
	void (*done)(struct server_cut *c);
};

/*
 * Cut the client off; the next one is welcome, be it the same.  @c is busy
 * until done(@c) is called on the control thread, never inside this call.  The
 * server must not be freed meanwhile, closed or not.
 */
void server_disconnect(struct server *s, struct server_cut *c,
		       void (*done)(struct server_cut *c));

/* ---- what follows is for those who collect what the home knows ---- */

/* Constant.  Any thread. */
struct worker *server_home(const struct server *s);
struct mailbox *server_control(const struct server *s);

/* The session, also one that is leaving, or NULL.  Home only. */
struct session *server_session(const struct server *s);

/*
 * Has it the storage?  @why gets what it waits for, or why it serves nothing,
 * or "".  Home only.
 */
enum loans_claim server_reason(const struct server *s, char *why, size_t len);

/* Put off that the server is CLOSED, and no longer.  Home only. */
void server_stay(struct server *s);
void server_stay_no_more(struct server *s);
