/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix stream sockets: made safely, connected, and used to pass descriptors. */
#include "base/unixsock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/printable.h"
#include "base/util.h"

/* How long to wait for another daemon that makes a socket just now. */
#define LOCK_TRIES    20
#define LOCK_PAUSE_MS 10

/* A name under which the kernel follows a descriptor, and nothing else. */
struct fd_name {
	char text[32];
};

static struct fd_name name_fd(int fd)
{
	struct fd_name n;

	snprintf(n.text, sizeof(n.text), "/proc/self/fd/%d", fd);
	return n;
}

__attribute__((format(printf, 3, 4))) static int
explain(struct unixsock_why *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return err;
}

static int fill_address(struct sockaddr_un *sa, const char *path)
{
	size_t len = strlen(path);

	if (!len)
		return -EINVAL;
	if (len >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, path, len + 1);
	return 0;
}

static bool parse_id(const char *text, unsigned *id)
{
	char *end;

	errno = 0;
	unsigned long n = strtoul(text, &end, 10);

	/* The highest number means "no change" to chown. */
	if (*text < '0' || *text > '9' || *end || errno || n >= UINT32_MAX)
		return false;
	*id = n;
	return true;
}

/* Entries of the user database that are larger than this are not found. */
#define DATABASE_BYTES 65536

static bool find_user(const char *name, char *buf, uid_t *uid)
{
	struct passwd pw, *found;

	if (getpwnam_r(name, &pw, buf, DATABASE_BYTES, &found) || !found)
		return false;
	*uid = found->pw_uid;
	return true;
}

static bool find_group(const char *name, char *buf, gid_t *gid)
{
	struct group gr, *found;

	if (getgrnam_r(name, &gr, buf, DATABASE_BYTES, &found) || !found)
		return false;
	*gid = found->gr_gid;
	return true;
}

int unixsock_access_find(struct unixsock_access *access, const char *owner,
			 const char *group, mode_t mode,
			 struct unixsock_why *why)
{
	char *buf = malloc(DATABASE_BYTES);
	int err = 0;

	if (!buf)
		return explain(why, -ENOMEM, "%s", strerror(ENOMEM));
	access->uid = -1;
	access->gid = -1;
	access->mode = mode;
	if (owner && !parse_id(owner, &access->uid) &&
	    !find_user(owner, buf, &access->uid))
		err = explain(why, -ENOENT, "no user named %s", owner);
	if (!err && group && !parse_id(group, &access->gid) &&
	    !find_group(group, buf, &access->gid))
		err = explain(why, -ENOENT, "no group named %s", group);
	free(buf);
	return err;
}

static const char *name_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFBLK:
	case S_IFCHR:
		return "a device";
	default:
		return "something that is no socket";
	}
}

/*
 * Tries the socket behind the O_PATH descriptor @node.  Returns 0 when it is
 * stale, that is when nobody listens, or -EADDRINUSE, or another -errno when
 * that cannot be told.
 */
static int probe_stale(int node)
{
	struct sockaddr_un sa;
	int err = fill_address(&sa, name_fd(node).text);

	if (err)
		return err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	err = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
	close(fd);
	switch (err) {
	case -ECONNREFUSED:
		return 0;
	case 0:
	case -EAGAIN:	  /* its backlog is full */
	case -EPROTOTYPE: /* it is not a stream socket */
		return -EADDRINUSE;
	default:
		return err;
	}
}

static int remove_same(const char *path, dev_t dev, ino_t ino)
{
	struct stat st;

	if (lstat(path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_dev != dev || st.st_ino != ino)
		return -ESTALE;
	return unlink(path) ? -errno : 0;
}

/*
 * Removes a stale socket at @path.  The node is held by a descriptor while we
 * ask who listens, so that nothing can take its place meanwhile, and no
 * symbolic link is ever followed.
 */
static int remove_stale(const char *path, struct unixsock_why *why)
{
	struct stat st;
	int node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (node < 0) {
		err = -errno;
		return explain(why, err, "%s", strerror(-err));
	}
	if (fstat(node, &st)) {
		err = -errno;
		explain(why, err, "%s", strerror(-err));
	} else if (!S_ISSOCK(st.st_mode)) {
		err = explain(why, -EEXIST, "%s is in the way",
			      name_type(st.st_mode));
	} else if ((err = probe_stale(node)) == -EADDRINUSE) {
		explain(why, err, "another process listens there");
	} else if (err) {
		explain(why, err,
			"cannot tell whether the socket is in use: %s",
			strerror(-err));
	} else if ((err = remove_same(path, st.st_dev, st.st_ino))) {
		explain(why, err, "cannot remove the stale socket: %s",
			strerror(-err));
	}
	close(node);
	return err;
}

/*
 * From bind() to listen() a socket cannot be told from a stale one.  So that no
 * other daemon takes ours for one, both lock the folder for that time.  Nobody
 * holds the lock for long, but anybody who may read the folder can: then it is
 * done without.  Returns a descriptor to be closed, or -1.
 */
static int lock_folder(const char *path)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
	char folder[UNIXSOCK_PATH_SIZE] = ".";
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) + 1 : 0;

	if (len >= sizeof(folder))
		return -1;
	if (len) {
		memcpy(folder, path, len);
		folder[len] = '\0';
	}

	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

