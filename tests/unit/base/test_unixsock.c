/* SPDX-License-Identifier: BSD-2-Clause */
/* base/unixsock: what it replaces, rights, time-outs, passing descriptors. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/unixsock.h"

static char dir[] = "/tmp/vringd-unixsock-XXXXXX";
static char path[128];
static struct unixsock_why why;
static const struct unixsock_access mine = {.uid = (uid_t)-1,
					    .gid = (gid_t)-1,
					    .mode = 0660};

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.sock", dir);
	why.text[0] = '\0';
}

static void remove_dir(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(unixsock, .init = make_dir, .fini = remove_dir);

static mode_t mode_of(const char *file)
{
	struct stat st;

	cr_assert_eq(lstat(file, &st), 0);
	return st.st_mode;
}

/* A socket that is bound, and listening only if asked. */
static int raw_socket(const char *file, int type, bool listening)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	strcpy(sa.sun_path, file);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (listening)
		cr_assert_eq(listen(fd, 0), 0);
	return fd;
}

static void expect_refusal(int err, const char *words)
{
	struct unixsock s;

	cr_assert_eq(unixsock_listen(&s, path, &mine, &why), err);
	cr_assert_not_null(strstr(why.text, words), "said: %s", why.text);
	cr_assert_eq(s.fd, -1);
}

