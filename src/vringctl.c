/* SPDX-License-Identifier: BSD-2-Clause */
/* The control tool: asks the running daemon, and prints what it answers. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <json.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unixsock.h"
#include "base/util.h"
#include "daemon/control.h"

#define DEFAULT_SOCKET RUNSTATEDIR "/vringd/control.sock"

#define CONNECT_MS 5000
/* Longer than the daemon waits for its own threads. */
#define ANSWER_MS (CONTROL_TIMEOUT_MS + 5000)

/* The daemon said no; or it could not be asked at all. */
#define EXIT_REFUSED 1
#define EXIT_UNASKED 2

enum argument { ARGUMENT_NONE, ARGUMENT_ONE, ARGUMENT_MAYBE };

struct command {
	const char *name;
	enum argument argument;
	const char *help;
};

static const struct command commands[] = {
#define COMMAND(name, argument, help) {#name, ARGUMENT_##argument, help},
#include "daemon/commands.def"
#undef COMMAND
};

static const char *const argument_names[] = {
	[ARGUMENT_NONE] = "",
	[ARGUMENT_ONE] = " NAME",
	[ARGUMENT_MAYBE] = " [NAME]",
};

struct options {
	const char *socket;
	bool json;
	const struct command *command;
	const char *target;
};

static void print_help(void)
{
	printf("Usage: vringctl [OPTION]... COMMAND [NAME]\n"
	       "Asks the running vringd.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char usage[40];

		snprintf(usage, sizeof(usage), "%s%s", commands[i].name,
			 argument_names[commands[i].argument]);
		printf("  %-14s  %s\n", usage, commands[i].help);
	}
	printf("\nOptions:\n"
	       "  -s, --socket PATH  the control socket, default\n"
	       "                     $VRINGD_SOCKET or " DEFAULT_SOCKET "\n"
	       "  -j, --json         print the answer as JSON\n"
	       "  -h, --help         print this\n"
	       "  -V, --version      print the version\n\n"
	       "Exit status: 0, 1 if the daemon said no, 2 if it could not\n"
	       "be asked.  See vringctl(8).\n");
}

/* Returns an exit status, for use with return. */
__attribute__((format(printf, 2, 3))) static int fail(int status,
						      const char *fmt, ...)
{
	va_list ap;

	fputs("vringctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

static int parse_command(struct options *o, int argc, char **argv)
{
	if (!argc)
		return fail(EXIT_UNASKED, "which command?  See --help");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, argv[0]))
			o->command = &commands[i];
	if (!o->command)
		return fail(EXIT_UNASKED, "unknown command %s, see --help",
			    argv[0]);
	if (argc > 2 || (argc == 2 && o->command->argument == ARGUMENT_NONE))
		return fail(EXIT_UNASKED, "too many arguments, see --help");
	if (argc == 1 && o->command->argument == ARGUMENT_ONE)
		return fail(EXIT_UNASKED, "%s needs the name of a target",
			    argv[0]);
	o->target = argc == 2 ? argv[1] : NULL;
	return 0;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	const char *env = getenv("VRINGD_SOCKET");
	int c;

	o->socket = env && *env ? env : DEFAULT_SOCKET;
	while ((c = getopt_long(argc, argv, "s:jhV", longs, NULL)) >= 0) {
		switch (c) {
		case 's':
			o->socket = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			print_help();
			exit(0);
		case 'V':
			puts("vringctl " PACKAGE_VERSION);
			exit(0);
		default:
			return EXIT_UNASKED;
		}
	}
	return parse_command(o, argc - optind, argv + optind);
}

/* Says whom the socket lets in, as far as we may see it. */
static int fail_access(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return fail(EXIT_UNASKED,
			    "cannot connect to %s: Permission denied; its "
			    "directory is closed to you",
			    path);

	const struct group *gr = getgrgid(st.st_gid);

	return fail(EXIT_UNASKED,
		    "cannot connect to %s: Permission denied; it is for "
		    "group %s (mode %04o), or try as root",
		    path, gr ? gr->gr_name : "unknown",
		    (unsigned)st.st_mode & 07777);
}

static int fail_connect(const char *path, int err)
{
	switch (err) {
	case -EACCES:
		return fail_access(path);
	case -ENOENT:
	case -ECONNREFUSED:
		return fail(EXIT_UNASKED,
			    "cannot connect to %s: %s; is vringd running, and "
			    "with this control socket?",
			    path, strerror(-err));
	case -ETIMEDOUT:
		return fail(EXIT_UNASKED,
			    "cannot connect to %s: vringd is too busy", path);
	default:
		return fail(EXIT_UNASKED, "cannot connect to %s: %s", path,
			    strerror(-err));
	}
}

/* Returns the question as a JSON object, or NULL without memory. */
static struct json_object *make_question(const struct options *o)
{
	struct json_object *q = json_object_new_object();
	struct json_object *args = json_object_new_object();

