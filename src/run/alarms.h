/* SPDX-License-Identifier: BSD-2-Clause */
/* Alarms of one thread: any number of them, to the microsecond, one timerfd. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Theory of operation: alarms
 *
 * libev's timers are as fine as the timeout of epoll_wait(), a millisecond.
 * Alarms are for what must happen sooner.  All that are set stand in a heap,
 * the first one on top.  While the thread is awake it looks at that one now and
 * then, which costs no system call; before it sleeps it arms the timer for it.
 * So nothing wakes a thread that has no alarm set.
 *
 * It is a skew heap: linked through the alarms themselves, so that setting one
 * cannot fail, and never walked in depth but once for each merge.
 */
struct alarm {
	uint64_t at_ns;		/* CLOCK_MONOTONIC; 0: not set */
	void (*fire)(struct alarm *a);

	/* the heap's */
	struct alarm *up;
	struct alarm *left;
	struct alarm *right;
};

struct alarms {
	int fd;			/* readable when the armed time has come */
	uint64_t armed_ns;	/* 0: not armed */
	uint64_t now_ns;	/* of the last alarms_run() */
	struct alarm *first;
};

/*
 * Make the timer.  Returns 0 or -errno.  alarms_fini() accepts a descriptor of
 * -1; no alarm is set.  One thread, as all here.
 */
int alarms_init(struct alarms *as);
void alarms_fini(struct alarms *as);

/* Not set, and calls @fire when its time has come. */
void alarm_init(struct alarm *a, void (*fire)(struct alarm *a));

/* Will it fire? */
static inline bool alarm_is_set(const struct alarm *a)
{
	return a->at_ns;
}

/* Set @a, or set it anew.  It fires once, in an alarms_run() to come. */
void alarms_set(struct alarms *as, struct alarm *a, uint64_t at_ns);

/* Not set afterwards; it may not have been. */
void alarms_clear(struct alarms *as, struct alarm *a);

/*
 * Fire what is due at @now_ns, in order.  An alarm may set itself and others
 * and clear others; what is set meanwhile is not fired in this call.
 */
void alarms_run(struct alarms *as, uint64_t now_ns);

/* Would alarms_run() fire any? */
static inline bool alarms_are_due(const struct alarms *as, uint64_t now_ns)
{
	return as->first && as->first->at_ns <= now_ns;
}

/* Before sleeping: have @fd become readable when the first one is due. */
void alarms_arm(struct alarms *as);
