/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/rescan: all targets are looked at, and none is waited for too long. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/rescan.h"
#include "run/offload.h"
#include "silentfuse.h"
#include "vhost/guard.h"

#define MIB (1 << 20)

static struct ev_loop *loop;
static struct mailbox box;
static struct worker *worker;
static struct roster *roster;
static struct silentfuse silent;
static char dir[] = "/tmp/rescan.XXXXXX";
static char path[64];
static bool over;

static void note_over(void *ctx)
{
	(void)ctx;
	over = true;
}

static void ignore(void *ctx)
{
	(void)ctx;
}

static void wait_until_over(void)
{
	while (!over)
		ev_run(loop, EVRUN_ONCE);
	over = false;
}

static void make_roster(void)
{
	const struct worker_params wp = {.cpu = -1,
					 .sqpoll_cpu = -1,
					 .io_workers = 2};
	struct roster_params rp = {
		.workers = &worker,
		.nr_workers = 1,
		.control = &box,
		.changed = ignore,
	};

	cr_assert_eq(guard_init(), 0);
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	mailbox_init(&box, loop);
	rp.loop = loop;
	cr_assert_eq(worker_new(&worker, &wp), 0);
	cr_assert_eq(worker_start(worker), 0);
	cr_assert_eq(roster_new(&roster, &rp), 0);
}

/* Have the targets that @text describes. */
static void apply(const char *text)
{
	struct config_errors errs = {0};
	struct config *config;
	struct plan *plan;

	cr_assert_eq(config_parse("test", text, strlen(text), &config, &errs),
		     0);
	config_errors_fini(&errs);
	cr_assert_eq(roster_plan(roster, config, config, config, &plan), 0);
	cr_assert_eq(roster_apply(roster, config, plan, note_over, NULL), 0);
	wait_until_over();
	free(plan);
	config_put(config);
}

/* "grows" is on a file, "gone" has none, "dead" on one that stops to answer. */
static void begin(void)
{
	char text[512];
	int ret = silentfuse_mount(&silent);

	if (ret)
		cr_skip_test("no FUSE here: %s", strerror(-ret));
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk.img", dir);
	fclose(fopen(path, "w"));
	cr_assert_eq(truncate(path, MIB), 0);
	make_roster();
	snprintf(text, sizeof(text),
		 "socket-dir: %s\n"
		 "targets:\n"
		 "- {name: grows, backend: %s}\n"
		 "- {name: gone, backend: %s.gone}\n"
		 "- {name: dead, backend: %s}\n",
		 dir, path, path, silent.path);
	apply(text);
	cr_assert_eq(roster_count(roster, TARGET_OPEN), 2);
	silentfuse_silence(&silent);
}

static void end(void)
{
	roster_close(roster, note_over, NULL);
	wait_until_over();
	worker_stop(worker);
	silentfuse_end(&silent);
	cr_assert_eq(offload_stop(5000), 0);
	mailbox_deliver(&box);
	roster_free(roster);
	worker_free(worker);
	mailbox_fini(&box);
	ev_loop_destroy(loop);
	unlink(path);
	rmdir(dir);
}

TestSuite(rescan, .timeout = 60);

static struct json_object *answer;
static unsigned failed;

static void take_all(void *ctx, const struct rescan *r)
{
	(void)ctx;
	over = true;
	failed = rescan_failed(r);
	answer = rescan_answer(r, true);
}

static void take_news(void *ctx, const struct rescan *r)
{
	(void)ctx;
	over = true;
	answer = rescan_answer(r, false);
}

static int look(const char *target,
		void (*done)(void *ctx, const struct rescan *r),
		struct rescan **out)
{
	const struct rescan_params p = {
		.roster = roster,
		.loop = loop,
		.target = target,
		.done = done,
	};

	return rescan_begin(&p, out);
}

static struct json_object *member(const char *name, const char *key)
{
	for (size_t i = 0; i < json_object_array_length(answer); i++) {
		struct json_object *o = json_object_array_get_idx(answer, i);
		struct json_object *n = json_object_object_get(o, "name");

		if (!strcmp(json_object_get_string(n), name))
			return json_object_object_get(o, key);
	}
	cr_assert(false, "nothing is said of %s", name);
	return NULL;
}

static void expect_error(const char *name, const char *part)
{
	const char *text = json_object_get_string(member(name, "error"));

	cr_assert(text && strstr(text, part), "%s: %s", name, text);
}

Test(rescan, waits_for_dead_storage_no_longer_than_it_has_patience)
{
	double began;

	begin();
	began = ev_time();
	cr_assert_eq(truncate(path, 2 * MIB), 0);
	cr_assert_eq(look(NULL, take_all, NULL), 0);
	wait_until_over();
	cr_assert_geq(ev_time() - began, RESCAN_PATIENCE_S - .1);
	cr_assert_leq(ev_time() - began, RESCAN_PATIENCE_S + 10);
	cr_assert_eq(json_object_array_length(answer), 3);
	cr_assert_eq(failed, 2);
	expect_error("dead", "does not answer");
	expect_error("gone", "No such file");
	cr_assert_null(member("grows", "error"));
	cr_assert(json_object_get_boolean(member("grows", "changed")));
	cr_assert_eq(json_object_get_uint64(member("grows", "old_size")), MIB);
	cr_assert_eq(json_object_get_uint64(member("grows", "size")), 2 * MIB);
	json_object_put(answer);

	/* The look that is under way is not in the way of others. */
	cr_assert_eq(truncate(path, 3 * MIB), 0);
	cr_assert_eq(look("grows", take_all, NULL), 0);
	wait_until_over();
	cr_assert_eq(failed, 0);
	cr_assert_eq(json_object_get_uint64(member("grows", "size")), 3 * MIB);
	json_object_put(answer);
	end();
}

Test(rescan, tells_news_of_open_targets_only)
{
	begin();
	cr_assert_eq(look("gone", take_news, NULL), 0);
	wait_until_over();
	cr_assert_eq(json_object_array_length(answer), 0);
	json_object_put(answer);
	cr_assert_eq(look("grows", take_news, NULL), 0);
	wait_until_over();
	cr_assert_eq(json_object_array_length(answer), 0);
	json_object_put(answer);
	cr_assert_eq(truncate(path, 2 * MIB), 0);
	cr_assert_eq(look("grows", take_news, NULL), 0);
	wait_until_over();
	cr_assert(json_object_get_boolean(member("grows", "changed")));
	json_object_put(answer);
	end();
}

Test(rescan, may_be_forgotten)
{
	struct rescan *r;

	begin();
	cr_assert_eq(look("dead", take_all, &r), 0);
	rescan_forget(r);
	rescan_forget(NULL);
	cr_assert_eq(look("nobody", take_all, NULL), -ENOENT);
	cr_assert_eq(look("grows", take_all, &r), 0);
	rescan_forget(r);
	end();
	cr_assert_null(answer);
}
