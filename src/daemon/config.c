/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the configuration: files to documents, documents to one struct. */
#include "daemon/config.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "backend/denied.h"
#include "base/util.h"
#include "daemon/config_check.h"
#include "daemon/config_read.h"
#include "daemon/include.h"
#include "daemon/yamldoc.h"

static void free_config(struct config *c)
{
	for (unsigned i = 0; i < c->nr_targets; i++) {
		config_keys_clear(CONFIG_SCOPE_TARGET, &c->targets[i]);
		config_keys_clear(CONFIG_SCOPE_BACKEND, &c->targets[i].backend);
	}
	config_keys_clear(CONFIG_SCOPE_TOP, c);
	config_keys_clear(CONFIG_SCOPE_CONTROL, c);
	free(c->targets);
	for (unsigned i = 0; i < c->nr_files; i++)
		free(c->files[i]);
	free(c->files);
	free(c);
}

struct config *config_get(struct config *c)
{
	if (c)
		c->users++;
	return c;
}

void config_put(struct config *c)
{
	if (c && !--c->users)
		free_config(c);
}

_Static_assert(YAMLDOC_BYTES == 8 << 20, "named in messages and the manual");

/* The text to begin with. */
struct source {
	const char *name;
	const char *text;
	size_t len;
	bool is_file; /* so it may include others */
};

/* Keeps a copy of the name of a file that @c is read from. */
static const char *add_file(struct config *c, const char *name)
{
	char **files = reallocarray(c->files, c->nr_files + 1, sizeof(*files));

	if (!files)
		return NULL;
	c->files = files;
	files[c->nr_files] = strdup(name);
	return files[c->nr_files] ? files[c->nr_files++] : NULL;
}

static int read_text(struct config_reading *all, const char *name,
		     const char *text, size_t len)
{
	const char *file = add_file(all->config, name);
	yaml_document_t doc;
	int err;

	if (!file)
		return -ENOMEM;
	err = yamldoc_parse(&doc, file, text, len, all->errs);
	if (err)
		return err;
	err = config_read(all, file, &doc);
	yaml_document_delete(&doc);
	return err;
}

/* Why the file at @path could not be read. */
struct unread {
	char text[PATH_MAX + 1024];
};

static const char *explain(const char *path, int err, struct unread *why)
{
	if (err == -EACCES)
		return denied_explain(path, false, why->text,
				      sizeof(why->text));
	if (err == -EFBIG)
		return "all files together may have 8 MiB";
	if (err == -ENOTSUP)
		return "it is not a regular file";
	if (err == -ENODATA)
		return "it is empty; one without targets has a comment at "
		       "least";
	return strerror(-err);
}

/* The file at @path, which @by includes.  Returns 0, -EINVAL or -ENOMEM. */
static int read_file(struct config_reading *all, const char *path,
		     const struct config_include *by, size_t *room)
{
	struct unread why;
	char *text = NULL;
	size_t len = 0;
	int err = yamldoc_read(path, *room, &text, &len);

	if (err) {
		config_errors_add(all->errs, false, by->place,
				  "include: cannot read %s: %s", path,
				  explain(path, err, &why));
		return err == -ENOMEM ? err : -EINVAL;
	}
	*room -= len;
	err = read_text(all, path, text, len);
	free(text);
	return err;
}

static int read_include(struct config_reading *all, struct include *files,
			const struct config_include *by, size_t *room)
{
	struct include_why why;
	size_t i = files->nr;
	int err = include_add(files, by->place.file, by->name, &why);

	if (err == -EINVAL)
		config_errors_add(all->errs, false, by->place, "include: %s",
				  why.text);
	/* What is wrong with one file does not hide what is with the next. */
	for (; i < files->nr && err != -ENOMEM; i++) {
		int ret = read_file(all, files->files[i].path, by, room);

		err = ret ? ret : err;
	}
	return err;
}

/* Reads the files that the first one, of @len bytes, includes. */
static int read_includes(struct config_reading *all, size_t len)
{
	struct include files = {.nr = 0};
	struct include_why why;
	size_t room = YAMLDOC_BYTES - len;
	int err;

	/* It is the first in the list, so a pattern cannot include it. */
	err = include_add(&files, "", all->config->files[0], &why);
	if (err == -EINVAL)
		err = 0;
	for (unsigned i = 0; i < all->nr_includes && err != -ENOMEM; i++) {
		int ret = read_include(all, &files, &all->includes[i], &room);

		err = ret ? ret : err;
	}
	include_fini(&files);
	return err;
}

static int refuse_includes(struct config_reading *all)
{
	config_errors_add(all->errs, false, all->includes[0].place,
			  "include: only a file can include others");
	return -EINVAL;
}

/* Fills @c, which is all zeroes.  Returns 0, -EINVAL or -ENOMEM. */
static int read_config(struct config *c, const struct source *from,
		       struct config_errors *errs)
{
	struct config_reading all;
	int err = config_read_init(&all, c, errs);

	if (!err)
		err = read_text(&all, from->name, from->text, from->len);
	if (!err && all.nr_includes) {
		if (from->is_file)
			err = read_includes(&all, from->len);
		else
			err = refuse_includes(&all);
	}
	if (!err)
		err = config_check(c, &all.top, all.targets, errs);
	config_read_fini(&all);
	if (!err && errs->nr_errors)
		err = -EINVAL;
	return err;
}

static int read_source(const struct source *from, struct config **out,
		       struct config_errors *errs)
{
	struct config *c = config_get(calloc(1, sizeof(*c)));
	int err = c ? read_config(c, from, errs) : -ENOMEM;

	config_errors_sort(errs, from->name);
	if (err) {
		config_put(c);
		return err;
	}
	*out = c;
	return 0;
}

int config_parse(const char *name, const char *text, size_t len,
		 struct config **out, struct config_errors *errs)
{
	struct source from = {.name = name, .text = text, .len = len};

	return read_source(&from, out, errs);
}

int config_load(const char *path, struct config **out,
		struct config_errors *errs)
{
	struct config_place whole_file = {.file = path};
	struct source from = {.name = path, .is_file = true};
	struct unread why;
	char *text = NULL;
	int err = yamldoc_read(path, YAMLDOC_BYTES, &text, &from.len);

	if (err) {
		config_errors_add(errs, false, whole_file, "cannot read: %s",
				  explain(path, err, &why));
		free(text);
		return err;
	}
	from.text = text;
	err = read_source(&from, out, errs);
	free(text);
	return err;
}

unsigned config_nr_workers(const struct config *c)
{
	cpu_set_t allowed;

	if (c->cpus.nr)
		return c->cpus.nr;
	/* Fails only with more CPUs than fit in the set: then take all of it.
	 */
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return CPU_SETSIZE / 4;
	return MAX((unsigned)CPU_COUNT(&allowed) / 4, 1U);
}
