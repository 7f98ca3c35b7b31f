/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of either format with a driver on its other side, for unit tests. */
#pragma once

#include <stdint.h>

#include "ringmem.h"
#include "vhost/ring_verbs.h"

#define RR_MAX_IOV 8 /* that a chain has room for without the spare ones */

/* The one that a suite's tests share, each in its own process. */
struct ringrig {
	struct ringmem mem;
	struct ring ring;
	struct chain chain; /* popped last */
	struct iovec own[RR_MAX_IOV];
	struct iovec spare[RING_CHAIN_MAX + 1];
	unsigned char *part; /* where it notes what is in flight; shared */
};

extern struct ringrig ringrig;

/* What a ring can be. */
struct rr_kind {
	const char *name;
	bool packed;
	bool event_idx;
};

extern const struct rr_kind rr_split, rr_split_event, rr_packed,
	rr_packed_event;

/*
 * Of a suite: .init and .fini.  After a failure this one tells the kind of
 * ring that it happened with.
 */
void rr_init(void);
void rr_fini(void);

/* Runs a test's body in a ring of 4 of each kind, and of each of a format. */
void rr_each(void (*body)(void));
void rr_each_split(void (*body)(void));
void rr_each_packed(void (*body)(void));

/* Runs it in a ring of 4 of one kind. */
void rr_with(const struct rr_kind *kind, void (*body)(void));

/* A test whose body runs with each of several kinds of ring. */
#define RR_TEST_OF(each, suite, name)       \
	static void suite##_##name(void);   \
	Test(suite, name)                   \
	{                                   \
		each(suite##_##name);       \
	}                                   \
	static void suite##_##name(void)

/* Places a ring of @size entries; of the same kind; at @base. */
void rr_start(const struct rr_kind *kind, unsigned size);
void rr_start_again(unsigned size);
void rr_start_at(unsigned size, uint16_t base);

/*
 * The ring is begun at @base, as it is, with nothing in flight; or a successor
 * goes on with it and what is in flight.  Return what ring_restore() does.
 */
int rr_restart(int64_t base);
int rr_resume(void);

/* The kind of the ring; whether such a ring can have so many entries. */
const struct rr_kind *rr_kind(void);
bool rr_can_have(unsigned size);

/* Pops into ringrig.chain; or makes available what rm_desc() said, before. */
int rr_pop(void);
int rr_pop_head(unsigned head);

/* Several buffers, as two arguments. */
#define RR_BUFS(...)                       \
	((struct rm_buf[]){ __VA_ARGS__ }), \
		ARRAY_SIZE(((struct rm_buf[]){ __VA_ARGS__ }))

/* Makes a chain of buffers available, and pops. */
int rr_pop_chain(unsigned head, const struct rm_buf *bufs, unsigned n);

/* @n buffers of one byte each at RM_B and behind, the last one writable. */
const struct rm_buf *rr_bytes(unsigned n);

/* Pops and answers @n chains of one buffer.  Returns: does it want a call? */
bool rr_answer(unsigned n);

/* Iovec @i of the chain is @len bytes at guest address @gpa. */
void rr_expect_iov(unsigned i, uint64_t gpa, size_t len);

/* Popping breaks the rules, again and again, and says why. */
void rr_expect_refusal(const char *what, const char *why);
