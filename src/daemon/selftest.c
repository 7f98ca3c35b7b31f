/* SPDX-License-Identifier: BSD-2-Clause */
/* Does this machine let us do what is configured?  What, if not, helps? */
#include "daemon/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backend/denied.h"
#include "base/util.h"
#include "daemon/member.h"
#include "run/uring.h"

/* The oldest kernel that has all we need. */
#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

/* Descriptors of the daemon itself, of a target, and of each of its queues. */
#define FDS_DAEMON 64
#define FDS_TARGET 8
#define FDS_QUEUE  5

#define IO_URING_DISABLED "/proc/sys/kernel/io_uring_disabled"
#define APPARMOR_ENABLED  "/sys/module/apparmor/parameters/enabled"
#define APPARMOR_RULES	  "/etc/apparmor.d/abstractions/libvirt-qemu"
#define APPARMOR_LOCAL	  "/etc/apparmor.d/local/abstractions/libvirt-qemu"

/* Targets */

int selftest_targets_init(struct selftest_targets *t, bool is_daemon,
			  const char *config)
{
	*t = (struct selftest_targets){.is_daemon = is_daemon};
	t->config = strdup(config);
	return t->config ? 0 : -ENOMEM;
}

int selftest_targets_add(struct selftest_targets *t,
			 const struct config_target *config,
			 const char *problem)
{
	const char *path = config->backend.path;
	struct selftest_target *all = realloc(t->all,
					      (t->nr + 1) * sizeof(*all)),
			       *one;

	if (!all)
		return -ENOMEM;
	t->all = all;
	one = &all[t->nr++];
	*one = (struct selftest_target){
		.name = strdup(config->name),
		.path = path ? strdup(path) : NULL,
		.socket = strdup(config->socket),
		.queues = config->queues,
		.write = !config->read_only && !config->backend.read_only,
	};
	snprintf(one->problem, sizeof(one->problem), "%s", problem);
	return one->name && one->socket && (one->path || !path) ? 0 : -ENOMEM;
}

void selftest_targets_fini(struct selftest_targets *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		free(t->all[i].name);
		free(t->all[i].path);
		free(t->all[i].socket);
	}
	free(t->all);
	free(t->config);
}

/* Looking */

