/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files the key `include' means. */
#include "daemon/include.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/denied.h"
#include "base/util.h"

/* How the names end of what editors and package managers leave behind. */
static const char *const leftovers[] = {
	"~",	     "#",	  ".bak",      ".orig",	    ".dpkg-dist",
	".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".rpmnew",   ".rpmorig",
	".rpmsave",  ".swp",	  ".tmp",      ".ucf-dist", ".ucf-old",
};

/* A directory that glob() could not read.  It has no pointer of ours. */
static __thread struct {
	int error;
	char path[PATH_MAX];
} unread;

__attribute__((format(printf, 2, 3))) static int refuse(struct include_why *why,
							const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int refuse_unreadable(struct include_why *why, const char *path,
			     int error)
{
	char text[PATH_MAX + 1024];

	if (error == EACCES)
		return refuse(why, "cannot read %s: %s", path,
			      denied_explain(path, false, text, sizeof(text)));
	return refuse(why, "cannot read %s: %s", path, strerror(error));
}

static bool is_leftover(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(leftovers); i++) {
		size_t n = strlen(leftovers[i]);

		if (len > n && !strcmp(path + len - n, leftovers[i]))
			return true;
	}
	return false;
}

static bool has_file(const struct include *in, const struct stat *st)
{
	for (size_t i = 0; i < in->nr; i++)
		if (in->files[i].dev == st->st_dev &&
		    in->files[i].ino == st->st_ino)
			return true;
	return false;
}

static int append(struct include *in, const char *path, const struct stat *st)
{
	struct include_file *files =
		reallocarray(in->files, in->nr + 1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	in->files = files;
	files[in->nr] = (struct include_file){
		.path = strdup(path),
		.dev = st->st_dev,
		.ino = st->st_ino,
	};
	if (!files[in->nr].path)
		return -ENOMEM;
	in->nr++;
	return 0;
}

static int add_file(struct include *in, const char *path,
		    struct include_why *why)
{
	struct stat st;

	if (stat(path, &st))
		return refuse_unreadable(why, path, errno);
	if (S_ISDIR(st.st_mode))
		return refuse(why,
			      "%s is a directory, its files would be %s/*.yaml",
			      path, path);
	/* Another could block, or give something else each time. */
	if (!S_ISREG(st.st_mode))
		return refuse(why, "%s is not a regular file", path);
	if (has_file(in, &st))
		return 0;
	if (in->nr == INCLUDE_FILES)
		return refuse(why, "more than %u files", INCLUDE_FILES);
	return append(in, path, &st);
}

/* A directory that is not there has no files, and that is all right. */
static int note_unread(const char *path, int error)
{
	if (error == ENOENT || error == ENOTDIR)
		return 0;
	unread.error = error;
	snprintf(unread.path, sizeof(unread.path), "%s", path);
	return 1;
}

static int add_matches(struct include *in, const char *pattern,
		       struct include_why *why)
{
	glob_t found;
	int err = glob(pattern, 0, note_unread, &found);

	if (err == GLOB_NOMATCH)
		return 0;
	if (err == GLOB_ABORTED)
		return refuse_unreadable(why, unread.path, unread.error);
	if (err)
		return -ENOMEM;
	for (size_t i = 0; i < found.gl_pathc && !err; i++)
		if (!is_leftover(found.gl_pathv[i]))
			err = add_file(in, found.gl_pathv[i], why);
	globfree(&found);
	return err;
}

/* The folder of @from with its slash, "" for the current one. */
static void copy_folder(char *buf, const char *from, bool quoted)
{
	const char *end = strrchr(from, '/');

	for (; end && from <= end; from++) {
		if (quoted && strchr("*?[\\", *from))
			*buf++ = '\\';
		*buf++ = *from;
	}
	*buf = '\0';
}

int include_add(struct include *in, const char *from, const char *name,
		struct include_why *why)
{
	bool is_pattern = strpbrk(name, "*?[");
	char *path = malloc(2 * strlen(from) + strlen(name) + 1);
	int err;

	if (!path)
		return -ENOMEM;
	*path = '\0';
	if (*name != '/')
		copy_folder(path, from, is_pattern);
	strcat(path, name);
	if (is_pattern)
		err = add_matches(in, path, why);
	else
		err = add_file(in, path, why);
	free(path);
	return err;
}

void include_fini(struct include *in)
{
	for (size_t i = 0; i < in->nr; i++)
		free(in->files[i].path);
	free(in->files);
	*in = (struct include){.nr = 0};
}
