/* SPDX-License-Identifier: BSD-2-Clause */
/* What a target's home does: clients, one session at a time, their queues. */
#include "daemon/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/unixsock.h"
#include "run/offload.h"
#include "vhost/link.h"

/* How long a second client is held while the first shows no sign of leaving. */
#define HOLD_MS 500

/* A guest looks at its disk sooner, unless its firmware waits for somebody. */
#define QUIET_S 10

/* How long to accept nobody after descriptors or memory ran out. */
#define PAUSE_MS 1000

struct server {
	/* constant */
	struct server_params p;
	struct worker *home;
	struct loans *loans;

	/* whoever has the mail */
	struct mail start_mail;
	struct mail retire_mail;
	struct mail answer_mail;
	struct mail closed_mail;
	struct mail news_mail;
	enum server_retire how;
	enum server_answer answer;
	unsigned closed_after;		/* so many requests to retire */
	atomic_bool news_posted;

	/* control's */
	unsigned nr_asked;		/* requests to retire */

	/* the home's, read by control */
	atomic_bool connected;
	atomic_bool over;

	/* the home's */
	struct ev_io accept;
	struct alarm hold;
	struct alarm pause;		/* accepts nobody meanwhile */
	struct alarm quiet;		/* runs once a queue was ready */
	struct session *session;
	struct counters then;		/* when it began */
	struct counters own;		/* of sessions, read by control */
	pid_t last_pid;			/* of the last client, or 0 */
	int held_fd;			/* of a second client, or -1 */
	unsigned nr_heard;		/* requests to retire */
	unsigned nr_staying;		/* who needs us a moment longer */
	bool awaits;			/* requests, of the session */
	bool ended;			/* the session is over */
	bool has_served;		/* the storage, since it was opened */
	bool refuses;			/* all requests, as it is empty */
	bool said_empty;		/* to the session */
	bool closing;			/* nobody is served after this one */
	bool closed;			/* the device may be gone */
};

static void settle(struct server *s);

/* Telling control */

static void tell_news(struct mail *m)
{
	struct server *s = container_of(m, struct server, news_mail);

	atomic_store(&s->news_posted, false);
	s->p.news(s->p.ctx);
}

static void set_connected(struct server *s, bool connected)
{
	atomic_store_explicit(&s->connected, connected, memory_order_relaxed);
	if (!connected && s->p.listen_fd < 0)
		atomic_store_explicit(&s->over, true, memory_order_relaxed);
	if (atomic_exchange(&s->news_posted, true))
		return;
	s->news_mail.deliver = tell_news;
	mailbox_post(s->p.control, &s->news_mail);
}

static void tell_answer(struct mail *m)
{
	struct server *s = container_of(m, struct server, answer_mail);

	s->p.answered(s->p.ctx, s->answer);
}

static void answer_retire(struct server *s, enum server_answer answer)
{
	s->answer = answer;
	s->answer_mail.deliver = tell_answer;
	mailbox_post(s->p.control, &s->answer_mail);
}

static void tell_closed(struct mail *m)
{
	struct server *s = container_of(m, struct server, closed_mail);

	/* A request that met it on the way has an answer of its own. */
	if (s->closed_after == s->nr_asked)
		s->p.answered(s->p.ctx, SERVER_CLOSED);
}

/* Sessions */

static uint64_t get_features(void *ctx)
{
	struct server *s = ctx;

	return s->p.device->ops->features(s->p.device);
}

static int accept_features(void *ctx, uint64_t features)
{
	struct server *s = ctx;

	return s->p.device->ops->accept(s->p.device, features);
}

static void get_config(void *ctx, void *buf, size_t off, size_t len)
{
	struct server *s = ctx;

	s->p.device->ops->config_get(s->p.device, buf, off, len);
}

static int set_config(void *ctx, const void *buf, size_t off, size_t len)
{
	struct server *s = ctx;

	return s->p.device->ops->config_set(s->p.device, buf, off, len);
}

static uint64_t requests_of(const struct counters *c)
{
	return c->reads + c->writes + c->flushes + c->discards +
	       c->write_zeroes;
}

