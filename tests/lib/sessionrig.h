/* SPDX-License-Identifier: BSD-2-Clause */
/* A session under test, with guest memory and two rings. */
#pragma once

#include "sessiontest.h"

#define RIG_REGION_SIZE (1 << 20)

/* One for a program, as each test is a process.  A failure fails the test. */
struct sessionrig {
	struct sessiontest t;
	struct guestmem mem;	      /* two regions */
	struct frontend_queue q0, q1; /* of 16 and 32 descriptors */
};

extern struct sessionrig rig;

/* Everything is negotiated, nothing is shared or started. */
void rig_open(void);
void rig_close(void);

/*
 * A test whose body, from rig_open() to rig_close(), runs with split rings,
 * then with packed ones.
 */
#define RIG_TEST(suite, name)                       \
	static void suite##_##name(void);           \
	Test(suite, name)                           \
	{                                           \
		rig_run_with_both(suite##_##name);  \
	}                                           \
	static void suite##_##name(void)

void rig_run_with_both(void (*body)(void));

void rig_make_queue(struct frontend_queue *q, unsigned index, unsigned size);
void rig_share(void);

/* One buffer in memory region @region is given to @q; one comes back. */
void rig_submit(struct frontend_queue *q, unsigned region);
void rig_expect_answer(struct frontend_queue *q);
void rig_wait_for_request(void);

/* Nothing comes from the target for a while; it says no to a message. */
void rig_expect_silence(void);
void rig_expect_refused(uint32_t request, const void *payload, size_t size);

/* Single messages about q0. */
void rig_tell_num(void);
void rig_tell_addr(void);
void rig_tell_kick(void);
void rig_tell_enable(void);

/* Features without more; owner and protocol features without features. */
void rig_tell_features(void);
void rig_greet(void);

struct session_facts rig_facts(void);

/* Returns the size of the payload of the reply: 0 says no. */
uint32_t rig_get_config(uint32_t off, uint32_t size, uint32_t flags,
			struct vhost_user_config *c);
