/* SPDX-License-Identifier: BSD-2-Clause */
/* vringctl: what it prints for people, JSON, and its exit status. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/control.h"

static char dir[] = "/tmp/vringd-vringctl-XXXXXX";
static char path[64];
static struct ev_loop *loop;
static struct control *control;

static void answer_json(struct control_reply *reply, const char *json)
{
	struct json_object *o = json_tokener_parse(json);

	cr_assert_not_null(o);
	control_reply_send(reply, o);
}

static void answer_status(void *ctx, const struct command_args *args,
			  struct control_reply *reply)
{
	(void)ctx;
	(void)args;
	answer_json(reply, "{\"version\":\"0.1\",\"uptime_s\":93784,"
			   "\"workers\":[{\"id\":0,\"cpu\":12,\"ring\":"
			   "\"direct\"},{\"id\":11,\"cpu\":null,\"ring\":"
			   "\"sqpoll\"}],\"targets\":2}");
}

static void answer_list(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	(void)ctx;
	(void)args;
	answer_json(reply,
		    "[{\"name\":\"a\",\"size\":10737418240,\"read_only\":"
		    "false},{\"name\":\"long-name\",\"size\":1536,"
		    "\"read_only\":true}]");
}

static void answer_show(void *ctx, const struct command_args *args,
			struct control_reply *reply)
{
	(void)ctx;
	if (!strcmp(args->target, "words"))
		answer_json(reply,
			    "{\"words\":[\"word-0\",\"word-1\",\"word-2\","
			    "\"word-3\",\"word-4\",\"word-5\",\"word-6\","
			    "\"word-7\",\"word-8\",\"word-9\",\"word-10\","
			    "\"word-11\"]}");
	else if (strcmp(args->target, "a"))
		control_reply_fail(reply, "no target named %s", args->target);
	else
		answer_json(reply,
			    "{\"name\":\"a\\u001b[2J\",\"backend\":{\"path\":"
			    "\"/x\",\"block_size\":512},\"session\":{"
			    "\"features\":4096,\"queues\":[]}}");
}

/* Each second a hundred reads of 4 KiB, which take 2 ms. */
static void answer_interval(struct control_reply *reply)
{
	static unsigned n;
	char text[256];

	n++;
	snprintf(text, sizeof(text),
		 "[{\"name\":\"a\",\"counted_us\":%u,\"workers\":1,"
		 "\"counters\":{\"reads\":%u,\"read_bytes\":%u,"
		 "\"read_us\":%u,\"weighted_us\":%u,\"busy_us\":%u}}]",
		 n * 1000000, n * 100, n * 409600, n * 200000, n * 200000,
		 n * 150000);
	answer_json(reply, text);
}

static void answer_stats(void *ctx, const struct command_args *args,
			 struct control_reply *reply)
{
	(void)ctx;
	if (args->target) {
		answer_interval(reply);
		return;
	}
	answer_json(reply, "[{\"name\":\"a\",\"counters\":{\"reads\":5,"
			   "\"read_bytes\":20480,\"read_us\":999},"
			   "\"latency\":[{\"op\":\"read\",\"p50_us\":20000,"
			   "\"p100_us\":93784123},{\"op\":\"write\","
			   "\"p50_us\":500,\"p100_us\":null}]},{\"name\":\"b\","
			   "\"counters\":{\"reads\":0,\"read_bytes\":0}}]");
}

static void answer_log_level(void *ctx, const struct command_args *args,
			     struct control_reply *reply)
{
	struct json_object *o = json_object_new_array();

	(void)ctx;
	json_object_array_add(o, args->level
					 ? json_object_new_string(args->level)
					 : NULL);
	json_object_array_add(o, args->debug
					 ? json_object_new_string(args->debug)
					 : NULL);
	control_reply_send_status(reply, args->debug ? 2 : 0, o);
}

static const struct control_ops ops = {
	.status = answer_status,
	.list = answer_list,
	.show = answer_show,
	.stats = answer_stats,
	.log_level = answer_log_level,
};

