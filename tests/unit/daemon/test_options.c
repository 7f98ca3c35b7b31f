/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines as people and units write them. */
#include "daemon/options.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static struct options o;
static int status;

/* Parses a command line, whose words are separated by one blank. */
static bool parse(const char *line)
{
	static char words[200];
	char *argv[20] = {NULL};
	int argc = 0;

	snprintf(words, sizeof(words), "vringd %s", line);
	for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	optind = 0; /* begin anew */
	return options_parse(&o, argc, argv, &status);
}

Test(options, read_the_usual_file_when_none_is_named)
{
	cr_assert(parse(""));
	cr_assert_str_eq(o.config, OPTIONS_CONFIG);
	cr_assert(!o.check && !o.print && !o.debug);
}

Test(options, take_letters_and_names)
{
	unsigned bits;

	cr_assert_eq(log_parse_debug("proto,io", &bits), 0);
	cr_assert(parse("-c /a -tT --debug=proto -D io"));
	cr_assert_str_eq(o.config, "/a");
	cr_assert(o.check && o.print);
	cr_assert_eq(o.debug, bits);
	cr_assert(parse("--config=/b --print-config"));
	cr_assert_str_eq(o.config, "/b");
	cr_assert(!o.check && o.print);
}

Test(options, end_well_when_help_is_asked_for)
{
	cr_redirect_stdout();
	cr_assert_not(parse("-c /a --help -t"));
	cr_assert_eq(status, EXIT_SUCCESS);
	cr_assert_not(parse("--version"));
	cr_assert_eq(status, EXIT_SUCCESS);
}

Test(options, say_what_is_wrong)
{
	cr_redirect_stderr();
	cr_assert_not(parse("--debug=nothing"));
	cr_assert_eq(status, EXIT_FAILURE);
	cr_assert_not(parse("--check vm1"));
	cr_assert_eq(status, EXIT_FAILURE);
	cr_assert_not(parse("--bogus"));
	cr_assert_eq(status, EXIT_FAILURE);
	fflush(stderr);

	char said[400] = "";
	FILE *err = cr_get_redirected_stderr();

	cr_assert_gt(fread(said, 1, sizeof(said) - 1, err), 0);
	cr_assert_not_null(strstr(said, "--debug=nothing: expected proto"));
	cr_assert_not_null(strstr(said, "unexpected argument: vm1"));
}
