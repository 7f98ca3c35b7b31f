/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/config: defaults, every error with its place, printing and reading. */
#include <criterion/criterion.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/config.h"
#include "daemon/config_print.h"
#include "daemon/yamldoc.h"
#include "fuzz.h"

static struct config_errors errs;

static void forget_errors(void)
{
	config_errors_fini(&errs);
}

TestSuite(config, .fini = forget_errors);

static int parse(const char *text, struct config **c)
{
	forget_errors();
	return config_parse("f", text, strlen(text), c, &errs);
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

static struct config *accept(const char *text)
{
	struct config *c = NULL;
	int err = parse(text, &c);

	cr_assert_eq(err, 0, "%s", errors_text());
	return c;
}

/* The whole of what is printed must be @expected. */
static void expect_errors(const char *expected)
{
	char *said = errors_text();

	cr_assert_str_eq(said, expected, "said:\n%s", said);
	free(said);
}

static void refuse(const char *text, const char *expected)
{
	struct config *c = NULL;

	cr_assert_eq(parse(text, &c), -EINVAL, "took %s", text);
	cr_assert_null(c);
	expect_errors(expected);
}

static void warn(const char *text, const char *expected)
{
	config_put(accept(text));
	expect_errors(expected);
}

Test(config, takes_an_empty_file_and_fills_the_defaults)
{
	static const char *const empty[] = {
		"",   "# nothing\n", "---\n",	     "~\n",
		"{}", "targets:\n",  "targets: []\n"};

	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		struct config *c = accept(empty[i]);

		cr_assert_eq(c->cpus.nr, 0);
		cr_assert_str_eq(c->control_path,
				 RUNSTATEDIR "/vringd/control.sock");
		cr_assert_null(c->control_group);
		cr_assert_eq(c->control_mode, 0660);
		cr_assert_str_eq(c->socket_dir, RUNSTATEDIR "/vringd");
		cr_assert_eq(c->socket_mode, 0660);
		cr_assert_eq(c->log_level, CONFIG_LOG_INFO);
		cr_assert_eq(c->poll_us, VALUE_POLL_AUTO);
		cr_assert_eq(c->sqpoll, CONFIG_SQPOLL_AUTO);
		cr_assert_eq(c->sqpoll_cpu, -1);
		cr_assert_eq(c->sqpoll_idle_us, 10000);
		cr_assert_eq(c->io_workers, 64);
		cr_assert_eq(c->nr_targets, 0);
		cr_assert_geq(config_nr_workers(c), 1);
		config_put(c);
	}
}

Test(config, fills_the_defaults_of_a_target)
{
	struct config *c = accept("socket-dir: /run/x\n"
				  "socket-group: kvm\n"
				  "socket-mode: 0666\n"
				  "targets:\n"
				  "  - name: a\n"
				  "    backend: /srv/a.img\n");
	const struct config_target *t = &c->targets[0];

	cr_assert_eq(c->nr_targets, 1);
	cr_assert_eq(t->place.line, 5);
	cr_assert_eq(t->place.column, 5);
	cr_assert_str_eq(t->name, "a");
	cr_assert_eq(t->device, CONFIG_DEVICE_BLK);
	cr_assert_eq(t->backend.kind, CONFIG_KIND_FILE);
	cr_assert_str_eq(t->backend.path, "/srv/a.img");
	cr_assert_eq(t->backend.block_size, 0);
	cr_assert_eq(t->backend.direct, CONFIG_DIRECT_AUTO);
	cr_assert(t->backend.discard);
	cr_assert_not(t->backend.shared);
	cr_assert_not(t->read_only);
	cr_assert_str_eq(t->socket, "/run/x/a.sock");
	cr_assert_null(t->socket_owner);
	cr_assert_str_eq(t->socket_group, "kvm");
	cr_assert_eq(t->socket_mode, 0666);
	cr_assert_eq(t->queues, 16);
	cr_assert_eq(t->queue_size, 1024);
	cr_assert_eq(t->seg_max, 254);
	cr_assert_str_eq(t->serial, "a");
	cr_assert_eq(t->cpus.nr, 0);
	cr_assert_eq(t->memory_files, CONFIG_MEMORY_FILES_SHMEM);
	cr_assert_not(t->fixed_buffers);
	cr_assert_not(t->packed);
	config_put(c);
}