Test(unixsock, serves_a_client_and_removes_its_node)
{
	struct unixsock s;

	cr_assert_eq(unixsock_listen(&s, path, &mine, &why), 0);
	cr_assert_eq(mode_of(path), (mode_t)(S_IFSOCK | 0660));
	cr_assert_eq(unixsock_accept(s.fd), -EAGAIN);

	int client = unixsock_connect(path, 1000);
	int server = unixsock_accept(s.fd);

	cr_assert_geq(client, 0);
	cr_assert_geq(server, 0);
	cr_assert(fcntl(server, F_GETFL) & O_NONBLOCK);
	cr_assert(fcntl(server, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(client, F_GETFD) & FD_CLOEXEC);
	cr_assert_not(fcntl(client, F_GETFL) & O_NONBLOCK);
	unixsock_close(&s);
	cr_assert_eq(access(path, F_OK), -1);
	unixsock_close(&s);
	close(client);
	close(server);
}

Test(unixsock, gives_the_node_its_mode_whatever_the_umask)
{
	struct unixsock s;
	struct unixsock_access open_to_all = mine;

	umask(0777);
	open_to_all.mode = 0666;
	cr_assert_eq(unixsock_listen(&s, path, &open_to_all, &why), 0);
	cr_assert_eq(mode_of(path), (mode_t)(S_IFSOCK | 0666));
	cr_assert_eq(unixsock_set_access(&s, &mine), 0);
	cr_assert_eq(mode_of(path), (mode_t)(S_IFSOCK | 0660));
	unixsock_close(&s);
}

Test(unixsock, changes_the_owner_where_it_may)
{
	struct unixsock s;
	struct unixsock_access other = {.uid = 1, .gid = 2, .mode = 0600};
	struct stat st;

	if (geteuid())
		cr_skip_test("needs root");
	cr_assert_eq(unixsock_listen(&s, path, &other, &why), 0);
	cr_assert_eq(lstat(path, &st), 0);
	cr_assert_eq(st.st_uid, 1);
	cr_assert_eq(st.st_gid, 2);
	unixsock_close(&s);
}

Test(unixsock, leaves_nothing_behind_where_it_may_not_change_the_owner)
{
	struct unixsock_access root = {.uid = 0, .gid = 0, .mode = 0600};

	if (geteuid() == 0) {
		cr_assert_eq(chown(dir, 65534, 65534), 0);
		cr_assert_eq(setegid(65534), 0);
		cr_assert_eq(seteuid(65534), 0);
	}

	struct unixsock s;

	cr_assert_eq(unixsock_listen(&s, path, &root, &why), -EPERM);
	cr_assert_str_eq(why.text, "only root can give it to another user");
	cr_assert_eq(access(path, F_OK), -1);
	root.uid = -1;
	root.gid = 1;
	cr_assert_eq(unixsock_listen(&s, path, &root, &why), -EPERM);
	cr_assert_not_null(strstr(why.text, "is not in the group it is for"));
	cr_assert_eq(access(path, F_OK), -1);
	cr_assert_eq(unixsock_listen(&s, "/vringd.sock", &mine, &why), -EACCES);
	cr_assert_not_null(strstr(why.text, "may not make a file in its "
					    "folder"));
	/* Back to what it was; a leak sanitizer needs a process that dumps. */
	cr_assert_eq(seteuid(getuid()), 0);
	cr_assert_eq(setegid(getgid()), 0);
	cr_assert_eq(prctl(PR_SET_DUMPABLE, 1), 0);
}

Test(unixsock, replaces_a_stale_socket)
{
	struct unixsock s;

	close(raw_socket(path, SOCK_STREAM, true));
	cr_assert_eq(access(path, F_OK), 0);
	cr_assert_eq(unixsock_listen(&s, path, &mine, &why), 0);

	int client = unixsock_connect(path, 1000);

	cr_assert_geq(client, 0);
	close(client);
	unixsock_close(&s);
}

Test(unixsock, never_replaces_a_live_socket)
{
	int fd = raw_socket(path, SOCK_STREAM, true);

	expect_refusal(-EADDRINUSE, "another process listens there");

	/* Its backlog of 0 holds one: that question has filled it. */
	cr_assert_eq(unixsock_connect(path, 1), -ETIMEDOUT);
	expect_refusal(-EADDRINUSE, "another process listens there");
	cr_assert(S_ISSOCK(mode_of(path)));
	close(fd);
}

/* What another daemon does, between its bind() and its listen(). */
static void *listen_late(void *arg)
{
	const int *fds = arg;

	usleep(50000);
	listen(fds[0], 1);
	close(fds[1]);
	return NULL;
}

Test(unixsock, never_replaces_a_socket_that_is_being_made)
{
	int fds[] = {raw_socket(path, SOCK_STREAM, false),
		     open(dir, O_RDONLY | O_DIRECTORY)};
	pthread_t other;

	cr_assert_eq(flock(fds[1], LOCK_EX), 0);
	cr_assert_eq(pthread_create(&other, NULL, listen_late, fds), 0);
	expect_refusal(-EADDRINUSE, "another process listens there");
	pthread_join(other, NULL);
	close(fds[0]);
}

Test(unixsock, does_not_wait_long_for_who_holds_the_lock)
{
	int lock = open(dir, O_RDONLY | O_DIRECTORY);
	struct unixsock s;

	cr_assert_eq(flock(lock, LOCK_EX), 0);
	cr_assert_eq(unixsock_listen(&s, path, &mine, &why), 0);
	unixsock_close(&s);
	close(lock);
}

Test(unixsock, never_replaces_a_datagram_socket)
{
	int fd = raw_socket(path, SOCK_DGRAM, false);

	expect_refusal(-EADDRINUSE, "another process");
	close(fd);
}

Test(unixsock, says_what_is_in_the_way)
{
	char other[128];

	close(open(path, O_CREAT | O_WRONLY, 0600));
	expect_refusal(-EEXIST, "a regular file is in the way");
	unlink(path);

	cr_assert_eq(mkdir(path, 0700), 0);
	expect_refusal(-EEXIST, "a directory is in the way");
	rmdir(path);

	/* Even where it leads to a stale socket. */
	snprintf(other, sizeof(other), "%s/b.sock", dir);
	close(raw_socket(other, SOCK_STREAM, true));
	cr_assert_eq(symlink(other, path), 0);
	expect_refusal(-EEXIST, "a symbolic link is in the way");
	cr_assert(S_ISLNK(mode_of(path)));
	cr_assert(S_ISSOCK(mode_of(other)));

	unlink(path);
	cr_assert_eq(symlink("/nonexistent/x", path), 0);
	expect_refusal(-EEXIST, "a symbolic link is in the way");
}

Test(unixsock, refuses_a_path_that_does_not_fit)
{
	memset(path, 'x', UNIXSOCK_PATH_SIZE);
	path[UNIXSOCK_PATH_SIZE] = '\0';
	expect_refusal(-ENAMETOOLONG, "longer than 107 bytes");
	cr_assert_eq(unixsock_connect(path, 10), -ENAMETOOLONG);
	path[0] = '\0';
	expect_refusal(-EINVAL, "empty");
	strcpy(path, "/nonexistent/a.sock");
	expect_refusal(-ENOENT, "its folder does not exist");
}

Test(unixsock, leaves_a_node_that_took_its_place)
{
	struct unixsock s;

	cr_assert_eq(unixsock_listen(&s, path, &mine, &why), 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(unixsock_set_access(&s, &mine), -ESTALE);

	int fd = raw_socket(path, SOCK_STREAM, true);

	cr_assert_eq(unixsock_set_access(&s, &mine), -ESTALE);
	unixsock_close(&s);
	cr_assert(S_ISSOCK(mode_of(path)));
	close(fd);
}

Test(unixsock, stops_waiting_for_a_full_backlog)
{
	int fd = raw_socket(path, SOCK_STREAM, true);
	int client = unixsock_connect(path, 1000);
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	cr_assert_eq(unixsock_connect(path, 50), -ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &to);

	double seconds = (double)(to.tv_sec - from.tv_sec) +
			 (double)(to.tv_nsec - from.tv_nsec) / 1e9;

	cr_assert_geq(seconds, 0.04);
	cr_assert_lt(seconds, 5);
	close(client);
	close(fd);
	cr_assert_eq(unixsock_connect(path, 50), -ECONNREFUSED);
}

Test(unixsock, knows_its_peer)
{
	struct ucred peer;
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(unixsock_peer(pair[0], &peer), 0);
	cr_assert_eq(peer.pid, getpid());
	cr_assert_eq(peer.uid, geteuid());
	cr_assert_eq(peer.gid, getegid());
	cr_assert_eq(unixsock_peer(0xffff, &peer), -EBADF);
}

static int nr_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void send_fds(int socket, unsigned n)
{
	int fds[UNIXSOCK_FDS];

	for (unsigned i = 0; i < n; i++)
		fds[i] = STDIN_FILENO;
	cr_assert_eq(unixsock_send(socket, "abcd", 4, fds, n), 4);
}

Test(unixsock, passes_descriptors)
{
	struct unixsock_fds fds = {.nr = 0};
	struct stat st, got;
	int pair[2];
	char buf[8];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair),
		     0);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), -EAGAIN);
	send_fds(pair[0], 2);
	cr_assert_eq(unixsock_recv(pair[1], buf, 2, &fds), 2);
	cr_assert_eq(fds.nr, 2);
	cr_assert_eq(fstat(STDIN_FILENO, &st), 0);
	cr_assert_eq(fstat(fds.fd[1], &got), 0);
	cr_assert_eq(st.st_ino, got.st_ino);
	cr_assert(fcntl(fds.fd[0], F_GETFD) & FD_CLOEXEC);

	/* The rest of the bytes has no descriptors, the next message has. */
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), 2);
	cr_assert_eq(fds.nr, 2);
	send_fds(pair[0], 1);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), 4);
	cr_assert_eq(fds.nr, 3);
	cr_assert_eq(unixsock_send(pair[0], "x", 1, NULL, 0), 1);
	close(pair[0]);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), 1);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), 0);
	cr_assert_eq(unixsock_send(pair[1], "x", 1, NULL, 0), -EPIPE);
	unixsock_fds_close(&fds);
	cr_assert_eq(fds.nr, 0);
}