static int explain_bind(int err, struct unixsock_why *why)
{
	if (err == -ENOENT || err == -ENOTDIR)
		return explain(why, err, "its folder does not exist");
	if (err == -EACCES)
		return explain(why, err,
			       "user %u may not make a file in its folder",
			       geteuid());
	return explain(why, err, "cannot bind: %s", strerror(-err));
}

static int bind_path(int fd, const char *path, struct unixsock_why *why)
{
	struct sockaddr_un sa;
	int err = fill_address(&sa, path);

	if (err == -ENAMETOOLONG)
		return explain(why, err, "the path is longer than %zu bytes",
			       UNIXSOCK_PATH_SIZE - 1);
	if (err)
		return explain(why, err, "the path is empty");
	if (!bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return 0;
	if (errno == EADDRINUSE) {
		err = remove_stale(path, why);
		if (err)
			return err;
		if (!bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return 0;
	}
	return explain_bind(-errno, why);
}

/* The node is pinned: the path cannot be made to lead to another file. */
static int change_access(int node, const struct unixsock_access *access)
{
	if (fchownat(node, "", access->uid, access->gid, AT_EMPTY_PATH))
		return -errno;
	if (chmod(name_fd(node).text, access->mode))
		return -errno;
	return 0;
}

/* Who is not root gives a file to nobody, and to groups it is in. */
static int explain_access(int err, const struct unixsock_access *access,
			  struct unixsock_why *why)
{
	if (err != -EPERM)
		return explain(why, err, "cannot set owner and mode: %s",
			       strerror(-err));
	if (access->uid != (uid_t)-1 && access->uid != geteuid())
		return explain(why, err,
			       "only root can give it to another user");
	return explain(why, err,
		       "user %u is not in the group it is for; a service is by "
		       "SupplementaryGroups=",
		       geteuid());
}

/* Returns a descriptor that pins the node at @path, if it is a socket. */
static int pin_node(const char *path, struct stat *st)
{
	int node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (node < 0)
		return -errno;
	if (!fstat(node, st) && S_ISSOCK(st->st_mode))
		return node;
	close(node);
	return -ESTALE;
}

static int open_to_clients(struct unixsock *s,
			   const struct unixsock_access *access,
			   struct unixsock_why *why)
{
	struct stat st;
	int node = pin_node(s->path, &st);

	if (node < 0)
		return explain(why, node, "it vanished: %s", strerror(-node));
	s->dev = st.st_dev;
	s->ino = st.st_ino;

	int err = change_access(node, access);

	close(node);
	if (err)
		return explain_access(err, access, why);
	if (listen(s->fd, SOMAXCONN)) {
		err = -errno;
		return explain(why, err, "cannot listen: %s", strerror(-err));
	}
	return 0;
}

static int bind_and_listen(struct unixsock *s, const char *path,
			   const struct unixsock_access *access,
			   struct unixsock_why *why)
{
	int lock = lock_folder(path);
	int err = bind_path(s->fd, path, why);

	if (!err) {
		memcpy(s->path, path, strlen(path) + 1);
		err = open_to_clients(s, access, why);
	}
	if (lock >= 0)
		close(lock);
	return err;
}

int unixsock_listen(struct unixsock *s, const char *path,
		    const struct unixsock_access *access,
		    struct unixsock_why *why)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		err = -errno;
		return explain(why, err, "cannot make a socket: %s",
			       strerror(-err));
	}
	/* The node takes its mode from the socket: never open to others. */
	if (fchmod(s->fd, 0600)) {
		err = -errno;
		explain(why, err, "cannot set the mode: %s", strerror(-err));
		goto fail;
	}
	err = bind_and_listen(s, path, access, why);
	if (err)
		goto fail;
	return 0;
fail:
	unixsock_close(s);
	return err;
}

static int get_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, option, &value, &len))
		return -errno;
	return value;
}

bool unixsock_is_listening(int fd)
{
	return get_option(fd, SO_ACCEPTCONN) > 0;
}

