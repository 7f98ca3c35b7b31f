/* SPDX-License-Identifier: BSD-2-Clause */
/* Kicks and calls that block, storm, or are something else. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)

TestSuite(attacks_kicks, .init = attack_suite_begin, .fini = attack_suite_end);

/* -- kicks and calls ------------------------------------------------------- */

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* Nobody asks for anything: no thread may be busy. */
static void expect_idle(const char *what, unsigned nr)
{
	double before = cpu_ms();

	usleep(50000);
	cr_assert_lt(cpu_ms() - before, 20, "%s %u keeps the worker busy", what,
		     nr);
}

static unsigned open_odd_files(int *fds)
{
	int pipes[2], sockets[2];
	unsigned nr = 0;

	cr_assert_eq(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	cr_assert_eq(write(pipes[1], "x", 1), 1);
	cr_assert_eq(write(sockets[0], "x", 1), 1);
	fds[nr++] = open("/", O_RDONLY | O_DIRECTORY);
	fds[nr++] = open("/dev/null", O_RDWR);
	fds[nr++] = open("/", O_PATH);
	fds[nr++] = attack_make_file(MIB);
	fds[nr++] = epoll_create1(0);
	fds[nr++] = eventfd(1, 0);
	fds[nr++] = eventfd(0xfffffffe, EFD_SEMAPHORE);
	fds[nr++] = pipes[0];
	fds[nr++] = pipes[1];
	fds[nr++] = sockets[0];
	fds[nr++] = sockets[1];
	return nr;
}

Test(attacks_kicks, kicks_and_calls_of_any_kind)
{
	static const uint32_t ids[] = {VHOST_USER_SET_VRING_KICK,
				       VHOST_USER_SET_VRING_CALL,
				       VHOST_USER_SET_VRING_ERR};
	int fds[16];
	unsigned nr = open_odd_files(fds);

	attack.fds += nr;
	for (unsigned i = 0; i < nr * 6; i++) {
		uint64_t ring = 0;
		int fd = fds[i % nr];
		uint32_t id = ids[i / nr % 3];
		struct guestblk_req r;

		attack_come(&attack);
		if (i / nr >= 3)
			cr_assert_eq(frontend_stop_queue(&attack.g.f,
							 &attack.g.q[0], NULL),
				     0);
		cr_assert_neq(attack_send(&attack.g.f, id, &ring, 8, &fd, 1),
			      ATTACK_SILENT);
		if (i / nr >= 3)
			frontend_start_queue(&attack.g.f, &attack.g.q[0]);
		guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_FLUSH, 0, 0);
		guestblk_run(&attack.g.q[0], &r, NULL, 1);
		if (!frontend_is_gone(&attack.g.f))
			attack_works(&attack, 1, "odd descriptor", i);
		attack_check(&attack, "odd descriptor", i);
		if (i % 4 == 0)
			expect_idle("odd descriptor", i);
		attack_go(&attack, "odd descriptor", i);
	}
	attack.fds -= nr;
	for (unsigned i = 0; i < nr; i++)
		close(fds[i]);
}

/*
 * The client's end of the link, which is readable whenever a message comes.  If
 * the target held a copy, it would never see the client leave.
 */
Test(attacks_kicks, the_link_itself)
{
	static const uint32_t ids[] = {VHOST_USER_SET_VRING_KICK,
				       VHOST_USER_SET_VRING_CALL,
				       VHOST_USER_SET_VRING_ERR,
				       VHOST_USER_SET_BACKEND_REQ_FD};
	uint64_t ring = 0, value;

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		attack_come(&attack);
		attack_send(&attack.g.f, ids[i], &ring,
			    ids[i] == VHOST_USER_SET_BACKEND_REQ_FD ? 0 : 8,
			    &attack.g.f.fd, 1);
		for (unsigned n = 0; n < 100; n++)
			if (frontend_get_u64(&attack.g.f,
					     VHOST_USER_GET_FEATURES, &value))
				break;
		attack_check(&attack, "the link", i);
		expect_idle("the link", i);
		attack_go(&attack, "the link", i);
	}
}

Test(attacks_kicks, one_kick_for_all_rings)
{
	attack_come(&attack);
	cr_assert_eq(frontend_set_vring_fd(&attack.g.f,
					   VHOST_USER_SET_VRING_KICK, 1,
					   attack.g.q[0].kick),
		     0);
	attack_works(&attack, 0, "one kick", 0);
	attack_go(&attack, "one kick", 0);
}

/* Whoever writes to a full eventfd that may block, does. */
Test(attacks_kicks, calls_that_would_block)
{
	uint64_t count = 0xfffffffffffffffe;
	struct guestblk_req r;

	attack_come(&attack);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(fcntl(attack.g.q[i].kick, F_SETFL, 0), 0);
		cr_assert_eq(fcntl(attack.g.q[i].call, F_SETFL, 0), 0);
	}
	cr_assert_eq(write(attack.g.q[0].call, &count, 8), 8);
	for (unsigned i = 0; i < 20; i++) {
		guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_FLUSH, 0, 0);
		cr_assert_eq(guestblk_run(&attack.g.q[0], &r, NULL, 1000), 0);
		attack_works(&attack, 1, "a full call", i);
		attack_check(&attack, "a full call", i);
		/* The wait has emptied it: fill it up again. */
		fcntl(attack.g.q[0].call, F_SETFL, O_NONBLOCK);
		(void)!write(attack.g.q[0].call, &count, 8);
		fcntl(attack.g.q[0].call, F_SETFL, 0);
	}
	attack_go(&attack, "a full call", 0);
}

/* Ended with a call that cannot be delivered, and kicks that go on. */
Test(attacks_kicks, leaving_with_a_call_that_blocks)
{
	uint64_t count = 0xfffffffffffffffe;
	struct guestring_seg seg[3];
	struct guestblk_req r;
	int kick, call;

	for (unsigned i = 0; i < 4; i++) {
		attack_come(&attack);
		kick = dup(attack.g.q[0].kick);
		call = dup(attack.g.q[0].call);
		attack.fds += 2;
		fcntl(call, F_SETFL, 0);
		cr_assert_eq(write(call, &count, 8), 8);
		guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_IN, 0, 512);
		cr_assert_eq(guestblk_segs(&r, &attack.g.mem, NULL, seg, 3), 3);
		for (unsigned n = 0; n < 16; n++)
			frontend_submit(&attack.g.q[0], seg, 3, NULL);
		if (i & 1)
			cr_assert_eq(frontend_stop_queue(&attack.g.f,
							 &attack.g.q[0], NULL),
				     0);
		attack_go(&attack, "leaving with a full call", i);
		/* Kicks of a queue that is no more disturb nobody. */
		for (unsigned n = 0; n < 1000; n++)
			eventfd_write(kick, 1);
		expect_idle("stale kicks", i);
		attack_check(&attack, "stale kicks", i);
		close(kick);
		close(call);
		attack.fds -= 2;
	}
}