Test(unixsock, takes_as_many_descriptors_as_there_can_be)
{
	static struct unixsock_fds fds;
	int many[UNIXSOCK_FDS + 1] = {0};
	int pair[2];
	char buf[8];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);

	int before = nr_open();

	cr_assert_eq(unixsock_send(pair[0], "x", 1, many, UNIXSOCK_FDS + 1),
		     -EMSGSIZE);
	send_fds(pair[0], UNIXSOCK_FDS);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), 4);
	cr_assert_eq(fds.nr, UNIXSOCK_FDS);
	unixsock_fds_close(&fds);
	cr_assert_eq(nr_open(), before);
}

Test(unixsock, tells_of_descriptors_that_were_lost)
{
	static struct unixsock_fds fds;
	int pair[2];
	char buf[8];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);

	int before = nr_open();

	for (unsigned room = 0; room < 3; room++) {
		for (unsigned i = room; i < UNIXSOCK_FDS; i++)
			fds.fd[i - room] = -1;
		fds.nr = UNIXSOCK_FDS - room;
		send_fds(pair[0], 3);
		cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), -EMSGSIZE);
		cr_assert_eq(fds.nr, UNIXSOCK_FDS);
		unixsock_fds_close(&fds);
		cr_assert_eq(nr_open(), before, "room %u", room);
	}
	send_fds(pair[0], 1);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, NULL), -EMSGSIZE);
	cr_assert_eq(nr_open(), before);
}

