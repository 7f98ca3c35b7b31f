/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/watchdog: systemd hears from us while every worker answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/watchdog.h"

#define NR_WORKERS 2
#define LIMIT_S	   0.4 /* systemd's patience, so a round each 0.1 s */

static struct ev_loop *loop;
static struct mailbox mailbox;
static struct worker *workers[NR_WORKERS];
static struct watchdog *dog;
static int systemd; /* its end of the notify socket */

/* A message that keeps its worker busy until it is told to go on. */
static struct hold {
	struct mail mail;
	sem_t held, go;
} hold;

static void set_notify_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len;

	/* The kernel chooses an abstract name. */
	systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(systemd, (void *)&addr, sizeof(sa_family_t)), 0);
	len = sizeof(addr);
	cr_assert_eq(getsockname(systemd, (void *)&addr, &len), 0);
	char name[sizeof(addr.sun_path) + 1] = "@";

	memcpy(name + 1, addr.sun_path + 1,
	       len - offsetof(struct sockaddr_un, sun_path) - 1);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void start(void)
{
	struct worker_params p = {.cpu = -1, .sqpoll_cpu = -1, .io_workers = 4};

	set_notify_socket();
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	mailbox_init(&mailbox, loop);
	for (p.id = 0; p.id < NR_WORKERS; p.id++) {
		cr_assert_eq(worker_new(&workers[p.id], &p), 0);
		cr_assert_eq(worker_start(workers[p.id]), 0);
	}
	sem_init(&hold.held, 0, 0);
	sem_init(&hold.go, 0, 0);
}

static int make_dog(const char *limit_us, pid_t pid)
{
	struct watchdog_params p = {
		.loop = loop,
		.mailbox = &mailbox,
		.workers = workers,
		.nr_workers = NR_WORKERS,
	};
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	if (limit_us)
		setenv("WATCHDOG_USEC", limit_us, 1);
	setenv("WATCHDOG_PID", text, 1);
	return watchdog_new(&dog, &p);
}

static void stop(void)
{
	watchdog_stop(dog);
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		worker_stop(workers[i]);
		worker_free(workers[i]);
	}
	mailbox_fini(&mailbox);
	watchdog_free(dog);
	ev_loop_destroy(loop);
	close(systemd);
}

TestSuite(watchdog, .init = start, .fini = stop, .timeout = 30);

static void wake(struct ev_loop *l, struct ev_timer *w, int revents)
{
	(void)w;
	(void)revents;
	ev_break(l, EVBREAK_ALL);
}

/* Run the control loop for so long; how often systemd heard from it. */
static int pings_in(double seconds)
{
	struct ev_timer timer;
	char said[64];
	ssize_t n;
	int pings = 0;

	ev_timer_init(&timer, wake, seconds, 0.);
	ev_now_update(loop);
	ev_timer_start(loop, &timer);
	ev_run(loop, 0);
	while ((n = recv(systemd, said, sizeof(said) - 1, 0)) > 0) {
		said[n] = '\0';
		cr_assert_str_eq(said, "WATCHDOG=1");
		pings++;
	}
	return pings;
}

static void deliver_hold(struct mail *m)
{
	struct hold *h = container_of(m, struct hold, mail);

	sem_post(&h->held);
	while (sem_wait(&h->go))
		;
}

static void hold_worker(struct worker *w)
{
	hold.mail.deliver = deliver_hold;
	worker_post(w, &hold.mail);
	while (sem_wait(&hold.held))
		;
}

Test(watchdog, is_silent_unless_systemd_asks)
{
	unsetenv("WATCHDOG_USEC");
	cr_assert_eq(make_dog(NULL, getpid()), 0);
	cr_assert_null(dog);
	cr_assert_eq(pings_in(0.3), 0);
}

Test(watchdog, is_silent_if_systemd_asks_somebody_else)
{
	cr_assert_eq(make_dog("400000", getppid()), 0);
	cr_assert_null(dog);
}

Test(watchdog, says_what_it_cannot_read)
{
	cr_assert_eq(make_dog("soon", getpid()), -EINVAL);
	cr_assert_null(dog);
}

Test(watchdog, tells_systemd_in_time)
{
	cr_assert_eq(make_dog("400000", getpid()), 0);
	cr_assert_gt(pings_in(2 * LIMIT_S), 2);
}

Test(watchdog, tells_nothing_while_one_worker_is_silent)
{
	cr_assert_eq(make_dog("400000", getpid()), 0);
	hold_worker(workers[1]);
	cr_assert_eq(pings_in(2 * LIMIT_S), 0);
	/* The others go on. */
	cr_assert(!mailbox_has_mail(worker_mailbox(workers[0])));
	sem_post(&hold.go);
	cr_assert_gt(pings_in(2 * LIMIT_S), 2);
}

Test(watchdog, frees_a_question_that_nobody_answered)
{
	cr_assert_eq(make_dog("400000", getpid()), 0);
	hold_worker(workers[0]);
	cr_assert_eq(pings_in(LIMIT_S), 0);
	watchdog_stop(dog);
	sem_post(&hold.go);
}