/* Uses every key there is: a new one must be added, or the test fails. */
static const char everything[] =
	"cpus: [4, 0-1]\n"
	"control: {path: /run/c.sock, group: adm, mode: \"0600\"}\n"
	"socket-dir: /run/x\n"
	"socket-owner: vringd\n"
	"socket-group: kvm\n"
	"socket-mode: 0666\n"
	"log-level: debug\n"
	"poll: 50us\n"
	"sqpoll: yes\n"
	"sqpoll-cpu: 3\n"
	"sqpoll-idle: 20ms\n"
	"io-workers: 1k\n"
	"targets:\n"
	"  - name: a\n"
	"    device: blk\n"
	"    backend: {kind: file, path: /srv/a b.img, block-size: 4096,\n"
	"              direct: off, discard: no, shared: true,\n"
	"              read-only: yes}\n"
	"    socket: /x/a.sock\n"
	"    socket-owner: \"107\"\n"
	"    socket-group: qemu\n"
	"    socket-mode: \"0700\"\n"
	"    queues: 256\n"
	"    queue-size: 64\n"
	"    seg-max: 62\n"
	"    serial: \"S N\"\n"
	"    cpus: 0-1\n"
	"    read-only: off\n"
	"    memory-files: any\n"
	"    packed: on\n"
	"    limits: {iops: 50k, read-iops: 40000, write-iops: 1,\n"
	"             bandwidth: 1TiB, read-bandwidth: 4KiB,\n"
	"             write-bandwidth: 800MiB, burst: 2s}\n"
	"  - {name: b, backend: {kind: mem, size: 1GiB}, socket: bb}\n"
	"  - {name: c, backend: {kind: null, size: 1536, zeroes: on,\n"
	"                        delay: 0s}}\n"
	"  - {name: d, backend: /srv/d.img, fixed-buffers: on}\n";

Test(config, reads_every_key)
{
	struct config *c = accept(everything);
	const struct config_target *t = c->targets;

	cr_assert_eq(c->cpus.nr, 3);
	cr_assert_eq(config_nr_workers(c), 3);
	cr_assert_str_eq(c->control_path, "/run/c.sock");
	cr_assert_str_eq(c->control_group, "adm");
	cr_assert_eq(c->control_mode, 0600);
	cr_assert_eq(c->log_level, CONFIG_LOG_DEBUG);
	cr_assert_eq(c->poll_us, 50);
	cr_assert_eq(c->sqpoll, CONFIG_SQPOLL_ON);
	cr_assert_eq(c->sqpoll_cpu, 3);
	cr_assert_eq(c->sqpoll_idle_us, 20000);
	cr_assert_eq(c->io_workers, 1000);
	cr_assert_eq(c->nr_targets, 4);
	cr_assert_str_eq(t->backend.path, "/srv/a b.img");
	cr_assert_eq(t->backend.block_size, 4096);
	cr_assert_eq(t->backend.direct, CONFIG_DIRECT_OFF);
	cr_assert_not(t->backend.discard);
	cr_assert(t->backend.shared);
	cr_assert(t->read_only, "it follows from the backend");
	cr_assert_str_eq(t->socket, "/x/a.sock");
	cr_assert_str_eq(t->socket_owner, "107");
	cr_assert_str_eq(t->socket_group, "qemu");
	cr_assert_eq(t->socket_mode, 0700);
	cr_assert_eq(t->queues, 256);
	cr_assert_eq(t->queue_size, 64);
	cr_assert_eq(t->seg_max, 62);
	cr_assert_str_eq(t->serial, "S N");
	cr_assert_eq(t->cpus.nr, 2);
	cr_assert_eq(t->memory_files, CONFIG_MEMORY_FILES_ANY);
	cr_assert(t->packed);
	cr_assert_eq(t->limits.iops, 50000);
	cr_assert_eq(t->limits.read_iops, 40000);
	cr_assert_eq(t->limits.write_iops, 1);
	cr_assert_eq(t->limits.bandwidth, 1ULL << 40);
	cr_assert_eq(t->limits.read_bandwidth, 4096);
	cr_assert_eq(t->limits.write_bandwidth, 800ULL << 20);
	cr_assert_eq(t->limits.burst_us, 2000000);
	cr_assert_not(config_keys_has_limits(&t[1].limits));
	cr_assert_eq(t[1].limits.burst_us, 100000);
	cr_assert_str_eq(t[1].socket, "/run/x/bb");
	cr_assert_str_eq(t[1].socket_owner, "vringd");
	cr_assert_eq(t[1].backend.kind, CONFIG_KIND_MEM);
	cr_assert_eq(t[1].backend.size, 1ULL << 30);
	cr_assert_eq(t[2].backend.kind, CONFIG_KIND_NULL);
	cr_assert_eq(t[2].backend.size, 1536);
	cr_assert(t[2].backend.zeroes);
	cr_assert_eq(t[2].backend.delay_us, 0);
	cr_assert(t[3].fixed_buffers);
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		cr_assert(config_keys[id].form == CONFIG_FORM_FILES ||
				  strstr(everything, config_keys[id].name),
			  "%s is missing", config_keys[id].name);
	config_put(c);
}

