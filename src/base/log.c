/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the log: level, tag, text; who may write them, and how many. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/logline.h"
#include "base/printable.h"
#include "base/ratelimit.h"
#include "base/sink.h"
#include "base/util.h"

#define QUEUE_LEN 256

static const struct {
	const char *name;
	int priority; /* of syslog, for the journal */
} levels[] = {
	[LOG_LEVEL_ERR] = {"err", 3},
	[LOG_LEVEL_WARN] = {"warn", 4},
	[LOG_LEVEL_INFO] = {"info", 6},
	[LOG_LEVEL_DEBUG] = {"debug", 7},
};
_Static_assert(ARRAY_SIZE(levels) == LOG_NR_LEVELS, "a level has no name");

static const char *const categories[] = {
	[LOG_PROTO] = "proto",
	[LOG_QUEUE] = "queue",
	[LOG_IO] = "io",
	[LOG_CONTROL] = "control",
};
_Static_assert(ARRAY_SIZE(categories) == LOG_NR_CATEGORIES,
	       "a category has no name");

/* Everything about a line but its tag and text. */
struct kind {
	enum log_level level;
	const char *id;	      /* or NULL */
	const char *category; /* of a trace, or NULL */
};

/* Those whose lines are limited: events, then one for each level. */
static const struct kind kinds[] = {
#define EVENT(name, level, id, help) {LOG_LEVEL_##level, id, NULL},
#include "base/events.def"
#undef EVENT
	[LOG_NR_EVENTS + LOG_LEVEL_ERR] = {.level = LOG_LEVEL_ERR},
	[LOG_NR_EVENTS + LOG_LEVEL_WARN] = {.level = LOG_LEVEL_WARN},
	[LOG_NR_EVENTS + LOG_LEVEL_INFO] = {.level = LOG_LEVEL_INFO},
};

atomic_uint log_debug_mask;
static atomic_uint max_level = LOG_LEVEL_INFO;

static _Thread_local bool is_control;

/* Everything below is guarded by the lock, which is held for no system call. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ratelimit limit;
static struct {
	bool started;
	void (*wake)(void *arg);
	void *arg;
	struct logline lines[QUEUE_LEN];
	unsigned head; /* counts lines written, free running */
	unsigned tail; /* counts lines queued */
	unsigned lost;
	bool is_awaited; /* control will call log_flush() by itself */
} queue;

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 0))) static void
append(struct logline *l, const char *fmt, va_list ap)
{
	int n = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);

	l->len += (size_t)MAX(n, 0);
	if (l->len > LOGLINE_TEXT) {
		l->len = LOGLINE_TEXT;
		memcpy(l->text + l->len - 3, "...", 3);
	}
}

__attribute__((format(printf, 2, 3))) static void put(struct logline *l,
						      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(l, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 4, 0))) static void
format(struct logline *l, const struct kind *k, const char *tag,
       const char *fmt, va_list ap)
{
	clock_gettime(CLOCK_REALTIME, &l->when);
	l->level = levels[k->level].name;
	l->priority = levels[k->level].priority;
	l->id = k->id;
	l->len = 0;
	if (k->category)
		put(l, "%s ", k->category);
	l->tag_at = l->len;
	put(l, "%s", tag);
	l->tag_len = l->len - l->tag_at;
	put(l, ": ");
	l->said_at = l->len;
	append(l, fmt, ap);
	/* Nobody's text must forge lines or drive a terminal. */
	printable_text(l->text, l->len);
}

__attribute__((format(printf, 4, 5))) static void
format_line(struct logline *l, const struct kind *k, const char *tag,
	    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format(l, k, tag, fmt, ap);
	va_end(ap);
}

static void copy_line(struct logline *to, const struct logline *from)
{
	memcpy(to, from, offsetof(struct logline, text) + from->len + 1);
}