static void set_alarm(struct server *s, struct alarm *a, uint64_t ms)
{
	alarms_set(worker_alarms(s->home), a,
		   worker_now_ns(s->home) + ms * 1000000);
}

static void clear_alarm(struct server *s, struct alarm *a)
{
	alarms_clear(worker_alarms(s->home), a);
}

/*
 * Who kicks has put something into its ring.  Nothing is there where QEMU maps
 * its memory file privately, without share=on: we see other memory then.  But a
 * guest that has not begun yet looks the same, as VMMs kick too.
 */
static void quiet_over(struct alarm *a)
{
	struct server *s = container_of(a, struct server, quiet);
	struct counters now;

	loans_counters(s->loans, &now);
	if (s->ended || now.kicks == s->then.kicks || now.inflight ||
	    requests_of(&now) + now.errors + now.unsupported !=
		    requests_of(&s->then) + s->then.errors +
			    s->then.unsupported)
		return;
	log_event(LOG_NO_REQUESTS, s->p.tag,
		  "kicked, but no request was seen seconds=%d: if the disk "
		  "hangs, add share=on to the VMM's memory backend",
		  QUIET_S);
}

static void await_requests(struct server *s)
{
	if (s->awaits)
		return;
	s->awaits = true;
	set_alarm(s, &s->quiet, QUIET_S * 1000);
}

static void queue_ready(void *ctx, struct session *session, unsigned index)
{
	struct server *s = ctx;

	(void)session;
	await_requests(s);
	loans_want(s->loans, index);
}

static void queue_idle(void *ctx, struct session *session, unsigned index)
{
	struct server *s = ctx;

	(void)session;
	loans_forget(s->loans, index);
}

static size_t save_device(void *ctx, void *buf)
{
	struct server *s = ctx;

	return s->p.device->ops->save(s->p.device, buf);
}

static int load_device(void *ctx, const void *buf, size_t len)
{
	struct server *s = ctx;

	return s->p.device->ops->load(s->p.device, buf, len);
}

static void reset_device(void *ctx)
{
	struct server *s = ctx;

	s->p.device->ops->reset(s->p.device);
}

static void session_closing(void *ctx, struct session *session,
			    enum session_end how, const char *why)
{
	struct server *s = ctx;
	struct session_facts f;
	struct counters now;

	session_facts(session, &f);
	loans_counters(s->loans, &now);

	unsigned long long requests = requests_of(&now) - requests_of(&s->then);
	unsigned long long errors = now.errors - s->then.errors;

	if (how == SESSION_CUT)
		log_event(LOG_CLIENT_CUT_OFF, s->p.tag,
			  "client cut off pid=%d requests=%llu errors=%llu: %s",
			  f.pid, requests, errors, why);
	else
		log_event(LOG_CLIENT_LEFT, s->p.tag,
			  "client left pid=%d requests=%llu errors=%llu: %s",
			  f.pid, requests, errors, why);
}

static void session_ended(void *ctx, struct session *session)
{
	struct server *s = ctx;

	(void)session;
	s->ended = true;
	loans_forget_all(s->loans);
}

static const struct session_ops server_session_ops = {
	.features = get_features,
	.accept = accept_features,
	.config_get = get_config,
	.config_set = set_config,
	.queue_ready = queue_ready,
	.queue_idle = queue_idle,
	.save = save_device,
	.load = load_device,
	.reset = reset_device,
	.closing = session_closing,
	.ended = session_ended,
};

/* Who comes again was cut off, or lost us, or was restarted within. */
static void count_session(struct server *s)
{
	struct session_facts f;

	session_facts(s->session, &f);
	counters_add(&s->own.sessions, 1);
	if (f.pid == s->last_pid)
		counters_add(&s->own.reconnects, 1);
	s->last_pid = f.pid;
}

static const char *remedy(int err)
{
	return err == -EMFILE ? "; raise LimitNOFILE of the service" : "";
}