	if (!q || !args)
		return NULL;
	json_object_object_add(q, "version",
			       json_object_new_int(CONTROL_VERSION));
	json_object_object_add(q, "command",
			       json_object_new_string(o->command->name));
	if (o->target)
		json_object_object_add(args, "target",
				       json_object_new_string(o->target));
	json_object_object_add(q, "arguments", args);
	return q;
}

static int send_question(int fd, const struct options *o)
{
	struct json_object *q = make_question(o);
	char *line = NULL;

	if (!q || asprintf(&line, "%s\n",
			   json_object_to_json_string_ext(
				   q, JSON_C_TO_STRING_PLAIN)) < 0)
		return -ENOMEM;
	json_object_put(q);

	ssize_t n = 0;
	size_t len = strlen(line);

	for (size_t sent = 0; sent < len && n >= 0; sent += (size_t)n)
		n = unixsock_send(fd, line + sent, len - sent, NULL, 0);
	free(line);
	/* A daemon that refuses the line may close before it has all of it. */
	return n < 0 && n != -EPIPE ? (int)n : 0;
}

/* Reads all that the daemon says.  Returns 0 or -errno. */
static int read_answer(int fd, struct json_tokener *tok,
		       struct json_object **answer)
{
	char buf[16384];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, ANSWER_MS);

		if (ready <= 0)
			return ready ? -errno : -ETIMEDOUT;

		ssize_t n = unixsock_recv(fd, buf, sizeof(buf), NULL);

		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
		*answer = json_tokener_parse_ex(tok, buf, (int)n);
		if (*answer)
			return 0;
		if (json_tokener_get_error(tok) != json_tokener_continue)
			return -EBADMSG;
	}
}

/* Returns an exit status, and the answer if that is 0. */
static int ask(const struct options *o, struct json_object **answer)
{
	int fd = unixsock_connect(o->socket, CONNECT_MS);

	if (fd < 0)
		return fail_connect(o->socket, fd);

	struct json_tokener *tok = json_tokener_new();
	int err = tok ? send_question(fd, o) : -ENOMEM;

	if (!err)
		err = read_answer(fd, tok, answer);
	json_tokener_free(tok);
	close(fd);
	if (err == -EBADMSG)
		return fail(EXIT_UNASKED, "the answer is no JSON: does vringd "
					  "listen there?");
	if (err)
		return fail(EXIT_UNASKED, "no answer from vringd: %s",
			    strerror(-err));
	return 0;
}

/* One value, as people read it. */
struct cell {
	char text[256];
};

static bool ends_with(const char *text, const char *end)
{
	size_t lt = strlen(text), le = strlen(end);

	return lt >= le && !strcmp(text + lt - le, end);
}

static void format_size(struct cell *c, uint64_t n)
{
	static const char *const units[] = {"B",   "KiB", "MiB",
					    "GiB", "TiB", "PiB"};
	unsigned u = 0;
	double d = (double)n;

	for (; d >= 1024 && u < ARRAY_SIZE(units) - 1; u++)
		d /= 1024;
	if (n % (1ULL << 10 * u))
		snprintf(c->text, sizeof(c->text), "%.1f %s", d, units[u]);
	else
		snprintf(c->text, sizeof(c->text), "%" PRIu64 " %s",
			 n >> 10 * u, units[u]);
}

static void format_time(struct cell *c, uint64_t s)
{
	uint64_t days = s / 86400;

	snprintf(c->text, sizeof(c->text), "%" PRIu64 " days %02u:%02u:%02u",
		 days, (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60),
		 (unsigned)(s % 60));
}

static void format_number(struct cell *c, const char *key, uint64_t n)
{
	if (ends_with(key, "uptime_s"))
		format_time(c, n);
	else if (ends_with(key, "features"))
		snprintf(c->text, sizeof(c->text), "0x%" PRIx64, n);
	else if (!strcmp(key, "size") || !strcmp(key, "bytes"))
		format_size(c, n);
	else
		snprintf(c->text, sizeof(c->text), "%" PRIu64, n);
}

