/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/include: one configuration in many files, as administrators do it. */
#include "daemon/include.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/config.h"
#include "daemon/config_print.h"

static char *folder;
static struct config_errors errs;

static void enter_folder(void)
{
	static char template[] = "/tmp/vringd-include-XXXXXX";

	folder = mkdtemp(template);
	cr_assert_not_null(folder);
	cr_assert_eq(chdir(folder), 0);
	cr_assert_eq(mkdir("conf.d", 0755), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void leave_folder(void)
{
	config_errors_fini(&errs);
	cr_assert_eq(chdir("/"), 0);
	cr_assert_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(include, .init = enter_folder, .fini = leave_folder);

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	cr_assert_not_null(f, "%s", name);
	fputs(text, f);
	cr_assert_eq(fclose(f), 0);
}

static char *errors_text(void)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	config_errors_print(&errs, f);
	fclose(f);
	return out;
}

static struct config *load(const char *name)
{
	struct config *c = NULL;

	cr_assert_eq(config_load(name, &c, &errs), 0, "%s", errors_text());
	return c;
}

/* The file v.yaml with @text is refused, and @expected is all that is said. */
static void refuse(const char *text, const char *expected)
{
	struct config *c = NULL;

	write_file("v.yaml", text);
	cr_assert_eq(config_load("v.yaml", &c, &errs), -EINVAL);
	cr_assert_null(c);

	char *said = errors_text();

	cr_assert_str_eq(said, expected, "said:\n%s", said);
	free(said);
	config_errors_fini(&errs);
}

/* What @name in v.yaml means, as words. */
static void expect_files(const char *name, const char *expected)
{
	struct include in = {.nr = 0};
	struct include_why why;
	char found[1000] = "";

	cr_assert_eq(include_add(&in, "v.yaml", name, &why), 0, "%s", why.text);
	for (size_t i = 0; i < in.nr; i++) {
		strcat(found, i ? " " : "");
		strcat(found, in.files[i].path);
	}
	cr_assert_str_eq(found, expected);
	include_fini(&in);
}

Test(include, matches_files_in_the_order_of_their_names)
{
	write_file("conf.d/20-b.yaml", "");
	write_file("conf.d/3-c.yaml", "");
	write_file("conf.d/10-a.yaml", "");
	write_file("conf.d/README", "");
	expect_files("conf.d/*.yaml",
		     "conf.d/10-a.yaml conf.d/20-b.yaml conf.d/3-c.yaml");
	expect_files("conf.d/[12]*", "conf.d/10-a.yaml conf.d/20-b.yaml");
	expect_files("conf.d/README", "conf.d/README");
}

Test(include, matches_nothing_that_was_left_behind)
{
	static const char *const names[] = {"a.yaml~",	     ".a.yaml",
					    ".a.yaml.swp",   "#a.yaml#",
					    "a.yaml.bak",    "a.yaml.dpkg-old",
					    "a.yaml.rpmsave"};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "conf.d/%s", names[i]);
		write_file(path, "no: configuration");
	}
	write_file("conf.d/a.yaml", "");
	expect_files("conf.d/*", "conf.d/a.yaml");
	expect_files("conf.d/a.yaml.bak", "conf.d/a.yaml.bak");
}

Test(include, takes_a_pattern_that_matches_nothing)
{
	expect_files("conf.d/*.yaml", "");
	expect_files("nowhere/*.yaml", "");
	expect_files("/nowhere/*/*.yaml", "");
}

Test(include, looks_beside_the_file_that_includes)
{
	struct include in = {.nr = 0};
	struct include_why why;
	char from[PATH_MAX];

	cr_assert_eq(mkdir("odd[1]*", 0755), 0);
	write_file("odd[1]*/a.yaml", "");
	snprintf(from, sizeof(from), "%s/odd[1]*/v.yaml", folder);
	cr_assert_eq(chdir("/"), 0);
	cr_assert_eq(include_add(&in, from, "*.yaml", &why), 0);
	cr_assert_eq(in.nr, 1);
	cr_assert_eq(include_add(&in, from, "a.yaml", &why), 0);
	cr_assert_eq(in.nr, 1, "it is there already");
	snprintf(from, sizeof(from), "%s/odd[1]*/a.yaml", folder);
	cr_assert_str_eq(in.files[0].path, from);
	include_fini(&in);
}

