/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: one line of JSON in, one out. */
#include "daemon/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"

/* How long to accept nobody after descriptors or memory ran out. */
#define PAUSE_S 1.0

struct control {
	struct unixsock socket;
	struct ev_loop *loop;
	const struct control_ops *ops;
	void *ctx;
	double timeout_s;
	ev_io accept;
	ev_timer pause;
	struct list clients;
	unsigned nr_clients;
};

/* READING and WRITING have a watcher; WAITING has a reply instead. */
struct client {
	struct list link;
	struct control *control;
	struct control_reply *reply;
	int fd;
	ev_io io;
	ev_timer timer;
	char *buf; /* the question, then the answer */
	size_t len;
	size_t sent;
};

struct control_reply {
	struct client *client; /* NULL once it is gone */
};

static void close_client(struct client *cl)
{
	struct control *c = cl->control;

	ev_io_stop(c->loop, &cl->io);
	ev_timer_stop(c->loop, &cl->timer);
	if (cl->reply)
		cl->reply->client = NULL;
	list_del(&cl->link);
	close(cl->fd);
	free(cl->buf);
	free(cl);
	c->nr_clients--;
	if (!ev_is_active(&c->pause))
		ev_io_start(c->loop, &c->accept);
}

/* A state of a client has @limit_s as a whole, or the usual time if it is 0. */
static void restart_timer(struct client *cl, unsigned limit_s)
{
	cl->timer.repeat = limit_s ? limit_s : cl->control->timeout_s;
	ev_timer_again(cl->control->loop, &cl->timer);
}

/* Sends what it can; the client is gone when that was all. */
static void send_some(struct client *cl)
{
	ssize_t n = unixsock_send(cl->fd, cl->buf + cl->sent,
				  cl->len - cl->sent, NULL, 0);

	if (n == -EAGAIN) {
		ev_io_start(cl->control->loop, &cl->io);
		return;
	}
	if (n > 0)
		cl->sent += (size_t)n;
	if (n < 0 || cl->sent == cl->len)
		close_client(cl);
	else
		ev_io_start(cl->control->loop, &cl->io);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int revents)
{
	(void)loop;
	(void)revents;
	send_some(io->data);
}

/* Begins to send @answer, which is taken over; NULL is lack of memory. */
static void start_answer(struct client *cl, struct json_object *answer)
{
	static const char no_memory[] =
		"{\"version\":1,\"ok\":false,\"error\":\"out of memory\"}";
	const char *text = NULL;

	if (answer)
		text = json_object_to_json_string_ext(answer,
						      JSON_C_TO_STRING_PLAIN);
	free(cl->buf);
	if (asprintf(&cl->buf, "%s\n", text ? text : no_memory) < 0)
		cl->buf = NULL;
	json_object_put(answer);
	if (!cl->buf) {
		close_client(cl);
		return;
	}
	cl->len = strlen(cl->buf);
	cl->sent = 0;
	ev_io_stop(cl->control->loop, &cl->io);
	ev_io_init(&cl->io, on_writable, cl->fd, EV_WRITE);
	restart_timer(cl, 0);
	send_some(cl);
}

/* Returns an answer with @value, taken over, under @key; or NULL. */
static struct json_object *make_answer(bool ok, int status, const char *key,
				       struct json_object *value)
{
	struct json_object *o = json_object_new_object();

	if (!value || !o)
		goto fail;
	json_object_object_add(o, "version",
			       json_object_new_int(COMMAND_VERSION));
	json_object_object_add(o, "ok", json_object_new_boolean(ok));
	if (status)
		json_object_object_add(o, "status",
				       json_object_new_int(status));
	if (json_object_object_add(o, key, value))
		goto fail;
	return o;
fail:
	json_object_put(o);
	json_object_put(value);
	return NULL;
}

static void fail_client(struct client *cl, const char *text)
{
	start_answer(cl, make_answer(false, 0, "error",
				     json_object_new_string(text)));
}

/* Ends the life of @reply, and returns its client if it still waits. */
static struct client *end_reply(struct control_reply *reply)
{
	struct client *cl = reply->client;

	free(reply);
	if (cl)
		cl->reply = NULL;
	return cl;
}

void control_reply_send_status(struct control_reply *reply, int status,
			       struct json_object *result)
{
	struct client *cl = end_reply(reply);

	if (cl)
		start_answer(cl, make_answer(true, status, "result", result));
	else
		json_object_put(result);
}

void control_reply_send(struct control_reply *reply, struct json_object *result)
{
	control_reply_send_status(reply, 0, result);
}

void control_reply_fail(struct control_reply *reply, const char *fmt, ...)
{
	struct client *cl = end_reply(reply);
	char text[512];
	va_list ap;

	if (!cl)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail_client(cl, text);
}

bool control_reply_is_wanted(const struct control_reply *reply)
{
	return reply->client;
}

static void call_op(struct control *c, const struct command_question *q,
		    struct control_reply *reply)
{
	switch (q->command) {
#define COMMAND(name, word, limit_s, arguments, help)  \
	case COMMAND_##name:                           \
		c->ops->name(c->ctx, &q->args, reply); \
		break;
#include "daemon/commands.def"
	case NR_COMMANDS:
		break;
	}
}