static void begin_session(struct server *s, int fd)
{
	struct session_params p = {
		.tag = s->p.tag,
		.home = s->home,
		.ops = &server_session_ops,
		.ctx = s,
		.device = PROTO_BLK,
		.nr_queues = s->p.nr_queues,
		.max_queue_size = s->p.max_queue_size,
		.packed = s->p.packed,
		.memory_files = s->p.memory_files,
		.counters = &s->own,
	};
	int ret = session_new(&s->session, &p);

	s->ended = false;
	loans_begin(s->loans);
	loans_counters(s->loans, &s->then);
	if (ret == 0)
		ret = link_open(s->session, fd);
	else
		s->session = NULL;
	if (ret < 0) {
		log_warn(s->p.tag, "cannot serve a client: %s%s",
			 strerror(-ret), remedy(ret));
		offload_close(fd);
		session_free(s->session);
		s->session = NULL;
	}
	if (s->session)
		count_session(s);
	set_connected(s, s->session);
}

/* Clients */

static void let_go(struct server *s, const char *why)
{
	struct ucred peer = {.pid = -1, .uid = (uid_t)-1};

	unixsock_peer(s->held_fd, &peer);
	log_event(LOG_CLIENT_TURNED_AWAY, s->p.tag,
		  "second client turned away pid=%d uid=%d: %s", (int)peer.pid,
		  (int)peer.uid, why);
	offload_close(s->held_fd);
	s->held_fd = -1;
}

static bool is_served(const struct server *s)
{
	struct session_facts f;

	if (!s->session || s->ended)
		return false;
	session_facts(s->session, &f);
	return !f.closing;
}

static unsigned long long nr_in_flight(const struct server *s)
{
	struct counters now;

	loans_counters(s->loans, &now);
	return now.inflight;
}

static pid_t held_pid(const struct server *s)
{
	struct ucred peer = {.pid = -1};

	unixsock_peer(s->held_fd, &peer);
	return peer.pid;
}

/* The first one is leaving, and takes longer than that takes. */
static void say_held(const struct server *s)
{
	log_event(LOG_CLIENT_WAITS, s->p.tag,
		  "client waits pid=%d requests=%llu last-pid=%d: the storage "
		  "has not answered all requests of the client that left",
		  (int)held_pid(s), nr_in_flight(s), (int)s->last_pid);
}

static void hold_over(struct alarm *a)
{
	struct server *s = container_of(a, struct server, hold);

	if (s->held_fd < 0)
		return;
	if (is_served(s))
		let_go(s, "the target serves another one");
	else
		say_held(s);
}

static void hold_client(struct server *s, int fd)
{
	if (s->held_fd >= 0)
		let_go(s, "a third one came");
	s->held_fd = fd;
	set_alarm(s, &s->hold, HOLD_MS);
}

static void pause_over(struct alarm *a)
{
	struct server *s = container_of(a, struct server, pause);

	ev_io_start(worker_loop(s->home), &s->accept);
}

/* Without the pause, a client that we cannot take would keep the loop busy. */
static void pause_accepting(struct server *s, int err)
{
	log_warn(s->p.tag, "cannot accept a client: %s%s", strerror(-err),
		 remedy(err));
	ev_io_stop(worker_loop(s->home), &s->accept);
	set_alarm(s, &s->pause, PAUSE_MS);
}

static void accept_client(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct server *s = w->data;
	int fd = unixsock_accept(w->fd);

	(void)loop;
	(void)revents;
	if (fd == -EAGAIN || fd == -EINTR)
		return;
	if (fd < 0)
		pause_accepting(s, fd);
	else if (s->session)
		hold_client(s, fd);
	else
		begin_session(s, fd);
}

/* Taking the next step */

static void stop_listening(struct server *s)
{
	ev_io_stop(worker_loop(s->home), &s->accept);
	clear_alarm(s, &s->pause);
	clear_alarm(s, &s->hold);
}

/* The session is over, and all that it had was given back. */
static void finish_session(struct server *s)
{
	int fd = s->held_fd;

	session_free(s->session);
	s->session = NULL;
	s->ended = false;
	s->awaits = false;
	s->refuses = false;
	s->said_empty = false;
	clear_alarm(s, &s->quiet);
	s->p.device->ops->power_on(s->p.device);
	if (fd < 0 || s->closing) {
		set_connected(s, false);
		return;
	}
	s->held_fd = -1;
	clear_alarm(s, &s->hold);
	begin_session(s, fd);
}

