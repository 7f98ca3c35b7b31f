/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost/link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/unixsock.h"
#include "base/util.h"
#include "run/offload.h"
#include "vhost/handlers.h"

/* Any time will do: alarms fire in a turn, and libev comes before that. */
#define END_NS 1000

struct link {
	struct session *session;
	struct worker *home;
	const char *tag;
	int fd;
	struct ev_io reader;
	struct ev_io writer;
	struct alarm end;
	struct wake hangup;
	bool watches_hangup;
	bool pending; /* the message in msg has no answer yet */

	uint32_t have; /* bytes of the header and payload in msg */
	struct proto_msg msg;

	uint32_t out_done; /* of out_len bytes of one reply in out */
	uint32_t out_len;
	int out_fd; /* goes with the first of them; -1: none */
	uint8_t out[PROTO_REPLY_MAX];
};

/* ---- what to wait for ---- */

static void watch_hangup(struct link *l, bool on)
{
	if (on == l->watches_hangup)
		return;
	if (!on)
		worker_unwatch(l->home, &l->hangup);
	else if (worker_watch(l->home, &l->hangup) < 0)
		return; /* then the end is seen when reading again */
	l->watches_hangup = on;
}

static void watch_io(struct link *l, struct ev_io *io, bool on)
{
	if (on && !ev_is_active(io))
		ev_io_start(worker_loop(l->home), io);
	else if (!on && ev_is_active(io))
		ev_io_stop(worker_loop(l->home), io);
}

static void update_watchers(struct link *l)
{
	bool open = !l->session->closing;

	state_set_busy(l->session->state,
		       !open || l->have || l->pending || l->out_len);
	watch_io(l, &l->reader, open && !l->pending && !l->out_len);
	watch_io(l, &l->writer, open && l->out_len);
	watch_hangup(l, open && l->pending);
}