static char *print(const struct config *c)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	config_print(c, f);
	fclose(f);
	return out;
}

Test(config, prints_what_it_reads_again)
{
	static const char *const texts[] = {
		"",
		everything,
		"targets: [{name: a, queue-size: 2, backend: /a}]",
		"targets: [{name: a, backend: \"/\\u00e4\\u0085\\ufeff: \"}]",
		"targets: [{name: \"null\", backend: /a, serial: \"~\"}]",
		"targets: [{name: a, backend: /a, read-only: on},"
		" {name: b, backend: {path: /a, read-only: on}}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct config *c = accept(texts[i]);
		char *once = print(c);
		struct config *again = accept(once);
		char *twice = print(again);

		cr_assert_str_eq(once, twice);
		cr_assert_eq(errs.nr, 0, "%s", errors_text());
		if (c->nr_targets)
			cr_assert_str_eq(c->targets[0].backend.path,
					 again->targets[0].backend.path);
		free(once);
		free(twice);
		config_put(c);
		config_put(again);
	}
}

Test(config, prints_every_value)
{
	struct config *c = accept(everything);
	char *out = print(c);
	static const char *const lines[] = {
		"cpus: [0, 1, 4]\n",
		"\ncontrol:\n  path: /run/c.sock\n  group: adm\n",
		"\nsocket-mode: \"0666\"\n",
		"\nsqpoll-idle: 20ms\n",
		"\n  - name: a\n    device: blk\n    backend:\n",
		"\n      kind: file\n",
		"\n      path: \"/srv/a b.img\"\n",
		"\n    serial: \"S N\"\n",
		"\n      size: 1536\n      zeroes: on\n",
		"\n    limits:\n      iops: 50000\n      read-iops: 40000\n",
		"\n      write-bandwidth: 800MiB\n      burst: 2s\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		cr_assert_not_null(strstr(out, lines[i]), "no %s in\n%s",
				   lines[i], out);
	free(out);
	config_put(c);
}

Test(config, reports_all_errors_with_their_places)
{
	refuse("targts: []\n"
	       "log-level: loud\n"
	       "sqpoll: 1\n"
	       "control: {mode: 9, path: rel}\n"
	       "targets:\n"
	       "  - name: a\n"
	       "    backend: /a\n"
	       "  - name: b/c\n"
	       "    backend: /b\n"
	       "  - name: c\n"
	       "    backend: {path: /c, size: 4 GiB}\n"
	       "    queues: many\n"
	       "    queue-sizes: 12\n",
	       "f:1:1: targts: unknown key, did you mean targets?\n"
	       "f:2:12: log-level: expected err, warn, info or debug, got "
	       "\"loud\"\n"
	       "f:3:9: sqpoll: expected auto, on or off, got \"1\", did you "
	       "mean on?\n"
	       "f:4:17: control.mode: expected an octal mode such as 0660, got "
	       "\"9\"\n"
	       "f:4:26: control.path: expected an absolute path, got \"rel\"\n"
	       "f:8:11: targets[1].name: expected a name of 1..64 letters, "
	       "digits, '.', '_' or '-', beginning with a letter or digit, got "
	       "\"b/c\"\n"
	       "f:11:31: targets[2].backend.size: expected a size such as "
	       "10GiB, 512..1048576TiB, got \"4 GiB\", did you mean 4GiB?\n"
	       "f:11:31: targets[2].backend.size: a backend of kind file has "
	       "no such key\n"
	       "f:12:13: targets[2].queues: expected an integer 1..256, got "
	       "\"many\"\n"
	       "f:13:5: targets[2].queue-sizes: unknown key, did you mean "
	       "queue-size?\n");
}