static void finish_close(struct server *s)
{
	s->closing = false;
	s->closed = true;
	s->closed_after = s->nr_heard;
	s->closed_mail.deliver = tell_closed;
	mailbox_post(s->p.control, &s->closed_mail);
}

static void settle(struct server *s)
{
	if (!loans_are_idle(s->loans))
		return;
	if (s->ended)
		finish_session(s);
	if (s->closing && !s->session && !s->nr_staying)
		finish_close(s);
}

static void loans_idle(void *ctx)
{
	settle(ctx);
}

#define EMPTY_WHY                                                       \
	"the guest has used this disk before, and what was on it is lost; " \
	"restart the guest"

static void say_empty(struct server *s)
{
	if (s->said_empty)
		return;
	s->said_empty = true;
	log_event(LOG_BACKEND_EMPTY, s->p.tag,
		  "answers every request with an error backend=%s: " EMPTY_WHY,
		  s->p.device->backend->name);
}

/*
 * Before the first queue of a session runs, or the first after all stood still,
 * as when the guest boots again.  Who has had answers, and not from us, may
 * have written something, which storage that was empty at the open has not.
 */
static void look_for_loss(struct server *s)
{
	struct session_facts f;

	session_facts(s->session, &f);
	if (f.nr_lent || !s->p.device->backend->info.is_volatile)
		return;
	s->refuses = !s->has_served && session_rings_are_used(s->session);
	if (s->refuses)
		say_empty(s);
	else
		s->has_served = true;
}

static void lend_queue(void *ctx, unsigned index, struct worker *w,
		       const struct queue_user *user)
{
	struct server *s = ctx;
	struct queue_user u = *user;

	look_for_loss(s);
	if (s->refuses)
		u.request = s->p.device->ops->refuse;
	/* A failure was logged, and told to the front-end. */
	session_start_queue(s->session, index, w, &u);
}

/* Starting and retiring */

static void serve_only(struct server *s)
{
	int fd = s->p.client_fd;

	s->p.client_fd = -1;
	begin_session(s, fd);
}

static void deliver_start(struct mail *m)
{
	struct server *s = container_of(m, struct server, start_mail);

	ev_io_init(&s->accept, accept_client, s->p.listen_fd, EV_READ);
	s->accept.data = s;
	alarm_init(&s->hold, hold_over);
	alarm_init(&s->pause, pause_over);
	alarm_init(&s->quiet, quiet_over);
	if (s->p.listen_fd >= 0)
		ev_io_start(worker_loop(s->home), &s->accept);
	else
		serve_only(s);
}

void server_start(struct server *s)
{
	s->start_mail.deliver = deliver_start;
	worker_post(s->home, &s->start_mail);
}

static void cut_off(struct server *s)
{
	if (s->session && !s->ended)
		session_close(s->session, SESSION_CUT, "the target is closing");
}

static void deliver_retire(struct mail *m)
{
	struct server *s = container_of(m, struct server, retire_mail);

	s->nr_heard++;
	if (s->closed) {
		answer_retire(s, SERVER_CLOSED);
		return;
	}
	if (s->how == SERVER_IF_FREE && (is_served(s) || s->held_fd >= 0)) {
		answer_retire(s, SERVER_BUSY);
		return;
	}
	stop_listening(s);
	s->closing = true;
	if (s->held_fd >= 0)
		let_go(s, "the target is closing");
	if (s->how == SERVER_CUT)
		cut_off(s);
	else if (s->session)
		answer_retire(s, SERVER_LINGERS);
	settle(s);
}

void server_retire(struct server *s, enum server_retire how)
{
	s->how = how;
	s->nr_asked++;
	s->retire_mail.deliver = deliver_retire;
	worker_post(s->home, &s->retire_mail);
}

/* Life */

