/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/plan: what differs between targets that there are and a file. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "daemon/plan.h"

#define MAX_TARGETS 8

/* What runs, and what is to run. */
static struct config *before, *after;
static struct plan_target old[MAX_TARGETS];
static struct plan *plan;

static struct config *parse(const char *text)
{
	struct config_errors errs = {0};
	struct config *c = NULL;
	int ret = config_parse("test", text, strlen(text), &c, &errs);

	if (ret)
		config_errors_print(&errs, stderr);
	cr_assert_eq(ret, 0);
	config_errors_fini(&errs);
	return c;
}

static void begin(const char *text)
{
	before = parse(text);
	cr_assert_leq(before->nr_targets, MAX_TARGETS);
	for (unsigned i = 0; i < before->nr_targets; i++)
		old[i] = (struct plan_target){.config = &before->targets[i]};
}

static void make(const char *text)
{
	after = parse(text);
	cr_assert_eq(plan_make(&plan, old, before->nr_targets, before, before,
			       after),
		     0);
}

static void end(void)
{
	free(plan);
	config_put(before);
	config_put(after);
}

TestSuite(plan, .fini = end);

static const struct plan_change *change_of(const char *name)
{
	for (unsigned i = 0; i < plan->nr; i++)
		if (!strcmp(plan->changes[i].name, name))
			return &plan->changes[i];
	cr_assert_fail("no change of %s", name);
	return NULL;
}

static void expect(const char *name, enum plan_what what,
		   enum plan_outcome outcome, const char *keys)
{
	const struct plan_change *ch = change_of(name);
	char text[200];

	cr_expect_eq(ch->what, what, "%s: %s", name, plan_word(ch->what));
	cr_expect_eq(ch->outcome, outcome, "%s: %d", name, ch->outcome);
	cr_expect_eq(!ch->why[0], outcome == PLAN_OK, "%s: %s", name, ch->why);
	plan_print_keys(ch->keys, text, sizeof(text));
	cr_expect_str_eq(text, keys, "%s: %s", name, text);
}

#define TARGET(name, more) \
	"  - {name: " name ", backend: {kind: mem, size: 1MiB}" more "}\n"

Test(plan, of_nothing_adds_all)
{
	begin("{}");
	make("targets:\n" TARGET("a", "") TARGET("b", ""));
	cr_expect_eq(plan->nr, 2);
	expect("a", PLAN_ADD, PLAN_OK, "");
	expect("b", PLAN_ADD, PLAN_OK, "");
	cr_expect_eq(change_of("b")->old, PLAN_NONE);
	cr_expect_eq(change_of("b")->new, 1);
	cr_expect_eq(plan_count(plan, PLAN_ADD), 2);
}

Test(plan, of_the_same_keeps_all)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", ", queues: 2"));
	old[0].connected = true;
	/* Another order, defaults that are written out, another notation. */
	make("targets:\n" TARGET("b", ", queues: 2, queue-size: 1024")
		     TARGET("a", ", serial: a, read-only: no"));
	cr_expect_eq(plan->nr, 2);
	expect("a", PLAN_KEEP, PLAN_OK, "");
	expect("b", PLAN_KEEP, PLAN_OK, "");
	cr_expect_eq(change_of("a")->old, 0);
	cr_expect_eq(change_of("a")->new, 1);
}

Test(plan, removes_what_is_not_named_any_more)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", "") TARGET("c", ""));
	old[2].connected = true;
	make("targets:\n" TARGET("b", ""));
	expect("a", PLAN_REMOVE, PLAN_OK, "");
	expect("b", PLAN_KEEP, PLAN_OK, "");
	expect("c", PLAN_REMOVE, PLAN_LINGERS, "");
	cr_expect_eq(change_of("c")->old, 2);
	cr_expect_eq(change_of("c")->new, PLAN_NONE);
	cr_expect_eq(plan_count_outcome(plan, PLAN_LINGERS), 1);
}

Test(plan, of_live_keys_updates_with_or_without_a_client)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", ""));
	old[0].connected = true;
	make("targets:\n" TARGET("a", ", socket-mode: 0600, limits: {iops: 5}")
		     TARGET("b", ", socket-group: kvm"));
	expect("a", PLAN_UPDATE, PLAN_OK, "socket-mode, limits.iops");
	expect("b", PLAN_UPDATE, PLAN_OK, "socket-group");
}

Test(plan, of_other_keys_replaces_but_nothing_under_a_client)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", ""));
	old[0].connected = true;
	make("targets:\n" TARGET("a", ", queues: 2, socket-mode: 0600")
		     TARGET("b", ", serial: x, socket: /tmp/x"));
	expect("a", PLAN_REPLACE, PLAN_REFUSED, "socket-mode, queues");
	cr_expect(strstr(change_of("a")->why, "queues"));
	cr_expect(strstr(change_of("a")->why, "vringctl disconnect a"));
	expect("b", PLAN_REPLACE, PLAN_OK, "socket, serial");
	/* What is refused is not counted as done. */
	cr_expect_eq(plan_count(plan, PLAN_REPLACE), 1);
}

