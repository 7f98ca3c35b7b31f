/* SPDX-License-Identifier: BSD-2-Clause */
/* What kind of file a descriptor from a stranger is. */
#include "base/fdkind.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool fdkind_is_unix_socket(int fd)
{
	int domain;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_UNIX;
}

/* By its name, which no file system can give: theirs begin with a slash. */
bool fdkind_is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], name[sizeof(want)];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, name, sizeof(name)) == sizeof(want) - 1 &&
	       memcmp(name, want, sizeof(want) - 1) == 0;
}

bool fdkind_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}
