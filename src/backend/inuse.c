/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/inuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/sysblock.h"
#include "base/util.h"

/*
 * Theory of operation: no server is asked
 *
 * To say who has the storage we look at what is anybody's: every open file of
 * every process, the files behind loop devices, what mounts say they are of.
 * Any of these may be on a file system whose server is dead, where a stat()
 * never ends.  So all of it is answered from the kernel's memory:
 *
 * - An open file has its inode there, and statx() takes it as it is.
 * - A path is followed only through names that are cached.  Those of files in
 *   use are, but for a server's that have to be confirmed again.  Our storage
 *   has just been opened by a path, so if a name of it is of this kind, it was
 *   confirmed a moment ago.
 *
 * Only the path of the storage itself may make its own target wait.
 */

static void set_id(struct backend_id *id, const struct stat *st)
{
	id->is_block = S_ISBLK(st->st_mode);
	id->dev = id->is_block ? st->st_rdev : st->st_dev;
	id->ino = id->is_block ? 0 : st->st_ino;
}

/* Only files and block devices are storage. */
static int set_storage_id(struct backend_id *id, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return -ENOTBLK;
	set_id(id, st);
	return 0;
}

int inuse_identify(int fd, struct backend_id *id)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	set_id(id, &st);
	return 0;
}

int inuse_identify_path(const char *path, struct backend_id *id)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	return set_storage_id(id, &st);
}

/* As inuse_identify_path(), and of @path in @dir, but never asks a server. */
static int identify_known(int dir, const char *path, int flags,
			  struct backend_id *id)
{
	struct statx stx;
	struct stat st;

	if (statx(dir, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_TYPE | STATX_INO, &stx))
		return -errno;
	st = (struct stat){
		.st_mode = stx.stx_mode,
		.st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.st_rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
		.st_ino = stx.stx_ino,
	};
	return set_storage_id(id, &st);
}

/* Would using @other be using @id? */
static bool overlaps(const struct backend_id *other,
		     const struct backend_id *id)
{
	if (other->is_block != id->is_block)
		return false;
	if (id->is_block)
		return sysblock_overlap(other->dev, id->dev);
	return other->dev == id->dev && other->ino == id->ino;
}

/* Is @link, of /proc/PID/fd, a file whose use is the use of @id? */
static bool open_file_overlaps(const char *link, const struct backend_id *id)
{
	struct backend_id other;

	return !identify_known(AT_FDCWD, link, 0, &other) &&
	       overlaps(&other, id);
}

/* A descriptor of the file itself, without access, or -1: not cached. */
static int open_cached(const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_CACHED,
	};
	int fd = -1;

	/* To meet somebody who mounts or renames looks like a missing name. */
	for (int i = 0; i < 10 && fd < 0; i++) {
		fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how,
				  sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	return fd;
}

/* Would using the thing at @path be using @id? */
static bool path_overlaps(const char *path, const struct backend_id *id)
{
	struct backend_id other;
	int fd = open_cached(path);
	bool is;

	if (fd < 0)
		return false;
	is = !identify_known(fd, "", AT_EMPTY_PATH, &other) &&
	     overlaps(&other, id);
	close(fd);
	return is;
}

/* Space, tab, newline and backslash stand there as \ and three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		unsigned c;
		int len = 0;

		if (*s == '\\' && sscanf(s + 1, "%3o%n", &c, &len) == 1 &&
		    len == 3) {
			*to++ = (char)c;
			s += len;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/*
 * Some file systems (btrfs) have a device number of their own, so the name of
 * the mounted device is looked at as well.
 */
static bool mount_overlaps(char *line, const struct backend_id *id,
			   char *where, size_t len)
{
	char source[PATH_MAX], point[PATH_MAX];
	const char *rest = strstr(line, " - ");
	unsigned maj, min;

	if (!rest || sscanf(line, "%*d %*d %u:%u %*s %4095s", &maj, &min,
			    point) != 3)
		return false;
	if (sscanf(rest, " - %*s %4095s", source) != 1)
		return false;
	unescape(source);
	unescape(point);
	if (!(maj && sysblock_overlap(makedev(maj, min), id->dev)) &&
	    !(source[0] == '/' && path_overlaps(source, id)))
		return false;
	snprintf(where, len, "%s", point);
	return true;
}

