/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/roster: plans carried out, on real workers, sockets and files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/roster.h"
#include "run/offload.h"
#include "silentfuse.h"
#include "testtarget.h"

#define PATIENCE_S 0.5

static struct testtarget rig; /* its own target is of no interest */
static struct roster *roster;
static struct config *running;
static struct plan *plan;
static unsigned nr_changed;

static void count_change(void *ctx)
{
	(void)ctx;
	nr_changed++;
}

static void begin(void)
{
	testtarget_init(&rig);
	rig.nr_workers = 2;
	testtarget_start(&rig);

	struct roster_params p = {
		.workers = rig.workers,
		.nr_workers = rig.nr_workers,
		.loop = rig.loop,
		.control = &rig.control,
		.patience_s = PATIENCE_S,
		.changed = count_change,
	};

	cr_assert_eq(roster_new(&roster, &p), 0);
}

static void set_true(void *ctx)
{
	*(bool *)ctx = true;
}

/* The control thread's work until @done. */
static void run_until(const bool *done)
{
	while (!*done)
		ev_run(rig.loop, EVRUN_ONCE);
}

static void end(void)
{
	bool closed = false;

	roster_close(roster, set_true, &closed);
	run_until(&closed);
	roster_free(roster);
	free(plan);
	config_put(running);
	for (unsigned i = 1; i <= 9; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%u.img", rig.dir, i);
		unlink(path);
	}
	testtarget_stop(&rig);
}

TestSuite(roster, .init = begin, .fini = end, .timeout = 60);

/* $ in @text stands for the rig's folder. */
static struct config *parse(const char *text)
{
	struct config_errors errs = {0};
	struct config *c = NULL;
	size_t size;
	char *full;
	FILE *f = open_memstream(&full, &size);

	fprintf(f, "socket-dir: %s\ntargets:\n", rig.dir);
	for (; *text; text++)
		if (*text == '$')
			fputs(rig.dir, f);
		else
			fputc(*text, f);
	fclose(f);

	int ret = config_parse("test", full, size, &c, &errs);

	if (ret)
		config_errors_print(&errs, stderr);
	cr_assert_eq(ret, 0);
	config_errors_fini(&errs);
	free(full);
	return c;
}

static void make_image(unsigned nr)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%u.img", rig.dir, nr);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
}

static void apply(const char *text)
{
	struct config *c = parse(text);
	bool done = false;

	free(plan);
	cr_assert_eq(roster_plan(roster, c, c, c, &plan), 0);
	cr_assert_eq(roster_apply(roster, c, plan, set_true, &done), 0);
	run_until(&done);
	config_put(running);
	running = c;
}

static const struct plan_change *change_of(const char *name)
{
	for (unsigned i = 0; i < plan->nr; i++)
		if (!strcmp(plan->changes[i].name, name))
			return &plan->changes[i];
	cr_assert_fail("no change of %s", name);
	return NULL;
}

#define expect(name, w, o)                                                \
	do {                                                              \
		const struct plan_change *ch = change_of(name);           \
		cr_expect_eq(ch->what, w, name ": %d", ch->what);         \
		cr_expect_eq(ch->outcome, o, name ": %d %s", ch->outcome, \
			     ch->why);                                    \
		cr_expect_eq(!ch->why[0], (o) == PLAN_OK, name ": %s",    \
			     ch->why);                                    \
	} while (0)

static enum target_state state_of(const char *name)
{
	struct target *t = roster_find(roster, name);

	return t ? target_state(t) : TARGET_CLOSED;
}

static bool has_socket(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	return access(path, F_OK) == 0;
}

static void connect_to(struct frontend *f, const char *name)
{
	char path[128];
	uint64_t features;

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	frontend_init(f);
	cr_assert_eq(frontend_connect(f, path), 0);
	cr_assert_eq(frontend_get_u64(f, VHOST_USER_GET_FEATURES, &features),
		     0);
}

static void run_until_state(const char *name, enum target_state state)
{
	while (state_of(name) != state)
		ev_run(rig.loop, EVRUN_ONCE);
}

#define MEM(name, more) \
	"- {name: " name ", backend: {kind: mem, size: 1MiB}" more "}\n"
#define IMAGE(name, nr, more) \
	"- {name: " name ", backend: $/" nr ".img" more "}\n"

