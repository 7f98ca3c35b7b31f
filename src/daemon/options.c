/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of vringd. */
#include "daemon/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "daemon/config_print.h"

/* Options without a letter. */
enum {
	HELP_CONFIG = 256,
	SOCKET_PATH,
	FD,
	BLK_FILE,
	READ_ONLY,
	PRINT_CAPABILITIES,
};

static const struct row {
	int letter;
	const char *name;
	const char *argument;
	const char *help;
} rows[] = {
#define OPTION(letter, name, argument, help) {letter, name, argument, help},
#include "daemon/options.def"
#undef OPTION
};

#define ROWS ARRAY_SIZE(rows)

static bool has_letter(const struct row *row)
{
	return row->letter < HELP_CONFIG;
}

/* For example `  -c, --config=FILE     ', as wide as the widest. */
static void print_row(const struct row *row, FILE *out)
{
	char text[40];

	snprintf(text, sizeof(text), "--%s%s%s", row->name,
		 row->argument ? "=" : "", row->argument ? row->argument : "");
	if (has_letter(row))
		fprintf(out, "  -%c, ", row->letter);
	else
		fputs("      ", out);
	fprintf(out, "%-20s  %s\n", text, row->help);
}

static void print_usage(FILE *out)
{
	fputs("usage: vringd [-htTV] [-c FILE] [-D CATEGORY[,...]]\n"
	      "       vringd --socket-path=PATH|--fd=NUMBER --blk-file=FILE\n"
	      "              [--read-only] [-D CATEGORY[,...]]\n",
	      out);
	for (size_t i = 0; i < ROWS; i++)
		print_row(&rows[i], out);
}

/* What getopt_long() wants to know of the table. */
static void fill_getopt(char *letters, struct option *names)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];

		names[i] = (struct option){
			.name = row->name,
			.has_arg =
				row->argument ? required_argument : no_argument,
			.val = row->letter,
		};
		if (!has_letter(row))
			continue;
		*letters++ = (char)row->letter;
		if (row->argument)
			*letters++ = ':';
	}
}

__attribute__((format(printf, 2, 3))) static bool refuse(int *status,
							 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("vringd: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	*status = EXIT_FAILURE;
	return false;
}

static bool take_debug(struct options *o, int *status)
{
	unsigned bits;

	if (log_parse_debug(optarg, &bits) < 0)
		return refuse(status,
			      "--debug=%s: expected proto, queue, io, "
			      "control or all",
			      optarg);
	o->debug |= bits;
	return true;
}

/* 0 to 2 are the program's own. */
static bool take_fd(struct options *o, int *status)
{
	char *end;
	long fd = strtol(optarg, &end, 10);

	if (*end || end == optarg || fd < 3 || fd > INT_MAX)
		return refuse(status, "--fd=%s: expected a number from 3",
			      optarg);
	o->single.fd = (int)fd;
	return true;
}

/* Takes an option of those for one disk. */
static bool take_single(struct options *o, int letter, int *status)
{
	o->is_single = true;
	switch (letter) {
	case SOCKET_PATH:
		o->single.socket_path = optarg;
		return true;
	case FD:
		return take_fd(o, status);
	case BLK_FILE:
		o->single.blk_file = optarg;
		return true;
	default:
		o->single.read_only = true;
		return true;
	}
}

/* Takes one option; returns whether to go on. */
static bool take(struct options *o, int letter, int *status)
{
	switch (letter) {
	case 'c':
		o->config = optarg;
		return true;
	case 'D':
		return take_debug(o, status);
	case 't':
		o->check = true;
		return true;
	case 'T':
		o->print = true;
		return true;
	case 'h':
		print_usage(stdout);
		break;
	case HELP_CONFIG:
		config_print_help(stdout);
		break;
	case 'V':
		puts("vringd " PACKAGE_VERSION);
		break;
	case SOCKET_PATH:
	case FD:
	case BLK_FILE:
	case READ_ONLY:
		return take_single(o, letter, status);
	case PRINT_CAPABILITIES:
		puts(single_capabilities);
		break;
	default:
		print_usage(stderr);
		*status = EXIT_FAILURE;
	}
	return false;
}

/* Options for one disk, or those for a configuration. */
static bool check(const struct options *o, int *status)
{
	const struct single_params *p = &o->single;

	if (!o->is_single)
		return true;
	if (o->config || o->check || o->print)
		return refuse(status, "-c, -t and -T are for a configuration, "
				      "and do not go with --blk-file");
	if (!p->blk_file)
		return refuse(status, "--blk-file is needed, the disk to "
				      "serve");
	if (p->socket_path && p->fd)
		return refuse(status, "--socket-path and --fd exclude each "
				      "other");
	if (!p->socket_path && !p->fd)
		return refuse(status,
			      "either --socket-path or --fd is needed, "
			      "to serve %s at",
			      p->blk_file);
	return true;
}

/* It is asked of a program before anything else is known, so it always works.
 */
static bool asks_for_capabilities(char **argv)
{
	for (; *argv; argv++)
		if (!strcmp(*argv, "--print-capabilities"))
			return true;
	return false;
}

bool options_parse(struct options *o, int argc, char **argv, int *status)
{
	char letters[2 * ROWS + 1] = "";
	struct option names[ROWS + 1] = {0};
	int letter;

	*o = (struct options){.config = NULL};
	*status = EXIT_SUCCESS;
	if (asks_for_capabilities(argv))
		return take(o, PRINT_CAPABILITIES, status);
	fill_getopt(letters, names);
	while ((letter = getopt_long(argc, argv, letters, names, NULL)) != -1)
		if (!take(o, letter, status))
			return false;
	if (optind < argc)
		return refuse(status, "unexpected argument: %s", argv[optind]);
	if (!check(o, status))
		return false;
	o->single.debug = o->debug;
	if (!o->config)
		o->config = OPTIONS_CONFIG;
	return true;
}
