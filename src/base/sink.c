/* SPDX-License-Identifier: BSD-2-Clause */
/* Where lines of the log end up: the journal, or stderr. */
#include "base/sink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/util.h"

enum kind {
	KIND_JOURNAL,
	KIND_STAMPED, /* nobody else says when */
	KIND_PLAIN,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum kind kind; /* constant after the first line */

/* One line at a time; guards what follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_stuck;

static void look(void)
{
	struct stat st;

	tzset();
	if (journal_has_stderr())
		kind = KIND_JOURNAL;
	else if (isatty(STDERR_FILENO) ||
		 (!fstat(STDERR_FILENO, &st) && S_ISREG(st.st_mode)))
		kind = KIND_STAMPED;
	else
		kind = KIND_PLAIN;
}

/* Is there room now, or soon? */
static bool wait_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int n;

	do
		n = poll(&p, 1, is_stuck ? 0 : SINK_WAIT_MS);
	while (n < 0 && errno == EINTR);
	is_stuck = n == 0;
	return n > 0;
}

static int write_stderr(const char *buf, size_t len)
{
	while (len) {
		if (!wait_for(STDERR_FILENO))
			return -EAGAIN;

		ssize_t n = write(STDERR_FILENO, buf, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static size_t put_front(char *buf, size_t size, const struct logline *l)
{
	size_t len = 0;
	struct tm tm;

	if (kind == KIND_JOURNAL)
		return (size_t)snprintf(buf, size, "<%d>", l->priority);
	if (kind == KIND_STAMPED && localtime_r(&l->when.tv_sec, &tm))
		len = strftime(buf, size, "%FT%T%z ", &tm);
	return len + (size_t)snprintf(buf + len, size - len, "%-5s ", l->level);
}

static int write_text(const struct logline *l)
{
	char buf[sizeof(l->text) + 64];
	size_t len = put_front(buf, 64, l);

	len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s\n", l->text);
	return write_stderr(buf, len);
}

static int write_journal(const struct logline *l)
{
	int ret = journal_send(l);

	while (ret == -EAGAIN && wait_for(journal_fd()))
		ret = journal_send(l);
	return ret;
}

int sink_write(const struct logline *l)
{
	int ret = -ENOTCONN;

	pthread_once(&once, look);
	pthread_mutex_lock(&lock);
	if (kind == KIND_JOURNAL)
		ret = write_journal(l);
	if (ret < 0 && ret != -EAGAIN)
		ret = write_text(l);
	pthread_mutex_unlock(&lock);
	return ret;
}
