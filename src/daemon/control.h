/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: one line of JSON in, one out. */
#pragma once

#include <ev.h>
#include <json.h>
#include <stdbool.h>

#include "base/unixsock.h"
#include "daemon/command.h"

/*
 * Theory of operation: questions and answers
 *
 * A client sends one line, the daemon sends one and closes:
 *
 *	{"version":1,"command":"show","arguments":{"target":"vm1"}}
 *	{"version":1,"ok":true,"result":{...}}
 *	{"version":1,"ok":true,"status":2,"result":{...}}
 *	{"version":1,"ok":false,"error":"..."}
 *
 * Each client is a small state machine on the control loop:
 *
 *	READING --line--> WAITING --answer--> WRITING --all sent--> closed
 *
 * In WAITING the question is with the daemon, as a struct control_reply, and
 * may stay there for as long as other threads take to answer.  Client and
 * reply each know of the other and may go first: an answer for a client that
 * is gone is dropped, and a client that waited too long gets an error.  Each
 * state has a time limit as a whole, so that slow and silent clients are cut
 * off alike, and when CONTROL_CLIENTS are connected no more are accepted.  Only
 * the time for an answer may be another: that of the command.
 */

#define CONTROL_LINE_MAX   65536U
#define CONTROL_DEPTH_MAX  8
#define CONTROL_CLIENTS	   32
#define CONTROL_TIMEOUT_MS 10000

struct control;

/* A question that waits for its answer; answered exactly once. */
struct control_reply;

/*
 * Who answers: one function for each row of commands.def, called on the
 * control thread.  @args has what the command takes; the target in it need not
 * exist, and its texts live only until the function returns.  Each call is
 * answered with one of the functions control_reply_send() to
 * control_reply_fail(), inside the call or at any time after it.
 */
struct control_ops {
#define COMMAND(name, word, limit_s, arguments, help)          \
	void (*name)(void *ctx, const struct command_args *args, \
		     struct control_reply *reply);
#include "daemon/commands.def"
};

struct control_params {
	const char *path;
	struct unixsock_access access;
	struct ev_loop *loop; /* of the control thread */
	const struct control_ops *ops;
	void *ctx;	     /* handed to the functions of ops */
	unsigned timeout_ms; /* for a state of a client, usually */
};

/*
 * Opens the control socket.  Returns 0 and fills @out, or -errno with the
 * reason in @why.
 *
 * Control thread.
 */
int control_open(struct control **out, const struct control_params *p,
		 struct unixsock_why *why);

/*
 * Closes the socket and all clients, and frees @c, which may be NULL.  Replies
 * that wait may still be sent, and are dropped.
 *
 * Control thread.
 */
void control_close(struct control *c);

/*
 * Answers with @result, which is taken over, and ends the life of @reply.
 * NULL is answered as lack of memory.
 *
 * Control thread.
 */
void control_reply_send(struct control_reply *reply,
			struct json_object *result);

/*
 * The same, for a command that was done in part: vringctl exits with @status,
 * which vringctl(8) explains.
 *
 * Control thread.
 */
void control_reply_send_status(struct control_reply *reply, int status,
			       struct json_object *result);

/*
 * Answers with an error in words, and ends the life of @reply.
 *
 * Control thread.
 */
void control_reply_fail(struct control_reply *reply, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Returns whether the client still waits; if not, the answer need not be
 * worked out, but must be sent all the same.
 *
 * Control thread.
 */
bool control_reply_is_wanted(const struct control_reply *reply);
