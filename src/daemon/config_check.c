/* SPDX-License-Identifier: BSD-2-Clause */
/* What no key can say alone: values that follow from others, and conflicts. */
#include "daemon/config_check.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/util.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define SERIAL_MAX	20

struct check {
	struct config *config;
	const struct config_places *top;
	const struct config_places *targets;
	struct config_errors *errs;
};

static bool is_given(const struct config_places *p, enum config_key_id id)
{
	return p->of[id].line;
}

/* Where to point at @id of target @i: at what implied it, if not given. */
static struct config_place place_of(const struct check *ck, unsigned i,
				    enum config_key_id id)
{
	const struct config_places *p = &ck->targets[i];

	if (is_given(p, id))
		return p->of[id];
	if (config_keys[id].scope == CONFIG_SCOPE_BACKEND &&
	    is_given(p, CONFIG_KEY_TARGET_BACKEND))
		return p->of[CONFIG_KEY_TARGET_BACKEND];
	if (id == CONFIG_KEY_TARGET_socket &&
	    is_given(p, CONFIG_KEY_TARGET_name))
		return p->of[CONFIG_KEY_TARGET_name];
	return ck->config->targets[i].place;
}

__attribute__((format(printf, 5, 6))) static void
complain(const struct check *ck, bool warning, unsigned i,
	 enum config_key_id id, const char *fmt, ...)
{
	static const char *const prefixes[] = {
		[CONFIG_SCOPE_TARGET] = "",
		[CONFIG_SCOPE_BACKEND] = "backend.",
		[CONFIG_SCOPE_LIMITS] = "limits.",
	};
	const struct config_key *key = &config_keys[id];
	char text[PATH_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	config_errors_add(ck->errs, warning, place_of(ck, i, id),
			  "targets[%u].%s%s: %s", ck->config->targets[i].index,
			  prefixes[key->scope], key->name, text);
}

static int copy_text(char **field, const char *text)
{
	if (*field || !text)
		return 0;
	*field = strdup(text);
	return *field ? 0 : -ENOMEM;
}

/* The default socket is NAME.sock, and a bare file name is in socket-dir. */
static int complete_socket(const struct config *c, struct config_target *t)
{
	char *path;
	int n;

	if (t->socket && *t->socket == '/')
		return 0;
	if (t->socket)
		n = asprintf(&path, "%s/%s", c->socket_dir, t->socket);
	else
		n = asprintf(&path, "%s/%s.sock", c->socket_dir, t->name);
	if (n < 0)
		return -ENOMEM;
	free(t->socket);
	t->socket = path;
	return 0;
}

static int complete_serial(const struct check *ck, unsigned i)
{
	struct config_target *t = &ck->config->targets[i];

	if (t->serial)
		return 0;
	if (strlen(t->name) > SERIAL_MAX)
		complain(ck, true, i, CONFIG_KEY_TARGET_serial,
			 "the name, cut to %u bytes, is the serial number",
			 SERIAL_MAX);
	t->serial = strndup(t->name, SERIAL_MAX);
	return t->serial ? 0 : -ENOMEM;
}

/* A queue of 2 entries has no room for data but in indirect descriptors. */
static unsigned most_segments(const struct config_target *t)
{
	return MAX(t->queue_size - 2, 1U);
}

static int complete_target(const struct check *ck, unsigned i)
{
	struct config *c = ck->config;
	struct config_target *t = &c->targets[i];
	int err = copy_text(&t->socket_owner, c->socket_owner);

	if (!err)
		err = copy_text(&t->socket_group, c->socket_group);
	if (!is_given(&ck->targets[i], CONFIG_KEY_TARGET_socket_mode))
		t->socket_mode = c->socket_mode;
	if (!t->seg_max)
		t->seg_max = MIN(most_segments(t), 254U);
	t->backend.place = place_of(ck, i, CONFIG_KEY_BACKEND_path);
	t->read_only |= t->backend.read_only;
	t->backend.read_only = t->read_only;
	/* Without a name the target is wrong anyway. */
	if (!err && t->name)
		err = complete_socket(c, t);
	if (!err && t->name)
		err = complete_serial(ck, i);
	return err;
}

/* Names that may be another disk's after the next boot, and what to use. */
static const struct {
	const char *prefix;
	int (*next)(int c); /* of what follows */
	const char *better;
} kernel_names[] = {
	{"/dev/dm-", isdigit, "a name in /dev/mapper"},
	{"/dev/loop", isdigit, "the file behind it"},
	{"/dev/mmcblk", isdigit, "a name in /dev/disk/by-id"},
	{"/dev/nvme", isdigit, "a name in /dev/disk/by-id"},
	{"/dev/rbd", isdigit, "a name in /dev/rbd"},
	{"/dev/sd", islower, "a name in /dev/disk/by-id"},
	{"/dev/vd", islower, "a name in /dev/disk/by-path"},
	{"/dev/xvd", islower, "a name in /dev/disk/by-path"},
};

/* What to use instead, if @path is one that does not; else NULL. */
static const char *find_better_name(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(kernel_names); i++) {
		size_t len = strlen(kernel_names[i].prefix);

		if (!strncmp(path, kernel_names[i].prefix, len) &&
		    kernel_names[i].next((unsigned char)path[len]))
			return kernel_names[i].better;
	}
	return NULL;
}