__attribute__((format(printf, 3, 4))) static void
end_session(struct link *l, enum session_end how, const char *fmt, ...)
{
	char why[sizeof(l->session->why.text) + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	session_close(l->session, how, why);
	update_watchers(l);
}

/* ---- replies ---- */

static void keep_out_fd(struct link *l, int fd)
{
	if (l->out_fd >= 0)
		offload_close(l->out_fd);
	l->out_fd = fd;
}

static void flush_reply(struct link *l)
{
	ssize_t n = unixsock_send(l->fd, l->out + l->out_done,
				  l->out_len - l->out_done, &l->out_fd,
				  l->out_fd >= 0);

	if (n < 0 && n != -EAGAIN) {
		end_session(l, SESSION_LEFT, "it does not take its reply: %s",
			    strerror((int)-n));
		return;
	}
	if (n > 0) {
		l->out_done += (uint32_t)n;
		keep_out_fd(l, -1);
	}
	if (l->out_done == l->out_len)
		l->out_done = l->out_len = 0;
}

static void send_reply(struct link *l, const void *payload, uint32_t size)
{
	assert(!l->out_len);
	l->out_len =
		(uint32_t)proto_encode_reply(&l->msg, payload, size, l->out);
	flush_reply(l);
}

static void send_ack(struct link *l, uint64_t status)
{
	send_reply(l, &status, sizeof(status));
}

static void count_refused(struct link *l)
{
	struct counters *c = l->session->p.counters;

	if (c)
		counters_add(&c->protocol_errors, 1);
}

static void say_refused(struct link *l)
{
	count_refused(l);
	log_event(LOG_MESSAGE_REFUSED, l->tag,
		  "message refused message=%s pid=%d: %s",
		  proto_name(l->msg.header.request), l->session->creds.pid,
		  l->session->why.text);
}

static void end_refused(struct link *l)
{
	count_refused(l);
	end_session(l, SESSION_CUT, "%s refused: %s",
		    proto_name(l->msg.header.request), l->session->why.text);
}

static bool wants_ack(const struct link *l)
{
	const struct proto_peer peer = session_peer(l->session);

	return proto_wants_ack(&l->msg, &peer);
}

/* Tell the front-end if it can be told, or end the session. */
static void reply_failure(struct link *l, const struct proto_row *row, int err)
{
	if (row && row->reply == PROTO_REPLY_OWN_OR_EMPTY) {
		say_refused(l);
		send_reply(l, NULL, 0);
	} else if ((!row || row->reply == PROTO_REPLY_ACK) && wants_ack(l)) {
		say_refused(l);
		send_ack(l, (uint64_t)-err);
	} else {
		end_refused(l);
	}
}

static void reply_success(struct link *l, const struct proto_row *row)
{
	if (row->reply != PROTO_REPLY_ACK)
		send_reply(l, &l->msg.p, l->msg.reply_size);
	else if (wants_ack(l))
		send_ack(l, 0);
}

static void close_fds(struct proto_msg *m)
{
	for (unsigned i = 0; i < m->nr_fds && i < PROTO_MAX_FDS; i++)
		if (m->fds[i] >= 0)
			offload_close(m->fds[i]);
	m->nr_fds = 0;
}

/* The message is dealt with: answer it and get ready for the next one. */
static void finish_message(struct link *l, int result)
{
	const struct proto_row *row = proto_row(l->msg.header.request);

	l->pending = false;
	close_fds(&l->msg);
	keep_out_fd(l, l->msg.has_reply_fd ? l->msg.reply_fd : -1);
	if (l->session->closing)
		return;
	if (result < 0)
		reply_failure(l, row, result);
	else
		reply_success(l, row);
	memset(&l->msg, 0, sizeof(l->msg));
	l->have = 0;
	update_watchers(l);
}

/* The session's, for a message that had to wait. */
static void answer(struct link *l, int result)
{
	assert(l->pending);
	finish_message(l, result);
}

/* ---- messages ---- */

static void handle_message(struct link *l)
{
	struct session *s = l->session;
	const struct proto_peer peer = session_peer(s);
	struct proto_msg *m = &l->msg;
	int result;

	log_debug(LOG_PROTO, l->tag, "%s flags=0x%x size=%u fds=%u",
		  proto_name(m->header.request), m->header.flags,
		  m->header.size, m->nr_fds);
	result = proto_check(m, &peer, &s->why);
	if (!result)
		result = handlers_run(s, m);
	if (result != SESSION_LATER) {
		finish_message(l, result);
		return;
	}
	l->pending = true;
	update_watchers(l);
}

/* Keep what came with the first byte, as far as any message has room. */
static void take_fds(struct link *l, const struct unixsock_fds *fds)
{
	struct proto_msg *m = &l->msg;

	for (unsigned i = 0; i < fds->nr; i++) {
		if (l->have == 0 && i < PROTO_MAX_FDS)
			m->fds[i] = fds->fd[i];
		else
			offload_close(fds->fd[i]);
	}
	if (l->have == 0)
		m->nr_fds = fds->nr;
	else if (fds->nr)
		m->stray_fds = true;
}

/* Nothing more comes: the result of a read. */
static void end_unread(struct link *l, ssize_t n)
{
	if (n == -EMSGSIZE)
		end_session(l, SESSION_CUT,
			    "descriptors of a message were lost: %s; raise "
			    "LimitNOFILE of the service",
			    strerror(EMFILE));
	else if (n < 0)
		end_session(l, SESSION_LEFT, "%s", strerror((int)-n));
	else if (l->have)
		end_session(l, SESSION_LEFT, "in the middle of a message");
	else
		end_session(l, SESSION_LEFT, "it closed the connection");
}

/* Read on up to @end bytes of the message.  Is all of it there? */
static bool read_until(struct link *l, uint32_t end)
{
	/* Header, then payload: they are apart in the structure. */
	const uint32_t header = sizeof(l->msg.header);
	struct unixsock_fds fds;
	uint8_t *to = end == header ? (uint8_t *)&l->msg.header + l->have
				    : (uint8_t *)&l->msg.p + (l->have - header);
	ssize_t n;

	/* A byte that was read is gone, even if we are killed now. */
	if (!l->have)
		state_set_busy(l->session->state, true);
	fds.nr = 0;
	n = unixsock_recv(l->fd, to, end - l->have, &fds);
	take_fds(l, &fds);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		end_unread(l, n);
		return false;
	}
	l->have += (uint32_t)n;
	return l->have == end;
}