/* Returns false when the caller shall write it. */
static bool enqueue(const struct logline *l)
{
	void (*wake)(void *arg) = NULL;
	void *arg = NULL;

	if (is_control)
		return false;
	pthread_mutex_lock(&lock);
	if (!queue.started) {
		pthread_mutex_unlock(&lock);
		return false;
	}
	if (queue.tail - queue.head == QUEUE_LEN) {
		queue.lost++;
	} else {
		if (queue.head == queue.tail) {
			wake = queue.wake;
			arg = queue.arg;
		}
		copy_line(&queue.lines[queue.tail++ % QUEUE_LEN], l);
	}
	pthread_mutex_unlock(&lock);
	if (wake)
		wake(arg);
	return true;
}

static bool dequeue(struct logline *l)
{
	pthread_mutex_lock(&lock);
	bool found = queue.head != queue.tail;

	if (found)
		copy_line(l, &queue.lines[queue.head++ % QUEUE_LEN]);
	pthread_mutex_unlock(&lock);
	return found;
}

static void count_lost(unsigned nr)
{
	pthread_mutex_lock(&lock);
	queue.lost += nr;
	pthread_mutex_unlock(&lock);
}

static unsigned take_lost(void)
{
	pthread_mutex_lock(&lock);
	unsigned lost = queue.lost;

	queue.lost = 0;
	pthread_mutex_unlock(&lock);
	return lost;
}

/* If that gets lost too, it is said after the next line that does not. */
static void say_lost(void)
{
	const struct kind k = {.level = LOG_LEVEL_WARN};
	unsigned lost = take_lost();
	struct logline l;

	if (!lost)
		return;
	format_line(&l, &k, "vringd/log",
		    "%u lines were lost: nobody read them", lost);
	if (sink_write(&l) < 0)
		count_lost(lost);
}

static void write_line(const struct logline *l)
{
	if (sink_write(l) < 0)
		count_lost(1);
	else
		say_lost();
}

static void flush_lines(void)
{
	struct logline l;

	while (dequeue(&l))
		write_line(&l);
}

__attribute__((format(printf, 3, 0))) static void
say(const struct kind *k, const char *tag, const char *fmt, va_list ap)
{
	int saved = errno;
	struct logline l;

	format(&l, k, tag, fmt, ap);
	if (!enqueue(&l)) {
		/* What others said before this line stands before it. */
		if (is_control)
			flush_lines();
		write_line(&l);
	}
	errno = saved;
}

__attribute__((format(printf, 3, 4))) static void
say_of(const struct kind *k, const char *tag, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(k, tag, fmt, ap);
	va_end(ap);
}

