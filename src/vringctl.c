/* SPDX-License-Identifier: BSD-2-Clause */
/* The control tool: asks the running daemon, and prints what it answers. */
#include <stdio.h>

#include "ctl/args.h"
#include "ctl/ask.h"
#include "ctl/checks.h"
#include "ctl/complain.h"
#include "ctl/diff.h"
#include "ctl/iostat.h"
#include "ctl/print.h"
#include "daemon/selftest.h"

static void print_json(struct json_object *result)
{
	puts(json_object_to_json_string_ext(
		result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* What people should not read as print_result() has it. */
static void print_for_people(enum command command, struct json_object *result)
{
	if (command == COMMAND_reload)
		diff_print(result);
	else if (command == COMMAND_selftest)
		checks_print(result);
	else
		print_result(result);
}

/* The daemon tests itself; if it cannot be asked, we look in its place. */
static int test(const struct args *a, struct json_object **result, int *code)
{
	int status = ask(a, result, code);

	if (status != COMPLAIN_UNASKED)
		return status;
	*result = checks_run();
	if (!*result)
		return complain(COMPLAIN_UNASKED, "out of memory");
	*code = selftest_has_failed(*result);
	return 0;
}

static int ask_and_print(const struct args *a)
{
	struct json_object *result;
	int code, status;

	if (a->command == COMMAND_selftest)
		status = test(a, &result, &code);
	else
		status = ask(a, &result, &code);
	if (status)
		return status;
	if (a->json)
		print_json(result);
	else
		print_for_people(a->command, result);
	json_object_put(result);
	return fflush(stdout) ? complain(COMPLAIN_UNASKED, "cannot write: %m")
			      : code;
}

int main(int argc, char **argv)
{
	struct args a;
	int status;

	if (!args_parse(&a, argc, argv, &status))
		return status;
	if (a.value[ARGUMENT_interval] || a.value[ARGUMENT_count])
		return iostat_run(&a);
	return ask_and_print(&a);
}
