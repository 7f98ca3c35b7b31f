/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the configuration: files to documents, documents to one struct. */
#include "daemon/config.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "daemon/config_check.h"
#include "daemon/config_read.h"
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

/* Fills @c, which is all zeroes.  Returns 0, -EINVAL or -ENOMEM. */
static int read_config(struct config *c, const char *name, const char *text,
		       size_t len, struct config_errors *errs)
{
	struct config_reading all;
	int err = config_read_init(&all, c, errs);

	if (!err)
		err = read_text(&all, name, text, len);
	if (!err)
		err = config_check(c, &all.top, all.targets, errs);
	config_read_fini(&all);
	if (!err && errs->nr_errors)
		err = -EINVAL;
	return err;
}

int config_parse(const char *name, const char *text, size_t len,
		 struct config **out, struct config_errors *errs)
{
	struct config *c = config_get(calloc(1, sizeof(*c)));
	int err = -ENOMEM;

	if (c)
		err = read_config(c, name, text, len, errs);
	config_errors_sort(errs, name);
	if (err) {
		config_put(c);
		return err;
	}
	*out = c;
	return 0;
}

int config_load(const char *path, struct config **out,
		struct config_errors *errs)
{
	struct config_place whole_file = {.file = path};
	char *text = NULL;
	size_t len = 0;
	int err = yamldoc_read(path, &text, &len);

	if (err == -EFBIG)
		config_errors_add(errs, false, whole_file, "larger than %u MiB",
				  YAMLDOC_BYTES >> 20);
	else if (err)
		config_errors_add(errs, false, whole_file, "cannot read: %s",
				  strerror(-err));
	else
		err = config_parse(path, text, len, out, errs);
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
