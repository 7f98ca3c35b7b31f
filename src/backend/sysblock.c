/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/sysblock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* "/sys/dev/block/8:1" and @rest. */
static void make_path(char *path, size_t len, dev_t dev, const char *rest)
{
	snprintf(path, len, "/sys/dev/block/%u:%u%s", major(dev), minor(dev),
		 rest);
}

static int read_line(const char *path, char *buf, int len)
{
	FILE *f = fopen(path, "re");
	int ret = 0;

	if (!f)
		return -errno;
	if (!fgets(buf, len, f))
		ret = -EIO;
	fclose(f);
	return ret;
}

static bool is_partition(dev_t dev)
{
	char path[PATH_MAX];

	make_path(path, sizeof(path), dev, "/partition");
	return access(path, F_OK) == 0;
}

uint64_t sysblock_queue(dev_t dev, const char *attr)
{
	char path[PATH_MAX], rest[128], line[64];

	snprintf(rest, sizeof(rest), "/%squeue/%s",
		 is_partition(dev) ? "../" : "", attr);
	make_path(path, sizeof(path), dev, rest);
	if (read_line(path, line, sizeof(line)))
		return 0;
	return strtoull(line, NULL, 10);
}

dev_t sysblock_disk(dev_t dev)
{
	char path[PATH_MAX], line[64];
	unsigned maj, min;

	if (!is_partition(dev))
		return dev;
	make_path(path, sizeof(path), dev, "/../dev");
	if (read_line(path, line, sizeof(line)) ||
	    sscanf(line, "%u:%u", &maj, &min) != 2)
		return dev;
	return makedev(maj, min);
}

bool sysblock_overlap(dev_t a, dev_t b)
{
	return a == b || sysblock_disk(a) == b || a == sysblock_disk(b);
}

/* The first entry of the directory @path of sysfs; false if it is empty. */
static bool first_entry(const char *path, char *buf, size_t len)
{
	DIR *dir = opendir(path);
	const struct dirent *e;

	if (!dir)
		return false;
	while ((e = readdir(dir)) && e->d_name[0] == '.')
		;
	if (e)
		snprintf(buf, len, "%s", e->d_name);
	closedir(dir);
	return e;
}

static bool partition_holder(dev_t disk, char *buf, size_t len)
{
	char path[PATH_MAX], rest[300];
	const struct dirent *e;
	bool found = false;
	DIR *dir;

	make_path(path, sizeof(path), disk, "");
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(rest, sizeof(rest), "/%s/partition", e->d_name);
		make_path(path, sizeof(path), disk, rest);
		if (access(path, F_OK))
			continue;
		snprintf(rest, sizeof(rest), "/%s/holders", e->d_name);
		make_path(path, sizeof(path), disk, rest);
		found = first_entry(path, buf, len);
	}
	closedir(dir);
	return found;
}

bool sysblock_holder(dev_t dev, char *buf, size_t len)
{
	char path[PATH_MAX];

	make_path(path, sizeof(path), dev, "/holders");
	if (first_entry(path, buf, len))
		return true;
	if (!is_partition(dev))
		return partition_holder(dev, buf, len);
	make_path(path, sizeof(path), dev, "/../holders");
	return first_entry(path, buf, len);
}
