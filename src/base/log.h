/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the log: level, tag, text; who may write them, and how many. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERR,	 /* the operator must act */
	LOG_LEVEL_WARN,	 /* a guest misbehaved, or we carry on with less */
	LOG_LEVEL_INFO,	 /* something began or ended */
	LOG_LEVEL_DEBUG, /* protocol trace, by category */
	LOG_NR_LEVELS,
};

enum log_category {
	LOG_PROTO,
	LOG_QUEUE,
	LOG_IO,
	LOG_CONTROL,
	LOG_NR_CATEGORIES,
};

/* A row of events.def. */
enum log_event {
#define EVENT(name, level, id, help) LOG_##name,
#include "base/events.def"
#undef EVENT
	LOG_NR_EVENTS,
};

/*
 * Theory of operation: a line
 *
 * One line says one thing: "TAG: WHAT KEY=VALUE ...: WHY".  The tag names the
 * object, "vm1" or "vm1/q2", or a part of the program, "vringd" or
 * "vringd/worker0".  What happened is said in lower case, without a full stop;
 * facts follow as keys and values, and after a colon the reason, with what to
 * do about it where that is known.  The journal's fields come from there, see
 * journal.h; check-log looks at the rules.
 *
 * Theory of operation: who writes
 *
 * A stuck stderr, such as a journal that does not read, must not stop a guest's
 * disk.  So between log_start() and log_stop() only the control thread writes;
 * the lines of all others wait in a queue of fixed size for its log_flush().
 * What finds the queue full is counted, and the count is said later.  Before
 * and after, and on the control thread always, a line is written at once.
 */

/*
 * Theory of operation: how much is said
 *
 * What is said of a target its guest or VMM can cause, in one way or another,
 * and as often as it likes.  So of one target and format ten lines are said in
 * ten seconds, then how many more there were.  While that goes on, the time is
 * twice as long each time, up to ten minutes.  What is said of the program
 * itself is always said, and traces are, as somebody asked for them.
 */

/*
 * Say it, and what has a number at its level.  errno is kept, so %m works.
 *
 * Any thread.
 */
void log_err(const char *tag, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_warn(const char *tag, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_info(const char *tag, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_event(enum log_event event, const char *tag, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Trace, if @category is on; the arguments are not evaluated otherwise. */
#define log_debug(category, tag, ...)                                          \
	do {                                                                   \
		if (log_has_debug(category))                                   \
			log_trace(category, tag, __VA_ARGS__);                 \
	} while (0)

/* What log_debug() calls, without looking whether it is on.  Any thread. */
void log_trace(enum log_category category, const char *tag, const char *fmt,
	       ...) __attribute__((format(printf, 3, 4)));

extern atomic_uint log_debug_mask;

static inline bool log_has_debug(enum log_category category)
{
	return atomic_load_explicit(&log_debug_mask, memory_order_relaxed) &
	       1U << category;
}

/*
 * What is said from now on: lines of @level and above, and trace of the
 * categories whose bits are set in @debug.  LOG_LEVEL_DEBUG means all of them.
 * At first it is LOG_LEVEL_INFO and 0.
 *
 * Any thread.
 */
void log_set(enum log_level level, unsigned debug);

/* What log_set() was last told.  Any thread. */
void log_get(enum log_level *level, unsigned *debug);

/* The name of a level or category: "warn", "proto".  Any thread. */
const char *log_level_name(enum log_level level);
const char *log_category_name(enum log_category category);

/* Returns the level, or -EINVAL.  Any thread. */
int log_parse_level(const char *name);

/*
 * A list such as "proto,queue", or "all", to the bits of log_set().  Returns 0
 * or -EINVAL.  Any thread.
 */
int log_parse_debug(const char *names, unsigned *debug);

/*
 * From here on the caller is the only thread that writes.  @wake is called, on
 * any thread and with no lock held, when the queue is no longer empty; it must
 * not block or log.
 *
 * Control only, before other threads exist.
 */
void log_start(void (*wake)(void *arg), void *arg);

/*
 * Write what the others have said, and how often what is held back was said.
 * Returns in how many ms it wants to be called again, or -1 for when it calls
 * wake() only.  Control only.
 */
int log_flush(void);

/* Write all that is left; then all write for themselves.  Control only. */
void log_stop(void);