Test(include, joins_targets_and_keys_of_all_files)
{
	write_file("v.yaml", "include: [conf.d/*.yaml, more.yaml]\n"
			     "targets: [{name: main, backend: /main}]\n");
	write_file("conf.d/b.yaml", "targets: [{name: b, backend: /b}]\n");
	write_file("conf.d/a.yaml", "targets:\n"
				    "- {name: a0, backend: /a0}\n"
				    "- {name: a1, backend: /a1}\n");
	write_file("conf.d/empty.yaml", "# nothing yet\n");
	write_file("more.yaml", "socket-dir: /x\n");

	struct config *c = load("v.yaml");
	static const char *const names[] = {"main", "a0", "a1", "b"};

	cr_assert_eq(c->nr_targets, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		cr_assert_str_eq(c->targets[i].name, names[i]);
	cr_assert_str_eq(c->targets[0].socket, "/x/main.sock");
	cr_assert_str_eq(c->targets[2].place.file, "conf.d/a.yaml");
	cr_assert_eq(c->targets[2].place.line, 3);
	cr_assert_eq(c->targets[2].index, 1);
	config_put(c);
}

Test(include, can_match_the_file_that_includes)
{
	write_file("v.yaml", "include: \"*.yaml\"\n"
			     "targets: [{name: main, backend: /main}]\n");
	write_file("w.yaml", "targets: [{name: w, backend: /w}]\n");

	struct config *c = load("v.yaml");

	cr_assert_eq(c->nr_targets, 2);
	config_put(c);
}

Test(include, is_not_printed_but_what_it_brought)
{
	char *out = NULL;
	size_t len;

	write_file("v.yaml", "include: conf.d/*.yaml\n");
	write_file("conf.d/a.yaml", "targets: [{name: a, backend: /a}]\n");

	struct config *c = load("v.yaml"), *again = NULL;
	FILE *f = open_memstream(&out, &len);

	config_print(c, f);
	fclose(f);
	cr_assert_null(strstr(out, "include"));
	cr_assert_eq(config_parse("out", out, len, &again, &errs), 0);
	cr_assert_str_eq(again->targets[0].name, "a");
	config_put(c);
	config_put(again);
	free(out);
}

Test(include, reports_every_error_in_its_file)
{
	write_file("conf.d/a.yaml", "cpus: none\n"
				    "targets:\n"
				    "- {name: a, backend: /a}\n"
				    "- {name: b, backend: /b, queus: 1}\n");
	write_file("conf.d/b.yaml", "targets:\n"
				    "- {name: c, backend: /a}\n"
				    "- {name: a, backend: /c}\n");
	refuse("log-level: loud\n"
	       "include: conf.d/*.yaml\n",
	       "v.yaml:1:12: log-level: expected err, warn, info or debug, got "
	       "\"loud\"\n"
	       "conf.d/a.yaml:1:7: cpus: expected a CPU number 0..1023 or a "
	       "range such as 0-3, got \"none\"\n"
	       "conf.d/a.yaml:4:26: targets[1].queus: unknown key, did you "
	       "mean "
	       "queues?\n"
	       "conf.d/b.yaml:2:22: targets[0].backend.path: /a is already "
	       "that "
	       "of targets[0] at conf.d/a.yaml:3:22; to share it, both must be "
	       "read-only or say shared: true\n"
	       "conf.d/b.yaml:3:10: targets[1].name: a is already that of "
	       "targets[0] at conf.d/a.yaml:3:10\n");
}

Test(include, reports_a_key_that_two_files_have)
{
	write_file("conf.d/a.yaml", "log-level: info\n");
	write_file("conf.d/b.yaml", "targets: []\n"
				    "targets: []\n");
	refuse("log-level: warn\n"
	       "include: conf.d/*\n"
	       "targets: []\n",
	       "conf.d/a.yaml:1:1: log-level: given twice, first at "
	       "v.yaml:1:12\n"
	       "conf.d/b.yaml:2:1: targets: given twice, first at "
	       "conf.d/b.yaml:1:10\n");
}

Test(include, goes_one_level_deep)
{
	write_file("conf.d/a.yaml", "include: more.yaml\n");
	refuse("include: conf.d/*\n",
	       "conf.d/a.yaml:1:1: include: an included file cannot include "
	       "others\n");
}

Test(include, reports_what_cannot_be_read)
{
	cr_assert_eq(mkfifo("pipe.yaml", 0644), 0);
	cr_assert_eq(symlink("gone", "conf.d/link.yaml"), 0);
	write_file("conf.d/full.yaml", "");
	refuse("include:\n"
	       "- missing.yaml\n"
	       "- conf.d\n"
	       "- pipe.yaml\n"
	       "- conf.d/*.yaml\n",
	       "v.yaml:2:3: include: cannot read missing.yaml: No such file or "
	       "directory\n"
	       "v.yaml:3:3: include: conf.d is a directory, its files would be "
	       "conf.d/*.yaml\n"
	       "v.yaml:4:3: include: pipe.yaml is not a regular file\n"
	       "v.yaml:5:3: include: cannot read conf.d/link.yaml: No such "
	       "file or directory\n"
	       "v.yaml:5:3: include: cannot read conf.d/full.yaml: it is "
	       "empty; one without targets has a comment at least\n");
}

/* Root may read all, so this is about somebody else. */
Test(include, names_who_may_not_read_what)
{
	struct include in = {.nr = 0};
	struct include_why why;

	cr_assert_eq(chmod(folder, 0755), 0);
	write_file("conf.d/a.yaml", "");
	cr_assert_eq(chmod("conf.d", 0700), 0);
	if (getuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	else
		cr_assert_eq(chmod("conf.d", 0), 0);
	cr_assert_eq(include_add(&in, "v.yaml", "conf.d/*.yaml", &why),
		     -EINVAL);
	cr_assert_not_null(strstr(why.text, "cannot read conf.d: permission "
					    "denied: conf.d is owned by"),
			   "%s", why.text);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(chmod("conf.d", 0755), 0);
}

Test(include, reports_shapes_that_are_no_names)
{
	refuse("include: {a: b}\n",
	       "v.yaml:1:10: include: expected a file or a pattern such as "
	       "conf.d/*.yaml, got a mapping\n");
	refuse("include: [[a], \"\", ~, \"a\\e\"]\n",
	       "v.yaml:1:11: include: expected a file or a pattern such as "
	       "conf.d/*.yaml, got a list\n"
	       "v.yaml:1:16: include: expected a file or a pattern such as "
	       "conf.d/*.yaml, got \"\"\n"
	       "v.yaml:1:20: include: expected a file or a pattern such as "
	       "conf.d/*.yaml, got nothing\n"
	       "v.yaml:1:23: include: expected a file or a pattern such as "
	       "conf.d/*.yaml, got \"a\\x1b\"\n");
	write_file("v.yaml", "include:\n");
	config_put(load("v.yaml"));
}

Test(include, bounds_the_size_of_all_files_together)
{
	write_file("conf.d/a.yaml", "# small\n");
	write_file("conf.d/b.yaml", "# large\n");
	cr_assert_eq(truncate("conf.d/b.yaml", (8 << 20) - 20), 0);
	refuse("include: conf.d/*\n",
	       "v.yaml:1:10: include: cannot read conf.d/b.yaml: all files "
	       "together may have 8 MiB\n");
}

Test(include, is_for_files_only)
{
	static const char text[] = "include: conf.d/*\n";
	struct config *c = NULL;

	cr_assert_eq(config_parse("f", text, strlen(text), &c, &errs), -EINVAL);
	cr_assert_eq(errs.nr, 1);
	cr_assert_str_eq(errs.list[0].text,
			 "include: only a file can include others");
}