/* Returns -1 when the kernel has no such setting. */
static int read_setting(const char *path)
{
	FILE *f = fopen(path, "re");
	int value = -1;

	if (f && fscanf(f, "%d", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

/* A daemon that runs has rings, and may have lost the right to make more. */
static void try_ring(struct selftest_facts *f)
{
	struct io_uring ring;
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	};
	int err = io_uring_queue_init_params(8, &ring, &p);

	if (err)
		uring_explain(err, f->ring_why, sizeof(f->ring_why));
	else
		io_uring_queue_exit(&ring);
}

static void look_at_limits(struct selftest_facts *f)
{
	struct rlimit lim;

	/* The daemon takes all that it may have. */
	if (!getrlimit(RLIMIT_NOFILE, &lim))
		f->max_fds = lim.rlim_max;
	if (!getrlimit(RLIMIT_MEMLOCK, &lim))
		f->memlock = lim.rlim_cur == RLIM_INFINITY ? UINT64_MAX
							   : lim.rlim_cur;
}

static void name_groups(struct selftest_facts *f)
{
	gid_t ids[65] = {getegid()};
	int nr = getgroups(ARRAY_SIZE(ids) - 1, ids + 1);
	size_t len = 0;

	for (int i = 0; i <= MAX(nr, 0); i++) {
		const struct group *g = getgrgid(ids[i]);

		if ((i && ids[i] == ids[0]) || len >= sizeof(f->groups))
			continue;
		len += (size_t)snprintf(f->groups + len,
					sizeof(f->groups) - len, "%s%s",
					i ? ", " : "",
					g ? g->gr_name : "(no name)");
	}
}

static void look_at_user(struct selftest_facts *f)
{
	const struct passwd *pw;

	f->uid = geteuid();
	pw = getpwuid(f->uid);
	snprintf(f->user, sizeof(f->user), "%s",
		 pw ? pw->pw_name : "(no name)");
	name_groups(f);
	f->has_vmm_group = getgrnam(SELFTEST_VMM_GROUP);
}

static bool has_line(const char *path, const char *part)
{
	FILE *f = fopen(path, "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = line[strspn(line, " \t")] != '#' && strstr(line, part);
	if (f)
		fclose(f);
	return found;
}

/* The folder of @path, with the slash. */
static void folder_of(const char *path, char *buf, size_t len)
{
	const char *slash = strrchr(path, '/');

	snprintf(buf, len, "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
}

static enum selftest_apparmor look_at_apparmor(const struct selftest_targets *t)
{
	char folder[PATH_MAX];

	if (!has_line(APPARMOR_ENABLED, "Y"))
		return SELFTEST_APPARMOR_OFF;
	if (access(APPARMOR_RULES, F_OK))
		return SELFTEST_APPARMOR_UNUSED;
	for (size_t i = 0; i < t->nr; i++) {
		folder_of(t->all[i].socket, folder, sizeof(folder));
		if (!has_line(APPARMOR_LOCAL, folder) &&
		    !has_line(APPARMOR_RULES, folder))
			return SELFTEST_APPARMOR_LACKS;
	}
	return SELFTEST_APPARMOR_HAS;
}

/* The driver of a block device: a line " 259 blkext" of /proc/devices. */
static void find_driver(struct selftest_target *t)
{
	FILE *f;
	struct stat st;
	char line[128], name[32];
	bool is_block = false;
	unsigned number;

	if (!t->path || stat(t->path, &st) || !S_ISBLK(st.st_mode))
		return;
	f = fopen("/proc/devices", "re");
	while (f && fgets(line, sizeof(line), f)) {
		is_block |= !strncmp(line, "Block", 5);
		if (is_block && sscanf(line, "%u %31s", &number, name) == 2 &&
		    number == major(st.st_rdev))
			snprintf(t->driver, sizeof(t->driver), "%s", name);
	}
	if (f)
		fclose(f);
}

/* Where no daemon does it: can we open the storage? */
static void try_storage(struct selftest_target *t)
{
	int fd;

	if (!t->path)
		return;
	fd = open(t->path,
		  (t->write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		close(fd);
	else if (errno == EACCES)
		denied_explain(t->path, t->write, t->problem,
			       sizeof(t->problem));
	else
		snprintf(t->problem, sizeof(t->problem), "%s: %s", t->path,
			 strerror(errno));
}

void selftest_look(struct selftest_facts *f, struct selftest_targets *t)
{
	struct utsname u;

	memset(f, 0, sizeof(*f));
	if (!uname(&u))
		snprintf(f->release, sizeof(f->release), "%s", u.release);
	f->ring_setting = read_setting(IO_URING_DISABLED);
	if (!t->is_daemon)
		try_ring(f);
	look_at_limits(f);
	look_at_user(f);
	for (size_t i = 0; i < t->nr; i++) {
		find_driver(&t->all[i]);
		if (!t->is_daemon)
			try_storage(&t->all[i]);
	}
	f->apparmor = look_at_apparmor(t);
}

/* Judging */

enum result { OK, WARN, FAIL };

struct checks {
	const struct selftest_facts *f;
	const struct selftest_targets *t;
	struct json_object *list;
};

/* The remedy is for what is not ok, and may be NULL. */
__attribute__((format(printf, 5, 6))) static void
add_check(struct checks *c, const char *check, enum result result,
	  const char *remedy, const char *fmt, ...)
{
	static const char *const results[] = {"ok", "warn", "fail"};
	struct json_object *o = json_object_new_object();
	char detail[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	member_str(o, "check", check);
	member_str(o, "result", results[result]);
	member_str(o, "detail", detail);
	member_text(o, "remedy", remedy);
	json_object_array_add(c->list, o);
}

static void judge_who(struct checks *c)
{
	const struct selftest_facts *f = c->f;

	if (!c->t->is_daemon)
		add_check(c, "daemon", WARN,
			  "start vringd, or run this as its user",
			  "vringd was not asked; checked as user %s", f->user);
	if (f->uid == 0)
		add_check(c, "user", WARN,
			  c->t->is_daemon
				  ? "run the service as a user of its own"
				  : "runuser -u USER -- vringctl selftest",
			  "root, which may do everything");
	else
		add_check(c, "user", OK, NULL, "%s, groups %s", f->user,
			  f->groups);
	if (f->has_vmm_group)
		add_check(c, "group", OK, NULL, "%s is there for VMMs",
			  SELFTEST_VMM_GROUP);
	else
		add_check(c, "group", WARN,
			  "groupadd --system " SELFTEST_VMM_GROUP
			  ", or set socket-group",
			  "no group %s, which VMMs usually are in",
			  SELFTEST_VMM_GROUP);
}

static void judge_kernel(struct checks *c)
{
	unsigned major_nr = 0, minor_nr = 0;
	bool is_good;

	sscanf(c->f->release, "%u.%u", &major_nr, &minor_nr);
	is_good = major_nr > KERNEL_MAJOR ||
		  (major_nr == KERNEL_MAJOR && minor_nr >= KERNEL_MINOR);
	add_check(c, "kernel", is_good ? OK : FAIL,
		  is_good ? NULL : "run a newer kernel",
		  "%s, needed is %u.%u or later", c->f->release, KERNEL_MAJOR,
		  KERNEL_MINOR);
	if (c->f->ring_why[0])
		add_check(c, "io_uring", FAIL, NULL, "%s", c->f->ring_why);
	else
		add_check(c, "io_uring", OK, NULL, "%s%s",
			  c->t->is_daemon ? "rings are in use"
					  : "a ring can be made",
			  c->f->ring_setting > 0
				  ? ", though kernel.io_uring_disabled is set"
				  : "");
}

static uint64_t fds_needed(const struct selftest_targets *t)
{
	uint64_t n = FDS_DAEMON;

	for (size_t i = 0; i < t->nr; i++)
		n += FDS_TARGET + FDS_QUEUE * t->all[i].queues;
	return n;
}

static void judge_limits(struct checks *c)
{
	const char *whose = c->t->is_daemon ? "" : " in this shell";
	uint64_t needed = fds_needed(c->t);
	bool is_enough = c->f->max_fds >= needed;
	char remedy[64];

	snprintf(remedy, sizeof(remedy), "LimitNOFILE=%" PRIu64, needed * 2);
	add_check(c, "open files", is_enough ? OK : WARN,
		  is_enough ? NULL : remedy,
		  "%" PRIu64 " allowed%s, %" PRIu64
		  " needed if every queue of every target is used",
		  c->f->max_fds, whose, needed);
	if (c->f->memlock == UINT64_MAX)
		add_check(c, "locked memory", OK, NULL, "no limit%s", whose);
	else
		add_check(c, "locked memory", OK, NULL,
			  "%" PRIu64 " KiB allowed%s, none is needed",
			  c->f->memlock / 1024, whose);
}

static void judge_config(struct checks *c)
{
	if (c->t->config_problem)
		add_check(c, "configuration", FAIL, "vringd -t", "%s: %s",
			  c->t->config, c->t->config_problem);
	else
		add_check(c, "configuration", OK, NULL, "%s, targets: %zu",
			  c->t->config, c->t->nr);
}

/* A cgroup lets nobody open a device that the service does not name. */
static const char *device_remedy(const struct selftest_target *t, char *buf,
				 size_t len)
{
	if (!t->driver[0] || !strstr(t->problem, strerror(EPERM)))
		return NULL;
	snprintf(buf, len, "DeviceAllow=block-%s rw", t->driver);
	return buf;
}

static void judge_target(struct checks *c, const struct selftest_target *t)
{
	char check[96], remedy[64];

	snprintf(check, sizeof(check), "target %s", t->name);
	if (t->problem[0])
		add_check(c, check, FAIL,
			  device_remedy(t, remedy, sizeof(remedy)), "%s",
			  t->problem);
	else if (t->driver[0])
		add_check(c, check, OK, NULL, "%s, block driver %s", t->path,
			  t->driver);
	else
		add_check(c, check, OK, NULL, "%s",
			  t->path ? t->path : "no storage to open");
}

/* Once for each folder: those of the targets before had it already. */
static void judge_folder(struct checks *c, size_t i)
{
	char folder[PATH_MAX], other[PATH_MAX];
	struct stat st;

	folder_of(c->t->all[i].socket, folder, sizeof(folder));
	for (size_t k = 0; k < i; k++) {
		folder_of(c->t->all[k].socket, other, sizeof(other));
		if (!strcmp(folder, other))
			return;
	}
	if (stat(folder, &st))
		add_check(c, "sockets", c->t->is_daemon ? FAIL : WARN,
			  "create it, or let RuntimeDirectory= of the service "
			  "do so",
			  "%s: %s", folder, strerror(errno));
	else if (!(st.st_mode & S_IXOTH))
		add_check(c, "sockets", WARN,
			  "make sure that VMMs are in its group, or chmod o+x",
			  "%s is closed to others than its owner and group "
			  "(mode %04o)",
			  folder, (unsigned)st.st_mode & 07777);
	else
		add_check(c, "sockets", OK, NULL, "%s can be reached", folder);
}

static void judge_apparmor(struct checks *c)
{
	static const struct {
		enum result result;
		const char *detail;
		const char *remedy;
	} rows[] = {
		[SELFTEST_APPARMOR_OFF] = {OK, "not in use", NULL},
		[SELFTEST_APPARMOR_UNUSED] =
			{OK, "no rules of libvirt are installed", NULL},
		[SELFTEST_APPARMOR_LACKS] =
			{WARN,
			 "QEMU under libvirt may not connect to all sockets",
			 "add the line of `vringctl client NAME libvirt' "
			 "to " APPARMOR_LOCAL},
		[SELFTEST_APPARMOR_HAS] = {OK, "QEMU under libvirt may connect",
					   NULL},
	};
	enum selftest_apparmor a = c->f->apparmor;

	add_check(c, "AppArmor", rows[a].result, rows[a].remedy, "%s",
		  rows[a].detail);
}

struct json_object *selftest_judge(const struct selftest_facts *f,
				   const struct selftest_targets *t)
{
	struct checks c = {f, t, json_object_new_array()};

	judge_who(&c);
	judge_kernel(&c);
	judge_limits(&c);
	judge_apparmor(&c);
	judge_config(&c);
	for (size_t i = 0; i < t->nr; i++)
		judge_folder(&c, i);
	for (size_t i = 0; i < t->nr; i++)
		judge_target(&c, &t->all[i]);
	return c.list;
}

bool selftest_has_failed(struct json_object *checks)
{
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *o = json_object_array_get_idx(checks, i);
		struct json_object *r = json_object_object_get(o, "result");

		if (!strcmp(json_object_get_string(r), "fail"))
			return true;
	}
	return false;
}