/*
 * Read on.  Returns true with a message read and handled, false when there is
 * nothing more to do now.
 */
static bool read_message(struct link *l)
{
	const uint32_t header = sizeof(l->msg.header);
	struct session *s = l->session;

	if (l->have < header) {
		if (!read_until(l, header))
			return false;
		if (proto_check_header(&l->msg.header, &s->why) < 0) {
			end_refused(l);
			return false;
		}
	}
	if (l->have < header + l->msg.header.size &&
	    !read_until(l, header + l->msg.header.size))
		return false;
	handle_message(l);
	return true;
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct link *l = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < LINK_TURN_MESSAGES; i++)
		if (!ev_is_active(io) || !read_message(l))
			break;
	update_watchers(l);
}

static void on_writable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct link *l = io->data;

	(void)loop;
	(void)events;
	if (!l->session->closing && l->out_len)
		flush_reply(l);
	update_watchers(l);
}

/* Something came while an answer is pending: data can wait, the end not. */
static void on_wake(struct wake *k)
{
	struct link *l = container_of(k, struct link, hangup);
	struct pollfd p = {.fd = l->fd, .events = POLLRDHUP};

	if (poll(&p, 1, 0) <= 0)
		return;
	end_session(l, SESSION_LEFT, "while %s was under way",
		    proto_name(l->msg.header.request));
}

/* ---- life ---- */

static void close_link(struct alarm *a)
{
	struct link *l = container_of(a, struct link, end);
	struct session *s = l->session;

	offload_close(l->fd);
	free(l);
	session_link_ended(s);
}

/*
 * libev takes a descriptor that nobody waits for out of its set when an event
 * of it comes, which must not be while another thread closes it.  So we hang
 * up, which is such an event, and close it when libev has seen that: it is
 * entered before the next turn.
 */
static void end_link(struct link *l)
{
	assert(l->session->closing);
	update_watchers(l);
	close_fds(&l->msg);
	keep_out_fd(l, -1);
	shutdown(l->fd, SHUT_RDWR);
	/* Has libev entered first, also when it waited for nothing here. */
	worker_loop(l->home);
	alarms_set(worker_alarms(l->home), &l->end,
		   worker_now_ns(l->home) + END_NS);
}

static void say_connected(const struct session *s)
{
	char name[UNIXSOCK_PROCESS_MAX];

	unixsock_process(s->creds.pid, name);
	log_event(LOG_CLIENT_CONNECTED, s->p.tag,
		  "client connected pid=%d uid=%u%s%s", s->creds.pid,
		  s->creds.uid, *name ? " process=" : "", name);
}

int link_open(struct session *s, int fd)
{
	struct link *l;
	int err = unixsock_peer(fd, &s->creds);
	int flags = fcntl(fd, F_GETFL);

	if (err)
		return err;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->session = s;
	l->home = s->p.home;
	l->tag = s->p.tag;
	l->fd = fd;
	l->out_fd = -1;
	ev_io_init(&l->reader, on_readable, fd, EV_READ);
	ev_io_init(&l->writer, on_writable, fd, EV_WRITE);
	alarm_init(&l->end, close_link);
	l->reader.data = l;
	l->writer.data = l;
	l->hangup.fd = fd;
	l->hangup.fire = on_wake;
	s->link = l;
	s->answer = answer;
	s->end_link = end_link;
	say_connected(s);
	update_watchers(l);
	return 0;
}
