/* SPDX-License-Identifier: BSD-2-Clause */
/* What the world says to a configuration: which disks its paths lead to. */
#include "daemon/config_disks.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unixsock.h"
#include "daemon/config_check.h"
#include "daemon/lookup.h"

/* What the path of a target leads to. */
struct disk {
	unsigned target;
	struct lookup at;
};

struct disks {
	struct disk *list;
	size_t n;
};

__attribute__((format(printf, 4, 5))) static void
complain(const struct config_target *t, struct config_errors *errs,
	 bool warning, const char *fmt, ...)
{
	char text[3 * PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	config_errors_add(errs, warning, t->backend.place,
			  "targets[%u].backend.path: %s", t->index, text);
}

/* Looking */

static void forget_disks(struct disks *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->list[i].at.denied);
	free(d->list);
}

/* Those that are files or devices, in the order of the targets. */
static struct lookup *list_paths(const struct config *c, struct disks *d)
{
	struct lookup *list = calloc(c->nr_targets + 1, sizeof(*list));

	d->n = 0;
	d->list = calloc(c->nr_targets + 1, sizeof(*d->list));
	for (unsigned i = 0; i < c->nr_targets && d->list && list; i++) {
		const struct config_target *t = &c->targets[i];

		if (!t->backend.path)
			continue;
		list[d->n].path = t->backend.path;
		list[d->n].write = !t->read_only;
		d->list[d->n++].target = i;
	}
	return list;
}

static int find_disks(const struct config *c, bool closely, struct disks *d)
{
	struct lookup *list = list_paths(c, d);
	int ret = -ENOMEM;

	if (list && d->list)
		ret = lookup_all(list, d->n, closely);
	for (size_t i = 0; i < d->n && ret == 0; i++)
		d->list[i].at = list[i];
	free(list);
	return ret;
}

/* Two targets on one disk */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Targets that may overlap become neighbours, in the order of the file. */
static int compare_storage(const struct disk *a, const struct disk *b)
{
	const struct lookup *x = &a->at, *y = &b->at;
	int order = compare_numbers(x->id.is_block, y->id.is_block);

	if (!order)
		order = compare_numbers(x->whole, y->whole);
	return order ? order : compare_numbers(x->id.ino, y->id.ino);
}

static int compare_disks(const void *a, const void *b)
{
	const struct disk *x = a, *y = b;
	int order = compare_storage(x, y);

	return order ? order : compare_numbers(x->target, y->target);
}

/* Two partitions of a disk do not, but it does with both. */
static bool is_overlapping(const struct disk *a, const struct disk *b)
{
	return a->at.id.dev == b->at.id.dev || a->at.id.dev == b->at.whole ||
	       a->at.whole == b->at.id.dev;
}

static const char *describe(const struct disk *d, const struct disk *other)
{
	if (d->at.id.dev == other->at.id.dev)
		return d->at.id.is_block ? "the same device as"
					 : "the same file as";
	return d->at.id.dev == d->at.whole ? "the disk that has the partition"
					   : "a partition of";
}

static void report(const struct config *c, const struct disk *d,
		   const struct disk *other, struct config_errors *errs)
{
	const struct config_target *t = &c->targets[d->target];
	const struct config_target *first = &c->targets[other->target];

	complain(t, errs, false,
		 "%s is %s %s of targets[%u] at " CONFIG_PLACE_FMT
		 "; " CONFIG_CHECK_SHARING,
		 t->backend.path, describe(d, other), first->backend.path,
		 first->index, CONFIG_PLACE_ARGS(first->backend.place));
}

/* Reports each of @n disks, the same but for partitions, that is at odds. */
static void check_group(const struct config *c, const struct disk *disks,
			size_t n, struct config_errors *errs)
{
	for (size_t i = 1; i < n; i++) {
		const struct config_target *t = &c->targets[disks[i].target];

		for (size_t j = 0; j < i; j++) {
			const struct config_target *other =
				&c->targets[disks[j].target];

			if (!is_overlapping(&disks[i], &disks[j]) ||
			    config_check_can_share(&t->backend,
						   &other->backend))
				continue;
			report(c, &disks[i], &disks[j], errs);
			break;
		}
	}
}

static void keep_storage(struct disks *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++) {
		if (d->list[i].at.is_known && d->list[i].at.is_storage)
			d->list[n++] = d->list[i];
		else
			free(d->list[i].at.denied);
	}
	d->n = n;
}