Test(config, reports_wrong_shapes)
{
	refuse("[a]", "f:1:1: file: expected a mapping of keys to values, got "
		      "a list\n");
	refuse("text", "f:1:1: file: expected a mapping of keys to values, got "
		       "\"text\"\n");
	refuse("targets: {a: b}",
	       "f:1:10: targets: expected a list of targets, got a mapping\n");
	refuse("targets: [a, ~]",
	       "f:1:11: targets[0]: expected a mapping with name and backend, "
	       "got \"a\"\n"
	       "f:1:11: targets[0].name: a name is needed\n"
	       "f:1:11: targets[0].backend: a backend is needed\n"
	       "f:1:14: targets[1]: expected a mapping with name and backend, "
	       "got nothing\n"
	       "f:1:14: targets[1].name: a name is needed\n"
	       "f:1:14: targets[1].backend: a backend is needed\n");
	refuse("control: on", "f:1:10: control: expected a mapping such as "
			      "{group: vringd}, got \"on\"\n");
	refuse("log-level: [info]",
	       "f:1:12: log-level: expected err, warn, info or debug, got a "
	       "list\n");
	refuse("io-workers:", "f:1:12: io-workers: expected an integer "
			      "1..1024, got nothing\n");
	refuse("Log level: info", "f:1:1: \"Log level\": unknown key, did you "
				  "mean log-level?\n");
	refuse("? [a]\n: b", "f:1:3: key: expected a name, got a list\n");
	refuse("socket-dir: \"/a\\0b\"",
	       "f:1:13: socket-dir: expected an absolute path, got "
	       "\"/a\\x00b\"\n");
	refuse("log-level: \"\\e[2J"
	       "                                                            \"",
	       "f:1:12: log-level: expected err, warn, info or debug, got "
	       "\"\\x1b[2J                                                "
	       "\"...\n");
}

/* YAML 1.1 has many ways to say things, and generators use them all. */
Test(config, takes_what_yaml_is_written_by_programs)
{
	static const char *const modes[] = {"0660", "\"0660\"", "'0660'",
					    "660",  "\"660\"",	"0o660"};
	static const char *const switches[] = {"on", "True", "YES", "\"on\""};
	struct config *c;
	char text[200];

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		snprintf(text, sizeof(text), "socket-mode: %s\n", modes[i]);
		c = accept(text);
		cr_assert_eq(c->socket_mode, 0660, "%s", text);
		config_put(c);
	}
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		snprintf(text, sizeof(text), "sqpoll: %s\n", switches[i]);
		c = accept(text);
		cr_assert_eq(c->sqpoll, CONFIG_SQPOLL_ON, "%s", text);
		cr_assert_eq(c->sqpoll_idle_us, 1000000);
		config_put(c);
	}
	c = accept("sqpoll: no\nsqpoll-idle: 20ms");
	cr_assert_eq(c->sqpoll, CONFIG_SQPOLL_OFF);
	cr_assert_eq(c->sqpoll_idle_us, 20000);
	config_put(c);
	c = accept("\xef\xbb\xbfsocket-dir: /x\r\n"
		   "targets:\r\n"
		   "  - name: on\r\n"
		   "    backend: /a\r\n"
		   "    serial: 0123\r\n"
		   "  - {name: 123, backend: /b, serial: 1e3}\r\n");
	cr_assert_str_eq(c->socket_dir, "/x");
	cr_assert_str_eq(c->targets[0].name, "on");
	cr_assert_str_eq(c->targets[0].serial, "0123");
	cr_assert_str_eq(c->targets[1].name, "123");
	cr_assert_str_eq(c->targets[1].serial, "1e3");
	config_put(c);
	config_put(accept("{\"cpus\": 1, \"targets\": []}"));
	config_put(accept("%YAML 1.1\n---\ncpus: 1\n...\n"));
}

Test(config, reports_a_value_that_is_null)
{
	static const char *const nulls[] = {"~", "null", "Null", "NULL"};
	char text[200];

	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++) {
		snprintf(text, sizeof(text), "socket-group: %s\n", nulls[i]);
		refuse(text,
		       "f:1:15: socket-group: expected a name of 1..32 "
		       "letters, digits, '.', '_' or '-', beginning with a "
		       "letter or digit, got nothing\n");
	}
	config_put(accept("socket-group: \"null\""));
}

Test(config, warns_of_a_mode_that_was_decimal)
{
	warn("socket-mode: 432\n",
	     "f:1:14: warning: socket-mode: 0432 does not let the owner "
	     "connect; a mode is octal, such as 0660\n");
	warn("control: {mode: 0060}\n"
	     "targets: [{name: a, backend: /a, socket-mode: 420}]",
	     "f:1:17: warning: control.mode: 0060 does not let the owner "
	     "connect; a mode is octal, such as 0660\n"
	     "f:2:47: warning: targets[0].socket-mode: 0420 does not let the "
	     "owner connect; a mode is octal, such as 0660\n");
}