static void check_backend_keys(const struct check *ck, unsigned i)
{
	const struct config_places *p = &ck->targets[i];
	enum config_kind kind = ck->config->targets[i].backend.kind;
	const struct config_key *row = &config_keys[CONFIG_KEY_BACKEND_kind];

	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		if (config_keys[id].scope == CONFIG_SCOPE_BACKEND &&
		    is_given(p, id) && !config_keys_apply(id, kind))
			complain(ck, false, i, id,
				 "a backend of kind %s has no such key",
				 row->rule.words[kind]);
}

static void check_size(const struct check *ck, unsigned i)
{
	const struct config_backend *b = &ck->config->targets[i].backend;
	unsigned block = b->block_size ? b->block_size : 512;

	if (!is_given(&ck->targets[i], CONFIG_KEY_BACKEND_size))
		complain(ck, false, i, CONFIG_KEY_BACKEND_size,
			 "a size is needed, such as size: 10GiB");
	else if (b->size % block)
		complain(ck, false, i, CONFIG_KEY_BACKEND_size,
			 "expected a multiple of the block size, %u", block);
}

static void check_path(const struct check *ck, unsigned i)
{
	const char *path = ck->config->targets[i].backend.path;
	const char *better = path ? find_better_name(path) : NULL;

	if (!is_given(&ck->targets[i], CONFIG_KEY_BACKEND_path))
		complain(ck, false, i, CONFIG_KEY_BACKEND_path,
			 "a path is needed, or kind: mem or null with a size");
	else if (better)
		complain(ck, true, i, CONFIG_KEY_BACKEND_path,
			 "%s may be another disk after the next boot, use %s",
			 path, better);
}

static void check_backend(const struct check *ck, unsigned i)
{
	const struct config_places *p = &ck->targets[i];

	if (p->bad[CONFIG_KEY_TARGET_BACKEND] ||
	    p->bad[CONFIG_KEY_BACKEND_kind])
		return;
	if (!is_given(p, CONFIG_KEY_TARGET_BACKEND)) {
		complain(ck, false, i, CONFIG_KEY_TARGET_BACKEND,
			 "a backend is needed");
		return;
	}
	check_backend_keys(ck, i);
	if (ck->config->targets[i].backend.kind == CONFIG_KIND_FILE)
		check_path(ck, i);
	else
		check_size(ck, i);
	if (ck->config->targets[i].backend.delay_us)
		complain(ck, true, i, CONFIG_KEY_BACKEND_delay_us,
			 "makes the disk slow on purpose, which is for tests");
}

/* With `auto' we choose the workers' CPUs, so nobody can name one. */
static void check_cpus(const struct check *ck, unsigned i)
{
	const struct value_cpus *all = &ck->config->cpus;
	const struct value_cpus *own = &ck->config->targets[i].cpus;

	if (own->nr && !all->nr && !ck->top->bad[CONFIG_KEY_TOP_cpus]) {
		complain(ck, false, i, CONFIG_KEY_TARGET_cpus,
			 "needs a list of cpus at the top of the file");
		return;
	}
	for (unsigned n = 0; all->nr && n < own->nr; n++)
		if (!value_cpus_has(all, own->cpu[n]))
			complain(ck, false, i, CONFIG_KEY_TARGET_cpus,
				 "CPU %u is not in cpus at the top of the file",
				 own->cpu[n]);
}

/* A limit for one direction that is beyond that for both says nothing. */
static void check_direction(const struct check *ck, unsigned i, uint64_t own,
			    uint64_t both, enum config_key_id id,
			    enum config_key_id id_of_both)
{
	if (both && own >= both)
		complain(ck, true, i, id, "never reached, as %s is not larger",
			 config_keys[id_of_both].name);
}

/* Is a limit given, and be it a wrong one? */
static bool is_limit_given(const struct config_places *p)
{
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		if (config_keys[id].scope == CONFIG_SCOPE_LIMITS &&
		    id != CONFIG_KEY_LIMITS_burst_us && is_given(p, id))
			return true;
	return false;
}