Test(roster, opens_what_is_added_and_closes_what_is_removed)
{
	apply(MEM("a", "") MEM("b", "") MEM("c", ""));
	cr_expect_eq(roster_nr(roster), 3);
	cr_expect_eq(roster_count(roster, TARGET_OPEN), 3);
	expect("c", PLAN_ADD, PLAN_OK);
	cr_expect(has_socket("a.sock") && has_socket("c.sock"));
	apply(MEM("b", ""));
	expect("a", PLAN_REMOVE, PLAN_OK);
	expect("b", PLAN_KEEP, PLAN_OK);
	cr_expect_eq(roster_nr(roster), 1);
	cr_expect(!has_socket("a.sock") && has_socket("b.sock"));
	cr_expect_gt(nr_changed, 0);
}

static unsigned nr_at_home(unsigned worker)
{
	unsigned n = 0;

	for (unsigned i = 0; i < roster_nr(roster); i++)
		n += target_home(roster_target(roster, i)) == worker;
	return n;
}

Test(roster, spreads_targets_over_workers)
{
	apply(MEM("a", "") MEM("b", "") MEM("c", "") MEM("d", ""));
	cr_expect_eq(nr_at_home(0), 2);
	cr_expect_eq(nr_at_home(1), 2);
	/* Whatever leaves, those that come are not all given to one. */
	apply(MEM("a", "") MEM("c", ""));
	apply(MEM("a", "") MEM("c", "") MEM("e", "") MEM("f", ""));
	cr_expect_eq(nr_at_home(0), 2);
	cr_expect_eq(nr_at_home(1), 2);
	apply(MEM("a", ", queues: 2") MEM("c", ", queues: 2"));
	apply(MEM("a", ", queues: 3") MEM("c", ", queues: 3") MEM("g", "")
		      MEM("h", ""));
	cr_expect_eq(nr_at_home(0), 2);
	cr_expect_eq(nr_at_home(1), 2);
}

Test(roster, replaces_a_target_without_a_client)
{
	apply(MEM("a", ", queues: 2"));
	apply(MEM("a", ", queues: 3, socket: other.sock"));
	expect("a", PLAN_REPLACE, PLAN_OK);
	cr_expect_eq(state_of("a"), TARGET_OPEN);
	cr_expect(!has_socket("a.sock") && has_socket("other.sock"));
	cr_expect_eq(target_config(roster_find(roster, "a"))->queues, 3);
}

Test(roster, moves_disks_and_sockets_in_one_step)
{
	make_image(1);
	make_image(2);
	apply(IMAGE("a", "1", "") IMAGE("b", "2", ", socket: x.sock"));
	apply(IMAGE("a", "2", ", socket: x.sock") IMAGE("b", "1", ""));
	expect("a", PLAN_REPLACE, PLAN_OK);
	expect("b", PLAN_REPLACE, PLAN_OK);
	apply(IMAGE("c", "1", "") IMAGE("d", "2", ""));
	expect("c", PLAN_ADD, PLAN_OK);
	expect("a", PLAN_REMOVE, PLAN_OK);
	cr_expect_eq(roster_count(roster, TARGET_OPEN), 2);
}

Test(roster, does_not_replace_under_a_client)
{
	struct frontend f;

	apply(MEM("a", ""));
	connect_to(&f, "a.sock");
	/* The plan is made from news that has not come: the home knows. */
	apply(MEM("a", ", queues: 3"));
	expect("a", PLAN_REPLACE, PLAN_REFUSED);
	cr_expect_eq(state_of("a"), TARGET_OPEN);
	cr_expect_eq(target_config(roster_find(roster, "a"))->queues, 16);
	frontend_close(&f);
	while (roster_connected(roster))
		ev_run(rig.loop, EVRUN_ONCE);
	apply(MEM("a", ", queues: 3"));
	expect("a", PLAN_REPLACE, PLAN_OK);
}

Test(roster, lets_a_removed_target_linger)
{
	struct frontend f;
	uint64_t features;

	apply(MEM("a", "") MEM("b", ""));
	connect_to(&f, "a.sock");
	apply(MEM("b", ""));
	expect("a", PLAN_REMOVE, PLAN_LINGERS);
	cr_expect_eq(state_of("a"), TARGET_LINGERING);
	cr_expect_not(has_socket("a.sock"));
	cr_expect_eq(frontend_get_u64(&f, VHOST_USER_GET_FEATURES, &features),
		     0);
	/* Its name is taken until it is gone, its socket is not. */
	apply(MEM("b", "") MEM("a", ""));
	expect("a", PLAN_ADD, PLAN_REFUSED);
	apply(MEM("b", "") MEM("c", ", socket: a.sock"));
	expect("c", PLAN_ADD, PLAN_OK);
	cr_expect_eq(state_of("a"), TARGET_LINGERING);
	frontend_close(&f);
	run_until_state("a", TARGET_CLOSED);
	cr_expect(has_socket("a.sock"), "it is that of c");
	cr_expect_eq(roster_nr(roster), 2);
}

