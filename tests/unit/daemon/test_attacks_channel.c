/* SPDX-License-Identifier: BSD-2-Clause */
/* Back-end channels that a target had better not write to. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"
#include "silentfuse.h"

static char path[128];
static off_t size = 1 << 20;

/* The attacked target is on a file, which can grow. */
static void begin(void)
{
	int fd;

	signal(SIGPIPE, SIG_IGN); /* as vringd does */
	attack_init(&attack);
	snprintf(path, sizeof(path), "%s/disk.img", attack.t.dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
	attack.t.config.backend =
		(struct config_backend){.kind = CONFIG_KIND_FILE, .path = path};
	attack_begin(&attack);
}

static void end(void)
{
	cr_assert_eq(unlink(path), 0);
	attack_suite_end();
}

TestSuite(attacks_channel, .init = begin, .fini = end, .timeout = 120);

struct question {
	struct growth_answer answer;
	bool done;
};

static void note_answer(struct growth_answer *a)
{
	container_of(a, struct question, answer)->done = true;
}

static void grow(struct question *q)
{
	size += 4096;
	cr_assert_eq(truncate(path, size), 0);
	q->done = false;
	growth_look(target_growth(attack.t.target), &q->answer, note_answer);
}

static void wait_for(const struct question *q)
{
	while (!q->done)
		ev_run(attack.t.loop, EVRUN_ONCE);
	cr_assert_str_empty(q->answer.why);
	cr_assert_eq(q->answer.new_size, (uint64_t)size);
}

/* The disk grows @nr times: nobody is hurt, and the attacker sees it. */
static void grow_often(unsigned nr, const char *what, unsigned row)
{
	struct question q;
	uint64_t capacity;

	for (unsigned i = 0; i < nr; i++) {
		grow(&q);
		wait_for(&q);
	}
	attack_check(&attack, what, row);
	attack_works(&attack, 0, what, row);
	cr_assert_eq(frontend_get_config(&attack.g.f, 0, &capacity, 8), 0);
	cr_assert_eq(capacity << 9, (uint64_t)size);
}

static enum attack_reply give(int fd)
{
	return attack_send(&attack.g.f, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0,
			   &fd, 1);
}

/* What is no Unix socket is refused; the one before is as good as it was. */
static void refuse(int fd, const char *what)
{
	struct frontend_msg m;

	attack.fds++;
	attack_come(&attack);
	cr_assert_eq(frontend_open_backend_channel(&attack.g.f), 0);
	attack_expect(ATTACK_REFUSED, give(fd), what, 0);
	grow_often(3, what, 0);
	cr_assert_eq(frontend_recv(&attack.g.f, attack.g.f.backend_fd, &m), 0);
	attack_go(&attack, what, 0);
	attack.fds--;
	close(fd);
}

Test(attacks_channel, of_other_kinds)
{
	int pipes[2];

	refuse(eventfd(0, EFD_NONBLOCK), "an eventfd");
	refuse(eventfd(UINT32_MAX, 0), "an eventfd that blocks");
	refuse(open(path, O_RDWR), "its own disk");
	refuse(open("/dev/null", O_WRONLY), "a device");
	refuse(open("/", O_PATH), "a path");
	refuse(memfd_create("attack", 0), "memory");
	refuse(epoll_create1(0), "an epoll");
	refuse(timerfd_create(CLOCK_MONOTONIC, 0), "a timer");
	refuse(socket(AF_INET, SOCK_DGRAM, 0), "a network's socket");
	cr_assert_eq(pipe(pipes), 0);
	attack.fds++;
	refuse(pipes[1], "a pipe");
	attack.fds--;
	close(pipes[0]);
}

static void fill(int fd)
{
	char junk[4096] = "";
	size_t len = sizeof(junk);

	while (len)
		if (send(fd, junk, len, MSG_DONTWAIT) < 0)
			len /= 2;
}

/* What the other end of a channel may be like. */
enum end_state {
	READ_BY_NOBODY,
	FULL,
	FULL_AND_BLOCKING,
	CLOSED,
	SHUT_DOWN,
	SHUT_DOWN_HERE,
	NR_STATES,
};

static void bring_about(enum end_state state, int sv[2])
{
	switch (state) {
	case READ_BY_NOBODY:
	case NR_STATES:
		break;
	case FULL:
	case FULL_AND_BLOCKING:
		fill(sv[1]);
		break;
	case CLOSED:
		close(sv[0]);
		sv[0] = -1;
		break;
	case SHUT_DOWN:
		shutdown(sv[0], SHUT_RDWR);
		break;
	case SHUT_DOWN_HERE:
		shutdown(sv[1], SHUT_RDWR);
		break;
	}
}

static void close_pair(int sv[2])
{
	for (int i = 0; i < 2; i++)
		if (sv[i] >= 0)
			close(sv[i]);
}

Test(attacks_channel, whose_other_end_is_bad)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	for (unsigned i = 0; i < ARRAY_SIZE(types) * NR_STATES; i++) {
		enum end_state state = i % NR_STATES;
		int sv[2];

		attack_come(&attack);
		cr_assert_eq(frontend_socketpair(types[i / NR_STATES], sv), 0);
		bring_about(state, sv);
		attack_expect(ATTACK_ACCEPTED, give(sv[1]), "bad end", i);
		/* The target has set O_NONBLOCK by now. */
		if (state == FULL_AND_BLOCKING)
			cr_assert_eq(fcntl(sv[1], F_SETFL, 0), 0);
		grow_often(20, "bad end", i);
		close_pair(sv);
		attack_go(&attack, "bad end", i);
	}
}