static bool is_wanted(enum log_level level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

void log_trace(enum log_category category, const char *tag, const char *fmt,
	       ...)
{
	const struct kind k = {
		.level = LOG_LEVEL_DEBUG,
		.category = categories[category],
	};
	va_list ap;

	va_start(ap, fmt);
	say(&k, tag, fmt, ap);
	va_end(ap);
}

/* The words of a format before its first fact or value. */
static int words_of(const char *fmt)
{
	size_t len = strcspn(fmt, "%=");

	while (fmt[len] && len && fmt[len - 1] != ' ')
		len--;
	while (len && strchr(" :", fmt[len - 1]))
		len--;
	return (int)len;
}

static void say_skipped_of(const struct ratelimit_skipped *s)
{
	const struct kind *k = &kinds[s->kind];

	if (!is_wanted(k->level))
		return;
	if (s->what)
		say_of(k, s->tag, "%.*s: %u more in %u s", words_of(s->what),
		       s->what, s->nr, MAX(s->ms / 1000, 1u));
	else
		log_warn("vringd/log",
			 "%u lines were left out: too many targets say too "
			 "much",
			 s->nr);
}

/* Say how many lines were held back in windows that are over, or in all. */
static void say_skipped(bool all)
{
	struct ratelimit_skipped s;
	bool found;

	do {
		pthread_mutex_lock(&lock);
		found = ratelimit_collect(&limit, clock_ms(), all, &s);
		pthread_mutex_unlock(&lock);
		if (found)
			say_skipped_of(&s);
	} while (found);
}

/* May it be said of a target?  If not, control says how often it was not. */
static bool take(unsigned kind, const char *tag, const char *fmt)
{
	void (*wake)(void *arg) = NULL;
	void *arg = NULL;

	pthread_mutex_lock(&lock);
	bool may = ratelimit_take(&limit, tag, fmt, kind, clock_ms());

	if (!may && queue.started && !queue.is_awaited) {
		queue.is_awaited = true;
		wake = queue.wake;
		arg = queue.arg;
	}
	pthread_mutex_unlock(&lock);
	if (wake)
		wake(arg);
	return may;
}

__attribute__((format(printf, 3, 0))) static void
say_limited(unsigned kind, const char *tag, const char *fmt, va_list ap)
{
	int saved = errno;

	if (!is_wanted(kinds[kind].level))
		return;
	if (!logline_is_own(tag, strlen(tag)) && !take(kind, tag, fmt))
		return;
	errno = saved;
	say(&kinds[kind], tag, fmt, ap);
}

#define SAY(kind)                                \
	do {                                     \
		va_list ap;                      \
		va_start(ap, fmt);               \
		say_limited(kind, tag, fmt, ap); \
		va_end(ap);                      \
	} while (0)

void log_err(const char *tag, const char *fmt, ...)
{
	SAY(LOG_NR_EVENTS + LOG_LEVEL_ERR);
}

void log_warn(const char *tag, const char *fmt, ...)
{
	SAY(LOG_NR_EVENTS + LOG_LEVEL_WARN);
}

void log_info(const char *tag, const char *fmt, ...)
{
	SAY(LOG_NR_EVENTS + LOG_LEVEL_INFO);
}

void log_event(enum log_event event, const char *tag, const char *fmt, ...)
{
	SAY(event);
}

void log_set(enum log_level level, unsigned debug)
{
	if (level == LOG_LEVEL_DEBUG)
		debug = ~0U;
	atomic_store_explicit(&log_debug_mask, debug, memory_order_relaxed);
	atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

void log_get(enum log_level *level, unsigned *debug)
{
	*level = atomic_load_explicit(&max_level, memory_order_relaxed);
	*debug = atomic_load_explicit(&log_debug_mask, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

const char *log_category_name(enum log_category category)
{
	return categories[category];
}

int log_parse_level(const char *name)
{
	for (int i = 0; i < LOG_NR_LEVELS; i++)
		if (!strcmp(name, levels[i].name))
			return i;
	return -EINVAL;
}

/* The bit of the name that is @len long at @name; 0 when there is none. */
static unsigned find_category(const char *name, size_t len)
{
	if (len == 3 && !strncmp(name, "all", len))
		return ~0U;
	for (int i = 0; i < LOG_NR_CATEGORIES; i++)
		if (strlen(categories[i]) == len &&
		    !strncmp(name, categories[i], len))
			return 1U << i;
	return 0;
}

int log_parse_debug(const char *names, unsigned *debug)
{
	unsigned mask = 0;

	for (;;) {
		size_t len = strcspn(names, ",");
		unsigned bit = find_category(names, len);

		if (!bit)
			return -EINVAL;
		mask |= bit;
		names += len;
		if (!*names)
			break;
		names++;
	}
	*debug = mask;
	return 0;
}

void log_start(void (*wake)(void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	queue.started = true;
	queue.wake = wake;
	queue.arg = arg;
	pthread_mutex_unlock(&lock);
	is_control = true;
}

int log_flush(void)
{
	int saved = errno;

	flush_lines();
	say_skipped(false);
	pthread_mutex_lock(&lock);
	int due = ratelimit_due(&limit, clock_ms());

	queue.is_awaited = due >= 0;
	pthread_mutex_unlock(&lock);
	errno = saved;
	return MIN(due, RATELIMIT_WINDOW);
}

void log_stop(void)
{
	say_skipped(true);
	pthread_mutex_lock(&lock);
	queue.started = false;
	pthread_mutex_unlock(&lock);
	flush_lines();
	say_lost();
	is_control = false;
}
