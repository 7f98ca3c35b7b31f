/* SPDX-License-Identifier: BSD-2-Clause */
/* vringd: start order, signals, stop order. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/config.h"
#include "daemon/config_disks.h"
#include "daemon/config_print.h"
#include "daemon/lastgood.h"
#include "daemon/logwriter.h"
#include "daemon/options.h"
#include "daemon/report.h"
#include "daemon/watchdog.h"
#include "run/mailbox.h"
#include "run/offload.h"
#include "run/worker.h"
#include "vhost/guard.h"

/*
 * Theory of operation: start and stop
 *
 * What needs privileges or new kernel objects comes first, while there is one
 * thread, so that a sandbox can be closed before the others exist:
 *
 *	configuration, rings, control socket | threads, targets, clients
 *
 * The main thread then is the control loop: signals, the control socket, the
 * log.  It serves no queue.  Storage is opened by offload threads, as a dead
 * network file system must stop nobody; the program is ready when each target
 * listens, or has failed and is tried again.
 *
 * SIGTERM closes the targets; each lets its requests finish.  When the last is
 * closed, or when some storage does not answer for STOP_S, the workers end.
 */
#define STOP_S	25.

struct daemon {
	const struct options *options;
	struct config *config;
	bool from_last_good;
	struct ev_loop *loop;
	struct mailbox mailbox;
	struct logwriter log;
	struct ev_signal sigterm;
	struct ev_signal sigint;
	struct ev_signal sighup;
	struct ev_timer stop_limit;
	struct control *control;
	struct report_source source;	/* of what control answers */
	struct watchdog *watchdog;
	struct worker **workers;
	unsigned nr_workers;
	struct roster *roster;
	struct reload *reload;
	struct ev_prepare status_due;	/* fed, never started */
	char status_text[128];		/* as systemd was told last */
	bool stopping;
	int status;
};

static struct config *load(const struct options *o)
{
	struct config_errors errs = {0};
	struct config *config = NULL;
	int ret = config_load(o->config, &config, &errs);

	if (ret == 0)
		ret = config_disks_check(config, &errs);
	if (ret == 0 && o->check)
		ret = config_disks_warn(config, &errs);
	if (o->check || o->print)
		config_errors_print(&errs, stderr);
	else
		config_errors_log(&errs, "vringd");
	config_errors_fini(&errs);
	if (ret == 0)
		return config;
	config_put(config);
	return NULL;
}

/* After a crash, disks are served whatever has become of the file. */
static struct config *load_last_good(const struct options *o)
{
	struct config_errors errs = {0};
	struct config *config = NULL;
	int ret = lastgood_load(&config, &errs);

	config_errors_log(&errs, "vringd");
	config_errors_fini(&errs);
	if (ret < 0)
		return NULL;
	log_err("vringd",
		"restarted after a crash with the configuration accepted last, "
		"as the file is wrong now; mend it and reload file=%s",
		o->config);
	return config;
}

/* Workers */

/* CPUs where no worker is pinned, for the kernel's own I/O threads. */
static bool find_io_cpus(const struct config *c, cpu_set_t *set)
{
	if (c->cpus.nr == 0 || sched_getaffinity(0, sizeof(*set), set) < 0)
		return false;
	for (unsigned i = 0; i < c->cpus.nr; i++)
		CPU_CLR(c->cpus.cpu[i], set);
	return CPU_COUNT(set) > 0;
}

/*
 * Is there a CPU that no worker needs?  Where they are not pinned, each needs
 * one all the same.
 */
static bool has_spare_cpu(const struct config *c)
{
	cpu_set_t set;

	if (c->sqpoll_cpu >= 0)
		return !value_cpus_has(&c->cpus, (unsigned)c->sqpoll_cpu);
	if (c->cpus.nr)
		return find_io_cpus(c, &set);
	return sched_getaffinity(0, sizeof(set), &set) == 0 &&
	       (unsigned)CPU_COUNT(&set) > config_nr_workers(c);
}

