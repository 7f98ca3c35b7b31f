/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/selftest: what is made of what was seen. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/selftest.h"

static char dir[] = "/tmp/vringd-selftest-XXXXXX";
static char path[64], socket_path[64], other_socket[64];
static char name_a[] = "a", name_b[] = "b";
static struct selftest_facts facts;
static struct selftest_targets targets;
static struct json_object *checks;

static void add(char *name, char *file, char *sock, const char *problem)
{
	const struct config_target c = {
		.name = name,
		.socket = sock,
		.queues = 16,
		.backend = {.path = file},
	};

	cr_assert_eq(selftest_targets_add(&targets, &c, problem), 0);
}

/* All is well, and there are two targets in one folder. */
static void begin(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk.img", dir);
	snprintf(socket_path, sizeof(socket_path), "%s/a.sock", dir);
	snprintf(other_socket, sizeof(other_socket), "%s/b.sock", dir);
	cr_assert_eq(chmod(dir, 0755), 0);
	facts = (struct selftest_facts){
		.release = "6.1.0-40-amd64",
		.ring_setting = 0,
		.max_fds = 4096,
		.memlock = UINT64_MAX,
		.uid = 999,
		.user = "vringd",
		.groups = "vringd, kvm",
		.has_vmm_group = true,
	};
	cr_assert_eq(selftest_targets_init(&targets, true, "/etc/v.yaml"), 0);
	add(name_a, path, socket_path, "");
	add(name_b, NULL, other_socket, "");
}

static void end(void)
{
	json_object_put(checks);
	selftest_targets_fini(&targets);
	unlink(path);
	rmdir(dir);
}

TestSuite(selftest, .init = begin, .fini = end);

static void judge(void)
{
	json_object_put(checks);
	checks = selftest_judge(&facts, &targets);
}

static const char *member(struct json_object *o, const char *key)
{
	const char *text =
		json_object_get_string(json_object_object_get(o, key));

	return text ? text : "";
}

static struct json_object *find(const char *check)
{
	struct json_object *found = NULL;

	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *o = json_object_array_get_idx(checks, i);

		if (strcmp(member(o, "check"), check))
			continue;
		cr_assert_null(found, "two checks of %s", check);
		found = o;
	}
	cr_assert_not_null(found, "no check of %s", check);
	return found;
}

static void expect(const char *check, const char *result, const char *detail,
		   const char *remedy)
{
	struct json_object *o;

	judge();
	o = find(check);
	cr_assert_str_eq(member(o, "result"), result, "%s: %s", check,
			 json_object_get_string(o));
	cr_assert_not_null(strstr(member(o, "detail"), detail), "%s",
			   json_object_get_string(o));
	cr_assert_not_null(strstr(member(o, "remedy"), remedy), "%s",
			   json_object_get_string(o));
	cr_assert(!*remedy == !*member(o, "remedy"), "%s",
		  json_object_get_string(o));
}

Test(selftest, finds_nothing_wrong)
{
	judge();
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *o = json_object_array_get_idx(checks, i);

		cr_assert_str_eq(member(o, "result"), "ok", "%s",
				 json_object_get_string(o));
	}
	cr_assert_not(selftest_has_failed(checks));
	expect("user", "ok", "vringd, groups vringd, kvm", "");
	expect("configuration", "ok", "/etc/v.yaml, targets: 2", "");
	expect("sockets", "ok", dir, "");
	expect("target a", "ok", path, "");
	expect("target b", "ok", "no storage", "");
}

Test(selftest, knows_kernels)
{
	static const struct {
		const char *release;
		const char *result;
	} cases[] = {
		{"6.1.0", "ok"},  {"6.0.19", "fail"}, {"5.15.0", "fail"},
		{"6.10.3", "ok"}, {"7.0-rc1", "ok"},  {"", "fail"},
	};

	for (unsigned i = 0; i < 6; i++) {
		bool is_good = !strcmp(cases[i].result, "ok");

		strcpy(facts.release, cases[i].release);
		expect("kernel", cases[i].result, "6.1 or later",
		       is_good ? "" : "newer");
		cr_assert_eq(selftest_has_failed(checks), !is_good);
	}
}

Test(selftest, says_why_there_is_no_io_uring)
{
	strcpy(facts.ring_why, "forbidden by whom");
	expect("io_uring", "fail", "forbidden by whom", "");
}

Test(selftest, counts_descriptors)
{
	facts.max_fds = 240; /* 64 + 2 * (8 + 16 * 5) */
	expect("open files", "ok", "240 allowed, 240 needed", "");
	facts.max_fds = 239;
	expect("open files", "warn", "239 allowed, 240 needed",
	       "LimitNOFILE=480");
	targets.is_daemon = false;
	expect("open files", "warn", "239 allowed in this shell", "480");
}

Test(selftest, warns_of_root_and_of_a_missing_group)
{
	facts.uid = 0;
	expect("user", "warn", "root", "user of its own");
	facts.has_vmm_group = false;
	expect("group", "warn", "no group kvm", "groupadd --system kvm");
	cr_assert_not(selftest_has_failed(checks));
}

Test(selftest, says_when_the_daemon_was_not_asked)
{
	targets.is_daemon = false;
	expect("daemon", "warn", "checked as user vringd", "start vringd");
	facts.uid = 0;
	expect("user", "warn", "root", "runuser -u USER");
}

Test(selftest, hints_at_apparmor)
{
	facts.apparmor = SELFTEST_APPARMOR_LACKS;
	expect("AppArmor", "warn", "may not connect", "local/abstractions");
	facts.apparmor = SELFTEST_APPARMOR_HAS;
	expect("AppArmor", "ok", "may connect", "");
}

Test(selftest, passes_on_what_is_wrong_with_a_target)
{
	strcpy(targets.all[0].problem, "/dev/x: Operation not permitted");
	expect("target a", "fail", "/dev/x: Operation not permitted", "");
	cr_assert(selftest_has_failed(checks));
	strcpy(targets.all[0].driver, "blkext");
	expect("target a", "fail", "not permitted",
	       "DeviceAllow=block-blkext rw");
	targets.config_problem = "it is wrong";
	expect("configuration", "fail", "/etc/v.yaml: it is wrong",
	       "vringd -t");
}

Test(selftest, looks_at_folders_of_sockets)
{
	cr_assert_eq(chmod(dir, 0750), 0);
	expect("sockets", "warn", "(mode 0750)", "chmod o+x");
	free(targets.all[0].socket);
	free(targets.all[1].socket);
	targets.all[0].socket = strdup("/nonexistent/a.sock");
	targets.all[1].socket = strdup("/nonexistent/b.sock");
	expect("sockets", "fail", "/nonexistent/: No such", "RuntimeDirectory");
	targets.is_daemon = false;
	expect("sockets", "warn", "/nonexistent/: No such", "RuntimeDirectory");
}

Test(selftest, looks_at_this_machine)
{
	targets.is_daemon = false;
	selftest_look(&facts, &targets);
	cr_assert_eq(facts.uid, geteuid());
	cr_assert(*facts.user && *facts.groups && *facts.release);
	cr_assert_gt(facts.max_fds, 0);
	cr_assert_str_eq(facts.ring_why, "");
	cr_assert_not_null(
		strstr(targets.all[0].problem, "No such file or directory"));
	cr_assert_str_eq(targets.all[1].problem, "");
	expect("target a", "fail", "disk.img: No such file", "");
}
