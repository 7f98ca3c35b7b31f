/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test: what the daemon found, or vringctl in its place. */
#include "ctl/checks.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/print.h"
#include "daemon/options.h"
#include "daemon/selftest.h"

static struct print_cell text_of(struct json_object *check, const char *key)
{
	return print_format(key, json_object_object_get(check, key));
}

void checks_print(struct json_object *checks)
{
	size_t nr = json_object_array_length(checks), width = 0;

	for (size_t i = 0; i < nr; i++) {
		struct json_object *c = json_object_array_get_idx(checks, i);

		width = MAX(width, strlen(text_of(c, "check").text));
	}
	for (size_t i = 0; i < nr; i++) {
		struct json_object *c = json_object_array_get_idx(checks, i);

		printf("%-4s  %-*s  %s\n", text_of(c, "result").text,
		       (int)width, text_of(c, "check").text,
		       text_of(c, "detail").text);
		if (json_object_object_get(c, "remedy"))
			printf("%*s%s\n", (int)width + 8,
			       "try: ", text_of(c, "remedy").text);
	}
}

static int add_targets(struct selftest_targets *t, const struct config *c)
{
	int ret = 0;

	for (unsigned i = 0; i < c->nr_targets && ret == 0; i++)
		ret = selftest_targets_add(t, &c->targets[i], "");
	return ret;
}

struct json_object *checks_run(void)
{
	struct json_object *checks = NULL;
	struct config_errors errs = {0};
	struct selftest_targets t;
	struct selftest_facts f;
	struct config *c = NULL;
	int ret = selftest_targets_init(&t, false, OPTIONS_CONFIG);

	if (ret == 0 && config_load(OPTIONS_CONFIG, &c, &errs) < 0)
		t.config_problem = "it cannot be read, or is wrong";
	if (ret == 0 && c)
		ret = add_targets(&t, c);
	if (ret == 0) {
		selftest_look(&f, &t);
		checks = selftest_judge(&f, &t);
	}
	selftest_targets_fini(&t);
	config_errors_fini(&errs);
	config_put(c);
	return checks;
}
