/* SPDX-License-Identifier: BSD-2-Clause */
/* A target to be attacked, and a neighbour that must not notice. */
#pragma once

#include <stdint.h>

#include "testtarget.h"

/*
 * Two targets share one worker.  Attackers come to the first; the second has a
 * guest whose disk is verified again and again.  After each attack nothing may
 * be left: no descriptor, no session.  Failures end the test.
 */
struct attack {
	struct testtarget t;	 /* change t.config between init and begin */
	struct testtarget other; /* only its target and its socket */
	struct config_backend backend; /* of the second, whatever t has */
	struct testguest guard;
	struct testguest g; /* the attacker, between come and go */
	unsigned fds;	    /* open when nobody attacks */
	uint32_t seed;
};

/* The one that a suite's tests share, each in its own process. */
extern struct attack attack;

/* Of a suite: .init and .fini.  At the end nothing may be left. */
void attack_suite_begin(void);
void attack_suite_end(void);

void attack_init(struct attack *a);
void attack_begin(struct attack *a);
void attack_end(struct attack *a);

/* The neighbour's disk works; @what and @nr tell which attack it was. */
void attack_check(struct attack *a, const char *what, unsigned nr);

/* All attackers have gone: so has everything that they sent. */
void attack_settle(struct attack *a, const char *what, unsigned nr);

/* An attacker with two running queues comes; it goes, and nobody suffered. */
void attack_come(struct attack *a);
void attack_go(struct attack *a, const char *what, unsigned nr);

/* Its ring serves it still, or again. */
void attack_works(struct attack *a, unsigned ring, const char *what,
		  unsigned nr);

/* Descriptors that this process has open. */
unsigned attack_count_fds(void);

/* How a target takes a message. */
enum attack_reply {
	ATTACK_ACCEPTED,
	ATTACK_REFUSED, /* it says so */
	ATTACK_CLOSED,	/* it hung up */
	ATTACK_SILENT,	/* nothing in two seconds */
};

/* Connects @f and agrees on all that is offered, acknowledgements included. */
void attack_connect(struct attack *a, struct frontend *f);

/*
 * Sends a message that asks for an acknowledgement, and waits for the reply.
 * Returns an attack_reply.
 */
enum attack_reply attack_send(struct frontend *f, uint32_t request,
			      const void *payload, size_t size, const int *fds,
			      unsigned nr_fds);

/* The reply to what was sent already. */
enum attack_reply attack_recv(struct frontend *f);

/* It was as it should; with the second one, it was refused in some way. */
void attack_expect(enum attack_reply want, enum attack_reply got,
		   const char *what, unsigned nr);
void attack_expect_no(enum attack_reply got, const char *what, unsigned nr);

const char *attack_reply_name(enum attack_reply reply);

/* A memory file of @size bytes. */
int attack_make_file(uint64_t size);