static int make_workers(struct daemon *d)
{
	static const enum worker_sqpoll sqpolls[] = {
		[CONFIG_SQPOLL_AUTO] = WORKER_SQPOLL_AUTO,
		[CONFIG_SQPOLL_ON] = WORKER_SQPOLL_ON,
		[CONFIG_SQPOLL_OFF] = WORKER_SQPOLL_OFF,
	};
	const struct config *c = d->config;
	cpu_set_t io_cpus;
	struct worker_params p = {
		.sqpoll = sqpolls[c->sqpoll],
		.has_spare_cpu = has_spare_cpu(c),
		.sqpoll_cpu = c->sqpoll_cpu,
		.sqpoll_idle_ms = c->sqpoll_idle_us / 1000,
		.io_workers = c->io_workers,
		.poll_us = c->poll_us,
		.io_cpus = find_io_cpus(c, &io_cpus) ? &io_cpus : NULL,
	};

	d->nr_workers = config_nr_workers(c);
	d->workers = calloc(d->nr_workers, sizeof(*d->workers));
	if (!d->workers)
		return -ENOMEM;
	for (unsigned i = 0; i < d->nr_workers; i++) {
		p.id = i;
		p.cpu = c->cpus.nr ? (int)c->cpus.cpu[i] : -1;
		p.sqpoll_share = i ? d->workers[0] : NULL;
		int ret = worker_new(&d->workers[i], &p);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int start_workers(struct daemon *d)
{
	for (unsigned i = 0; i < d->nr_workers; i++) {
		int ret = worker_start(d->workers[i]);

		if (ret < 0) {
			log_err("vringd", "cannot start worker=%u: %s", i,
				strerror(-ret));
			return ret;
		}
	}
	return 0;
}

/* Targets */

/* What systemctl status shows. */
static void tell_status(struct daemon *d)
{
	unsigned nr = roster_nr(d->roster);
	unsigned failed = roster_count(d->roster, TARGET_FAILED);
	char text[128];

	snprintf(text, sizeof(text),
		 "STATUS=%u targets, %u connected, %u failed", nr,
		 roster_connected(d->roster), failed);
	if (!strcmp(text, d->status_text))
		return;
	memcpy(d->status_text, text, sizeof(text));
	sd_notify(0, text);
}

/* Once for all that happens at a time. */
static void note_changed(void *ctx)
{
	struct daemon *d = ctx;

	ev_feed_event(d->loop, &d->status_due, EV_CUSTOM);
}

static void status_due(struct ev_loop *loop, struct ev_prepare *w, int revents)
{
	(void)loop;
	(void)revents;
	tell_status(w->data);
}

static int make_roster(struct daemon *d)
{
	struct roster_params p = {
		.workers = d->workers,
		.nr_workers = d->nr_workers,
		.loop = d->loop,
		.control = &d->mailbox,
		.patience_s = ROSTER_PATIENCE_S,
		.changed = note_changed,
		.ctx = d,
	};

	return roster_new(&d->roster, &p);
}

static void targets_open(void *ctx)
{
	struct daemon *d = ctx;

	log_event(LOG_READY, "vringd",
		  "ready targets=%u failed=%u workers=%u", roster_nr(d->roster),
		  roster_count(d->roster, TARGET_FAILED), d->nr_workers);
	tell_status(d);
	sd_notify(0, "READY=1");
}

static int make_reload(struct daemon *d)
{
	struct reload_params p = {
		.path = d->options->config,
		.config = d->config,
		.roster = d->roster,
		.workers = d->workers,
		.nr_workers = d->nr_workers,
		.control = &d->mailbox,
		.loop = d->loop,
		.debug = d->options->debug,
		.from_last_good = d->from_last_good,
		.ready = targets_open,
		.ctx = d,
	};

	return reload_new(&d->reload, &p);
}

/* The control socket */

static int open_control(struct daemon *d)
{
	const struct config *c = d->config;
	struct unixsock_why why = {""};
	struct control_params p = {
		.path = c->control_path,
		.loop = d->loop,
		.ops = &report_ops,
		.ctx = &d->source,
		.timeout_ms = CONTROL_TIMEOUT_MS,
	};
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	d->source = (struct report_source){
		.config = c,
		.roster = d->roster,
		.reload = d->reload,
		.loop = d->loop,
		.workers = d->workers,
		.nr_workers = d->nr_workers,
		.started = now.tv_sec,
		.control = &d->mailbox,
	};
	int ret = unixsock_access_find(&p.access, NULL, c->control_group,
				       c->control_mode, &why);

	if (ret == 0)
		ret = control_open(&d->control, &p, &why);
	if (ret < 0)
		log_err("vringd/control", "cannot listen socket=%s: %s",
			c->control_path, why.text);
	return ret;
}

/* Stopping */

static void targets_closed(void *ctx)
{
	struct daemon *d = ctx;

	ev_break(d->loop, EVBREAK_ALL);
}

/*
 * Not after a crash: whoever starts us then will look for what was kept.  A
 * thread that still keeps it would do so after us.
 */
static void forget_config(const struct daemon *d)
{
	if (d->stopping)
		lastgood_remove();
}

static void stop_limit(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	forget_config(w->data);
	log_err("vringd",
		"requests are still in flight after %.0f s, leaving them to "
		"the kernel",
		STOP_S);
	log_stop();
	_exit(EXIT_FAILURE);
}

static void begin_stop(struct ev_loop *loop, struct ev_signal *w, int revents)
{
	struct daemon *d = w->data;

	(void)revents;
	if (d->stopping)
		return;
	d->stopping = true;
	sd_notify(0, "STOPPING=1");
	log_event(LOG_STOPPING, "vringd", "stopping: SIG%s",
		  sigabbrev_np(w->signum));
	ev_timer_start(loop, &d->stop_limit);
	reload_stop(d->reload);
	control_close(d->control);
	d->control = NULL;
	roster_close(d->roster, targets_closed, d);
}

static void reload(struct ev_loop *loop, struct ev_signal *w, int revents)
{
	struct daemon *d = w->data;

	(void)loop;
	(void)revents;
	if (!d->stopping)
		reload_request(d->reload, false, NULL);
}

/* The control loop */

/* SIGHUP waits until there is a loop, instead of ending us. */
static void mask_hangup(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(how, &set, NULL);
}

static int make_loop(struct daemon *d)
{
	int err;

	d->loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!d->loop)
		return -ENOMEM;
	err = mailbox_init(&d->mailbox, d->loop);
	if (err)
		return err;
	ev_signal_init(&d->sigterm, begin_stop, SIGTERM);
	ev_signal_init(&d->sigint, begin_stop, SIGINT);
	d->sigterm.data = d;
	d->sigint.data = d;
	ev_signal_start(d->loop, &d->sigterm);
	ev_signal_start(d->loop, &d->sigint);
	ev_signal_init(&d->sighup, reload, SIGHUP);
	d->sighup.data = d;
	ev_signal_start(d->loop, &d->sighup);
	mask_hangup(SIG_UNBLOCK);
	ev_init(&d->status_due, status_due);
	d->status_due.data = d;
	ev_timer_init(&d->stop_limit, stop_limit, STOP_S, 0.);
	d->stop_limit.data = d;
	return 0;
}

static int start_watchdog(struct daemon *d)
{
	struct watchdog_params p = {
		.loop = d->loop,
		.mailbox = &d->mailbox,
		.workers = d->workers,
		.nr_workers = d->nr_workers,
	};

	return watchdog_new(&d->watchdog, &p);
}

static int start(struct daemon *d)
{
	int ret = make_loop(d);

	if (ret == 0)
		ret = guard_init();
	if (ret == 0)
		ret = make_workers(d);
	if (ret == 0)
		ret = make_roster(d);
	if (ret == 0)
		ret = make_reload(d);
	if (ret == 0)
		ret = open_control(d);
	if (ret < 0)
		return ret;
	logwriter_start(&d->log, d->loop);
	ret = start_workers(d);
	if (ret == 0)
		ret = start_watchdog(d);
	return ret < 0 ? ret : reload_start(d->reload);
}

static void stop(struct daemon *d)
{
	control_close(d->control);
	watchdog_stop(d->watchdog);
	for (unsigned i = 0; i < d->nr_workers && d->workers; i++)
		if (d->workers[i])
			worker_stop(d->workers[i]);
	/*
	 * Threads that open a target give back what they have by mail.  One
	 * that is stuck may do so later: then all must stay as it is.
	 */
	bool stuck = offload_stop(1000) < 0;

	forget_config(d);
	if (stuck) {
		log_warn("vringd", "leaving storage that does not answer");
		logwriter_stop(&d->log);
		_exit(d->status);
	}
	if (d->loop)
		mailbox_deliver(&d->mailbox);
	reload_free(d->reload);
	roster_free(d->roster);
	offload_stop(1000);
	for (unsigned i = 0; i < d->nr_workers && d->workers; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	logwriter_stop(&d->log);
	if (d->loop) {
		mailbox_fini(&d->mailbox);
		ev_loop_destroy(d->loop);
	}
	watchdog_free(d->watchdog);
	config_put(d->config);
}

static int run(struct daemon *d)
{
	int ret = start(d);

	if (ret < 0) {
		log_err("vringd", "cannot start: %s", strerror(-ret));
		d->status = EXIT_FAILURE;
	} else {
		ev_run(d->loop, 0);
	}
	stop(d);
	return d->status;
}

/*
 * A descriptor that is closed is the next to be opened, and could be a disk's
 * that we then write our log to.
 */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	else
		abort();
}

/*
 * Each thread that reads a file would have a heap of its own, which stays.  One
 * is enough, as nothing is allocated per request; and what is large goes back
 * at once, where libc would learn to keep it.
 */
static void tame_malloc(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

/*
 * All that we may have: the lower limit is for programs that use select().  A
 * target with a client has some descriptors, and each of its queues, too.
 */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

int main(int argc, char **argv)
{
	static const enum log_level levels[] = {
		[CONFIG_LOG_ERR] = LOG_LEVEL_ERR,
		[CONFIG_LOG_WARN] = LOG_LEVEL_WARN,
		[CONFIG_LOG_INFO] = LOG_LEVEL_INFO,
		[CONFIG_LOG_DEBUG] = LOG_LEVEL_DEBUG,
	};
	struct options o;
	struct daemon d = {.options = &o};
	int status;

	tame_malloc();
	open_standard_fds();
	raise_fd_limit();
	if (!options_parse(&o, argc, argv, &status))
		return status;
	if (!o.is_single && !o.check && !o.print)
		mask_hangup(SIG_BLOCK);
	signal(SIGPIPE, SIG_IGN);
	if (o.is_single)
		return single_run(&o.single);
	struct config *config = load(&o);

	if (!config && !o.check && !o.print) {
		config = load_last_good(&o);
		d.from_last_good = config;
	}
	if (!config)
		return o.check || o.print ? EXIT_FAILURE : EX_CONFIG;
	if (o.print)
		config_print(config, stdout);
	if (o.check || o.print) {
		config_put(config);
		return EXIT_SUCCESS;
	}
	log_set(levels[config->log_level], o.debug);
	d.config = config;
	return run(&d);
}