Test(roster, cuts_off_a_client_that_is_just_leaving)
{
	/* Both answers of a home: still serving, and over meanwhile. */
	for (unsigned i = 0; i < 20; i++) {
		struct frontend f;
		struct target *t;

		apply(MEM("a", "") MEM("b", ""));
		connect_to(&f, "a.sock");
		t = target_get(roster_find(roster, "a"));
		apply(MEM("b", ""));
		cr_assert_eq(target_state(t), TARGET_LINGERING);
		frontend_close(&f);
		/* The home says that it is over, and we do not listen. */
		while (i % 2 && target_is_connected(t))
			usleep(100);
		usleep(i % 2 ? 2000 : 0);
		target_retire(t, SERVER_CUT);
		run_until_state("a", TARGET_CLOSED);
		/* It is said once. */
		usleep(1000);
		ev_run(rig.loop, EVRUN_NOWAIT);
		cr_expect_eq(target_state(t), TARGET_CLOSED);
		cr_expect_eq(roster_nr(roster), 1);
		target_put(t);
	}
}

Test(roster, keeps_the_claim_of_a_target_that_lingers)
{
	struct frontend f;

	make_image(1);
	apply(IMAGE("a", "1", ""));
	connect_to(&f, "a.sock");
	apply(IMAGE("b", "1", ""));
	expect("a", PLAN_REMOVE, PLAN_LINGERS);
	expect("b", PLAN_ADD, PLAN_FAILED);
	cr_expect(strstr(change_of("b")->why, "1.img"));
	frontend_close(&f);
	run_until_state("a", TARGET_CLOSED);
	apply(IMAGE("b", "1", ""));
	expect("b", PLAN_KEEP, PLAN_OK);
	cr_expect_eq(state_of("b"), TARGET_OPEN);
}

Test(roster, fails_one_target_and_serves_the_others)
{
	make_image(1);
	apply(IMAGE("a", "1", "") IMAGE("b", "2", "") MEM("c", ""));
	expect("a", PLAN_ADD, PLAN_OK);
	expect("b", PLAN_ADD, PLAN_FAILED);
	cr_expect(strstr(change_of("b")->why, "No such file"));
	cr_expect_eq(roster_count(roster, TARGET_FAILED), 1);
	/* Still failed, then mended: a plan tries it at once. */
	apply(IMAGE("a", "1", "") IMAGE("b", "2", "") MEM("c", ""));
	expect("b", PLAN_KEEP, PLAN_FAILED);
	make_image(2);
	apply(IMAGE("a", "1", "") IMAGE("b", "2", "") MEM("c", ""));
	expect("b", PLAN_KEEP, PLAN_OK);
	cr_expect_eq(state_of("b"), TARGET_OPEN);
}

Test(roster, opens_a_failed_target_when_its_disk_comes)
{
	apply(IMAGE("a", "1", ""));
	cr_expect_eq(state_of("a"), TARGET_FAILED);
	make_image(1);
	run_until_state("a", TARGET_OPEN);
}

static bool facts_came;

static void note_facts(struct target_facts *f)
{
	(void)f;
	facts_came = true;
}

Test(roster, opens_what_has_taken_the_place_of_a_disk)
{
	struct testtarget a = rig;
	struct target_facts f;
	struct testguest g;
	char from[128], to[128];

	make_image(1);
	apply(IMAGE("a", "1", ""));
	make_image(2);
	snprintf(from, sizeof(from), "%s/2.img", rig.dir);
	snprintf(to, sizeof(to), "%s/1.img", rig.dir);
	cr_assert_eq(truncate(from, 3 << 20), 0);
	cr_assert_eq(rename(from, to), 0);

	/* The guest gets nothing of the old one, which is deleted. */
	struct target *old = target_get(roster_find(roster, "a"));

	snprintf(a.socket, sizeof(a.socket), "%s/a.sock", rig.dir);
	testguest_start(&g, &a, 1, 0);
	while (!target_is_outdated(old))
		usleep(1000);
	testguest_stop(&g);
	while (target_state(old) != TARGET_CLOSED)
		ev_run(rig.loop, EVRUN_ONCE);
	target_put(old);
	run_until_state("a", TARGET_OPEN);
	target_collect(roster_find(roster, "a"), &f, note_facts);
	run_until(&facts_came);
	cr_expect_eq(f.info.size, 3 << 20);
	target_facts_fini(&f);
	apply(IMAGE("a", "1", ""));
	expect("a", PLAN_KEEP, PLAN_OK);
}

