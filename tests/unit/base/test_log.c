/* SPDX-License-Identifier: BSD-2-Clause */
/* base/log: format, levels, who writes, limits; base/sink: where to. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/log.h"
#include "base/logline.h"

static int out = -1; /* where we read what was written to stderr */
static char text[1 << 20];

/* stderr becomes a pipe. */
static void capture(void)
{
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(dup2(p[1], STDERR_FILENO), STDERR_FILENO);
	close(p[1]);
	cr_assert_eq(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
	out = p[0];
}

/* All that was written since the last time. */
static const char *said(void)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(out, text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	return text;
}

static unsigned count_lines(const char *s)
{
	unsigned n = 0;

	while ((s = strchr(s, '\n'))) {
		s++;
		n++;
	}
	return n;
}

static atomic_uint wakes;

static void count_wake(void *arg)
{
	(void)arg;
	atomic_fetch_add(&wakes, 1);
}

static void run_thread(void *(*fn)(void *))
{
	pthread_t t;

	cr_assert_eq(pthread_create(&t, NULL, fn, NULL), 0);
	pthread_join(t, NULL);
}

TestSuite(log, .init = capture);

Test(log, writes_level_tag_and_text)
{
	log_err("vm1", "cannot open path=%s: %s", "/srv/a", "reason");
	log_warn("vm1/q2", "broken");
	log_info("reload", "%d added", 1);
	cr_assert_str_eq(said(), "err   vm1: cannot open path=/srv/a: reason\n"
				 "warn  vm1/q2: broken\n"
				 "info  reload: 1 added\n");
}

Test(log, says_only_what_the_level_allows)
{
	log_set(LOG_LEVEL_ERR, 0);
	log_warn("a", "no");
	log_info("a", "no");
	log_warn("a", "no");
	log_err("a", "yes");
	cr_assert_str_eq(said(), "err   a: yes\n");
}

Test(log, traces_only_the_categories_that_are_on)
{
	unsigned debug;

	cr_assert_eq(log_parse_debug("proto,io", &debug), 0);
	log_set(LOG_LEVEL_INFO, debug);
	log_debug(LOG_PROTO, "a", "%d", 1);
	log_debug(LOG_QUEUE, "a", "%d", 2);
	log_debug(LOG_IO, "a", "%d", 3);
	cr_assert_str_eq(said(), "debug proto a: 1\ndebug io a: 3\n");
}

Test(log, traces_everything_at_level_debug)
{
	log_set(LOG_LEVEL_DEBUG, 0);
	log_debug(LOG_CONTROL, "a", "%d", 1);
	cr_assert_str_eq(said(), "debug control a: 1\n");
}

Test(log, knows_its_names)
{
	unsigned debug;

	for (int i = 0; i < LOG_NR_LEVELS; i++)
		cr_assert_eq(log_parse_level(log_level_name(i)), i);
	cr_assert_eq(log_parse_level("loud"), -EINVAL);
	for (int i = 0; i < LOG_NR_CATEGORIES; i++) {
		cr_assert_eq(log_parse_debug(log_category_name(i), &debug), 0);
		cr_assert_eq(debug, 1U << i);
	}
	cr_assert_eq(log_parse_debug("all", &debug), 0);
	cr_assert_eq(debug, ~0U);
	cr_assert_eq(log_parse_debug("proto,", &debug), -EINVAL);
	cr_assert_eq(log_parse_debug("prot", &debug), -EINVAL);
	cr_assert_eq(log_parse_debug("", &debug), -EINVAL);
}

Test(log, keeps_errno)
{
	errno = ENOENT;
	log_err("a", "%m");
	cr_assert_eq(errno, ENOENT);
	log_warn("a", "%m");
	cr_assert_eq(errno, ENOENT);
	cr_assert_str_eq(said(), "err   a: No such file or directory\n"
				 "warn  a: No such file or directory\n");
}

Test(log, does_not_let_text_forge_lines)
{
	log_info("a", "%s", "x\nerr   b: y\033[2J");
	cr_assert_str_eq(said(), "info  a: x?err   b: y?[2J\n");
}

Test(log, cuts_long_lines)
{
	char longer[3000];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	log_info("a", "%s", longer);
	log_info(longer, "b");
	cr_assert_eq(count_lines(said()), 2);
	cr_assert_lt(strlen(text), 2 * 1024 + 1);
}

/* A line's end is not lost unseen, and no character is cut in two. */
Test(log, says_where_it_cut)
{
	char longer[LOGLINE_TEXT + 1];

	for (int i = 0; i < LOGLINE_TEXT; i += 2)
		memcpy(longer + i, "\303\244", 2);
	longer[LOGLINE_TEXT] = '\0';
	log_info("a", "%s", longer);
	log_info("ab", "%s", longer);
	cr_assert_eq(count_lines(said()), 2);
	cr_assert_not_null(strstr(text, "\303\244...\n"));
	cr_assert_not_null(strstr(text, "\303\244?...\n"));
}

/* As systemd does when stderr is a stream to the journal. */
static void pretend_stream(void)
{
	struct stat st;
	char stream[64];

	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	journal_path = "/nonexistent/socket";
}

Test(log, gives_a_stream_to_the_journal_its_priorities)
{
	pretend_stream();
	log_err("a", "b");
	log_info("a", "b");
	cr_assert_str_eq(said(), "<3>a: b\n<6>a: b\n");
}

/* A datagram socket in the journal's place; returns its descriptor. */
static int pretend_journal(char dir[], struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	cr_assert_not_null(mkdtemp(dir));
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(a->sun_path, sizeof(a->sun_path), "%s/socket", dir);
	cr_assert_eq(bind(fd, (struct sockaddr *)a, sizeof(*a)), 0);
	journal_path = a->sun_path;
	return fd;
}

static const char *received(int fd)
{
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

Test(log, sends_the_journal_lines_with_fields)
{
	char dir[] = "/tmp/vrlog.XXXXXX";
	struct sockaddr_un a;

	pretend_stream();

	int fd = pretend_journal(dir, &a);

	log_event(LOG_CLIENT_CONNECTED, "vm1", "client connected pid=%d", 7);
	cr_assert_str_eq(received(fd),
			 "PRIORITY=6\n"
			 "SYSLOG_FACILITY=3\n"
			 "SYSLOG_IDENTIFIER=vringd\n"
			 "MESSAGE=vm1: client connected pid=7\n"
			 "MESSAGE_ID=6fcc9a49b9a24e34a65e94a91397c673\n"
			 "TARGET=vm1\n"
			 "PEER_PID=7\n");
	log_warn("vm1/q3", "broken");
	cr_assert_not_null(strstr(received(fd), "\nTARGET=vm1\nQUEUE=3\n"));
	cr_assert_str_eq(said(), "");

	/* A journal that was started anew has another socket. */
	close(fd);
	unlink(a.sun_path);
	log_err("a", "on its own");
	cr_assert_str_eq(said(), "<3>a: on its own\n");
	rmdir(dir);

	char again[] = "/tmp/vrlog.XXXXXX";

	fd = pretend_journal(again, &a);
	log_err("a", "back");
	cr_assert_not_null(strstr(received(fd), "MESSAGE=a: back\n"));
	cr_assert_str_eq(said(), "");
	close(fd);
	unlink(a.sun_path);
	rmdir(again);
}

/* The queue of a socket is short; the test would time out if we waited. */
Test(log, does_not_wait_for_a_journal_that_reads_nothing, .timeout = 20)
{
	char dir[] = "/tmp/vrlog.XXXXXX";
	struct sockaddr_un a;
	unsigned nr = 0;

	pretend_stream();

	int fd = pretend_journal(dir, &a);

	for (int i = 0; i < 3000; i++)
		log_info("vringd", "%d", i);
	while (received(fd)[0])
		nr++;
	cr_assert_gt(nr, 0);
	cr_assert_lt(nr, 3000);
	log_info("a", "at last");
	cr_assert_not_null(strstr(received(fd), "MESSAGE=a: at last\n"));

	char lost[64];

	snprintf(lost, sizeof(lost), "%u lines were lost: nobody", 3000 - nr);
	cr_assert_not_null(strstr(received(fd), lost), "%s: %s", lost, text);
	cr_assert_str_eq(said(), "");
	close(fd);
	unlink(a.sun_path);
	rmdir(dir);
}

Test(log, is_not_fooled_by_an_inherited_journal_stream)
{
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_err("a", "b");
	cr_assert_str_eq(said(), "err   a: b\n");
}

static void *say_two(void *arg)
{
	(void)arg;
	log_info("worker", "one");
	log_info("worker", "two");
	return NULL;
}

Test(log, has_the_lines_of_workers_written_by_control)
{
	log_start(count_wake, NULL);
	run_thread(say_two);
	cr_assert_str_eq(said(), "");
	cr_assert_eq(wakes, 1);
	log_flush();
	cr_assert_str_eq(said(), "info  worker: one\ninfo  worker: two\n");
	log_stop();
}

Test(log, keeps_the_order_of_workers_and_control)
{
	log_start(count_wake, NULL);
	run_thread(say_two);
	log_info("control", "three");
	cr_assert_str_eq(said(), "info  worker: one\ninfo  worker: two\n"
				 "info  control: three\n");
	log_stop();
}

Test(log, lets_everybody_write_after_the_end)
{
	log_start(count_wake, NULL);
	run_thread(say_two);
	log_stop();
	cr_assert_str_eq(said(), "info  worker: one\ninfo  worker: two\n");
	run_thread(say_two);
	cr_assert_str_eq(said(), "info  worker: one\ninfo  worker: two\n");
}

static void *say_thousand(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		log_info("vringd/worker0", "%d", i);
	return NULL;
}

Test(log, counts_what_it_had_no_room_for)
{
	log_start(count_wake, NULL);
	run_thread(say_thousand);
	log_flush();
	cr_assert_eq(count_lines(said()), 257);
	cr_assert_not_null(strstr(text, "vringd/log: 744 lines were lost"));
	log_stop();
	cr_assert_str_eq(said(), "");
}

static void fill_stderr(void)
{
	char page[4096] = "";
	struct pollfd full = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (poll(&full, 1, 0) == 1)
		cr_assert_gt(write(STDERR_FILENO, page, sizeof(page)), 0);
}

/* The test would time out if a worker wrote. */
Test(log, never_blocks_a_worker_on_a_stuck_stderr, .timeout = 10)
{
	fill_stderr();
	log_start(count_wake, NULL);
	run_thread(say_thousand);
	said();
	log_stop();
	cr_assert_eq(count_lines(said()), 257);
}

/* It waits a little, once; then no more until somebody reads. */
Test(log, gives_control_back_when_stderr_is_stuck, .timeout = 20)
{
	fill_stderr();
	log_start(count_wake, NULL);
	for (int i = 0; i < 1000; i++)
		log_info("vringd", "%d", i);
	said();
	log_info("a", "at last");
	cr_assert_str_eq(said(), "info  a: at last\n"
				 "warn  vringd/log: 1000 lines were lost: "
				 "nobody read them\n");
	log_stop();
	cr_assert_str_eq(said(), "");
}

Test(log, survives_a_closed_stderr)
{
	close(STDERR_FILENO);
	log_info("a", "b");
	log_start(count_wake, NULL);
	log_info("a", "b");
	log_stop();
}

Test(log, survives_a_reader_that_left)
{
	signal(SIGPIPE, SIG_IGN);
	close(out);
	log_info("a", "b");
}

/* Time, level, text: "2026-11-22T14:03:05+0100 info  a: b". */
Test(log, stamps_lines_of_a_file)
{
	char path[] = "/tmp/vrlog.XXXXXX";
	int fd = mkstemp(path);
	struct tm tm = {0};

	setenv("TZ", "XXX-5", 1);
	cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);

	time_t before = time(NULL);

	log_info("a", "b");
	cr_assert_gt(pread(fd, text, sizeof(text), 0), 0);

	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	cr_assert_str_eq(rest, "+0500 info  a: b\n");
	cr_assert_leq(before, timegm(&tm) - 5 * 3600);
	cr_assert_geq(time(NULL), timegm(&tm) - 5 * 3600);
	unlink(path);
}

static bool has(const char *line)
{
	return strstr(text, line) != NULL;
}

Test(log, limits_what_is_said_of_a_target)
{
	for (int i = 0; i < 1000; i++)
		log_warn("vm1/q0", "broken: %d", i);
	cr_assert_eq(count_lines(said()), 10);
	log_warn("vm2/q0", "other");
	cr_assert_str_eq(said(), "warn  vm2/q0: other\n");
	log_stop();
	cr_assert_str_eq(said(), "warn  vm1: broken: 990 more in 1 s\n");
}

Test(log, says_all_that_the_program_says_of_itself)
{
	for (int i = 0; i < 30; i++) {
		log_info("vringd", "%d", i);
		log_err("vringd/reload", "%d", i);
	}
	cr_assert_eq(count_lines(said()), 60);
}

Test(log, limits_each_kind_and_keeps_its_level)
{
	for (int i = 0; i < 12; i++) {
		log_event(LOG_CLIENT_CONNECTED, "vm1",
			  "client connected pid=%d uid=%d", i, i);
		log_err("vm1", "cannot be used worker=%d: %s", i, "x");
		log_info("vm1", "client %d left", i);
	}
	cr_assert_eq(count_lines(said()), 30);
	log_stop();
	said();
	cr_assert_eq(count_lines(text), 3);
	cr_assert(has("info  vm1: client connected: 2 more in 1 s\n"));
	cr_assert(has("err   vm1: cannot be used: 2 more in 1 s\n"));
	cr_assert(has("info  vm1: client: 2 more in 1 s\n"));
}

/* However many queues a guest has. */
Test(log, limits_a_target_and_not_a_queue)
{
	char tag[16];

	for (int i = 0; i < 256; i++) {
		snprintf(tag, sizeof(tag), "vm1/q%d", i);
		log_warn(tag, "broken: %d", i);
	}
	cr_assert_eq(count_lines(said()), 10);
}

/* So that what was held back is said when the guest has become quiet. */
Test(log, wakes_control_once_to_say_how_many_more)
{
	log_start(count_wake, NULL);
	cr_assert_eq(log_flush(), -1);
	for (int i = 0; i < 10; i++)
		log_warn("vm1", "broken: %d", i);
	cr_assert_eq(wakes, 0);
	for (int i = 0; i < 100; i++)
		log_warn("vm1", "broken: %d", i);
	cr_assert_eq(wakes, 1);

	int ms = log_flush();

	cr_assert(ms > 0 && ms <= 10000, "%d", ms);
	log_warn("vm1", "broken");
	cr_assert_eq(wakes, 1);
	log_stop();
}