static bool is_mounted(const struct backend_id *id, char *where, size_t len)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	bool found = false;
	size_t size = 0;

	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0)
		found = mount_overlaps(line, id, where, len);
	free(line);
	fclose(f);
	return found;
}

static bool is_swap(const struct backend_id *id)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[PATH_MAX + 128], path[PATH_MAX];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%4095s", path) == 1 && path[0] == '/') {
			unescape(path);
			found = path_overlaps(path, id);
		}
	}
	fclose(f);
	return found;
}

/* Is the file behind the loop device called @name the one of @id? */
static bool is_behind(const char *name, const struct backend_id *id)
{
	char path[PATH_MAX];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(path, sizeof(path), f)) {
		path[strcspn(path, "\n")] = '\0';
		is = path_overlaps(path, id);
	}
	fclose(f);
	return is;
}

static bool has_loop(const struct backend_id *id, char *name, size_t len)
{
	DIR *dir = opendir("/sys/block");
	const struct dirent *e;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		if (strncmp(e->d_name, "loop", 4) || !is_behind(e->d_name, id))
			continue;
		found = true;
		snprintf(name, len, "%s", e->d_name);
	}
	closedir(dir);
	return found;
}

int inuse_by_host(const struct backend_id *id, char *err, size_t err_len)
{
	char who[PATH_MAX];

	if (is_swap(id)) {
		snprintf(err, err_len, "is swap space of this host");
		return -EBUSY;
	}
	if (!id->is_block && has_loop(id, who, sizeof(who))) {
		snprintf(err, err_len, "is attached to /dev/%s", who);
		return -EBUSY;
	}
	if (!id->is_block)
		return 0;
	if (is_mounted(id, who, sizeof(who))) {
		snprintf(err, err_len, "is mounted on %s", who);
		return -EBUSY;
	}
	if (sysblock_holder(id->dev, who, sizeof(who))) {
		snprintf(err, err_len, "is part of /dev/%s", who);
		return -EBUSY;
	}
	return 0;
}

/* Has the open file a lock?  The kernel tells that with its other facts. */
static bool has_lock(const char *pid, const char *fd)
{
	char path[PATH_MAX], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "lock:", 5);
	if (f)
		fclose(f);
	return found;
}

static enum inuse_by look_at(const char *pid, const struct backend_id *id,
			     bool locked)
{
	enum inuse_by by = INUSE_BY_NOBODY;
	char path[PATH_MAX];
	const struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == EACCES || errno == EPERM ? INUSE_BY_UNSEEN
							 : INUSE_BY_NOBODY;
	while (by == INUSE_BY_NOBODY && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		if (open_file_overlaps(path, id) &&
		    (!locked || has_lock(pid, e->d_name)))
			by = INUSE_BY_PROCESS;
	}
	closedir(dir);
	return by;
}

static void read_comm(const char *pid, char *comm, size_t len)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(comm, (int)len, f))
		snprintf(comm, len, "?");
	comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* Neither a namespace nor the way /proc is mounted hides processes from us. */
static bool sees_all(void)
{
	/* The kernel's number for the first of all namespaces. */
	const ino_t first = 0xEFFFFFFCU;
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino == first &&
	       !access("/proc/1", F_OK);
}

enum inuse_by inuse_by_process(const struct backend_id *id, bool locked,
			       struct inuse_process *p)
{
	enum inuse_by by = sees_all() ? INUSE_BY_NOBODY : INUSE_BY_UNSEEN;
	DIR *dir = opendir("/proc");
	const struct dirent *e;

	if (!dir)
		return INUSE_BY_UNSEEN;
	while (by != INUSE_BY_PROCESS && (e = readdir(dir))) {
		p->pid = atoi(e->d_name);
		if (p->pid <= 0 || (p->pid == getpid() && !locked))
			continue;
		by = MAX(by, look_at(e->d_name, id, locked));
		if (by == INUSE_BY_PROCESS)
			read_comm(e->d_name, p->comm, sizeof(p->comm));
	}
	closedir(dir);
	return by;
}
