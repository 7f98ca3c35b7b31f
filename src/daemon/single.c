/* SPDX-License-Identifier: BSD-2-Clause */
/* One disk for the life of a process, without a configuration file. */
#include "daemon/single.h"

#include <ctype.h>
#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "base/unixsock.h"
#include "base/util.h"
#include "daemon/logwriter.h"
#include "daemon/target.h"
#include "run/offload.h"
#include "vhost/guard.h"

/* For the requests in flight, as long as the daemon takes. */
#define STOP_S 25.

const char single_capabilities[] =
	"{\"type\": \"block\", \"features\": [\"read-only\", \"blk-file\"]}";

struct single {
	const struct single_params *p;
	struct config *config;
	struct unixsock given;
	struct ev_loop *loop;
	struct mailbox mailbox;
	struct logwriter log;
	struct ev_signal signals[3];
	struct ev_timer stop_limit;
	struct worker *worker;
	struct target *target;
	int status;
};

/* The configuration */

/* A name for logs, out of that of the file. */
static void make_name(char *name, size_t size, const char *file)
{
	const char *base = strrchr(file, '/');
	size_t n = 0;

	for (base = base ? base + 1 : file; *base && n + 1 < size; base++) {
		unsigned char c = (unsigned char)*base;

		if (isalnum(c) || (n && strchr("._-", c)))
			name[n++] = (char)c;
	}
	name[n] = '\0';
	if (!n)
		snprintf(name, size, "disk");
}

static void print_path(FILE *out, const char *key, const char *path)
{
	static const struct value_rule rule = {.type = VALUE_PATH};
	char cwd[PATH_MAX] = "";
	char *whole = NULL;

	if (*path != '/' && !getcwd(cwd, sizeof(cwd)))
		cwd[0] = '\0';
	if (asprintf(&whole, "%s%s%s", cwd, *path == '/' ? "" : "/", path) < 0)
		return;
	fprintf(out, "%s: ", key);
	value_print(&rule, &whole, out);
	fputc('\n', out);
	free(whole);
}

/* As an administrator would write it, so it is checked like that. */
static void print_config(const struct single_params *p, FILE *out)
{
	char name[64];

	make_name(name, sizeof(name), p->blk_file);
	fprintf(out, "targets:\n  - name: \"%s\"\n", name);
	fprintf(out, "    read-only: %s\n", p->read_only ? "on" : "off");
	print_path(out, "    socket", p->socket_path ? p->socket_path : "/-");
	fputs("    backend:\n", out);
	print_path(out, "      path", p->blk_file);
}

int single_config(const struct single_params *p, struct config **out,
		  struct config_errors *errs)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int ret = -ENOMEM;

	if (!f)
		return ret;
	print_config(p, f);
	if (fclose(f) == 0)
		ret = config_parse("command line", text, len, out, errs);
	free(text);
	return ret;
}

static int load(struct single *s)
{
	struct config_errors errs = {0};
	int ret = single_config(s->p, &s->config, &errs);

	for (size_t i = 0; i < errs.nr; i++)
		if (!errs.list[i].warning)
			fprintf(stderr, "vringd: %s\n", errs.list[i].text);
	config_errors_fini(&errs);
	return ret;
}

static int adopt(struct single *s)
{
	struct unixsock_why why = {""};
	int ret;

	if (s->p->socket_path)
		return 0;
	ret = unixsock_adopt(&s->given, s->p->fd, &why);
	if (ret < 0)
		fprintf(stderr, "vringd: --fd=%d: %s\n", s->p->fd, why.text);
	return ret;
}

/* The control loop */

static void end(struct single *s, int status)
{
	s->status = status;
	ev_timer_start(s->loop, &s->stop_limit);
	target_retire(s->target, SERVER_CUT);
}

static void changed(void *ctx, struct target *t)
{
	struct single *s = ctx;

	switch (target_state(t)) {
	case TARGET_OPEN:
		if (target_is_over(t))
			end(s, EXIT_SUCCESS);
		else
			sd_notify(0, "READY=1");
		break;
	case TARGET_FAILED:
		end(s, EXIT_FAILURE);
		break;
	case TARGET_CLOSED:
		ev_break(s->loop, EVBREAK_ALL);
		break;
	default:
		break;
	}
}

static void stop_signal(struct ev_loop *loop, struct ev_signal *w, int revents)
{
	struct single *s = w->data;

	(void)loop;
	(void)revents;
	log_event(LOG_STOPPING, "vringd", "stopping: SIG%s",
		  sigabbrev_np(w->signum));
	end(s, EXIT_SUCCESS);
}

static void stop_limit(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	log_err("vringd",
		"requests are still in flight and left to the kernel "
		"seconds=%.0f",
		STOP_S);
	log_stop();
	_exit(EXIT_FAILURE);
}

static int make_loop(struct single *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	int err;

	s->loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!s->loop)
		return -ENOMEM;
	err = mailbox_init(&s->mailbox, s->loop);
	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		ev_signal_init(&s->signals[i], stop_signal, numbers[i]);
		s->signals[i].data = s;
		ev_signal_start(s->loop, &s->signals[i]);
	}
	ev_timer_init(&s->stop_limit, stop_limit, STOP_S, 0.);
	return 0;
}

static int make_worker(struct single *s)
{
	struct worker_params p = {
		.cpu = -1,
		.sqpoll_cpu = -1,
		.io_workers = s->config->io_workers,
		.poll_us = s->config->poll_us,
	};

	return worker_new(&s->worker, &p);
}

static int make_target(struct single *s)
{
	struct target_params p = {
		.owner = s->config,
		.config = &s->config->targets[0],
		.workers = &s->worker,
		.nr_workers = 1,
		.control = &s->mailbox,
		.given = s->p->socket_path ? NULL : &s->given,
		.changed = changed,
		.ctx = s,
	};

	return target_new(&s->target, &p);
}

static int start(struct single *s)
{
	int ret = load(s);

	if (ret == 0)
		ret = adopt(s);
	if (ret == 0)
		ret = make_loop(s);
	if (ret == 0)
		ret = guard_init();
	if (ret == 0)
		ret = make_worker(s);
	if (ret == 0)
		ret = make_target(s);
	if (ret < 0)
		return ret;
	logwriter_start(&s->log, s->loop);
	ret = worker_start(s->worker);
	if (ret == 0)
		target_open(s->target);
	return ret;
}

static void stop(struct single *s)
{
	if (s->worker)
		worker_stop(s->worker);
	/* A thread that is stuck may yet come back to what is here. */
	if (offload_stop(1000) < 0) {
		log_warn("vringd", "leaving storage that does not answer");
		logwriter_stop(&s->log);
		_exit(s->status);
	}
	if (s->loop)
		mailbox_deliver(&s->mailbox);
	target_put(s->target);
	worker_free(s->worker);
	logwriter_stop(&s->log);
	if (s->loop) {
		mailbox_fini(&s->mailbox);
		ev_loop_destroy(s->loop);
	}
	config_put(s->config);
}

int single_run(const struct single_params *p)
{
	struct single s = {.p = p, .status = EXIT_SUCCESS};

	log_set(LOG_LEVEL_INFO, p->debug);
	if (start(&s) < 0)
		s.status = EXIT_FAILURE;
	else
		ev_run(s.loop, 0);
	stop(&s);
	return s.status;
}