Test(plan, replaces_for_each_key_of_the_backend)
{
	static const char *const others[][2] = {
		{"{kind: null, size: 1MiB}", "backend.kind"},
		{"{kind: mem, size: 2MiB}", "backend.size"},
		{"{kind: mem, size: 1MiB, block-size: 4096}",
		 "backend.block-size"},
		{"{kind: mem, size: 1MiB, discard: off}", "backend.discard"},
		{"{kind: mem, size: 1MiB, shared: on}", "backend.shared"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		char text[200];

		begin("targets:\n" TARGET("a", ""));
		snprintf(text, sizeof(text),
			 "targets:\n  - {name: a, backend: %s}\n",
			 others[i][0]);
		make(text);
		expect("a", PLAN_REPLACE, PLAN_OK, others[i][1]);
		if (i < ARRAY_SIZE(others) - 1)
			end();
	}
}

Test(plan, follows_what_targets_inherit_from_the_file)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", ", socket: /s/b"));
	make("socket-dir: /elsewhere\nsocket-mode: 0666\ntargets:\n" TARGET("a",
									    "")
		     TARGET("b", ", socket: /s/b, socket-mode: 0660"));
	expect("a", PLAN_REPLACE, PLAN_OK, "socket, socket-mode");
	expect("b", PLAN_KEEP, PLAN_OK, "");
	cr_expect(plan->top[CONFIG_KEY_TOP_socket_dir]);
	cr_expect(plan->top[CONFIG_KEY_TOP_socket_mode]);
	cr_expect_not(plan->top[CONFIG_KEY_TOP_io_workers]);
}

Test(plan, refuses_the_name_of_a_target_that_lingers)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", ""));
	old[0].lingering = true;
	old[0].connected = true;
	make("targets:\n" TARGET("a", "") TARGET("b", ""));
	cr_expect_eq(plan->nr, 2);
	expect("a", PLAN_ADD, PLAN_REFUSED, "");
	cr_expect(strstr(change_of("a")->why, "still serves"));
	cr_expect_eq(change_of("a")->old, PLAN_NONE);
	expect("b", PLAN_KEEP, PLAN_OK, "");
}

Test(plan, does_not_remove_again_what_lingers)
{
	begin("targets:\n" TARGET("a", "") TARGET("b", ""));
	old[0].lingering = true;
	make("targets:\n" TARGET("b", ""));
	cr_expect_eq(plan->nr, 1);
	expect("b", PLAN_KEEP, PLAN_OK, "");
}

Test(plan, names_keys_of_the_file_that_differ)
{
	begin("io-workers: 8\nlog-level: info\ntargets: []\n");
	make("io-workers: 9\nlog-level: warn\nsqpoll: on\n"
	     "control: {path: /tmp/c}\ntargets: []\n");
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		cr_expect_eq(plan->top[id],
			     id == CONFIG_KEY_TOP_io_workers ||
				     id == CONFIG_KEY_TOP_log_level ||
				     id == CONFIG_KEY_TOP_sqpoll ||
				     /* which follows from it */
				     id == CONFIG_KEY_TOP_sqpoll_idle_us ||
				     id == CONFIG_KEY_CONTROL_control_path,
			     "%s", config_keys[id].name);
}

/* Accepted was what differs from both, but not what takes a restart. */
Test(plan, compares_with_the_start_what_takes_a_restart)
{
	struct config *accepted = parse("io-workers: 9\nlog-level: warn\n");
	bool keys[CONFIG_KEYS];

	before = parse("io-workers: 8\nlog-level: info\n");
	after = parse("io-workers: 9\nlog-level: warn\n");
	cr_assert_eq(plan_make(&plan, old, 0, before, accepted, after), 0);
	config_put(accepted);
	plan_find_top(plan, CONFIG_EFFECT_RESTART, keys);
	cr_expect(keys[CONFIG_KEY_TOP_io_workers]);
	plan_find_top(plan, CONFIG_EFFECT_LIVE, keys);
	cr_expect_not(keys[CONFIG_KEY_TOP_log_level]);
	cr_expect_not(keys[CONFIG_KEY_TOP_io_workers]);
}

Test(plan, finds_each_of_many_targets)
{
	enum { MANY = 2000 };
	struct plan_target *targets = calloc(MANY, sizeof(*targets));
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs("targets:\n", f);
	for (unsigned i = 0; i < MANY; i++)
		fprintf(f, TARGET("t%u", ""), i * 7919 % MANY);
	fclose(f);
	before = parse(text);
	after = parse(text);
	free(text);
	for (unsigned i = 0; i < MANY; i++)
		targets[i].config = &before->targets[MANY - 1 - i];
	cr_assert_eq(plan_make(&plan, targets, MANY, before, before, after), 0);
	cr_expect_eq(plan->nr, MANY);
	cr_expect_eq(plan_count(plan, PLAN_KEEP), MANY);
	for (unsigned i = 0; i < MANY; i++)
		cr_assert_eq(plan->changes[i].old, MANY - 1 - i);
	free(targets);
}

Test(plan, cuts_a_long_list_of_keys)
{
	bool keys[CONFIG_KEYS];
	char text[16];

	before = after = NULL;
	memset(keys, true, sizeof(keys));
	plan_print_keys(keys, text, sizeof(text));
	cr_expect_eq(strlen(text), sizeof(text) - 1);
}
