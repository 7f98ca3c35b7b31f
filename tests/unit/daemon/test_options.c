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
#include "base/util.h"

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

Test(options, take_one_disk_without_a_configuration)
{
	cr_assert(parse("--socket-path=/s --blk-file=/a -D io"));
	cr_assert(o.is_single);
	cr_assert_str_eq(o.single.socket_path, "/s");
	cr_assert_str_eq(o.single.blk_file, "/a");
	cr_assert_not(o.single.read_only);
	cr_assert_eq(o.single.debug, o.debug);
	cr_assert(parse("--fd 3 --blk-file /a --read-only"));
	cr_assert_eq(o.single.fd, 3);
	cr_assert_null(o.single.socket_path);
	cr_assert(o.single.read_only);
	cr_assert(parse(""));
	cr_assert_not(o.is_single);
}

Test(options, refuse_what_does_not_make_one_disk)
{
	static const char *const lines[] = {
		"--blk-file=/a",
		"--socket-path=/s",
		"--fd=3",
		"--read-only",
		"--blk-file=/a --socket-path=/s --fd=3",
		"--blk-file=/a --fd=2",
		"--blk-file=/a --fd=x",
		"--blk-file=/a --fd=3x",
		"--blk-file=/a --fd=3 -c /c",
		"--blk-file=/a --fd=3 -t",
		"--blk-file=/a --fd=3 -T",
	};

	cr_redirect_stderr();
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		cr_assert_not(parse(lines[i]), "%s", lines[i]);
		cr_assert_eq(status, EXIT_FAILURE);
	}
}

Test(options, print_capabilities_whatever_else_is_said)
{
	cr_redirect_stdout();
	cr_assert_not(parse("--bogus vm1 --print-capabilities -c"));
	cr_assert_eq(status, EXIT_SUCCESS);
}
