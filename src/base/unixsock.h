/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix stream sockets: made safely, connected, and used to pass descriptors. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* Bytes of a socket's path with its final NUL. */
#define UNIXSOCK_PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

/* As many descriptors as the kernel passes in one message. */
#define UNIXSOCK_FDS 253

/* A listening socket, and the node in the file system that is its own. */
struct unixsock {
	int fd;
	dev_t dev;
	ino_t ino;
	char path[UNIXSOCK_PATH_SIZE];
};

/* Who may connect: a uid or gid of -1 keeps that of the process. */
struct unixsock_access {
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

/* Why a call failed, in words and without the path. */
struct unixsock_why {
	char text[160];
};

/* Descriptors that came with a message; the first @nr of @fd are the owner's.
 */
struct unixsock_fds {
	unsigned nr;
	int fd[UNIXSOCK_FDS];
};

/*
 * Looks @owner and @group up, which may be names, numbers or NULL (no change),
 * and fills @access.  Returns 0, or -ENOENT or -ENOMEM with the reason in @why.
 *
 * Any thread; may block, as it reads the user database.
 */
int unixsock_access_find(struct unixsock_access *access, const char *owner,
			 const char *group, mode_t mode,
			 struct unixsock_why *why);

/*
 * Makes a listening socket at @path, nonblocking and close-on-exec.  The node
 * has mode 0600 from birth and gets the rights of @access before anybody can
 * connect.  A stale socket is replaced, but not one that another daemon is
 * making just then (both lock the folder for a moment); a live socket
 * (-EADDRINUSE) or anything else (-EEXIST, also a symbolic link) is left alone.
 * Returns 0 and fills @s, or -errno with the reason in @why.
 *
 * Any thread; may block on the file system.
 */
int unixsock_listen(struct unixsock *s, const char *path,
		    const struct unixsock_access *access,
		    struct unixsock_why *why);

/*
 * Takes over a stream socket that this process inherited as @fd, listening or
 * connected, and makes it nonblocking and close-on-exec.  It keeps its node:
 * who made that will remove it.  Returns 0 and fills @s, with an empty path if
 * it has none; or -EBADF, -ENOTSOCK, -EPROTOTYPE or -ENOTCONN with the reason
 * in @why, and @fd as it was.
 *
 * Any thread.
 */
int unixsock_adopt(struct unixsock *s, int fd, struct unixsock_why *why);

/* Returns whether clients can be accepted from @fd.  Any thread. */
bool unixsock_is_listening(int fd);

/*
 * Changes who may connect to @s.  Returns 0 or -errno; -ESTALE when the path
 * no longer names the node of @s.
 *
 * Any thread; may block on the file system.
 */
int unixsock_set_access(const struct unixsock *s,
			const struct unixsock_access *access);

/*
 * Closes @s and removes its node, unless another one has taken its place.  A
 * socket with fd -1 is ignored, so it may be called twice.
 *
 * Any thread; may block on the file system.
 */
void unixsock_close(struct unixsock *s);

/*
 * Takes the next client of the listening socket @fd, nonblocking and
 * close-on-exec.  Returns its descriptor or -errno: -EAGAIN when there is none
 * (also when a client left before it was taken).
 *
 * Any thread.
 */
int unixsock_accept(int fd);

/*
 * Connects to @path within @timeout_ms.  Returns a blocking close-on-exec
 * descriptor or -errno: -ETIMEDOUT when the listener's backlog stays full.
 *
 * Any thread; blocks for at most @timeout_ms.
 */
int unixsock_connect(const char *path, int timeout_ms);

/*
 * Fills @peer with the process, user and group that connected.  Returns 0 or
 * -errno.
 *
 * Any thread.
 */
int unixsock_peer(int fd, struct ucred *peer);

/*
 * Puts the name of process @pid, made one word, into @name; "" when it cannot
 * be read.  The process chose it, so it proves nothing.
 *
 * Any thread: /proc is the kernel's memory.
 */
#define UNIXSOCK_PROCESS_MAX 32
void unixsock_process(pid_t pid, char name[UNIXSOCK_PROCESS_MAX]);

/*
 * Receives at most @len bytes.  Descriptors that come along are added to
 * @fds, close-on-exec; they belong to the caller whatever is returned, and it
 * decides where to close the ones it does not want, as closing a foreign
 * descriptor can block.  @fds may be NULL where none are welcome.
 *
 * Returns the number of bytes, 0 at the end, or -errno: -EAGAIN, or -EMSGSIZE
 * when descriptors were lost because there were too many.
 *
 * Any thread.
 */
ssize_t unixsock_recv(int fd, void *buf, size_t len, struct unixsock_fds *fds);

/*
 * Sends at most @len bytes, @len > 0, and with the first of them the @nr_fds
 * descriptors of @fds.  Returns the number of bytes, which may be less than
 * @len, or -errno.  A peer that is gone is -EPIPE, never a signal.
 *
 * Any thread.
 */
ssize_t unixsock_send(int fd, const void *buf, size_t len, const int *fds,
		      unsigned nr_fds);

/*
 * Closes all descriptors in @fds and empties it.
 *
 * Any thread; may block, see unixsock_recv().
 */
void unixsock_fds_close(struct unixsock_fds *fds);