static void check_limits(const struct check *ck, unsigned i)
{
	const struct config_places *p = &ck->targets[i];
	const struct config_limits *l = &ck->config->targets[i].limits;

	check_direction(ck, i, l->read_iops, l->iops,
			CONFIG_KEY_LIMITS_read_iops, CONFIG_KEY_LIMITS_iops);
	check_direction(ck, i, l->write_iops, l->iops,
			CONFIG_KEY_LIMITS_write_iops, CONFIG_KEY_LIMITS_iops);
	check_direction(ck, i, l->read_bandwidth, l->bandwidth,
			CONFIG_KEY_LIMITS_read_bandwidth,
			CONFIG_KEY_LIMITS_bandwidth);
	check_direction(ck, i, l->write_bandwidth, l->bandwidth,
			CONFIG_KEY_LIMITS_write_bandwidth,
			CONFIG_KEY_LIMITS_bandwidth);
	if (is_given(p, CONFIG_KEY_LIMITS_burst_us) && !is_limit_given(p))
		complain(ck, true, i, CONFIG_KEY_LIMITS_burst_us,
			 "of no use without a limit, such as iops: 5000");
}

/* A mode in decimal, as programs write it, is a strange one in octal. */
static bool is_strange(unsigned mode)
{
	return (mode & 0600) != 0600;
}

#define STRANGE_MODE \
	"%04o does not let the owner connect; a mode is octal, such as 0660"

static void check_mode(const struct check *ck, unsigned i)
{
	const struct config_places *p = &ck->targets[i];
	unsigned mode = ck->config->targets[i].socket_mode;

	if (is_given(p, CONFIG_KEY_TARGET_socket_mode) &&
	    !p->bad[CONFIG_KEY_TARGET_socket_mode] && is_strange(mode))
		complain(ck, true, i, CONFIG_KEY_TARGET_socket_mode,
			 STRANGE_MODE, mode);
}

static void check_top_modes(const struct check *ck)
{
	const struct config *c = ck->config;
	const struct config_place *of = ck->top->of;

	if (is_strange(c->socket_mode))
		config_errors_add(ck->errs, true,
				  of[CONFIG_KEY_TOP_socket_mode],
				  "socket-mode: " STRANGE_MODE, c->socket_mode);
	if (is_strange(c->control_mode))
		config_errors_add(ck->errs, true,
				  of[CONFIG_KEY_CONTROL_control_mode],
				  "control.mode: " STRANGE_MODE,
				  c->control_mode);
}

static void check_required(const struct check *ck, unsigned i)
{
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		if (config_keys[id].scope == CONFIG_SCOPE_TARGET &&
		    config_keys[id].required && !is_given(&ck->targets[i], id))
			complain(ck, false, i, id, "a %s is needed",
				 config_keys[id].name);
}

/* Whoever reads the log must see whom a line is about. */
static void check_name(const struct check *ck, unsigned i)
{
	const char *name = ck->config->targets[i].name;

	if (name && !strcmp(name, "vringd"))
		complain(ck, false, i, CONFIG_KEY_TARGET_name,
			 "vringd is what the daemon calls itself in its log");
}

/* Of no use, or for files whose pages the kernel will not pin. */
static void check_fixed(const struct check *ck, unsigned i)
{
	const struct config_target *t = &ck->config->targets[i];

	if (!t->fixed_buffers)
		return;
	if (t->backend.kind != CONFIG_KIND_FILE)
		complain(ck, false, i, CONFIG_KEY_TARGET_fixed_buffers,
			 "only for a backend of kind file");
	if (t->memory_files == CONFIG_MEMORY_FILES_ANY)
		complain(ck, false, i, CONFIG_KEY_TARGET_fixed_buffers,
			 "not with memory-files: any");
}

static void check_target(const struct check *ck, unsigned i)
{
	const struct config_target *t = &ck->config->targets[i];

	check_required(ck, i);
	check_name(ck, i);
	check_backend(ck, i);
	check_fixed(ck, i);
	check_cpus(ck, i);
	check_mode(ck, i);
	check_limits(ck, i);
	if (t->socket && strlen(t->socket) > SOCKET_PATH_MAX)
		complain(ck, false, i, CONFIG_KEY_TARGET_socket,
			 "the path of the socket has %zu bytes, at most %zu "
			 "fit: %s",
			 strlen(t->socket), SOCKET_PATH_MAX, t->socket);
	if (t->seg_max > most_segments(t))
		complain(ck, false, i, CONFIG_KEY_TARGET_seg_max,
			 "expected at most queue-size - 2, that is %u",
			 most_segments(t));
}

/* A text that a target uses and that others must not. */
struct use {
	const char *text;
	unsigned target;
};

static int compare_uses(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	if (order)
		return order;
	return x->target < y->target ? -1 : x->target > y->target;
}

