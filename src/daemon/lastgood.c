/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration that was accepted last, kept for a start after a crash. */
#include "daemon/lastgood.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config_print.h"

struct path {
	char text[PATH_MAX];
};

/* Returns false when nothing is to be kept.  systemd may name several. */
static bool find_path(struct path *p, const char *name)
{
	const char *dir = getenv("RUNTIME_DIRECTORY");
	int len = dir ? (int)strcspn(dir, ":") : 0;

	if (!len || *dir != '/')
		return false;
	return snprintf(p->text, sizeof(p->text), "%.*s/%s", len, dir, name) <
	       (int)sizeof(p->text);
}

static int write_file(const char *path, const struct config *c)
{
	int fd = open(path,
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		      0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int ret = f ? 0 : -errno;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	config_print(c, f);
	if (ferror(f) || fflush(f))
		ret = -EIO;
	if (fclose(f) && ret == 0)
		ret = -errno;
	return ret;
}

int lastgood_save(const struct config *c)
{
	struct path to, temporary;
	int ret;

	if (!find_path(&to, "last-good.yaml") ||
	    !find_path(&temporary, "last-good.yaml.new"))
		return 0;
	ret = write_file(temporary.text, c);
	if (ret == 0 && rename(temporary.text, to.text))
		ret = -errno;
	if (ret < 0)
		unlink(temporary.text);
	return ret;
}

int lastgood_load(struct config **out, struct config_errors *errs)
{
	struct path p;

	if (!find_path(&p, "last-good.yaml") || access(p.text, F_OK))
		return -ENOENT;
	return config_load(p.text, out, errs);
}

void lastgood_remove(void)
{
	struct path p;

	if (find_path(&p, "last-good.yaml"))
		unlink(p.text);
}
