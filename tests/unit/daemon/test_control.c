/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/control: questions, answers now and later, clients that misbehave. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/control.h"

#define BIG 3000000

static char dir[] = "/tmp/vringd-control-XXXXXX";
static char path[64];
static struct ev_loop *loop;
static struct control *control;
static struct control_reply *waiting;
static char asked[64];
static unsigned nr_asked;

static void answer_status(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	cr_assert_eq(ctx, &loop);
	cr_assert_null(args->target);
	nr_asked++;
	control_reply_send(reply, json_object_new_string("fine"));
}

static void answer_list(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	char *big = malloc(BIG);

	(void)ctx;
	(void)args;
	memset(big, 'x', BIG);
	control_reply_send(reply, json_object_new_string_len(big, BIG));
	free(big);
}

static void answer_show(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	(void)ctx;
	snprintf(asked, sizeof(asked), "%s", args->target);
	waiting = reply;
}

static void answer_stats(void *ctx, const struct command_args *args,
			 struct control_reply *reply)
{
	(void)ctx;
	if (args->target)
		control_reply_fail(reply, "no target named \"%s\"",
				   args->target);
	else
		control_reply_send(reply, NULL);
}

static void answer_log_level(void *ctx, const struct command_args *args,
			     struct control_reply *reply)
{
	char text[64];

	(void)ctx;
	snprintf(text, sizeof(text), "%s %s", args->level ? args->level : "-",
		 args->debug ? args->debug : "-");
	control_reply_send_status(reply, 2, json_object_new_string(text));
}

static const struct control_ops ops = {
	.status = answer_status,
	.list = answer_list,
	.show = answer_show,
	.stats = answer_stats,
	.log_level = answer_log_level,
};

static void open_control(unsigned timeout_ms)
{
	struct unixsock_why why;
	struct control_params p = {
		.path = path,
		.access = {.uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600},
		.loop = loop,
		.ops = &ops,
		.ctx = &loop,
		.timeout_ms = timeout_ms,
	};

	cr_assert_eq(control_open(&control, &p, &why), 0, "%s", why.text);
}

static void start(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.sock", dir);
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	open_control(5000);
}

static void stop(void)
{
	control_close(control);
	ev_loop_destroy(loop);
	cr_assert_eq(rmdir(dir), 0, "the socket is still there");
}

TestSuite(control, .init = start, .fini = stop);

static int connect_client(void)
{
	int fd = unixsock_connect(path, 1000);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static void put(int fd, const char *text)
{
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	turn();
}

/* Runs the loop until the daemon closes; returns what it said. */
static const char *get(int fd)
{
	static char buf[BIG + 100];
	size_t len = 0;

	for (int i = 0; i < 20000; i++) {
		ev_run(loop, EVRUN_NOWAIT);

		ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);

		if (n < 0 && errno == EAGAIN) {
			usleep(500);
			continue;
		}
		if (n <= 0) {
			close(fd);
			buf[len] = '\0';
			return buf;
		}
		len += (size_t)n;
	}
	cr_assert_fail("the daemon did not close");
	return NULL;
}

static void expect(const char *question, const char *answer)
{
	int fd = connect_client();

	put(fd, question);

	const char *said = get(fd);

	cr_assert_str_eq(said, answer, "for %s said %s", question, said);
}

#define FINE	   "{\"version\":1,\"ok\":true,\"result\":\"fine\"}\n"
#define FAIL(text) "{\"version\":1,\"ok\":false,\"error\":\"" text "\"}\n"
#define STATUS	   "{\"version\":1,\"command\":\"status\"}\n"
#define SHOW                                                                   \
	"{\"version\":1,\"command\":\"show\",\"arguments\":{\"target\":\"a\"}" \
	"}\n"

Test(control, answers_a_question)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	expect(STATUS, FINE);
	expect("{\"version\":1,\"command\":\"status\",\"arguments\":{}}\n",
	       FINE);
	expect(" { \"command\" : \"status\", \"version\" : 1 }\n", FINE);
	expect(STATUS "more that nobody reads\n", FINE);
	cr_assert_eq(nr_asked, 4);
}

