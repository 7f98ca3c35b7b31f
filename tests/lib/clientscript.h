/* SPDX-License-Identifier: BSD-2-Clause */
/* Plays a VMM from a script: the messages it sends, in its order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "frontend.h"

/*
 * Theory of operation
 *
 * A script is a table that reads like a trace of a VMM's socket.  Each step
 * sends one message, or does what the guest does meanwhile, and knows what a
 * target must answer; the first step that goes wrong ends the play.
 *
 * As real VMMs do, a client acknowledges of the bits in its script only those
 * that were offered, starts rings anew where its driver left them, and asks for
 * acknowledgements as far as the script says.
 *
 * The guest's memory and rings belong to the client and survive a reconnect.
 */
#define CLIENT_QUEUES 4

enum client_op {
	CLIENT_END,
	CLIENT_CONNECT, /* tries for two seconds */
	CLIENT_HANG_UP,
	CLIENT_NEED_REPLY,  /* value: from now on, if REPLY_ACK is agreed on */
	CLIENT_ASK,	    /* value: these bits must be offered */
	CLIENT_ASK_LACKING, /* value: these bits must not be offered */
	CLIENT_ASK_NUMBER,  /* value: as many at least */
	CLIENT_TELL,	    /* no payload */
	CLIENT_TELL_U64,    /* value, as far as it was offered */
	CLIENT_STATE,	    /* ring, value */
	CLIENT_BASE,	    /* ring: where its driver is */
	CLIENT_ADDR,	    /* ring */
	CLIENT_FD,	    /* ring: its kick, call or error eventfd */
	CLIENT_NO_FD,	    /* ring: there is none */
	CLIENT_GET_BASE,    /* ring: must be where its driver is */
	CLIENT_MEM_TABLE,   /* all regions */
	CLIENT_ADD_REGION,  /* value: which one */
	CLIENT_REM_REGION,
	CLIENT_GET_CONFIG, /* value: offset; size; flags */
	CLIENT_SET_CONFIG, /* value: offset; size; flags; byte */
	CLIENT_RING,	   /* ring: its driver makes one of size entries */
	CLIENT_KICK,	   /* ring, for no reason */
	CLIENT_POST,	   /* ring: a read request, not waited for */
	CLIENT_REAP,	   /* ring: the read request is done */
	CLIENT_FIND,	   /* ring: so it is, and nobody calls */
	CLIENT_QUIET,	   /* ring: the read request is not done */
	CLIENT_IO,	   /* ring: verified */
};

struct client_step {
	enum client_op op;
	uint32_t request;
	unsigned ring;
	uint64_t value;
	uint32_t size;
	uint32_t flags;
	uint8_t byte;
};

/* Steps as they are written in a script; @msg without VHOST_USER_. */
#define STEP(what, ...)                          \
	{                                        \
		.op = CLIENT_##what, __VA_ARGS__ \
	}
#define CLIENT_MSG(what, msg, ...) \
	STEP(what, .request = VHOST_USER_##msg, __VA_ARGS__)
#define CONNECT		       STEP(CONNECT, .ring = 0)
#define HANG_UP		       STEP(HANG_UP, .ring = 0)
#define NEED_REPLY(yes)	       STEP(NEED_REPLY, .value = (yes))
#define ASK(msg, bits)	       CLIENT_MSG(ASK, msg, .value = (bits))
#define ASK_LACKING(msg, bits) CLIENT_MSG(ASK_LACKING, msg, .value = (bits))
#define ASK_NUMBER(msg, least) CLIENT_MSG(ASK_NUMBER, msg, .value = (least))
#define TELL(msg)	       CLIENT_MSG(TELL, msg, .ring = 0)
#define TELL_U64(msg, bits)    CLIENT_MSG(TELL_U64, msg, .value = (bits))
#define CLIENT_STATE_OF(msg, q, n) \
	CLIENT_MSG(STATE, msg, .ring = (q), .value = (n))
#define NUM(q, n)      CLIENT_STATE_OF(SET_VRING_NUM, q, n)
#define ENABLE(q, yes) CLIENT_STATE_OF(SET_VRING_ENABLE, q, yes)
#define BASE(q)	       STEP(BASE, .ring = (q))
#define ADDR(q)	       STEP(ADDR, .ring = (q))
#define KICK_FD(q)     CLIENT_MSG(FD, SET_VRING_KICK, .ring = (q))
#define CALL_FD(q)     CLIENT_MSG(FD, SET_VRING_CALL, .ring = (q))
#define ERR_FD(q)      CLIENT_MSG(FD, SET_VRING_ERR, .ring = (q))
#define NO_KICK_FD(q)  CLIENT_MSG(NO_FD, SET_VRING_KICK, .ring = (q))
#define NO_CALL_FD(q)  CLIENT_MSG(NO_FD, SET_VRING_CALL, .ring = (q))
#define GET_BASE(q)    STEP(GET_BASE, .ring = (q))
#define MEM_TABLE      STEP(MEM_TABLE, .ring = 0)
#define ADD_REGION(nr) STEP(ADD_REGION, .value = (nr))
#define REM_REGION(nr) STEP(REM_REGION, .value = (nr))
#define GET_CONFIG(off, len, fl) \
	STEP(GET_CONFIG, .value = (off), .size = (len), .flags = (fl))
#define SET_CONFIG(off, fl, b) \
	STEP(SET_CONFIG, .value = (off), .size = 1, .flags = (fl), .byte = (b))
#define RING(q, n)	 STEP(RING, .ring = (q), .size = (n))
#define SPURIOUS_KICK(q) STEP(KICK, .ring = (q))
#define POST(q)		 STEP(POST, .ring = (q))
#define REAP(q)		 STEP(REAP, .ring = (q))
#define FIND(q)		 STEP(FIND, .ring = (q))
#define QUIET(q)	 STEP(QUIET, .ring = (q))
#define IO(q)		 STEP(IO, .ring = (q))
#define END		 STEP(END, .ring = 0)

struct client {
	/* the test's, before the play */
	const char *path;
	uint64_t capacity; /* sectors that the config space must tell */
	struct guestmem mem;

	/* the player's */
	struct frontend f;
	struct frontend_queue q[CLIENT_QUEUES];
	struct guestblk_req *posted[CLIENT_QUEUES];
	bool need_reply;
	uint64_t offered; /* by the last GET_FEATURES */
	uint64_t offered_protocol;
	uint64_t features; /* acknowledged */
	uint64_t protocol_features;
	uint32_t seed;
	char why[160]; /* the step that went wrong */
};

/* A client without memory, of a disk at @path. */
void client_init(struct client *c, const char *path, uint64_t capacity);

/* Hangs up and frees. */
void client_fini(struct client *c);

/*
 * Plays @steps up to CLIENT_END.  Returns 0, or -errno and c->why says which
 * step went wrong and how.
 */
int client_play(struct client *c, const struct client_step *steps);