Test(config, says_where_a_known_key_belongs)
{
	refuse("name: a\n"
	       "user: vringd\n"
	       "targets:\n"
	       "  - {name: a, filename: /a, backend: {path: /a, num_queues: 1,"
	       " format: raw}, iops: 5, num_queues: 1}\n",
	       "f:1:1: name: unknown key here, it belongs to a target\n"
	       "f:2:1: user: unknown key: it is set in the service, with "
	       "User=\n"
	       "f:4:15: targets[0].filename: unknown key, did you mean "
	       "backend?\n"
	       "f:4:49: targets[0].backend.num_queues: unknown key\n"
	       "f:4:64: targets[0].backend.format: unknown key: the content is "
	       "always a raw disk\n"
	       "f:4:78: targets[0].iops: unknown key here, it belongs to "
	       "limits\n"
	       "f:4:87: targets[0].num_queues: unknown key, did you mean "
	       "queues?\n");
}

Test(config, reports_cpu_lists)
{
	refuse("cpus: []", "f:1:7: cpus: expected a CPU, got an empty list\n");
	refuse("cpus: [0, x]", "f:1:11: cpus: expected a CPU number 0..1023 or "
			       "a range such as 0-3, got \"x\"\n");
	refuse("cpus: [0, [1]]", "f:1:11: cpus: expected a CPU number 0..1023 "
				 "or a range such as 0-3, got a list\n");
	refuse("cpus: [0-2, 1]", "f:1:13: cpus: expected each CPU once, but 1 "
				 "is there twice, got \"1\"\n");
	refuse("targets: [{name: a, backend: {kind: null, size: 1GiB},"
	       " fixed-buffers: on}]",
	       "f:1:71: targets[0].fixed-buffers: only for a backend of kind "
	       "file\n");
	refuse("targets: [{name: a, backend: /a, memory-files: any,"
	       " fixed-buffers: on}]",
	       "f:1:68: targets[0].fixed-buffers: not with memory-files: "
	       "any\n");
	refuse("targets: [{name: a, backend: /a, cpus: 0}]",
	       "f:1:40: targets[0].cpus: needs a list of cpus at the top of "
	       "the file\n");
	refuse("cpus: 0-1\n"
	       "targets: [{name: a, backend: /a, cpus: [1, 2]}]",
	       "f:2:40: targets[0].cpus: CPU 2 is not in cpus at the top of "
	       "the file\n");
	warn("{cpus: 0-1, sqpoll-cpu: 1}",
	     "f:1:25: warning: sqpoll-cpu: CPU 1 has a worker, which will be "
	     "in the way of the kernel thread\n");
}

Test(config, reports_a_key_given_twice_with_both_places)
{
	refuse("log-level: info\n"
	       "cpus: 1\n"
	       "log-level: warn\n",
	       "f:3:1: log-level: given twice, first at f:1:12\n");
}

Test(config, reports_backends_that_make_no_sense)
{
	refuse("targets: [{name: a, backend: }]",
	       "f:1:30: targets[0].backend: expected a path or a mapping, got "
	       "nothing\n");
	refuse("targets: [{name: a, backend: [/a]}]",
	       "f:1:30: targets[0].backend: expected a path or a mapping, got "
	       "a list\n");
	refuse("targets: [{name: a, backend: rel}]",
	       "f:1:30: targets[0].backend.path: expected an absolute path, "
	       "got \"rel\"\n");
	refuse("targets: [{name: a, backend: {}}]",
	       "f:1:30: targets[0].backend.path: a path is needed, or kind: "
	       "mem or null with a size\n");
	refuse("targets: [{name: a, backend: {kind: memory}}]",
	       "f:1:37: targets[0].backend.kind: expected file, mem or null, "
	       "got \"memory\", did you mean mem?\n");
	refuse("targets: [{name: a, backend: {kind: mem}}]",
	       "f:1:30: targets[0].backend.size: a size is needed, such as "
	       "size: 10GiB\n");
	refuse("targets: [{name: a, backend: {kind: mem, size: 2KiB,"
	       " block-size: 4096}}]",
	       "f:1:48: targets[0].backend.size: expected a multiple of the "
	       "block size, 4096\n");
	refuse("targets: [{name: a, backend: {kind: mem, size: 1GiB,"
	       " path: /a, zeroes: on, direct: on}}]",
	       "f:1:60: targets[0].backend.path: a backend of kind mem has no "
	       "such key\n"
	       "f:1:72: targets[0].backend.zeroes: a backend of kind mem has "
	       "no such key\n"
	       "f:1:84: targets[0].backend.direct: a backend of kind mem has "
	       "no such key\n");
}

