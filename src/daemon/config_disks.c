/* SPDX-License-Identifier: BSD-2-Clause */
/* What the world says to a configuration: which disks its paths lead to. */
#include "daemon/config_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/denied.h"
#include "backend/inuse.h"
#include "backend/magic.h"
#include "backend/sysblock.h"
#include "base/unixsock.h"
#include "daemon/config_check.h"

/* What the path of a target leads to. */
struct disk {
	unsigned target;
	struct backend_id id;
	dev_t whole; /* what id.dev is a partition of; for a file, id.dev */
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

/* Two targets on one disk */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Targets that may overlap become neighbours, in the order of the file. */
static int compare_storage(const struct disk *a, const struct disk *b)
{
	int order = compare_numbers(a->id.is_block, b->id.is_block);

	if (!order)
		order = compare_numbers(a->whole, b->whole);
	return order ? order : compare_numbers(a->id.ino, b->id.ino);
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
	return a->id.dev == b->id.dev || a->id.dev == b->whole ||
	       a->whole == b->id.dev;
}

static const char *describe(const struct disk *d, const struct disk *other)
{
	if (d->id.dev == other->id.dev)
		return d->id.is_block ? "the same device as"
				      : "the same file as";
	return d->id.dev == d->whole ? "the disk that has the partition"
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

static size_t find_disks(const struct config *c, struct disk *disks)
{
	size_t n = 0;

	for (unsigned i = 0; i < c->nr_targets; i++) {
		const char *path = c->targets[i].backend.path;
		struct disk *d = &disks[n];

		if (!path || inuse_identify_path(path, &d->id))
			continue;
		d->target = i;
		d->whole =
			d->id.is_block ? sysblock_disk(d->id.dev) : d->id.dev;
		n++;
	}
	return n;
}

int config_disks_check(const struct config *c, struct config_errors *errs)
{
	struct disk *disks = calloc(c->nr_targets + 1, sizeof(*disks));
	unsigned before = errs->nr_errors;
	size_t n, same;

	if (!disks)
		return -ENOMEM;
	n = find_disks(c, disks);
	qsort(disks, n, sizeof(*disks), compare_disks);
	for (size_t i = 0; i < n; i += same) {
		for (same = 1; i + same < n; same++)
			if (compare_storage(&disks[i], &disks[i + same]))
				break;
		check_group(c, &disks[i], same, errs);
	}
	free(disks);
	config_errors_sort(errs, c->files[0]);
	return errs->nr_errors > before ? -EINVAL : 0;
}

/* What would fail */

static void warn_of_error(const struct config_target *t,
			  struct config_errors *errs, int error)
{
	const char *path = t->backend.path;
	char why[PATH_MAX + 1024];

	if (error == EACCES || error == EPERM)
		complain(t, errs, true, "%s: %s", path,
			 denied_explain(path, !t->read_only, why, sizeof(why)));
	else
		complain(t, errs, true,
			 "%s: %s; the target would fail until that changes",
			 path, strerror(error));
}

static void warn_of_format(const struct config_target *t,
			   struct config_errors *errs)
{
	int fd = open(t->backend.path,
		      O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char head[MAGIC_LEN];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	const char *format = n > 0 ? magic_name(head, (size_t)n) : NULL;

	if (format)
		complain(t, errs, true,
			 "%s looks like %s, but is served as it is, raw",
			 t->backend.path, format);
	if (fd >= 0)
		close(fd);
}

static void warn_of_path(const struct config_target *t,
			 struct config_errors *errs)
{
	const char *path = t->backend.path;
	struct stat st;

	if (stat(path, &st) ||
	    faccessat(AT_FDCWD, path, t->read_only ? R_OK : R_OK | W_OK,
		      AT_EACCESS))
		warn_of_error(t, errs, errno);
	else if (S_ISREG(st.st_mode))
		warn_of_format(t, errs);
	else if (!S_ISBLK(st.st_mode))
		complain(t, errs, true, "%s is no file or block device", path);
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

void config_disks_warn(const struct config *c, struct config_errors *errs)
{
	for (unsigned i = 0; i < c->nr_targets; i++) {
		if (c->targets[i].backend.path)
			warn_of_path(&c->targets[i], errs);
		warn_of_access(&c->targets[i], errs);
	}
	config_errors_sort(errs, c->files[0]);
}
