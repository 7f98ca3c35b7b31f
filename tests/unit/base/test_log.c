/* SPDX-License-Identifier: BSD-2-Clause */
/* base/log: format, levels, who writes, limits. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

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
	log_guest("a", "no");
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
	log_guest("a", "%m");
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

Test(log, gives_the_journal_its_priorities)
{
	struct stat st;
	char stream[64];

	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_err("a", "b");
	log_info("a", "b");
	cr_assert_str_eq(said(), "<3>err   a: b\n<6>info  a: b\n");
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
		log_info("worker", "%d", i);
	return NULL;
}

Test(log, counts_what_it_had_no_room_for)
{
	log_start(count_wake, NULL);
	run_thread(say_thousand);
	log_flush();
	cr_assert_eq(count_lines(said()), 257);
	cr_assert_not_null(strstr(text, "warn  log: 744 lines were lost"));
	log_stop();
	cr_assert_str_eq(said(), "");
}

/* The test would time out if a worker wrote. */
Test(log, never_blocks_a_worker_on_a_stuck_stderr, .timeout = 10)
{
	char page[4096] = "";
	struct pollfd full = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (poll(&full, 1, 0) == 1)
		cr_assert_gt(write(STDERR_FILENO, page, sizeof(page)), 0);
	log_start(count_wake, NULL);
	run_thread(say_thousand);
	said();
	log_stop();
	cr_assert_eq(count_lines(said()), 257);
}

Test(log, limits_what_guests_can_cause)
{
	for (int i = 0; i < 1000; i++)
		log_guest("vm1/q0", "broken: %d", i);
	cr_assert_eq(count_lines(said()), 10);
	log_guest("vm2/q0", "other");
	cr_assert_str_eq(said(), "warn  vm2/q0: other\n");
	log_stop();
	cr_assert_str_eq(said(), "warn  vm1/q0: 990 more like this\n");
}
