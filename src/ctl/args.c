/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of vringctl. */
#include "ctl/args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "ctl/complain.h"

#define DEFAULT_SOCKET RUNSTATEDIR "/vringd/control.sock"

/* Column at which the help of commands and options begins. */
#define HELP_COLUMN 24

/* What getopt_long() returns for row 0 of command_arguments. */
#define FIRST_ARGUMENT 256

/* Options that belong to no command. */
static const struct option own_options[] = {
	{"socket", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
};

struct options {
	struct option longs[ARRAY_SIZE(own_options) + NR_ARGUMENTS + 1];
	char shorts[8 + 2 * NR_ARGUMENTS];
};

static bool has_value(const struct command_argument_row *row)
{
	return row->word;
}

static void collect_options(struct options *o)
{
	size_t nr = ARRAY_SIZE(own_options), len;

	memset(o, 0, sizeof(*o));
	memcpy(o->longs, own_options, sizeof(own_options));
	len = strlen(strcpy(o->shorts, "s:jhV"));
	for (int i = 0; i < NR_ARGUMENTS; i++) {
		const struct command_argument_row *row = &command_arguments[i];

		if (!row->option)
			continue;
		o->longs[nr++] = (struct option){
			.name = row->option,
			.has_arg = has_value(row) ? required_argument
						  : no_argument,
			.val = FIRST_ARGUMENT + i,
		};
		if (!row->letter)
			continue;
		o->shorts[len++] = row->letter;
		if (has_value(row))
			o->shorts[len++] = ':';
	}
}

/* Help */

/* Text that grows from left to right. */
struct text {
	char buf[120];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *t,
							 const char *fmt, ...)
{
	size_t room = sizeof(t->buf) - t->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, room, fmt, ap);
	va_end(ap);
	t->len += MIN((size_t)n, room - 1);
}

static void append_use(struct text *t, const struct command_use *use)
{
	const struct command_argument_row *row =
		&command_arguments[use->argument];

	append(t, use->needed ? " " : " [");
	if (row->letter)
		append(t, "-%c", row->letter);
	else if (row->option)
		append(t, "--%s", row->option);
	if (has_value(row))
		append(t, "%s%s", row->option ? " " : "", row->word);
	if (!use->needed)
		append(t, "]");
}

static void append_option(struct text *t,
			  const struct command_argument_row *row)
{
	if (row->letter)
		append(t, "-%c, ", row->letter);
	append(t, "--%s", row->option);
	if (has_value(row))
		append(t, " %s", row->word);
}

/* What is too long for its column has a line of its own. */
static void print_entry(const struct text *t, const char *help)
{
	if (t->len > HELP_COLUMN - 4)
		printf("  %s\n%*s%s\n", t->buf, HELP_COLUMN, "", help);
	else
		printf("  %-*s%s\n", HELP_COLUMN - 2, t->buf, help);
}

static void print_command(const struct command_row *row)
{
	struct text t = {.len = 0};

	append(&t, "%s", row->word);
	for (unsigned i = 0; i < COMMAND_ARGUMENTS_MAX; i++)
		if (row->uses[i].taken)
			append_use(&t, &row->uses[i]);
	print_entry(&t, row->help);
}

static void print_help(void)
{
	puts("Usage: vringctl [OPTION]... COMMAND [ARGUMENT]...\n"
	     "Asks the running vringd.\n\n"
	     "Commands:");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		print_command(&commands[i]);
	puts("\nOptions of commands:");
	for (size_t i = 0; i < NR_ARGUMENTS; i++) {
		const struct command_argument_row *row = &command_arguments[i];
		struct text t = {.len = 0};

		if (!row->option)
			continue;
		append_option(&t, row);
		print_entry(&t, row->help);
	}
	puts("\nOptions:\n"
	     "  -s, --socket PATH     the control socket, default\n"
	     "                        $VRINGD_SOCKET or " DEFAULT_SOCKET "\n"
	     "  -j, --json            print the answer as JSON\n"
	     "  -h, --help            print this\n"
	     "  -V, --version         print the version\n\n"
	     "Exit status: 0, 1 if the daemon said no, 2 if it did only a "
	     "part,\n3 if it could not be asked.  See vringctl(8).");
}

/* Parsing */

/* Returns whether to go on with the next option. */
static bool take_option(struct args *a, int c, int *status)
{
	switch (c) {
	case 's':
		a->socket = optarg;
		return true;
	case 'j':
		a->json = true;
		return true;
	case 'h':
		print_help();
		*status = 0;
		return false;
	case 'V':
		puts("vringctl " PACKAGE_VERSION);
		*status = 0;
		return false;
	}
	for (int i = 0; i < NR_ARGUMENTS; i++) {
		if (c != FIRST_ARGUMENT + i && c != command_arguments[i].letter)
			continue;
		a->value[i] = optarg ? optarg : "";
		return true;
	}
	*status = COMPLAIN_UNASKED;
	return false;
}

/* Gives the words after the command to its arguments, in their order. */
static int take_words(struct args *a, int argc, char **argv)
{
	const struct command_use *uses = commands[a->command].uses;

	for (unsigned i = 0; i < COMMAND_ARGUMENTS_MAX && argc; i++) {
		if (!uses[i].taken ||
		    command_arguments[uses[i].argument].option)
			continue;
		a->value[uses[i].argument] = *argv++;
		argc--;
	}
	return argc ? complain(COMPLAIN_UNASKED,
			       "too many arguments, see --help")
		    : 0;
}

static int check_values(const struct args *a)
{
	const char *command = commands[a->command].word;

	for (unsigned i = 0; i < NR_ARGUMENTS; i++) {
		const struct command_argument_row *row = &command_arguments[i];
		const struct command_use *use = command_use_of(a->command, i);

		if (a->value[i] && !use)
			return complain(COMPLAIN_UNASKED, "%s takes no --%s",
					command, row->option);
		if (!a->value[i] && use && use->needed)
			return complain(COMPLAIN_UNASKED, "%s needs %s: %s",
					command, row->word, row->help);
	}
	return 0;
}

static int parse_command(struct args *a, int argc, char **argv)
{
	if (!argc)
		return complain(COMPLAIN_UNASKED, "which command?  See --help");
	a->command = command_find(argv[0]);
	if (a->command == NR_COMMANDS)
		return complain(COMPLAIN_UNASKED,
				"unknown command %s, see --help", argv[0]);

	int err = take_words(a, argc - 1, argv + 1);

	return err ? err : check_values(a);
}

bool args_parse(struct args *a, int argc, char **argv, int *status)
{
	const char *env = getenv("VRINGD_SOCKET");
	struct options o;
	int c;

	*a = (struct args){
		.socket = env && *env ? env : DEFAULT_SOCKET,
	};
	collect_options(&o);
	while ((c = getopt_long(argc, argv, o.shorts, o.longs, NULL)) >= 0)
		if (!take_option(a, c, status))
			return false;
	*status = parse_command(a, argc - optind, argv + optind);
	return *status == 0;
}
