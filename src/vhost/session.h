/* SPDX-License-Identifier: BSD-2-Clause */
/* One VMM's use of a target: features, guest memory, queues. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "run/worker.h"
#include "vhost/backchannel.h"
#include "vhost/call.h"
#include "vhost/memmap.h"
#include "vhost/proto.h"
#include "vhost/queue.h"
#include "vhost/state.h"

/*
 * Theory of operation: a session
 *
 * A session begins with a connected socket and ends when that is closed.  It
 * lives on one worker, its home: the link reads messages there, the handlers
 * act on the session there, and whatever a queue's worker has to say comes
 * there by mail.
 *
 * What was negotiated is in its state, see state.h, and is read and changed
 * there; what only we can know is in the structures here.
 *
 * A queue's life, as the session sees it:
 *
 *	set up --ready--> waiting --session_start_queue()--> lent
 *	   ^                 |                                 |
 *	   '--GET_VRING_BASE-+------------- drained -----------'
 *
 * Ready means that all is known: size, addresses, kick (or that there is none),
 * memory, features, and that the queue was enabled.  The messages come in
 * any order, so each of them ends with a look at the rule.  The target is told
 * and starts the queue when it has the right to, now or later.  What may change
 * while a queue is lent is passed on as a queue_change(); nothing waits.
 *
 * Three things do wait, and the message that asked for them is answered when
 * they are over: the drain of a queue (GET_VRING_BASE), of all queues
 * (RESET_DEVICE, RESET_OWNER, SET_STATUS), and the end of memory that was taken
 * away (REM_MEM_REG, SET_MEM_TABLE).  Meanwhile the link reads nothing, so
 * there is at most one.
 *
 * A reset ends what a driver began: its features and all it said of its rings
 * are forgotten.  What the VMM set up for any driver to come stays: owner,
 * protocol features, memory, call and error descriptors, back-end channel.
 * A VMM need not repeat any of it.
 *
 * That the configuration changed is told on the back-end channel, if there is
 * one, but not while no ring runs, as a suspended device keeps silent, and not
 * while a message is unanswered, as some front-ends that wait for an answer
 * take the next for it.
 *
 * The end: all queues are drained, then the memory is unmapped, then the
 * socket is closed, so that a client that waits for that may come back at
 * once.  Until then not even its memory's descriptors are in use any more.
 */
struct session;
struct link;

enum session_end {
	SESSION_LEFT, /* the client closed the connection, or is gone */
	SESSION_CUT,  /* we do, and it may not know why */
};

/*
 * What the target does for its session.  Home only, and none of them may call
 * session_free() but ended().
 */
struct session_ops {
	/* The device's feature bits. */
	uint64_t (*features)(void *ctx);

	/* The driver's choice: 0, or -EINVAL to refuse. */
	int (*accept)(void *ctx, uint64_t features);

	/* Config space; @off + @len is at most 256. */
	void (*config_get)(void *ctx, void *buf, size_t off, size_t len);
	int (*config_set)(void *ctx, const void *buf, size_t off, size_t len);

	/*
	 * All that the queue needs is known: call session_start_queue(), here
	 * or later.
	 */
	void (*queue_ready)(void *ctx, struct session *s, unsigned index);

	/*
	 * A queue that was ready is idle: it was drained, or it had not been
	 * started and is not to be.
	 */
	void (*queue_idle)(void *ctx, struct session *s, unsigned index);

	/*
	 * What the device knows of its driver and nobody else, for who takes
	 * the session over: at most STATE_DEVICE_MAX bytes; returns how many.
	 */
	size_t (*save)(void *ctx, void *buf);

	/* What was saved, by us or a predecessor: 0, or -EINVAL. */
	int (*load)(void *ctx, const void *buf, size_t len);

	/* The driver gave the device up; all queues are idle. */
	void (*reset)(void *ctx);

	/* session_close() was called, and why: say so. */
	void (*closing)(void *ctx, struct session *s, enum session_end how,
			const char *why);

	/*
	 * The socket is closed, every queue idle, the memory unmapped: call
	 * session_free(), here or later.
	 */
	void (*ended)(void *ctx, struct session *s);
};

struct session_params {
	const char *tag; /* must outlive the session */
	struct worker *home;
	const struct session_ops *ops;
	void *ctx;
	enum proto_device device;
	unsigned nr_queues; /* at most STATE_QUEUES_MAX */
	unsigned max_queue_size;
	bool packed; /* offer packed rings */
	enum mapping_files memory_files;
	struct counters *counters; /* written on the home, or NULL */
};

/* Make a session without a link.  Returns 0 or -errno.  Home only. */
int session_new(struct session **out, const struct session_params *p);

/*
 * End the session: nothing more is read, all queues are drained.  closing() is
 * told how and why; ended() follows, never inside this call.  May be called
 * again, also after that.  Only for a session that got a link.  Home only.
 */
void session_close(struct session *s, enum session_end how, const char *why);

/* Accepts NULL, a session that ended, and one without a link.  Home only. */
void session_free(struct session *s);

/*
 * Lend a queue that is ready to @w, with all that the session knows of it.
 * Returns 0 or -errno.  A failure was logged, the front-end was told by the
 * queue's error descriptor, and the queue is tried again (queue_ready())
 * when something about it changes.  Home only.
 */
int session_start_queue(struct session *s, unsigned index, struct worker *w,
			const struct queue_user *user);

/*
 * Tell the front-end that the device's configuration changed, now or when its
 * rings run.  Returns false when it has no way to be told.  Home only.
 */
bool session_config_changed(struct session *s);

/* The queue itself, or NULL when it was never started.  Home only. */
struct queue *session_queue(const struct session *s, unsigned index);