Test(config, reports_limits_that_make_no_sense)
{
	refuse("targets: [{name: a, backend: /a, limits: 5000}]",
	       "f:1:42: targets[0].limits: expected a mapping such as "
	       "{iops: 5000}, got \"5000\"\n");
	refuse("targets: [{name: a, backend: /a, limits: {iops: 0,"
	       " bandwidth: 512, burst: 1us, iop: 1}}]",
	       "f:1:49: targets[0].limits.iops: expected an integer "
	       "1..100000000, got \"0\"\n"
	       "f:1:63: targets[0].limits.bandwidth: expected a size such "
	       "as 10GiB, 4KiB..1TiB, got \"512\"\n"
	       "f:1:75: targets[0].limits.burst: expected a time such as 20ms, "
	       "1ms..60s, got \"1us\"\n"
	       "f:1:80: targets[0].limits.iop: unknown key, did you mean "
	       "iops?\n");
	warn("targets: [{name: a, backend: {path: /a, delay: 1ms}}]",
	     "f:1:48: warning: targets[0].backend.delay: makes the disk slow "
	     "on purpose, which is for tests\n");
	warn("targets: [{name: a, backend: /a, limits: {burst: 1s}}]",
	     "f:1:50: warning: targets[0].limits.burst: of no use without a "
	     "limit, such as iops: 5000\n");
	warn("targets: [{name: a, backend: /a, limits: {iops: 5, read-iops: 5,"
	     " bandwidth: 1MiB, write-bandwidth: 1GiB}}]",
	     "f:1:63: warning: targets[0].limits.read-iops: never reached, as "
	     "iops is not larger\n"
	     "f:1:100: warning: targets[0].limits.write-bandwidth: never "
	     "reached, as bandwidth is not larger\n");
}

Test(config, reports_targets_in_conflict_with_both_places)
{
	refuse("targets:\n"
	       "  - {name: a, backend: /a}\n"
	       "  - {name: b, backend: /b, socket: a.sock}\n"
	       "  - {name: a, backend: /c}\n",
	       "f:3:36: targets[1].socket: " RUNSTATEDIR
	       "/vringd/a.sock is already that of targets[0] at f:2:12\n"
	       "f:4:12: targets[2].name: a is already that of targets[0] at "
	       "f:2:12\n");
	refuse("control: {path: /x/a.sock}\n"
	       "socket-dir: /x\n"
	       "targets: [{name: a, backend: /a}]\n",
	       "f:3:18: targets[0].socket: /x/a.sock is the control socket\n");
}

Test(config, keeps_the_name_that_the_log_has_for_us)
{
	refuse("targets: [{name: vringd, backend: /a}]",
	       "f:1:18: targets[0].name: vringd is what the daemon calls "
	       "itself in its log\n");
	config_put(accept("targets: [{name: worker0, backend: /a}]"));
}

Test(config, lets_targets_share_a_backend_only_on_purpose)
{
	refuse("targets: [{name: a, backend: /a}, {name: b, backend: /a}]",
	       "f:1:54: targets[1].backend.path: /a is already that of "
	       "targets[0] at f:1:30; to share it, both must be "
	       "read-only or say shared: true\n");
	refuse("targets: [{backend: {path: /a}, name: a, read-only: on},"
	       "{name: b, backend: {path: /a, shared: on}}]",
	       "f:1:83: targets[1].backend.path: /a is already that of "
	       "targets[0] at f:1:28; to share it, both must be "
	       "read-only or say shared: true\n");
	config_put(accept("targets: [{name: a, backend: /a, read-only: on},"
			  "{name: b, backend: {path: /a, read-only: on}}]"));
	config_put(accept("targets: ["
			  "{name: a, backend: {path: /a, shared: on}},"
			  "{name: b, backend: {path: /a, shared: on}}]"));
}

Test(config, reports_values_that_do_not_fit_together)
{
	refuse("targets: [{name: a, backend: /a, queue-size: 8, seg-max: 7}]",
	       "f:1:58: targets[0].seg-max: expected at most queue-size - 2, "
	       "that is 6\n");
	warn("targets: [{name: a23456789012345678901, backend: /a}]",
	     "f:1:11: warning: targets[0].serial: the name, cut to 20 bytes, "
	     "is the serial number\n");
}