int config_disks_check(const struct config *c, struct config_errors *errs)
{
	unsigned before = errs->nr_errors;
	struct disks d;
	int ret = find_disks(c, false, &d);
	size_t same;

	if (ret == 0) {
		keep_storage(&d);
		qsort(d.list, d.n, sizeof(*d.list), compare_disks);
	}
	for (size_t i = 0; i < d.n && ret == 0; i += same) {
		for (same = 1; i + same < d.n; same++)
			if (compare_storage(&d.list[i], &d.list[i + same]))
				break;
		check_group(c, &d.list[i], same, errs);
	}
	forget_disks(&d);
	config_errors_sort(errs, c->files[0]);
	if (ret == 0 && errs->nr_errors > before)
		ret = -EINVAL;
	return ret;
}

/* What would fail */

static void warn_of_disk(const struct config_target *t, const struct lookup *at,
			 struct config_errors *errs)
{
	const char *path = t->backend.path;

	if (!at->is_known)
		complain(t, errs, true, "%s does not answer", path);
	else if (at->denied)
		complain(t, errs, true, "%s: %s", path, at->denied);
	else if (at->error)
		complain(t, errs, true,
			 "%s: %s; the target would fail until that changes",
			 path, strerror(at->error));
	else if (!at->is_storage)
		complain(t, errs, true, "%s is no file or block device", path);
	else if (at->format)
		complain(t, errs, true,
			 "%s looks like %s, but is served as it is, raw", path,
			 at->format);
}

/* Who is to connect must exist. */
static void warn_of_access(const struct config_target *t,
			   struct config_errors *errs)
{
	struct unixsock_access access;
	struct unixsock_why why = {""};

	if (unixsock_access_find(&access, t->socket_owner, t->socket_group,
				 t->socket_mode, &why))
		config_errors_add(errs, true, t->place,
				  "targets[%u].socket: %s; the target would "
				  "fail until that changes",
				  t->index, why.text);
}

/* The default folder is made by who starts the service. */
static void warn_of_folder(const struct config_target *t,
			   struct config_errors *errs)
{
	const char *slash = strrchr(t->socket, '/');
	char folder[PATH_MAX];
	struct stat st;

	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - t->socket),
		 t->socket);
	if (!strcmp(folder, RUNSTATEDIR "/vringd") || !folder[0] ||
	    !stat(folder, &st) || errno != ENOENT)
		return;
	config_errors_add(errs, true, t->place,
			  "targets[%u].socket: there is no folder %s; the "
			  "target would fail until that changes",
			  t->index, folder);
}

/* As many as there may be: which of them we get is seen at the start. */
static void warn_of_cpus(const struct config *c, struct config_errors *errs)
{
	struct config_place whole_file = {.file = c->files[0]};
	long nr = sysconf(_SC_NPROCESSORS_CONF);

	for (unsigned i = 0; i < c->cpus.nr && nr > 0; i++)
		if (c->cpus.cpu[i] >= nr)
			config_errors_add(errs, true, whole_file,
					  "cpus: there is no CPU %u, the last "
					  "is %ld; the program would not start",
					  c->cpus.cpu[i], nr - 1);
}

static void warn_of_control(const struct config *c, struct config_errors *errs)
{
	struct config_place whole_file = {.file = c->files[0]};
	struct unixsock_access access;
	struct unixsock_why why = {""};

	if (unixsock_access_find(&access, NULL, c->control_group,
				 c->control_mode, &why))
		config_errors_add(errs, true, whole_file,
				  "control.group: %s; the program would not "
				  "start",
				  why.text);
}

int config_disks_warn(const struct config *c, struct config_errors *errs)
{
	struct disks d;
	int ret = find_disks(c, true, &d);

	for (size_t i = 0; i < d.n && ret == 0; i++)
		warn_of_disk(&c->targets[d.list[i].target], &d.list[i].at,
			     errs);
	for (unsigned i = 0; i < c->nr_targets; i++) {
		warn_of_access(&c->targets[i], errs);
		warn_of_folder(&c->targets[i], errs);
	}
	warn_of_cpus(c, errs);
	warn_of_control(c, errs);
	forget_disks(&d);
	config_errors_sort(errs, c->files[0]);
	return ret;
}
