/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/single: what the configuration of one disk on the command line is. */
#include "daemon/single.h"

#include <criterion/criterion.h>
#include <json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct config *make(const char *file, const char *socket)
{
	struct single_params p = {.blk_file = file, .socket_path = socket};
	struct config_errors errs = {0};
	struct config *c = NULL;

	cr_assert_eq(single_config(&p, &c, &errs), 0, "%s",
		     errs.nr ? errs.list[0].text : "");
	cr_assert_eq(c->nr_targets, 1);
	cr_assert_eq(c->targets[0].backend.kind, CONFIG_KIND_FILE);
	config_errors_fini(&errs);
	return c;
}

Test(single, makes_paths_absolute)
{
	struct config *c;

	cr_assert_eq(chdir("/tmp"), 0);
	c = make("a b.img", "x/s.sock");
	cr_assert_str_eq(c->targets[0].backend.path, "/tmp/a b.img");
	cr_assert_str_eq(c->targets[0].socket, "/tmp/x/s.sock");
	cr_assert_not(c->targets[0].read_only);
	config_put(c);
	c = make("/dev/disk/by-id/\"x\": \xc3\xa4", NULL);
	cr_assert_str_eq(c->targets[0].backend.path,
			 "/dev/disk/by-id/\"x\": \xc3\xa4");
	config_put(c);
}

Test(single, names_the_target_after_its_file)
{
	static const char *const names[][2] = {
		{"/srv/vm1.img", "vm1.img"},
		{"vm1", "vm1"},
		{"/srv/.-hidden file", "hiddenfile"},
		{"/srv/", "disk"},
		{"/srv/\xc3\xa4", "disk"},
		{"/srv/null", "null"},
	};
	char longest[300] = "/srv/";

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct config *c = make(names[i][0], "/s");

		cr_assert_str_eq(c->targets[0].name, names[i][1]);
		config_put(c);
	}
	memset(longest + 5, 'x', 250);
	config_put(make(longest, "/s"));
}

Test(single, refuses_a_socket_path_that_does_not_fit)
{
	char path[120] = "/";
	struct single_params p = {.blk_file = "/a", .socket_path = path};
	struct config_errors errs = {0};
	struct config *c = NULL;

	memset(path + 1, 'x', sizeof(path) - 2);
	cr_assert_lt(single_config(&p, &c, &errs), 0);
	cr_assert_eq(errs.nr_errors, 1);
	cr_assert_null(c);
	config_errors_fini(&errs);
}

Test(single, passes_read_only_on)
{
	struct single_params p = {.blk_file = "/a", .fd = 3, .read_only = true};
	struct config_errors errs = {0};
	struct config *c = NULL;

	cr_assert_eq(single_config(&p, &c, &errs), 0);
	cr_assert(c->targets[0].read_only);
	cr_assert(c->targets[0].backend.read_only);
	config_put(c);
}

Test(single, says_what_it_can_do_as_the_conventions_want)
{
	struct json_object *o = json_tokener_parse(single_capabilities);
	struct json_object *features;

	cr_assert_not_null(o);
	cr_assert_str_eq(json_object_get_string(
				 json_object_object_get(o, "type")),
			 "block");
	features = json_object_object_get(o, "features");
	cr_assert_eq(json_object_array_length(features), 2);
	json_object_put(o);
}