Test(config, refuses_a_socket_path_that_does_not_fit)
{
	char text[256], expected[512];
	char dir[92];

	memset(dir, 'x', sizeof(dir));
	dir[0] = '/';
	dir[91] = '\0';
	snprintf(text, sizeof(text),
		 "socket-dir: %s\n"
		 "targets: [{name: abcdefghij%s, backend: /a}]",
		 dir, "");
	config_put(accept(text));
	snprintf(text, sizeof(text),
		 "socket-dir: %s\n"
		 "targets: [{name: abcdefghij%s, backend: /a}]",
		 dir, "k");
	snprintf(expected, sizeof(expected),
		 "f:2:18: targets[0].socket: the path of the socket has 108 "
		 "bytes, at most 107 fit: %s/abcdefghijk.sock\n",
		 dir);
	refuse(text, expected);
}

Test(config, warns_of_names_that_change_at_reboot)
{
	static const char *const names[][2] = {
		{"/dev/sda", "a name in /dev/disk/by-id"},
		{"/dev/sdaa3", "a name in /dev/disk/by-id"},
		{"/dev/nvme0n1", "a name in /dev/disk/by-id"},
		{"/dev/dm-3", "a name in /dev/mapper"},
		{"/dev/vdb", "a name in /dev/disk/by-path"},
		{"/dev/loop7", "the file behind it"},
	};
	static const char *const good[] = {
		"/dev/disk/by-id/nvme-x", "/dev/mapper/a", "/dev/sd",
		"/dev/rbd/pool/image",	  "/dev/vg/lv",	   "/srv/dev/sda"};
	char text[128], expected[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(text, sizeof(text),
			 "targets: [{name: a, backend: %s}]", names[i][0]);
		snprintf(expected, sizeof(expected),
			 "f:1:30: warning: targets[0].backend.path: %s may be "
			 "another disk after the next boot, use %s\n",
			 names[i][0], names[i][1]);
		warn(text, expected);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(text, sizeof(text),
			 "targets: [{name: a, backend: %s}]", good[i]);
		warn(text, "");
	}
}

Test(config, refuses_what_yaml_can_do_but_a_configuration_need_not)
{
	refuse("cpus: &a 1", "f:1:7: anchors (&name) are not allowed here\n");
	refuse("cpus: *a", "f:1:7: aliases (*name) are not allowed here\n");
	refuse("cpus: !!int 1", "f:1:7: tags (!name) are not allowed here\n");
	refuse("cpus: 1\n---\ncpus: 2\n",
	       "f:2:1: a second document is not allowed here\n");
	refuse("targets: [[[[[[[[a]]]]]]]]",
	       "f:1:17: values are nested too deeply\n");
	refuse("cpus: [1",
	       "f:2:1: this is not YAML: did not find expected ',' or ']' "
	       "while parsing a flow sequence; is a bracket not closed?\n");
	refuse("cpus:\n\t1\n",
	       "f:2:1: this is not YAML: found character that cannot start any "
	       "token while scanning for the next token; a tab cannot indent, "
	       "use spaces\n");
	refuse("targets:\n  - name: a\n\tbackend: /a\n",
	       "f:3:1: this is not YAML: found a tab character that violates "
	       "indentation while scanning a plain scalar; a tab cannot "
	       "indent, use spaces\n");
	refuse("log-level:info\ncpus: 1\n",
	       "f:2:5: this is not YAML: mapping values are not allowed in "
	       "this context; is the blank behind a colon missing, or quotes "
	       "around a value?\n");
	refuse("<<: {cpus: 1}\n",
	       "f:1:1: \"<<\": unknown key: merge keys are not allowed\n");
	refuse("cpus: 1\xff",
	       "f:1:1: this is not YAML: invalid leading UTF-8 octet\n");
}

Test(config, keeps_a_bounded_number_of_errors)
{
	char text[8000];
	struct config *c = NULL;
	size_t len = 0;

	for (int i = 0; i < 300; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"unknown-%d: 1\n", i);
	cr_assert_eq(parse(text, &c), -EINVAL);
	cr_assert_eq(errs.nr, CONFIG_ERRORS_MAX);
	cr_assert_eq(errs.nr_errors, 300);

	char *said = errors_text();

	cr_assert_not_null(strstr(said, "\nand 100 more\n"));
	free(said);
}

Test(config, bounds_the_number_of_values)
{
	size_t size = 2 * (YAMLDOC_NODES + 8);
	char *text = malloc(size);
	struct config *c = NULL;

	memset(text, ',', size);
	for (size_t i = 0; i < size; i += 2)
		text[i] = 'a';
	memcpy(text, "[ ", 2);
	cr_assert_eq(config_parse("f", text, size, &c, &errs), -EINVAL);
	cr_assert_str_eq(errs.list[0].text, "the file has too many values");
	free(text);
}

