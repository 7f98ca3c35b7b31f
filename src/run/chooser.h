/* SPDX-License-Identifier: BSD-2-Clause */
/* Which ring a worker's entries go to: direct, or SQPOLL while that wins. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "run/uring.h"

/*
 * Theory of operation: trials
 *
 * With SQPOLL a kernel thread takes the entries, and the worker does other
 * things meanwhile.  Whether more gets done so depends on the storage, on how
 * much is asked of it, and most of all on whether that thread has a CPU to
 * itself; without one, hardly anything is done.  So it is tried.
 *
 * The owner, a worker, tells every few milliseconds what was done so far.  What
 * was done in a window of time is a rate.  A trial has windows with either ring
 * in turns, and each of SQPOLL is compared with the direct ones before and
 * after it, so that a load which grows or wanes meanwhile favours none:
 *
 *	direct | SQPOLL | direct | SQPOLL | direct ...
 *
 * What is in flight when the ring changes is done on the old one, so a window
 * begins a little later.  Where CPUs are busy no window is like another, so a
 * trial goes on until the mean of the differences is clear for how much they
 * scatter: above what SQPOLL must gain, or below it.  As SQPOLL takes a CPU,
 * what never becomes clear is lost.
 *
 * A trial costs something, whoever wins.  So there is one only for a load that
 * may be worth it, and then none for a while, which is longer each time while
 * outcome and load are the same.  A new load is tried once the shortest pause
 * is over, or at once if SQPOLL is in use: it may look new because the thread
 * has to share its CPU by now.
 *
 * Without a trial, SQPOLL is dropped when its thread takes nothing although
 * entries wait, and when little is asked for: then the thread goes to sleep.
 *
 * There is neither a clock nor a timer here.  An owner that sleeps tells
 * nothing; it does when it wakes, before it makes an entry, and what was done
 * while it slept is then found to be little.
 */
struct chooser_sample {
	uint64_t now_ns;
	uint64_t nr_done;      /* reads and writes so far, with either ring */
	unsigned nr_in_flight; /* entries, in either ring */
	unsigned nr_waiting;   /* entries that the thread has not taken */
	unsigned nr_taken;     /* that it has taken so far; wraps */
};

enum chooser_reason {
	CHOOSER_OFF,	   /* by the configuration */
	CHOOSER_ON,	   /* the same */
	CHOOSER_NO_CPU,	   /* for the thread */
	CHOOSER_NO_RING,   /* with SQPOLL could be made */
	CHOOSER_NO_LOAD,   /* that is worth it */
	CHOOSER_NOT_TRIED, /* with this load, yet */
	CHOOSER_TRYING,
	CHOOSER_LOST, /* SQPOLL has */
	CHOOSER_WON,
	CHOOSER_STARVED, /* the thread has */
	CHOOSER_NR_REASONS,
};

struct chooser_facts {
	enum uring_kind ring; /* for new entries */
	enum chooser_reason reason;
	uint64_t nr_switches;
};

struct chooser {
	/* written by the owner, read by any thread */
	struct chooser_facts facts;

	/* owner only */
	uint64_t due_ns;	     /* chooser_look() is not needed before */
	bool is_settling;	     /* the window has not begun yet */
	struct chooser_sample begin; /* of the window */
	struct chooser_sample moved; /* when no entry was kept waiting last */

	/* requests a second, without the ups and downs; what the trial found */
	double load;
	double rates[URING_NR_KINDS];

	/* the trial that is on */
	uint64_t began_ns;
	double before; /* rate of the last direct window; 0: there is none */
	double sqpoll; /* rate of the window after it */
	unsigned nr_pairs;
	double gain;   /* of SQPOLL, in all pairs */
	double gain2;  /* its squares */
	double direct; /* what it is a gain on */

	/* the last one */
	enum chooser_reason outcome;
	uint64_t ended_ns;
	uint64_t pause_ns; /* so long after it begins the next */
};

/*
 * Begin with the direct ring, and choose; or have @ring for @reason and never
 * another.  Owner only.
 */
void chooser_init(struct chooser *c, uint64_t now_ns);
void chooser_fix(struct chooser *c, enum uring_kind ring,
		 enum chooser_reason reason);

/*
 * Tell how it goes; the choice is in facts.ring afterwards.  Owner only.
 */
void chooser_look(struct chooser *c, const struct chooser_sample *s);

/* Any thread. */
void chooser_read(const struct chooser *c, struct chooser_facts *f);

/* A sentence, as it stands in a line of the log.  Any thread. */
const char *chooser_explain(enum chooser_reason reason);
