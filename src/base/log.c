/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines on stderr: level, tag, text. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ratelimit.h"
#include "base/util.h"

#define LINE_MAX_LEN 1024 /* with the line feed */
#define QUEUE_LEN    256

struct line {
	unsigned short len;
	char text[LINE_MAX_LEN];
};

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

atomic_uint log_debug_mask;
static atomic_uint max_level = LOG_LEVEL_INFO;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_journal; /* constant after the first line */
static _Thread_local bool is_control;

/* Everything below is guarded by the lock, which is held for no system call. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ratelimit limit;
static struct {
	bool started;
	void (*wake)(void *arg);
	void *arg;
	struct line lines[QUEUE_LEN];
	unsigned head; /* counts lines written, free running */
	unsigned tail; /* counts lines queued */
	unsigned dropped;
} queue;

/* systemd says in $JOURNAL_STREAM which socket is the journal's. */
static void look_for_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	is_journal = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		     !fstat(STDERR_FILENO, &st) && st.st_dev == dev &&
		     st.st_ino == ino;
}

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* A guest's text must not forge lines or drive a terminal. */
static void mask_controls(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
}

static void format(struct line *l, enum log_level level, const char *tag,
		   const char *fmt, va_list ap)
{
	size_t room = sizeof(l->text) - 1, len = 0;
	int n;

	pthread_once(&once, look_for_journal);
	if (is_journal)
		len += snprintf(l->text, room, "<%d>", levels[level].priority);
	n = snprintf(l->text + len, room - len, "%-5s %s: ", levels[level].name,
		     tag);
	len = MIN(len + MAX(n, 0), room - 1);
	n = vsnprintf(l->text + len, room - len, fmt, ap);
	len = MIN(len + MAX(n, 0), room - 1);
	mask_controls(l->text, len);
	l->text[len++] = '\n';
	l->len = len;
}

/* Nobody can be told of an error here. */
static void write_line(const struct line *l)
{
	size_t done = 0;

	while (done < l->len) {
		ssize_t n = write(STDERR_FILENO, l->text + done, l->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += n;
	}
}

/* Returns false when the caller shall write it. */
static bool enqueue(const struct line *l)
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
		queue.dropped++;
	} else {
		if (queue.head == queue.tail) {
			wake = queue.wake;
			arg = queue.arg;
		}
		struct line *to = &queue.lines[queue.tail++ % QUEUE_LEN];

		to->len = l->len;
		memcpy(to->text, l->text, l->len);
	}
	pthread_mutex_unlock(&lock);
	if (wake)
		wake(arg);
	return true;
}

static bool dequeue(struct line *l)
{
	pthread_mutex_lock(&lock);
	bool found = queue.head != queue.tail;

	if (found) {
		const struct line *from =
			&queue.lines[queue.head++ % QUEUE_LEN];

		l->len = from->len;
		memcpy(l->text, from->text, from->len);
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static void say(enum log_level level, const char *tag, const char *fmt,
		va_list ap)
{
	int saved = errno;
	struct line l;

	format(&l, level, tag, fmt, ap);
	if (!enqueue(&l)) {
		/* What others said before this line stands before it. */
		if (is_control)
			log_flush();
		write_line(&l);
	}
	errno = saved;
}

static bool is_wanted(enum log_level level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

#define DEFINE_LOG(name, level)                                                \
	void name(const char *tag, const char *fmt, ...)                       \
	{                                                                      \
		va_list ap;                                                    \
		if (!is_wanted(level))                                         \
			return;                                                \
		va_start(ap, fmt);                                             \
		say(level, tag, fmt, ap);                                      \
		va_end(ap);                                                    \
	}

DEFINE_LOG(log_err, LOG_LEVEL_ERR)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)

void log_trace(enum log_category category, const char *tag, const char *fmt,
	       ...)
{
	char full[RATELIMIT_TAG * 2];
	va_list ap;

	snprintf(full, sizeof(full), "%s %s", categories[category], tag);
	va_start(ap, fmt);
	say(LOG_LEVEL_DEBUG, full, fmt, ap);
	va_end(ap);
}

/* Say how many lines were held back in windows that are over. */
static void say_skipped(bool all)
{
	char tag[RATELIMIT_TAG];
	unsigned skipped;

	for (;;) {
		pthread_mutex_lock(&lock);
		bool found = ratelimit_collect(&limit, clock_ms(), all, tag,
					       &skipped);
		pthread_mutex_unlock(&lock);
		if (!found)
			return;
		log_warn(tag[0] ? tag : "log", "%u more like this", skipped);
	}
}

void log_guest(const char *tag, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!is_wanted(LOG_LEVEL_WARN))
		return;
	say_skipped(false);
	pthread_mutex_lock(&lock);
	bool may = ratelimit_take(&limit, tag, fmt, clock_ms());
	pthread_mutex_unlock(&lock);
	errno = saved;
	if (!may)
		return;
	va_start(ap, fmt);
	say(LOG_LEVEL_WARN, tag, fmt, ap);
	va_end(ap);
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

static unsigned take_dropped(void)
{
	pthread_mutex_lock(&lock);
	unsigned dropped = queue.dropped;

	queue.dropped = 0;
	pthread_mutex_unlock(&lock);
	return dropped;
}

static void flush_lines(void)
{
	struct line l;

	while (dequeue(&l))
		write_line(&l);
}

void log_flush(void)
{
	int saved = errno;
	unsigned dropped;

	flush_lines();
	/* log_warn() comes back here, and finds nothing dropped any more. */
	dropped = take_dropped();
	if (dropped)
		log_warn("log", "%u lines were lost: stderr is too slow",
			 dropped);
	errno = saved;
}

void log_stop(void)
{
	say_skipped(true);
	pthread_mutex_lock(&lock);
	queue.started = false;
	pthread_mutex_unlock(&lock);
	log_flush();
	is_control = false;
}