/* Returns 0, or what forbids to use @fd. */
static int check_inherited(int fd, struct unixsock_why *why)
{
	int domain = get_option(fd, SO_DOMAIN);
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	if (domain == -EBADF)
		return explain(why, domain, "it is not open");
	if (domain < 0)
		return explain(why, domain, "it is no socket");
	if (domain != AF_UNIX || get_option(fd, SO_TYPE) != SOCK_STREAM)
		return explain(why, -EPROTOTYPE, "it is no Unix stream socket");
	if (!unixsock_is_listening(fd) &&
	    getpeername(fd, (struct sockaddr *)&sa, &len))
		return explain(why, -ENOTCONN,
			       "it neither listens nor is connected");
	return 0;
}

int unixsock_adopt(struct unixsock *s, int fd, struct unixsock_why *why)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa);
	int err = check_inherited(fd, why);

	if (err)
		return err;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
		return explain(why, -errno, "%s", strerror(errno));
	*s = (struct unixsock){.fd = fd};
	/* The last byte of a path of full length is lost, to have a NUL. */
	if (!getsockname(fd, (struct sockaddr *)&sa, &len))
		memcpy(s->path, sa.sun_path, sizeof(s->path) - 1);
	return 0;
}

int unixsock_set_access(const struct unixsock *s,
			const struct unixsock_access *access)
{
	struct stat st;
	int node = pin_node(s->path, &st);
	int err = -ESTALE;

	if (node < 0)
		return node == -ENOENT ? -ESTALE : node;
	if (st.st_dev == s->dev && st.st_ino == s->ino)
		err = change_access(node, access);
	close(node);
	return err;
}

void unixsock_close(struct unixsock *s)
{
	if (s->fd < 0)
		return;
	/* While our descriptor is open, the inode number is not used again. */
	if (s->ino)
		remove_same(s->path, s->dev, s->ino);
	close(s->fd);
	s->fd = -1;
	s->ino = 0;
}

int unixsock_accept(int fd)
{
	int client;

	do {
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (client < 0 && errno == EINTR);
	if (client >= 0)
		return client;
	return errno == ECONNABORTED ? -EAGAIN : -errno;
}

/* Unix sockets have no connect in progress: connect() waits as a send does. */
static int set_send_timeout(int fd, int timeout_ms)
{
	struct timeval tv = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		return -errno;
	return 0;
}

static int connect_within(int fd, const char *path, int timeout_ms)
{
	struct sockaddr_un sa;
	int err = fill_address(&sa, path);

	if (err)
		return err;
	/* 0 would mean for ever. */
	err = set_send_timeout(fd, MAX(timeout_ms, 1));
	if (err)
		return err;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return set_send_timeout(fd, 0);
}

int unixsock_connect(const char *path, int timeout_ms)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;

	int err = connect_within(fd, path, timeout_ms);

	if (!err)
		return fd;
	close(fd);
	return err;
}

int unixsock_peer(int fd, struct ucred *peer)
{
	socklen_t len = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &len))
		return -errno;
	return 0;
}

void unixsock_process(pid_t pid, char name[UNIXSOCK_PROCESS_MAX])
{
	char path[64], text[UNIXSOCK_PROCESS_MAX] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[MAX(n, 0)] = '\0';
	text[strcspn(text, "\n")] = '\0';
	printable_word(name, UNIXSOCK_PROCESS_MAX, text);
}

/* Adds the descriptors of @msg to @fds, which has room for them. */
static void take_fds(struct msghdr *msg, struct unixsock_fds *fds)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;

		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		memcpy(&fds->fd[fds->nr], CMSG_DATA(c), bytes);
		fds->nr += bytes / sizeof(int);
	}
}

ssize_t unixsock_recv(int fd, void *buf, size_t len, struct unixsock_fds *fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(UNIXSOCK_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned room = fds ? UNIXSOCK_FDS - fds->nr : 0;
	ssize_t n;

	if (room) {
		/* Not CMSG_SPACE: its padding would hold one more. */
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(room * sizeof(int));
	}
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (room)
		take_fds(&msg, fds);
	return msg.msg_flags & MSG_CTRUNC ? -EMSGSIZE : n;
}

ssize_t unixsock_send(int fd, const void *buf, size_t len, const int *fds,
		      unsigned nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(UNIXSOCK_FDS * sizeof(int))];
	} control;
	/* sendmsg() does not write, but struct iovec has no const. */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nr_fds > UNIXSOCK_FDS)
		return -EMSGSIZE;
	if (nr_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(nr_fds * sizeof(int));

		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void unixsock_fds_close(struct unixsock_fds *fds)
{
	while (fds->nr)
		close(fds->fd[--fds->nr]);
}
