/* SPDX-License-Identifier: BSD-2-Clause */
/* base/fdkind: tells kinds of descriptors apart. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fdkind.h"

static void expect(int fd, bool is_unix_socket, bool is_eventfd, bool is_memory)
{
	cr_assert_eq(fdkind_is_unix_socket(fd), is_unix_socket);
	cr_assert_eq(fdkind_is_eventfd(fd), is_eventfd);
	cr_assert_eq(fdkind_is_memory(fd), is_memory);
	close(fd);
}

Test(fdkind, tells_kinds_apart)
{
	int sockets[2], pipes[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	cr_assert_eq(pipe(pipes), 0);
	expect(sockets[0], true, false, false);
	expect(socket(AF_INET, SOCK_DGRAM, 0), false, false, false);
	expect(eventfd(0, EFD_NONBLOCK), false, true, false);
	expect(memfd_create("anon_inode:[eventfd]", 0), false, false, true);
	expect(pipes[0], false, false, false);
	expect(epoll_create1(0), false, false, false);
	expect(timerfd_create(CLOCK_MONOTONIC, 0), false, false, false);
	expect(open("/dev/null", O_RDWR), false, false, false);
	expect(open("/", O_PATH), false, false, false);
	expect(-1, false, false, false);
	close(sockets[1]);
	close(pipes[1]);
}