/* Hands the question on; the client may be gone when this returns. */
static void ask(struct client *cl, const struct command_question *q)
{
	struct control_reply *reply = calloc(1, sizeof(*reply));

	if (!reply) {
		start_answer(cl, NULL);
		return;
	}
	log_debug(LOG_CONTROL, "vringd/control", "command=%s",
		  commands[q->command].word);
	reply->client = cl;
	cl->reply = reply;
	ev_io_stop(cl->control->loop, &cl->io);
	restart_timer(cl, commands[q->command].limit_s);
	call_op(cl->control, q, reply);
}

static struct json_object *parse_json(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(CONTROL_DEPTH_MAX);
	struct json_object *o = NULL;

	if (!tok)
		return NULL;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
					    JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    json_tokener_get_parse_end(tok) != len) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(tok);
	return o;
}

static void handle_line(struct client *cl, size_t len)
{
	struct json_object *line = parse_json(cl->buf, len);
	struct command_wrong wrong;
	struct command_question q;

	if (!line)
		fail_client(cl, "the line is no JSON object");
	else if (command_parse(&q, line, &wrong))
		fail_client(cl, wrong.text);
	else
		ask(cl, &q);
	json_object_put(line);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct client *cl = io->data;
	char *from = cl->buf + cl->len;
	ssize_t n =
		unixsock_recv(cl->fd, from, CONTROL_LINE_MAX - cl->len, NULL);

	(void)loop;
	(void)revents;
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		close_client(cl);
		return;
	}
	cl->len += (size_t)n;

	const char *end = memchr(from, '\n', (size_t)n);

	if (end)
		handle_line(cl, (size_t)(end - cl->buf));
	else if (cl->len == CONTROL_LINE_MAX)
		fail_client(cl, "the line is too long");
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct client *cl = timer->data;

	(void)loop;
	(void)revents;
	if (!cl->reply) {
		close_client(cl);
		return;
	}
	/* The answer may still come, and will then be dropped. */
	cl->reply->client = NULL;
	cl->reply = NULL;
	fail_client(cl, "no answer in time");
}

static int add_client(struct control *c, int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));

	if (cl)
		cl->buf = malloc(CONTROL_LINE_MAX);
	if (!cl || !cl->buf) {
		free(cl);
		return -ENOMEM;
	}
	cl->control = c;
	cl->fd = fd;
	list_add_tail(&c->clients, &cl->link);
	c->nr_clients++;
	ev_io_init(&cl->io, on_readable, fd, EV_READ);
	cl->io.data = cl;
	ev_io_start(c->loop, &cl->io);
	ev_init(&cl->timer, on_timeout);
	cl->timer.data = cl;
	restart_timer(cl, 0);
	return 0;
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct control *c = timer->data;

	(void)revents;
	if (c->nr_clients < CONTROL_CLIENTS)
		ev_io_start(loop, &c->accept);
}

/* Without the pause, a client that we cannot take would keep the loop busy. */
static void pause_accepting(struct control *c, int err)
{
	log_warn("vringd/control", "cannot accept: %s", strerror(-err));
	ev_io_stop(c->loop, &c->accept);
	ev_timer_set(&c->pause, PAUSE_S, 0.);
	ev_timer_start(c->loop, &c->pause);
}

static void on_acceptable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct control *c = io->data;
	int fd = unixsock_accept(c->socket.fd);
	int err = fd < 0 ? fd : add_client(c, fd);

	(void)revents;
	if (err && fd >= 0)
		close(fd);
	if (err && err != -EAGAIN)
		pause_accepting(c, err);
	else if (c->nr_clients >= CONTROL_CLIENTS)
		ev_io_stop(loop, &c->accept);
}

int control_open(struct control **out, const struct control_params *p,
		 struct unixsock_why *why)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c) {
		snprintf(why->text, sizeof(why->text), "%s", strerror(ENOMEM));
		return -ENOMEM;
	}

	int err = unixsock_listen(&c->socket, p->path, &p->access, why);

	if (err) {
		free(c);
		return err;
	}
	c->loop = p->loop;
	c->ops = p->ops;
	c->ctx = p->ctx;
	c->timeout_s = p->timeout_ms / 1000.;
	list_init(&c->clients);
	ev_init(&c->pause, on_pause_over);
	c->pause.data = c;
	ev_io_init(&c->accept, on_acceptable, c->socket.fd, EV_READ);
	c->accept.data = c;
	ev_io_start(c->loop, &c->accept);
	*out = c;
	return 0;
}

void control_close(struct control *c)
{
	struct list *l, *next;

	if (!c)
		return;
	list_for_each_safe (l, next, &c->clients)
		close_client(list_entry(l, struct client, link));
	ev_io_stop(c->loop, &c->accept);
	ev_timer_stop(c->loop, &c->pause);
	unixsock_close(&c->socket);
	free(c);
}