int server_new(struct server **out, const struct server_params *p)
{
	struct server *s = calloc(1, sizeof(*s));
	struct loans_params lp = {
		.tag = p->tag,
		.nr_queues = p->nr_queues,
		.workers = p->workers,
		.nr_workers = p->nr_workers,
		.device = p->device,
		.limits = p->limits,
		.fixed = p->fixed,
		.lend = lend_queue,
		.idle = loans_idle,
		.ctx = s,
	};

	if (!s)
		return -ENOMEM;
	if (loans_new(&s->loans, &lp) < 0) {
		free(s);
		return -ENOMEM;
	}
	s->p = *p;
	s->home = p->workers[0];
	/* The array of workers was the caller's. */
	s->p.workers = NULL;
	s->held_fd = -1;
	*out = s;
	return 0;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	/* It was never started. */
	if (s->p.listen_fd < 0)
		offload_close(s->p.client_fd);
	loans_free(s->loans);
	free(s);
}

bool server_is_connected(const struct server *s)
{
	return atomic_load_explicit(&s->connected, memory_order_relaxed);
}

bool server_is_over(const struct server *s)
{
	return atomic_load_explicit(&s->over, memory_order_relaxed);
}

void server_counters(const struct server *s, struct counters *sum)
{
	loans_counters(s->loans, sum);
	counters_sum(sum, &s->own);
}

/* Growth */

static void tell_growth(struct mail *m)
{
	struct server_growth *g = container_of(m, struct server_growth, mail);

	g->done(g);
}

static void deliver_growth(struct mail *m)
{
	struct server_growth *g = container_of(m, struct server_growth, mail);
	struct server *s = g->server;

	if (!s->closed) {
		s->p.device->ops->grow(s->p.device, g->size);
		g->connected = is_served(s);
		g->told = g->connected && session_config_changed(s->session);
	}
	g->mail.deliver = tell_growth;
	mailbox_post(s->p.control, &g->mail);
}

void server_grow(struct server *s, struct server_growth *g, uint64_t size,
		 void (*done)(struct server_growth *g))
{
	*g = (struct server_growth){.size = size, .server = s, .done = done};
	g->mail.deliver = deliver_growth;
	worker_post(s->home, &g->mail);
}

/* What the home knows, for those who collect it */

struct worker *server_home(const struct server *s)
{
	return s->home;
}

struct mailbox *server_control(const struct server *s)
{
	return s->p.control;
}

struct session *server_session(const struct server *s)
{
	return s->ended ? NULL : s->session;
}

void server_stay(struct server *s)
{
	s->nr_staying++;
}

void server_stay_no_more(struct server *s)
{
	s->nr_staying--;
	settle(s);
}

/* What a session that is closing waits for, and who waits for it. */
static void explain_leaving(const struct server *s, char *why, size_t len)
{
	unsigned long long nr = nr_in_flight(s);
	int n = 0;

	if (s->held_fd >= 0)
		n = snprintf(why, len, "pid %d has connected and waits: ",
			     (int)held_pid(s));
	snprintf(why + n, len - (size_t)n,
		 "%llu request%s of pid %d, which has left, %s not over", nr,
		 nr == 1 ? "" : "s", (int)s->last_pid, nr == 1 ? "is" : "are");
}

enum loans_claim server_reason(const struct server *s, char *why, size_t len)
{
	enum loans_claim claim = loans_claim(s->loans, why, len);

	if (!server_session(s))
		return claim;
	if (!is_served(s))
		explain_leaving(s, why, len);
	else if (s->refuses)
		snprintf(why, len, EMPTY_WHY);
	return claim;
}

/* Cutting a client off */

static void tell_cut(struct mail *m)
{
	struct server_cut *c = container_of(m, struct server_cut, mail);

	c->done(c);
}

static void deliver_cut(struct mail *m)
{
	struct server_cut *c = container_of(m, struct server_cut, mail);
	struct server *s = c->server;
	struct session_facts f;

	if (is_served(s)) {
		session_facts(s->session, &f);
		c->was_cut = true;
		c->pid = f.pid;
		c->uid = f.uid;
		c->gid = f.gid;
		session_close(s->session, SESSION_CUT,
			      "the administrator wants it");
	}
	c->mail.deliver = tell_cut;
	mailbox_post(s->p.control, &c->mail);
}

void server_disconnect(struct server *s, struct server_cut *c,
		       void (*done)(struct server_cut *c))
{
	*c = (struct server_cut){.server = s, .done = done};
	c->mail.deliver = deliver_cut;
	worker_post(s->home, &c->mail);
}
