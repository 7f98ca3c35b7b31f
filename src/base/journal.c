/* SPDX-License-Identifier: BSD-2-Clause */
/* The native protocol of systemd's journal: a line and its fields. */
#include "base/journal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

#define FACTS_MAX 32 /* of one line; more are in its text only */
#define ERRNO_MAX 133
#define FACILITY  3 /* daemon */

const char *journal_path = "/run/systemd/journal/socket";

/* Facts whose fields have names that others use too. */
static const struct {
	const char *key;
	const char *field;
} known[] = {
	{"message", "VHOST_USER_MESSAGE"},
	{"pid", "PEER_PID"},
	{"uid", "PEER_UID"},
};

struct datagram {
	char *buf;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct datagram *d,
						      const char *fmt, ...)
{
	size_t room = JOURNAL_MAX - d->len;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(d->buf + d->len, room, fmt, ap);

	va_end(ap);
	/* What does not fit is left out whole. */
	if (n > 0 && (size_t)n < room)
		d->len += (size_t)n;
}

/* "vm1", "vm1/q2"; not "vringd", "vringd/worker0". */
static void add_object(struct datagram *d, const struct logline *l)
{
	const char *tag = l->text + l->tag_at;
	const char *slash = memchr(tag, '/', l->tag_len);
	size_t len = slash ? (size_t)(slash - tag) : l->tag_len;

	if (logline_is_own(tag, l->tag_len))
		return;
	add(d, "TARGET=%.*s\n", (int)len, tag);
	if (slash && slash[1] == 'q')
		add(d, "QUEUE=%.*s\n", (int)(l->tag_len - len - 2), slash + 2);
}

/* The length of the key of the fact that begins at @s; 0: none does. */
static size_t key_len(const char *s)
{
	size_t n = 0;

	if (!islower((unsigned char)s[0]))
		return 0;
	while (islower((unsigned char)s[n]) || isdigit((unsigned char)s[n]) ||
	       s[n] == '-')
		n++;
	return s[n] == '=' ? n : 0;
}

/* Where the value at @s ends: at the next fact, or at @end. */
static const char *value_end(const char *s, const char *end)
{
	for (; s < end; s++)
		if (*s == ' ' && s + 1 < end && key_len(s + 1))
			break;
	return s;
}

static void add_fact(struct datagram *d, const char *key, size_t len,
		     const char *value, const char *end)
{
	char name[64] = "VRINGD_";
	size_t n = strlen(name);

	for (size_t i = 0; i < len && n < sizeof(name) - 1; i++, n++)
		name[n] = key[i] == '-' ? '_'
					: (char)toupper((unsigned char)key[i]);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (len == strlen(known[i].key) &&
		    !memcmp(key, known[i].key, len))
			snprintf(name, sizeof(name), "%s", known[i].field);
	add(d, "%s=%.*s\n", name, (int)(end - value), value);
}

static void add_facts(struct datagram *d, const char *s)
{
	const char *colon = strstr(s, ": ");
	const char *end = colon ? colon : s + strlen(s);

	for (int i = 0; s < end && i < FACTS_MAX; i++) {
		size_t len = key_len(s);

		if (len) {
			const char *value = s + len + 1;

			s = value_end(value, end);
			add_fact(d, value - len - 1, len, value, s);
		} else {
			s = value_end(s, end);
		}
		s += s < end;
	}
}

/* The reason, if it is one of the system's, with its number. */
static void add_errno(struct datagram *d, const char *s)
{
	const char *why = NULL;

	while ((s = strstr(s, ": "))) {
		s += 2;
		why = s;
	}
	for (int e = 1; why && e <= ERRNO_MAX; e++) {
		const char *text = strerrordesc_np(e);

		if (text && !strcmp(text, why)) {
			add(d, "ERRNO=%d\n", e);
			return;
		}
	}
}

size_t journal_format(char buf[JOURNAL_MAX], const struct logline *l)
{
	struct datagram d = {.buf = buf};

	add(&d, "PRIORITY=%d\n", l->priority);
	add(&d, "SYSLOG_FACILITY=%d\n", FACILITY);
	add(&d, "SYSLOG_IDENTIFIER=vringd\n");
	add(&d, "MESSAGE=%s\n", l->text);
	if (l->id)
		add(&d, "MESSAGE_ID=%s\n", l->id);
	add_object(&d, l);
	add_facts(&d, l->text + l->said_at);
	add_errno(&d, l->text + l->said_at);
	return d.len;
}

bool journal_has_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == dev &&
	       st.st_ino == ino;
}

static int sock = -1;

/* Connected, as only then it can be waited for. */
static int connect_journal(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (sock < 0)
		sock = socket(AF_UNIX,
			      SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", journal_path);
	return connect(sock, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
}

static int send_datagram(const char *buf, size_t len)
{
	return send(sock, buf, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int journal_send(const struct logline *l)
{
	char buf[JOURNAL_MAX];
	size_t len = journal_format(buf, l);
	int ret = sock < 0 ? -ENOTCONN : send_datagram(buf, len);

	if (ret == 0 || ret == -EAGAIN)
		return ret;
	/* It was never there, or it has another socket now. */
	ret = connect_journal();
	return ret ? ret : send_datagram(buf, len);
}

int journal_fd(void)
{
	return sock;
}
