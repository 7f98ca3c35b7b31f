/* SPDX-License-Identifier: BSD-2-Clause */
/* One question to the daemon, and its answer. */
#include "ctl/ask.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unixsock.h"
#include "ctl/complain.h"
#include "ctl/print.h"
#include "daemon/control.h"

#define CONNECT_MS 5000

/* Says whom the socket lets in, as far as we may see it. */
static int fail_access(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return complain(COMPLAIN_UNASKED,
				"cannot connect to %s: Permission denied; its "
				"directory is closed to you",
				path);

	const struct group *gr = getgrgid(st.st_gid);

	return complain(COMPLAIN_UNASKED,
			"cannot connect to %s: Permission denied; it is for "
			"group %s (mode %04o), or try as root",
			path, gr ? gr->gr_name : "unknown",
			(unsigned)st.st_mode & 07777);
}

static int fail_connect(const char *path, int err)
{
	switch (err) {
	case -EACCES:
		return fail_access(path);
	case -ENOENT:
	case -ECONNREFUSED:
		return complain(
			COMPLAIN_UNASKED,
			"cannot connect to %s: %s; is vringd running, and "
			"with this control socket?",
			path, strerror(-err));
	case -ETIMEDOUT:
		return complain(COMPLAIN_UNASKED,
				"cannot connect to %s: vringd is too busy",
				path);
	default:
		return complain(COMPLAIN_UNASKED, "cannot connect to %s: %s",
				path, strerror(-err));
	}
}

static void add_argument(struct json_object *args,
			 const struct command_argument_row *row,
			 const char *value)
{
	if (row->type == COMMAND_TYPE_TEXT)
		json_object_object_add(args, row->name,
				       json_object_new_string(value));
	else if (row->type == COMMAND_TYPE_FLAG)
		json_object_object_add(args, row->name,
				       json_object_new_boolean(true));
}

/* Returns the question as a JSON object, or NULL without memory. */
static struct json_object *make_question(const struct args *a)
{
	struct json_object *q = json_object_new_object();
	struct json_object *args = json_object_new_object();

	if (!q || !args)
		return NULL;
	json_object_object_add(q, "version",
			       json_object_new_int(COMMAND_VERSION));
	json_object_object_add(q, "command",
			       json_object_new_string(
				       commands[a->command].word));
	for (unsigned i = 0; i < NR_ARGUMENTS; i++)
		if (a->value[i])
			add_argument(args, &command_arguments[i], a->value[i]);
	json_object_object_add(q, "arguments", args);
	return q;
}

static int send_question(int fd, const struct args *a)
{
	struct json_object *q = make_question(a);
	char *line = NULL;

	if (!q || asprintf(&line, "%s\n",
			   json_object_to_json_string_ext(
				   q, JSON_C_TO_STRING_PLAIN)) < 0)
		return -ENOMEM;
	json_object_put(q);

	ssize_t n = 0;
	size_t len = strlen(line);

	for (size_t sent = 0; sent < len && n >= 0; sent += (size_t)n)
		n = unixsock_send(fd, line + sent, len - sent, NULL, 0);
	free(line);
	/* A daemon that refuses the line may close before it has all of it. */
	return n < 0 && n != -EPIPE ? (int)n : 0;
}

/* How long to wait: longer than the daemon waits for its own threads. */
static int answer_ms(enum command command)
{
	unsigned limit_s = commands[command].limit_s;

	return (limit_s ? (int)limit_s * 1000 : CONTROL_TIMEOUT_MS) + 5000;
}

/* Reads all that the daemon says.  Returns 0 or -errno. */
static int read_answer(int fd, int limit_ms, struct json_tokener *tok,
		       struct json_object **answer)
{
	char buf[16384];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, limit_ms);

		if (ready <= 0)
			return ready ? -errno : -ETIMEDOUT;

		ssize_t n = unixsock_recv(fd, buf, sizeof(buf), NULL);

		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
		*answer = json_tokener_parse_ex(tok, buf, (int)n);
		if (*answer)
			return 0;
		if (json_tokener_get_error(tok) != json_tokener_continue)
			return -EBADMSG;
	}
}

/* Returns an exit status, and the answer if that is 0. */
static int ask_daemon(const struct args *a, struct json_object **answer)
{
	int fd = unixsock_connect(a->socket, CONNECT_MS);

	if (fd < 0)
		return fail_connect(a->socket, fd);

	struct json_tokener *tok = json_tokener_new();
	int err = tok ? send_question(fd, a) : -ENOMEM;

	if (!err)
		err = read_answer(fd, answer_ms(a->command), tok, answer);
	json_tokener_free(tok);
	close(fd);
	if (err == -EBADMSG)
		return complain(COMPLAIN_UNASKED,
				"the answer is no JSON: does vringd "
				"listen there?");
	if (err)
		return complain(COMPLAIN_UNASKED, "no answer from vringd: %s",
				strerror(-err));
	return 0;
}

int ask(const struct args *a, struct json_object **result, int *status)
{
	struct json_object *answer = NULL, *why, *ok, *code;
	int ret = ask_daemon(a, &answer);

	if (ret)
		return ret;
	ok = json_object_object_get(answer, "ok");
	why = json_object_object_get(answer, "error");
	code = json_object_object_get(answer, "status");
	if (json_object_get_boolean(ok)) {
		*result = json_object_get(
			json_object_object_get(answer, "result"));
		if (status)
			*status = json_object_get_int(code);
	} else {
		ret = complain(COMPLAIN_REFUSED, "%s",
			       print_format("error", why).text);
	}
	json_object_put(answer);
	return ret;
}