Test(control, passes_errors_on)
{
	expect("{\"version\":1,\"command\":\"stats\","
	       "\"arguments\":{\"target\":\"b\"}}\n",
	       FAIL("no target named \\\"b\\\""));
	expect("{\"version\":1,\"command\":\"stats\"}\n",
	       FAIL("out of memory"));
}

Test(control, refuses_what_it_does_not_understand)
{
	static const struct {
		const char *question;
		const char *answer;
	} cases[] = {
		{"\n", FAIL("the line is no JSON object")},
		{"status\n", FAIL("the line is no JSON object")},
		{"[1]\n", FAIL("the line is no JSON object")},
		{"{\"version\":1,\n", FAIL("the line is no JSON object")},
		{"{\"version\":1} x\n", FAIL("the line is no JSON object")},
		{"{\"a\":\"\xff\"}\n", FAIL("the line is no JSON object")},
		{"{\"version\":[[[[[[[[[1]]]]]]]]]}\n",
		 FAIL("the line is no JSON object")},
		{"{}\n", FAIL("version and command are needed")},
		{"{\"version\":1}\n", FAIL("version and command are needed")},
		{"{\"version\":2,\"command\":\"status\"}\n",
		 FAIL("this daemon speaks version 1 only")},
		{"{\"version\":\"1\",\"command\":\"status\"}\n",
		 FAIL("this daemon speaks version 1 only")},
		{"{\"version\":1,\"command\":7}\n",
		 FAIL("command must be a string")},
		{"{\"version\":1,\"command\":\"status\\u0000\"}\n",
		 FAIL("command must be a string")},
		{"{\"version\":1,\"command\":\"stop\"}\n",
		 FAIL("unknown command stop")},
		{"{\"version\":1,\"command\":\"status\",\"dry\":1}\n",
		 FAIL("unknown member dry")},
		{"{\"version\":1,\"command\":\"show\",\"arguments\":[]}\n",
		 FAIL("arguments must be an object")},
		{"{\"version\":1,\"command\":\"show\","
		 "\"arguments\":{\"all\":true}}\n",
		 FAIL("unknown argument all")},
		{"{\"version\":1,\"command\":\"show\","
		 "\"arguments\":{\"target\":null}}\n",
		 FAIL("target must be a string")},
		{"{\"version\":1,\"command\":\"show\"}\n",
		 FAIL("show needs a target")},
		{"{\"version\":1,\"command\":\"log-level\","
		 "\"arguments\":{\"target\":\"a\"}}\n",
		 FAIL("log-level takes no target")},
		{"{\"version\":1,\"arguments\":{\"level\":\"a\"},"
		 "\"command\":\"show\"}\n",
		 FAIL("show needs a target")},
		{"{\"version\":1,\"command\":\"list\","
		 "\"arguments\":{\"target\":\"a\"}}\n",
		 FAIL("list takes no target")},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].question, cases[i].answer);
	cr_assert_eq(nr_asked, 0);
	cr_assert_null(waiting);
}

Test(control, hands_on_arguments_and_a_status)
{
	expect("{\"version\":1,\"command\":\"log-level\",\"arguments\":"
	       "{\"debug\":\"io\",\"level\":\"warn\"}}\n",
	       "{\"version\":1,\"ok\":true,\"status\":2,"
	       "\"result\":\"warn io\"}\n");
	expect("{\"version\":1,\"command\":\"log-level\"}\n",
	       "{\"version\":1,\"ok\":true,\"status\":2,"
	       "\"result\":\"- -\"}\n");
}

Test(control, reads_a_line_in_pieces)
{
	int fd = connect_client();

	for (const char *p = STATUS; *p; p++) {
		char piece[2] = {*p, '\0'};

		put(fd, piece);
	}
	cr_assert_str_eq(get(fd), FINE);
}

Test(control, refuses_a_line_that_does_not_end)
{
	static char line[CONTROL_LINE_MAX + 1];
	int fd = connect_client();

	memset(line, ' ', CONTROL_LINE_MAX);
	put(fd, line);
	cr_assert_str_eq(get(fd), FAIL("the line is too long"));
}