struct session_facts {
	pid_t pid; /* of the front-end when it connected */
	uid_t uid;
	gid_t gid;
	uint64_t features;
	uint64_t protocol_features;
	unsigned nr_regions;
	uint64_t memory_bytes;
	unsigned nr_queues;  /* offered */
	unsigned nr_waiting; /* ready, not started */
	unsigned nr_lent;
	bool closing;
	bool has_inflight; /* a region for requests in flight */
	bool own_inflight; /* which is our own, not the front-end's */
};

/*
 * Has the guest had answers from somebody in one of its rings?  Of those that
 * are known so far.  Home only.
 */
bool session_rings_are_used(const struct session *s);

/* Home only. */
void session_facts(const struct session *s, struct session_facts *f);

/*
 * Regions of guest memory, @max at most, into @regions.  Returns how many.
 * Home only.
 */
unsigned session_regions(const struct session *s,
			 struct memmap_region_facts *regions, unsigned max);

/* ---- what follows is for handlers and link ---- */

/* What a message waits for before it is answered. */
enum session_wait {
	SESSION_WAIT_NOTHING,
	SESSION_WAIT_QUEUES, /* no queue is being drained */
	SESSION_WAIT_MEMORY, /* no memmap but the current one is left */
};

/* Returned by a handler whose message is answered later. */
#define SESSION_LATER 1

struct session_queue {
	struct session *session;
	unsigned index;
	struct state_queue *state; /* what was negotiated */
	struct queue *queue;	   /* NULL before the first start */
	struct call *failure;	   /* tells the front-end of a failed start */
	int kick;		   /* ours until lent, then the queue's */
	int call;
	int err;
	bool told;   /* queue_ready() was called, queue_idle() not */
	bool failed; /* since then it could not start */
	bool lent;
	bool draining;
};

struct session {
	struct session_params p;
	struct state *state; /* what was negotiated */
	int state_fd;
	struct ucred creds;
	struct link *link;
	struct backchannel channel;
	bool closing;
	bool said_started;
	bool said_no_memory;
	bool has_config; /* the driver has written to the configuration */
	struct inflight_region *inflight; /* NULL: none was needed yet */
	struct memmap *map;
	unsigned nr_maps; /* not gone yet, the current one included */
	unsigned nr_draining;
	struct session_queue *queues;

	/* one message that is not answered yet */
	enum session_wait wait;
	struct proto_msg *msg;
	void (*finish)(struct session *s, struct proto_msg *m);

	/*
	 * link_open() fills these: the reply of a drain, and the last step,
	 * which comes to session_link_ended().
	 */
	void (*answer)(struct link *l, int result);
	void (*end_link)(struct link *l);

	struct mail end_mail;
	struct proto_why why; /* of the last message that was refused */
};

/* The socket is closed: the session has ended.  Home only. */
void session_link_ended(struct session *s);

/*
 * Put @fd (-1: none) in the place of *@kept, which an offload thread closes;
 * and copy a descriptor, as a lent queue closes what it was given.  The second
 * returns 0 or -errno and sets *@copy to -1 where there is none.  Home only.
 */
void session_keep_fd(int *kept, int fd);
int session_copy_fd(int fd, int *copy);

/*
 * Take @fd for the back-end channel.  Returns 0, or -ENOMEM with it left to the
 * caller.  Home only.
 */
int session_set_channel(struct session *s, int fd);

/* What is known of the front-end, to check a message by.  Home only. */
struct proto_peer session_peer(const struct session *s);

/*
 * Have the device's state kept, as it changed: in the session's state, and with
 * the region in flight, which finds us after a crash.  Home only.
 */
void session_save_device(struct session *s);

/* Note why a message is refused.  Returns @err.  Home only. */
int session_refuse(struct session *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Log, once in a session, that the VMM shares no memory.  Home only. */
void session_say_no_memory(struct session *s);

/* What is offered to the front-end.  Home only. */
uint64_t session_features(const struct session *s);
uint64_t session_protocol_features(const struct session *s);

/* Tell the target of a queue, or of all, that became ready.  Home only. */
void session_look(struct session *s, unsigned index);
void session_look_all(struct session *s);

/* Begin to take a queue, or all, back.  Home only. */
void session_stop_queue(struct session *s, unsigned index);
void session_stop_all(struct session *s);

/*
 * When all queues are idle: reset the device; and, with that, forget the
 * driver.  Home only.
 */
void session_reset_device(struct session *s);
void session_reset(struct session *s);

/*
 * Apply a change of CALL, ERR, KICK or ENABLED to a lent queue; a descriptor
 * is consumed.  Returns 0 or -ENOMEM.  Home only.
 */
int session_change(struct session *s, unsigned index,
		   const struct queue_change *change);

/*
 * Note requests in flight in @r from now on, the region of the front-end that
 * @where describes, and go on with what is in it.  No queue is lent.  Home
 * only.
 */
void session_set_inflight(struct session *s, struct inflight_region *r,
			  const struct vhost_user_inflight *where);

/*
 * Count a memmap that was just made, so that the session lives until it is
 * gone; and make one the current one, for lent queues, too.  The second takes
 * over the caller's use of @m.  Returns 0 or -ENOMEM.  Home only.
 */
void session_own_map(struct session *s, struct memmap *m);
int session_set_map(struct session *s, struct memmap *m);

/*
 * The last step of a handler that may have to wait: when it is over, finish()
 * (or NULL) completes @m and the link answers it.  Returns 0 when it is over
 * already, else SESSION_LATER.  Home only.
 */
int session_wait_for(struct session *s, enum session_wait wait,
		     struct proto_msg *m,
		     void (*finish)(struct session *s, struct proto_msg *m));