Test(roster, changes_live_keys_under_a_client)
{
	struct frontend f;
	uint64_t features;
	struct stat st;
	char path[128];

	apply(MEM("a", ", socket-mode: 0600"));
	connect_to(&f, "a.sock");
	apply(MEM("a", ", socket-mode: 0666"));
	expect("a", PLAN_UPDATE, PLAN_OK);
	snprintf(path, sizeof(path), "%s/a.sock", rig.dir);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0666);
	cr_expect_eq(frontend_get_u64(&f, VHOST_USER_GET_FEATURES, &features),
		     0);
	apply(MEM("a", ", socket-group: no-such-group"));
	expect("a", PLAN_UPDATE, PLAN_FAILED);
	cr_expect(strstr(change_of("a")->why, "no-such-group"));
	cr_expect_eq(state_of("a"), TARGET_OPEN);
	/* It is not forgotten that it does not have them yet. */
	apply(MEM("a", ", socket-group: no-such-group"));
	expect("a", PLAN_KEEP, PLAN_FAILED);
	apply(MEM("a", ""));
	expect("a", PLAN_UPDATE, PLAN_OK);
	frontend_close(&f);
}

Test(roster, is_not_held_up_by_storage_that_does_not_answer)
{
	struct silentfuse silent;
	char text[256];
	int ret;

	/* What is mounted now is seen by threads that are made later. */
	cr_assert_eq(offload_stop(5000), 0);
	ret = silentfuse_begin(&silent);
	if (ret)
		cr_skip_test("no FUSE here: %s", strerror(-ret));
	snprintf(text, sizeof(text), "- {name: dead, backend: %s/other}\n",
		 silent.dir);
	strcat(text, MEM("a", ""));
	apply(text);
	expect("a", PLAN_ADD, PLAN_OK);
	expect("dead", PLAN_ADD, PLAN_FAILED);
	cr_expect(strstr(change_of("dead")->why, "does not answer"));
	cr_expect_eq(state_of("dead"), TARGET_OPENING);
	/* Changed, removed, added again: nobody waits for it. */
	snprintf(text, sizeof(text),
		 "- {name: dead, queues: 3, backend: %s/other}\n", silent.dir);
	strcat(text, MEM("a", "") MEM("b", ""));
	apply(text);
	expect("b", PLAN_ADD, PLAN_OK);
	apply(MEM("a", ""));
	expect("dead", PLAN_REMOVE, PLAN_OK);
	cr_expect_eq(roster_nr(roster), 1);
	silentfuse_end(&silent);
	/* The threads come back, and what they bring is given up. */
	cr_assert_eq(offload_stop(5000), 0);
	mailbox_deliver(&rig.control);
}

Test(roster, closes_in_the_middle_of_a_plan)
{
	struct config *c = parse(MEM("a", "") MEM("b", "") IMAGE("d", "1", ""));
	bool done = false;

	make_image(1);
	cr_assert_eq(roster_plan(roster, c, c, c, &plan), 0);
	cr_assert_eq(roster_apply(roster, c, plan, set_true, &done), 0);
	config_put(c);
	cr_expect_not(done, "it takes a thread to open");
}

Test(roster, closes_a_target_while_it_changes)
{
	struct config *c;
	struct frontend f;
	bool done = false;

	apply(MEM("a", "") MEM("b", ""));
	connect_to(&f, "a.sock");
	c = parse(MEM("a", ", socket-mode: 0600") MEM("b", ", queues: 2"));
	free(plan);
	cr_assert_eq(roster_plan(roster, c, c, c, &plan), 0);
	cr_assert_eq(roster_apply(roster, c, plan, set_true, &done), 0);
	config_put(c);
	cr_expect_not(done);
	frontend_close(&f);
}

Test(roster, survives_many_plans)
{
	struct frontend f;

	make_image(1);
	make_image(2);
	for (unsigned i = 0; i < 60; i++) {
		char text[600];

		snprintf(text, sizeof(text),
			 MEM("stays",
			     "") "- {name: a, backend: $/%u.img, queues: %u}\n"
				 "- {name: b, backend: $/%u.img, socket-mode: "
				 "06%u0}\n"
				 "%s",
			 1 + i % 2, 1 + i % 3, 2 - i % 2, i % 2 * 6,
			 i % 4 ? MEM("c", "") : "");
		apply(text);
		cr_assert_eq(plan_count_outcome(plan, PLAN_REFUSED), 0);
		cr_assert_eq(plan_count_outcome(plan, PLAN_FAILED), 0);
		if (i == 10)
			connect_to(&f, "stays.sock");
	}
	cr_expect_eq(roster_connected(roster), 1);
	frontend_close(&f);
}