Test(unixsock, tells_of_descriptors_that_found_no_number)
{
	static struct unixsock_fds fds;
	int pair[2];
	char buf[8];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	send_fds(pair[0], 3);

	int next = dup(pair[0]);
	struct rlimit limit = {.rlim_cur = (rlim_t)next + 1,
			       .rlim_max = (rlim_t)next + 1};

	close(next);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(unixsock_recv(pair[1], buf, 8, &fds), -EMSGSIZE);
	cr_assert_eq(fds.nr, 1);
	unixsock_fds_close(&fds);
}

Test(unixsock, finds_users_and_groups_by_name_and_number)
{
	struct unixsock_access a;

	cr_assert_eq(unixsock_access_find(&a, NULL, NULL, 0600, &why), 0);
	cr_assert_eq(a.uid, (uid_t)-1);
	cr_assert_eq(a.gid, (gid_t)-1);
	cr_assert_eq(a.mode, 0600);
	cr_assert_eq(unixsock_access_find(&a, "root", "12", 0600, &why), 0);
	cr_assert_eq(a.uid, 0);
	cr_assert_eq(a.gid, 12);
	cr_assert_eq(unixsock_access_find(&a, "no-such", NULL, 0, &why),
		     -ENOENT);
	cr_assert_str_eq(why.text, "no user named no-such");
	cr_assert_eq(unixsock_access_find(&a, NULL, "no-such", 0, &why),
		     -ENOENT);
	cr_assert_str_eq(why.text, "no group named no-such");
	cr_assert_eq(unixsock_access_find(&a, "4294967295", NULL, 0, &why),
		     -ENOENT);
}

Test(unixsock, adopts_a_listening_socket_and_leaves_its_node)
{
	struct unixsock s;
	int fd = raw_socket(path, SOCK_STREAM, true);

	cr_assert(unixsock_is_listening(fd));
	cr_assert_eq(unixsock_adopt(&s, fd, &why), 0, "%s", why.text);
	cr_assert_eq(s.fd, fd);
	cr_assert_str_eq(s.path, path);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	unixsock_close(&s);
	cr_assert_eq(access(path, F_OK), 0);
}

Test(unixsock, adopts_a_connected_socket)
{
	struct unixsock s;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_not(unixsock_is_listening(fds[0]));
	cr_assert_eq(unixsock_adopt(&s, fds[0], &why), 0, "%s", why.text);
	cr_assert_eq(s.fd, fds[0]);
	cr_assert_str_eq(s.path, "");
	unixsock_close(&s);
	close(fds[1]);
}

Test(unixsock, adopts_nothing_else)
{
	struct unixsock s;
	int idle = raw_socket(path, SOCK_STREAM, false);
	int datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
	int inet = socket(AF_INET, SOCK_STREAM, 0);
	int file = open("/dev/null", O_RDONLY);

	cr_assert_eq(unixsock_adopt(&s, 999, &why), -EBADF);
	cr_assert_eq(unixsock_adopt(&s, file, &why), -ENOTSOCK);
	cr_assert_str_eq(why.text, "it is no socket");
	cr_assert_eq(unixsock_adopt(&s, datagrams, &why), -EPROTOTYPE);
	cr_assert_str_eq(why.text, "it is no Unix stream socket");
	cr_assert_eq(unixsock_adopt(&s, inet, &why), -EPROTOTYPE);
	cr_assert_eq(unixsock_adopt(&s, idle, &why), -ENOTCONN);
	cr_assert_str_eq(why.text, "it neither listens nor is connected");
	close(idle);
	close(datagrams);
	close(inet);
	close(file);
}

Test(unixsock, knows_the_name_of_a_process_and_makes_it_one_word)
{
	char name[UNIXSOCK_PROCESS_MAX];

	cr_assert_eq(prctl(PR_SET_NAME, "a b=1: c"), 0);
	unixsock_process(getpid(), name);
	cr_assert_str_eq(name, "a?b?1??c");
	unixsock_process(-1, name);
	cr_assert_str_eq(name, "");
}