bool config_check_can_share(const struct config_backend *a,
			    const struct config_backend *b)
{
	return (a->read_only && b->read_only) || (a->shared && b->shared);
}

static void report_use(const struct check *ck, const struct use *use,
		       const struct use *first, enum config_key_id id)
{
	struct config_place p = place_of(ck, first->target, id);

	/* Two default sockets are the same because two names are. */
	if (id == CONFIG_KEY_TARGET_socket &&
	    !is_given(&ck->targets[use->target], id) &&
	    !is_given(&ck->targets[first->target], id))
		return;
	complain(ck, false, use->target, id,
		 "%s is already that of targets[%u] at " CONFIG_PLACE_FMT "%s",
		 use->text, ck->config->targets[first->target].index,
		 CONFIG_PLACE_ARGS(p),
		 id == CONFIG_KEY_BACKEND_path ? "; " CONFIG_CHECK_SHARING
					       : "");
}

static const struct config_backend *backend_of(const struct check *ck,
					       const struct use *use)
{
	return &ck->config->targets[use->target].backend;
}

/* Reports each of the @n equal uses that is at odds with an earlier one. */
static void check_equals(const struct check *ck, const struct use *uses,
			 size_t n, enum config_key_id id)
{
	for (size_t i = 1; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (id == CONFIG_KEY_BACKEND_path &&
			    config_check_can_share(backend_of(ck, &uses[i]),
						   backend_of(ck, &uses[j])))
				continue;
			report_use(ck, &uses[i], &uses[j], id);
			break;
		}
	}
}

static void check_uses(const struct check *ck, struct use *uses, size_t n,
		       enum config_key_id id)
{
	size_t same;

	qsort(uses, n, sizeof(*uses), compare_uses);
	for (size_t i = 0; i < n; i += same) {
		for (same = 1; i + same < n; same++)
			if (strcmp(uses[i].text, uses[i + same].text))
				break;
		check_equals(ck, &uses[i], same, id);
	}
}

static const char *text_of(const struct config_target *t, enum config_key_id id)
{
	switch (id) {
	case CONFIG_KEY_TARGET_name:
		return t->name;
	case CONFIG_KEY_TARGET_socket:
		return t->socket;
	default:
		return t->backend.path;
	}
}

static int check_unique(const struct check *ck, enum config_key_id id)
{
	const struct config *c = ck->config;
	struct use *uses = calloc(c->nr_targets + 1, sizeof(*uses));
	size_t n = 0;

	if (!uses)
		return -ENOMEM;
	for (unsigned i = 0; i < c->nr_targets; i++) {
		const char *text = text_of(&c->targets[i], id);

		if (text)
			uses[n++] = (struct use){.text = text, .target = i};
	}
	check_uses(ck, uses, n, id);
	free(uses);
	return 0;
}

static void check_top(const struct check *ck)
{
	const struct config *c = ck->config;

	for (unsigned i = 0; i < c->nr_targets; i++) {
		const char *path = c->targets[i].socket;

		if (path && !strcmp(path, c->control_path))
			complain(ck, false, i, CONFIG_KEY_TARGET_socket,
				 "%s is the control socket", path);
	}
	check_top_modes(ck);
	if (c->sqpoll_cpu >= 0 &&
	    value_cpus_has(&c->cpus, (unsigned)c->sqpoll_cpu))
		config_errors_add(ck->errs, true,
				  ck->top->of[CONFIG_KEY_TOP_sqpoll_cpu],
				  "sqpoll-cpu: CPU %d has a worker, which will "
				  "be in the way of the kernel thread",
				  c->sqpoll_cpu);
}

/*
 * A thread that is only there while it pays has work all the time, and need not
 * take a CPU for long after a trial.
 */
static void complete_top(struct config *c)
{
	if (!c->sqpoll_idle_us)
		c->sqpoll_idle_us =
			c->sqpoll == CONFIG_SQPOLL_AUTO ? 10000 : 1000000;
}

int config_check(struct config *c, const struct config_places *top,
		 const struct config_places *targets,
		 struct config_errors *errs)
{
	static const enum config_key_id unique[] = {CONFIG_KEY_TARGET_name,
						    CONFIG_KEY_TARGET_socket,
						    CONFIG_KEY_BACKEND_path};
	const struct check ck = {.config = c,
				 .top = top,
				 .targets = targets,
				 .errs = errs};

	complete_top(c);
	for (unsigned i = 0; i < c->nr_targets; i++) {
		int err = complete_target(&ck, i);

		if (err)
			return err;
		check_target(&ck, i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unique); i++) {
		int err = check_unique(&ck, unique[i]);

		if (err)
			return err;
	}
	check_top(&ck);
	return 0;
}
