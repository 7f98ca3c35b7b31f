/* SPDX-License-Identifier: BSD-2-Clause */
/* The control tool: asks the running daemon, and prints what it answers. */
#include <stdio.h>

#include "ctl/args.h"
#include "ctl/ask.h"
#include "ctl/complain.h"
#include "ctl/print.h"

static void print_json(struct json_object *result)
{
	puts(json_object_to_json_string_ext(
		result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* Returns how to exit: as the daemon says, or because it said no. */
static int print_answer(const struct args *a, struct json_object *answer)
{
	if (!json_object_get_boolean(json_object_object_get(answer, "ok"))) {
		struct json_object *why =
			json_object_object_get(answer, "error");

		return complain(COMPLAIN_REFUSED, "%s",
				print_format("", why).text);
	}

	struct json_object *result = json_object_object_get(answer, "result");

	if (a->json)
		print_json(result);
	else
		print_result(result);
	if (fflush(stdout))
		return complain(COMPLAIN_UNASKED, "cannot write: %m");
	return json_object_get_int(json_object_object_get(answer, "status"));
}

int main(int argc, char **argv)
{
	struct json_object *answer = NULL;
	struct args a;
	int status;

	if (!args_parse(&a, argc, argv, &status))
		return status;
	status = ask(&a, &answer);
	if (!status)
		status = print_answer(&a, answer);
	json_object_put(answer);
	return status;
}
