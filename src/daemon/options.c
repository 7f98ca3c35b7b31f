/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of vringd. */
#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "daemon/config_print.h"

/* Options without a letter. */
enum {
	HELP_CONFIG = 256,
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
	fprintf(out, "%-16s  %s\n", text, row->help);
}

static void print_usage(FILE *out)
{
	fputs("usage: vringd [-htTV] [-c FILE] [-D CATEGORY[,...]]\n", out);
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

static bool take_debug(struct options *o, int *status)
{
	unsigned bits;

	if (log_parse_debug(optarg, &bits) < 0) {
		fprintf(stderr,
			"vringd: --debug=%s: expected proto, queue, io, "
			"control or all\n",
			optarg);
		*status = EXIT_FAILURE;
		return false;
	}
	o->debug |= bits;
	return true;
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
	default:
		print_usage(stderr);
		*status = EXIT_FAILURE;
	}
	return false;
}

bool options_parse(struct options *o, int argc, char **argv, int *status)
{
	char letters[2 * ROWS + 1] = "";
	struct option names[ROWS + 1] = {{NULL}};
	int letter;

	*o = (struct options){.config = OPTIONS_CONFIG};
	*status = EXIT_SUCCESS;
	fill_getopt(letters, names);
	while ((letter = getopt_long(argc, argv, letters, names, NULL)) != -1)
		if (!take(o, letter, status))
			return false;
	if (optind == argc)
		return true;
	fprintf(stderr, "vringd: unexpected argument: %s\n", argv[optind]);
	*status = EXIT_FAILURE;
	return false;
}