static void start(void)
{
	struct unixsock_why why;
	struct control_params p = {
		.path = path,
		.access = {.uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600},
		.ops = &ops,
		.timeout_ms = 5000,
	};

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.sock", dir);
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	p.loop = loop;
	cr_assert_eq(control_open(&control, &p, &why), 0);
	setenv("VRINGD_SOCKET", path, 1);
}

static void stop(void)
{
	control_close(control);
	ev_loop_destroy(loop);
	rmdir(dir);
}

TestSuite(vringctl, .init = start, .fini = stop);

static const char *program(void)
{
	static char name[256];
	const char *top = getenv("top_builddir");

	snprintf(name, sizeof(name), "%s/vringctl", top ? top : ".");
	return name;
}

/*
 * Runs the real program with @args while this process plays the daemon.
 * Returns its exit status and what it printed.
 */
static int run(const char *args, char *out, size_t size)
{
	char command[512];
	size_t len = 0;

	snprintf(command, sizeof(command), "%s %s 2>&1", program(), args);

	FILE *f = popen(command, "re");

	cr_assert_not_null(f);
	cr_assert_eq(fcntl(fileno(f), F_SETFL, O_NONBLOCK), 0);
	for (;;) {
		ev_run(loop, EVRUN_NOWAIT);

		ssize_t n = read(fileno(f), out + len, size - 1 - len);

		if (!n)
			break;
		if (n > 0)
			len += (size_t)n;
		else
			usleep(500);
	}
	out[len] = '\0';

	int status = pclose(f);

	cr_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect(const char *args, int status, const char *text)
{
	char out[4096];
	int got = run(args, out, sizeof(out));

	cr_assert_eq(got, status, "%s: status %d: %s", args, got, out);
	cr_assert_str_eq(out, text, "%s printed:\n%s", args, out);
}

static void expect_part(const char *args, int status, const char *part)
{
	char out[4096];
	int got = run(args, out, sizeof(out));

	cr_assert_eq(got, status, "%s: status %d: %s", args, got, out);
	cr_assert_not_null(strstr(out, part), "%s printed:\n%s", args, out);
}

Test(vringctl, prints_aligned_tables_for_people)
{
	expect("status", 0,
	       "version  0.1\n"
	       "uptime   1 days 02:03:04\n"
	       "workers:\n"
	       "  ID  CPU  RING\n"
	       "   0   12  direct\n"
	       "  11    -  sqpoll\n"
	       "targets  2\n");
	expect("list", 0,
	       "NAME          SIZE  READ-ONLY\n"
	       "a           10 GiB  no\n"
	       "long-name  1.5 KiB  yes\n");
	expect("stats", 0,
	       "name  a\n"
	       "counters:\n"
	       "  reads       5\n"
	       "  read bytes  20480\n"
	       "  read time   999 us\n"
	       "latency:\n"
	       "  OP        P50     P100\n"
	       "  read    20 ms  93.78 s\n"
	       "  write  500 us        -\n"
	       "\n"
	       "name  b\n"
	       "counters:\n"
	       "  reads       0\n"
	       "  read bytes  0\n");
}

Test(vringctl, prints_nested_objects_and_no_control_characters)
{
	expect("show a", 0,
	       "name  a?[2J\n"
	       "backend:\n"
	       "  path        /x\n"
	       "  block size  512\n"
	       "session:\n"
	       "  features  0x1000\n"
	       "  queues:\n"
	       "    none\n");
}

Test(vringctl, breaks_lists_of_words)
{
	expect("show words", 0,
	       "words:\n"
	       "  word-0, word-1, word-2, word-3, word-4, word-5, word-6, "
	       "word-7, word-8,\n"
	       "  word-9, word-10, word-11\n");
}

Test(vringctl, prints_json)
{
	expect("list --json", 0,
	       "[\n"
	       "  {\n"
	       "    \"name\": \"a\",\n"
	       "    \"size\": 10737418240,\n"
	       "    \"read_only\": false\n"
	       "  },\n"
	       "  {\n"
	       "    \"name\": \"long-name\",\n"
	       "    \"size\": 1536,\n"
	       "    \"read_only\": true\n"
	       "  }\n"
	       "]\n");
}

#define TITLES                                                          \
	"TARGET        r/s       rkB/s  r_await        w/s       wkB/s" \
	"  w_await      f/s  f_await      d/s  aqu-sz  %util\n"
#define LINE                                                            \
	"a          100.00      400.00     2.00       0.00        0.00" \
	"     0.00     0.00     0.00     0.00    0.20  15.00\n"

Test(vringctl, reports_each_interval)
{
	expect("stats -i .01 -c 2 a", 0, TITLES LINE LINE);
	expect("stats --count 1 a", 0, TITLES LINE);
	expect_part("-j stats -i 0.01 -c 1 a", 0,
		    "\"targets\":[{\"name\":\"a\",\"reads_per_s\":100.000,");
	expect("stats -i 0 a", 3, "vringctl: 0 is no number of seconds\n");
	expect("stats -i 1s a", 3, "vringctl: 1s is no number of seconds\n");
	expect("stats -c 0 a", 3, "vringctl: 0 is no number of reports\n");
	expect("list -c 1", 3, "vringctl: list takes no --count\n");
}

Test(vringctl, takes_options_before_and_after_the_command)
{
	expect("log-level", 0, "-, -\n");
	expect("log-level warn", 0, "warn, -\n");
	expect("log-level -D io warn", 2, "warn, io\n");
	expect("--debug=io log-level", 2, "-, io\n");
}

Test(vringctl, exits_with_1_when_the_daemon_says_no)
{
	expect("show b", 1, "vringctl: no target named b\n");
	expect("--json show b", 1, "vringctl: no target named b\n");
}

Test(vringctl, says_why_it_cannot_ask)
{
	char plain[96];

	snprintf(plain, sizeof(plain), "-s %s/none status", dir);
	expect_part(plain, 3, "No such file or directory; is vringd running");
	control_close(control);
	control = NULL;
	expect_part("status", 3, "is vringd running");
	expect_part("", 3, "which command?");
	expect_part("stop", 3, "unknown command stop");
	expect_part("show", 3, "show needs NAME: a target");
	expect_part("list a", 3, "too many arguments");
	expect_part("stats a b", 3, "too many arguments");
	expect_part("--wrong", 3, "wrong");
	expect_part("status -D io", 3, "status takes no --debug");
	expect_part("log-level --debug", 3, "requires an argument");
}

/* As root, for root may connect to anything. */
static void check_as_nobody(void)
{
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(setresgid(65534, 65534, 0), 0);
	cr_assert_eq(setresuid(65534, 65534, 0), 0);

	bool can_run = !access(program(), X_OK);

	if (can_run)
		expect_part("status", 3, "it is for group root (mode 0600)");
	cr_assert_eq(setresuid(0, 0, 0), 0);
	cr_assert_eq(setresgid(0, 0, 0), 0);
	/* A change of user ends it, and a leak sanitizer needs it. */
	cr_assert_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	if (!can_run)
		cr_skip_test("others cannot reach the build directory");
}

Test(vringctl, names_the_group_that_may_connect)
{
	if (!geteuid()) {
		check_as_nobody();
		return;
	}
	cr_assert_eq(chmod(path, 0), 0);
	expect_part("status", 3, "(mode 0000)");
}

Test(vringctl, explains_itself)
{
	expect_part("--help", 0, "\n  show NAME             one target");
	expect_part("list --help", 0,
		    "\n  log-level [LEVEL] [-D CATEGORIES]\n"
		    "                        what is logged");
	expect_part("--help", 0, "\n  -D, --debug CATEGORIES\n");
	expect_part("-V", 0, "vringctl " PACKAGE_VERSION);
}
