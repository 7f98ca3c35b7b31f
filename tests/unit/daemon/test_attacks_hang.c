/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that no system call on them ever returns from. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"
#include "prove.h"
#include "silentfuse.h"

static struct silentfuse silent;

static void begin(void)
{
	int ret = silentfuse_begin(&silent);

	if (ret)
		cr_skip_test("no FUSE here: %s", strerror(-ret));
	attack_init(&attack);
	attack_begin(&attack);
}

/* The neighbour's whole life: its client leaves, and another one comes. */
static void check_neighbour(const char *what, unsigned nr)
{
	attack_check(&attack, what, nr);
	testguest_stop(&attack.guard);
	testguest_start(&attack.guard, &attack.other, 1, UINT64_MAX);
	attack_check(&attack, what, nr);
}

static void end(void)
{
	silentfuse_end(&silent);
	attack_settle(&attack, "silence", 0);
	attack_end(&attack);
}

Test(attacks_hang, as_kick_call_and_error_descriptors)
{
	static const uint32_t ids[] = {VHOST_USER_SET_VRING_CALL,
				       VHOST_USER_SET_VRING_ERR,
				       VHOST_USER_SET_VRING_KICK};

	begin();
	for (unsigned i = 0; i < ARRAY_SIZE(ids) * 2; i++) {
		uint64_t ring = 0;
		struct guestblk_req r;

		attack_come(&attack);
		if (i & 1)
			cr_assert_eq(frontend_stop_queue(&attack.g.f,
							 &attack.g.q[0], NULL),
				     0);
		attack_expect_no(attack_send(&attack.g.f, ids[i / 2], &ring, 8,
					     &silent.file, 1),
				 "silence", i);
		guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_FLUSH, 0, 0);
		guestblk_run(&attack.g.q[0], &r, NULL, 10);
		testguest_stop(&attack.g);
		check_neighbour("silence", i);
	}
	end();
}

/* More of them than any number of threads that may wait for their end. */
Test(attacks_hang, as_memory_and_where_none_belongs)
{
	int fds[8];

	begin();
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = silent.file;
	for (unsigned i = 0; i < 6; i++) {
		struct {
			uint32_t nr, padding;
			struct vhost_user_mem_region r[8];
		} t = {.nr = 8};

		for (unsigned n = 0; n < 8; n++)
			t.r[n] = (struct vhost_user_mem_region){
				(n + 1) << 20, 4096, (n + 1) << 20, 0};
		attack_come(&attack);
		attack_expect_no(attack_send(&attack.g.f,
					     i & 1 ? VHOST_USER_SET_MEM_TABLE
						   : VHOST_USER_SET_OWNER,
					     &t, i & 1 ? sizeof(t) : 0, fds, 8),
				 "silence", i);
		testguest_stop(&attack.g);
		check_neighbour("silence", i);
	}
	end();
}

Test(attacks_hang, as_the_region_of_requests_in_flight)
{
	const struct vhost_user_inflight d = {4096, 0, 1, 128, 0};

	begin();
	for (unsigned i = 0; i < 6; i++) {
		attack_come(&attack);
		attack_expect_no(attack_send(&attack.g.f,
					     VHOST_USER_SET_INFLIGHT_FD, &d,
					     sizeof(d), &silent.file, 1),
				 "silence", i);
		testguest_stop(&attack.g);
		check_neighbour("silence", i);
	}
	end();
}

/* Two ends of a TCP connection. */
static void connect_tcp(int ends[2])
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(listener, (void *)&a, len), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (void *)&a, &len), 0);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(ends[0], (void *)&a, len), 0);
	ends[1] = accept(listener, NULL, NULL);
	cr_assert(ends[1] >= 0);
	close(listener);
}

/* Keeps the socket's lock until the file answers. */
static void *send_silence(void *arg)
{
	const int *fd = arg;
	void *page = mmap(NULL, SILENTFUSE_SIZE, PROT_READ, MAP_SHARED,
			  silent.file, 0);

	cr_assert_neq(page, MAP_FAILED);
	cr_assert(send(*fd, page, SILENTFUSE_SIZE, 0) < 0);
	munmap(page, SILENTFUSE_SIZE);
	return NULL;
}

/* Whoever sends on such a socket waits for all who do. */
Test(attacks_hang, as_sockets_that_are_busy_for_ever)
{
	static const uint32_t ids[] = {VHOST_USER_SET_VRING_CALL,
				       VHOST_USER_SET_VRING_ERR,
				       VHOST_USER_SET_VRING_KICK,
				       VHOST_USER_SET_BACKEND_REQ_FD};
	pthread_t sender;
	int ends[2];

	begin();
	connect_tcp(ends);
	cr_assert_eq(pthread_create(&sender, NULL, send_silence, ends), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		uint64_t ring = 0;
		struct guestblk_req r;

		attack_come(&attack);
		attack_expect_no(attack_send(&attack.g.f, ids[i], &ring,
					     i < 3 ? 8 : 0, ends, 1),
				 "busy socket", i);
		guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_FLUSH, 0, 0);
		guestblk_run(&attack.g.q[0], &r, NULL, 10);
		testguest_stop(&attack.g);
		check_neighbour("busy socket", i);
	}
	silentfuse_end(&silent);
	pthread_join(sender, NULL);
	close(ends[0]);
	close(ends[1]);
	attack_settle(&attack, "busy socket", 0);
	attack_end(&attack);
}