/* What comes from outside the daemon must not move the cursor. */
static void clean(struct cell *c)
{
	for (char *p = c->text; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
}

static struct cell format_value(const char *key, struct json_object *v)
{
	struct cell c = {.text = "-"};
	int64_t n;

	switch (json_object_get_type(v)) {
	case json_type_null:
		break;
	case json_type_boolean:
		strcpy(c.text, json_object_get_boolean(v) ? "yes" : "no");
		break;
	case json_type_int:
		n = json_object_get_int64(v);
		if (n < 0)
			snprintf(c.text, sizeof(c.text), "%" PRId64, n);
		else
			format_number(&c, key, json_object_get_uint64(v));
		break;
	default:
		snprintf(c.text, sizeof(c.text), "%s",
			 json_object_get_string(v));
		clean(&c);
	}
	return c;
}

/* A key as a label: uptime_s is "uptime", block_size is "block size". */
static struct cell format_label(const char *key, bool upper)
{
	struct cell c;

	snprintf(c.text, sizeof(c.text), "%s", key);
	if (ends_with(c.text, "_s"))
		c.text[strlen(c.text) - 2] = '\0';
	for (char *p = c.text; *p; p++) {
		if (*p == '_')
			*p = upper ? '-' : ' ';
		else if (upper)
			*p = (char)toupper((unsigned char)*p);
	}
	return c;
}

static bool is_nested(struct json_object *v)
{
	return json_object_is_type(v, json_type_object) ||
	       json_object_is_type(v, json_type_array);
}

static bool has_nested(struct json_object *o)
{
	json_object_object_foreach(o, key, v)
	{
		(void)key;
		if (is_nested(v))
			return true;
	}
	return false;
}

#define COLUMNS_MAX 16

/* A list of flat objects with the members of the first as columns. */
struct table {
	struct json_object *rows;
	unsigned nr;
	const char *key[COLUMNS_MAX];
	int width[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
};

/* Width of the column of @key: that of its title or of its widest value. */
static int column_width(struct json_object *rows, const char *key)
{
	size_t width = strlen(format_label(key, true).text);

	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		struct json_object *v = json_object_object_get(row, key);

		width = MAX(width, strlen(format_value(key, v).text));
	}
	return (int)width;
}

static void lay_out(struct table *t, struct json_object *rows)
{
	struct json_object *first = json_object_array_get_idx(rows, 0);

	t->rows = rows;
	t->nr = 0;
	json_object_object_foreach(first, key, v)
	{
		if (t->nr == COLUMNS_MAX)
			break;
		t->key[t->nr] = key;
		t->width[t->nr] = column_width(rows, key);
		t->right[t->nr] = json_object_is_type(v, json_type_int);
		t->nr++;
	}
}

/* Prints one line of the table, or its head if @row is NULL. */
static void print_row(const struct table *t, struct json_object *row,
		      int indent)
{
	printf("%*s", indent, "");
	for (unsigned i = 0; i < t->nr; i++) {
		const char *key = t->key[i];
		struct cell c = format_label(key, true);
		bool last = i == t->nr - 1;

		if (row)
			c = format_value(key, json_object_object_get(row, key));
		if (t->right[i])
			printf("%*s", t->width[i], c.text);
		else
			printf("%-*s", last ? 0 : t->width[i], c.text);
		fputs(last ? "\n" : "  ", stdout);
	}
}

static void print_table(struct json_object *rows, int indent)
{
	struct table t;

	lay_out(&t, rows);
	print_row(&t, NULL, indent);
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		print_row(&t, json_object_array_get_idx(rows, i), indent);
}

static void print_object(struct json_object *o, int indent);

/* A list of flat objects is a table; others are printed one after another. */
static void print_list(struct json_object *list, int indent)
{
	size_t n = json_object_array_length(list);
	struct json_object *first = json_object_array_get_idx(list, 0);

	if (!n) {
		printf("%*snone\n", indent, "");
		return;
	}
	if (!json_object_is_type(first, json_type_object)) {
		printf("%*s%s\n", indent, "", json_object_get_string(list));
		return;
	}
	if (!has_nested(first)) {
		print_table(list, indent);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (i)
			putchar('\n');
		if (json_object_is_type(o, json_type_object))
			print_object(o, indent);
	}
}

static int label_width(struct json_object *o)
{
	size_t width = 0;

	json_object_object_foreach(o, key, v)
	{
		if (!is_nested(v))
			width = MAX(width,
				    strlen(format_label(key, false).text));
	}
	return (int)width;
}

static void print_object(struct json_object *o, int indent)
{
	int width = label_width(o);

	json_object_object_foreach(o, key, v)
	{
		struct cell label = format_label(key, false);

		printf("%*s", indent, "");
		if (!is_nested(v)) {
			printf("%-*s  %s\n", width, label.text,
			       format_value(key, v).text);
			continue;
		}
		printf("%s:\n", label.text);
		if (json_object_is_type(v, json_type_object))
			print_object(v, indent + 2);
		else
			print_list(v, indent + 2);
	}
}

static void print_result(struct json_object *result)
{
	if (json_object_is_type(result, json_type_object))
		print_object(result, 0);
	else if (json_object_is_type(result, json_type_array))
		print_list(result, 0);
	else
		printf("%s\n", format_value("", result).text);
}

static int print_answer(const struct options *o, struct json_object *answer)
{
	struct json_object *result;

	if (!json_object_get_boolean(json_object_object_get(answer, "ok"))) {
		struct json_object *why =
			json_object_object_get(answer, "error");

		return fail(EXIT_REFUSED, "%s", format_value("", why).text);
	}
	result = json_object_object_get(answer, "result");
	if (o->json)
		puts(json_object_to_json_string_ext(
			result, JSON_C_TO_STRING_PRETTY |
					JSON_C_TO_STRING_SPACED |
					JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_result(result);
	return fflush(stdout) ? fail(EXIT_UNASKED, "cannot write: %m") : 0;
}

int main(int argc, char **argv)
{
	struct options o = {.socket = NULL};
	struct json_object *answer = NULL;
	int status = parse_options(&o, argc, argv);

	if (!status)
		status = ask(&o, &answer);
	if (!status)
		status = print_answer(&o, answer);
	json_object_put(answer);
	return status;
}