Test(control, answers_later)
{
	int fd = connect_client();

	put(fd, SHOW);
	cr_assert_str_eq(asked, "a");
	cr_assert(control_reply_is_wanted(waiting));
	expect(STATUS, FINE);
	control_reply_send(waiting, json_object_new_int(7));
	cr_assert_str_eq(get(fd), "{\"version\":1,\"ok\":true,\"result\":7}\n");
}

Test(control, answers_a_client_that_has_closed_its_half)
{
	int fd = connect_client();

	put(fd, SHOW);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	turn();
	control_reply_fail(waiting, "%d", 7);
	cr_assert_str_eq(get(fd), FAIL("7"));
}

Test(control, drops_the_answer_for_a_client_that_left)
{
	int fd = connect_client();

	put(fd, SHOW);
	close(fd);
	turn();
	control_reply_send(waiting, json_object_new_int(7));
	fd = connect_client();
	put(fd, SHOW);
	close(fd);
	control_reply_fail(waiting, "too late");
	expect(STATUS, FINE);
}

Test(control, forgets_a_client_that_leaves_in_the_middle_of_a_line)
{
	int fd = connect_client();

	put(fd, "{\"vers");
	close(fd);
	turn();
	fd = connect_client();
	put(fd, "{\"vers");
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	cr_assert_str_eq(get(fd), "");
}

Test(control, sends_an_answer_that_fills_the_socket)
{
	int fd = connect_client();

	put(fd, "{\"version\":1,\"command\":\"list\"}\n");
	expect(STATUS, FINE);

	const char *said = get(fd);
	const char *end = said + strlen(said);

	cr_assert_eq(end - said, BIG + 36);
	cr_assert_str_eq(end - 4, "x\"}\n");
}

Test(control, forgets_a_client_that_leaves_in_the_middle_of_an_answer)
{
	int fd = connect_client();

	put(fd, "{\"version\":1,\"command\":\"list\"}\n");
	close(fd);
	turn();
	expect(STATUS, FINE);
}

Test(control, cuts_off_silent_and_slow_clients)
{
	control_close(control);
	open_control(100);

	int silent = connect_client();
	int slow = connect_client();

	put(silent, "{");
	put(slow, "{\"version\":1,\"command\":\"list\"}\n");
	cr_assert_str_eq(get(silent), "");
	for (int i = 0; i < 100; i++) {
		usleep(2000);
		ev_run(loop, EVRUN_NOWAIT);
	}
	cr_assert_lt(strlen(get(slow)), BIG);
}

Test(control, tells_a_client_that_the_answer_takes_too_long)
{
	control_close(control);
	open_control(50);

	int fd = connect_client();

	put(fd, SHOW);
	cr_assert_str_eq(get(fd), FAIL("no answer in time"));
	cr_assert_not(control_reply_is_wanted(waiting));
	control_reply_send(waiting, json_object_new_int(7));
}

Test(control, bounds_the_number_of_clients)
{
	int fds[CONTROL_CLIENTS];

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		fds[i] = connect_client();
		turn();
	}

	int next = connect_client();
	char c;

	put(next, STATUS);
	cr_assert_eq(read(next, &c, 1), -1);
	cr_assert_eq(errno, EAGAIN);
	close(fds[3]);
	cr_assert_str_eq(get(next), FINE);
	put(fds[4], STATUS);
	cr_assert_str_eq(get(fds[4]), FINE);
}

Test(control, closes_while_answers_are_due)
{
	int fd = connect_client();

	put(fd, SHOW);
	control_close(control);
	control = NULL;
	cr_assert_not(control_reply_is_wanted(waiting));
	control_reply_send(waiting, json_object_new_int(7));
	cr_assert_str_eq(get(fd), "");
}

Test(control, refuses_descriptors)
{
	int fd = connect_client();
	int null = 0;

	cr_assert_eq(unixsock_send(fd, STATUS, strlen(STATUS), &null, 1),
		     (ssize_t)strlen(STATUS));
	cr_assert_str_eq(get(fd), "");
}