Test(attacks_channel, that_was_never_connected)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		int fd = socket(AF_UNIX, types[i], 0);

		attack_come(&attack);
		attack_expect(ATTACK_ACCEPTED, give(fd), "alone", i);
		grow_often(5, "alone", i);
		close(fd);
		attack_go(&attack, "alone", i);
	}
}

Test(attacks_channel, replaced_all_the_time)
{
	int sv[2];

	attack_come(&attack);
	for (unsigned i = 0; i < 300; i++) {
		struct question q;

		cr_assert_eq(frontend_socketpair(SOCK_STREAM, sv), 0);
		if (i % 3)
			fill(sv[1]);
		grow(&q);
		attack_expect(ATTACK_ACCEPTED, give(sv[1]), "replaced", i);
		if (i % 2)
			cr_assert_eq(fcntl(sv[1], F_SETFL, 0), 0);
		close_pair(sv);
		wait_for(&q);
	}
	grow_often(1, "replaced", 0);
	attack_go(&attack, "replaced", 0);
}

/* A client leaves while the disk grows, at some point or other of that. */
Test(attacks_channel, of_clients_that_leave)
{
	for (unsigned i = 0; i < 60; i++) {
		struct question q;

		attack_come(&attack);
		cr_assert_eq(frontend_open_backend_channel(&attack.g.f), 0);
		if (i % 2)
			fill(attack.g.f.backend_fd);
		grow(&q);
		for (unsigned n = 0; n < i % 5 && !q.done; n++)
			ev_run(attack.t.loop, EVRUN_ONCE);
		attack_go(&attack, "a client that leaves", i);
		wait_for(&q);
	}
}

/* What answers nothing is refused, and closed where nobody waits for that. */
Test(attacks_channel, on_a_file_that_never_answers)
{
	struct silentfuse silent;
	int ret = silentfuse_begin(&silent);

	if (ret)
		cr_skip_test("no FUSE here: %s", strerror(-ret));
	for (unsigned i = 0; i < 20; i++) {
		attack_come(&attack);
		attack_expect(ATTACK_REFUSED, give(silent.file), "silence", i);
		grow_often(3, "silence", i);
		testguest_stop(&attack.g);
	}
	silentfuse_end(&silent);
}