Test(config, loads_a_file_and_says_why_it_cannot)
{
	char path[] = "/tmp/vringd-config-XXXXXX";
	char expected[128];
	struct config *c = NULL;
	int fd = mkstemp(path);

	cr_assert_eq(write(fd, everything, strlen(everything)),
		     (ssize_t)strlen(everything));
	cr_assert_eq(config_load(path, &c, &errs), 0);
	cr_assert_eq(c->nr_targets, 4);
	config_put(c);
	forget_errors();

	cr_assert_eq(ftruncate(fd, (8 << 20) + 1), 0);
	close(fd);
	cr_assert_eq(config_load(path, &c, &errs), -EFBIG);
	snprintf(expected, sizeof(expected),
		 "%s: cannot read: all files together may have 8 MiB\n", path);
	expect_errors(expected);
	forget_errors();
	unlink(path);
	cr_assert_eq(config_load(path, &c, &errs), -ENOENT);
	snprintf(expected, sizeof(expected),
		 "%s: cannot read: No such file or directory\n", path);
	expect_errors(expected);
	forget_errors();
	cr_assert_eq(config_load("/tmp", &c, &errs), -EISDIR);
}

Test(config, reads_no_file_that_could_block_or_was_cut_short)
{
	char path[] = "/tmp/vringd-config-XXXXXX";
	char expected[128];
	struct config *c = NULL;

	close(mkstemp(path));
	cr_assert_eq(config_load(path, &c, &errs), -ENODATA);
	snprintf(expected, sizeof(expected),
		 "%s: cannot read: it is empty; one without targets has a "
		 "comment at least\n",
		 path);
	expect_errors(expected);
	forget_errors();
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(config_load(path, &c, &errs), -ENOTSUP);
	snprintf(expected, sizeof(expected),
		 "%s: cannot read: it is not a regular file\n", path);
	expect_errors(expected);
	forget_errors();
	unlink(path);
	cr_assert_eq(config_load("/dev/zero", &c, &errs), -ENOTSUP);
}

Test(config, holds_thousands_of_targets)
{
	size_t size = 10000 * 64 + 64;
	char *text = malloc(size);
	struct config *c = NULL;
	size_t len = (size_t)sprintf(text, "targets:\n");

	for (int i = 0; i < 10000; i++)
		len += (size_t)sprintf(text + len,
				       "- {name: v%d, backend: /srv/%d}\n", i,
				       i);
	cr_assert_eq(config_parse("f", text, len, &c, &errs), 0);
	cr_assert_eq(c->nr_targets, 10000);
	config_put(c);
	free(text);
}

Test(config, explains_every_key)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	config_print_help(f);
	fclose(f);
	cr_assert_not_null(strstr(out,
				  "\ntargets[].queues\n"
				  "    queues that the guest may use, at most\n"
				  "    an integer 1..256\n"
				  "    default 16, effect target\n"));
	cr_assert_not_null(strstr(out, "\ntargets[].backend\n"
				       "    where the bytes are\n"
				       "    a mapping or a path\n"));
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		cr_assert_not_null(strstr(out, config_keys[id].help));
	free(out);
}

/* Loads @name below the top of the source; nothing may be said of it. */
static struct config *load_sample(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[512];
	struct config *c = NULL;

	forget_errors();
	snprintf(path, sizeof(path), "%s/conf/%s", top ? top : ".", name);
	cr_assert_eq(config_load(path, &c, &errs), 0, "%s", errors_text());
	cr_assert_eq(errs.nr, 0, "%s", errors_text());
	return c;
}

Test(config, takes_the_file_that_is_installed)
{
	struct config *c = load_sample("vringd.yaml");

	cr_assert_eq(c->nr_targets, 0);
	config_put(c);
}

Test(config, takes_the_examples)
{
	const char *top = getenv("top_srcdir");
	char pattern[512];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/conf/examples/*.yaml",
		 top ? top : ".");
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	cr_assert_geq(found.gl_pathc, 6);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = strstr(found.gl_pathv[i], "/conf/examples/");
		struct config *c = load_sample(name + strlen("/conf/"));

		cr_assert_geq(c->nr_targets, 1);
		config_put(c);
	}
	globfree(&found);
}

Test(config, survives_its_corpus)
{
	cr_assert_geq(fuzz_corpus("config", fuzz_config), 30);
}
