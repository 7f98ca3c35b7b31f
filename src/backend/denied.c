/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/denied.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40

/* A path walked by hand: what was seen, and what is to come. */
struct walk {
	char done[PATH_MAX];
	char rest[PATH_MAX];
	unsigned links;
};

/* Append to @done the next part of @rest; false at the end. */
static bool take_component(struct walk *w)
{
	size_t skip = strspn(w->rest, "/");
	size_t len = strcspn(w->rest + skip, "/");
	size_t at = strlen(w->done);

	if (!len || at + len + 2 > sizeof(w->done))
		return false;
	if (skip || at)
		w->done[at++] = '/';
	memcpy(w->done + at, w->rest + skip, len);
	w->done[at + len] = '\0';
	memmove(w->rest, w->rest + skip + len,
		strlen(w->rest + skip + len) + 1);
	return true;
}

/* Put what the link in @done says before @rest. */
static bool follow_link(struct walk *w)
{
	char target[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t n = readlink(w->done, target, sizeof(target) - 1);
	char *slash = strrchr(w->done, '/');

	if (n <= 0 || ++w->links > MAX_LINKS)
		return false;
	target[n] = '\0';
	if (target[0] == '/' || !slash)
		w->done[0] = '\0';
	else
		*slash = '\0';
	snprintf(joined, sizeof(joined), "%s%s%s",
		 target[0] != '/' && slash ? "/" : "", target, w->rest);
	if (strlen(joined) >= sizeof(w->rest))
		return false;
	memcpy(w->rest, joined, strlen(joined) + 1);
	return true;
}

static bool may(const char *path, int how)
{
	return faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0 ||
	       errno != EACCES;
}

/* True with the refusing part in w->done, and how it was asked in @how. */
static bool find_refusal(struct walk *w, bool write, int *how, struct stat *st)
{
	while (take_component(w)) {
		if (lstat(w->done, st))
			return false;
		if (S_ISLNK(st->st_mode)) {
			if (!follow_link(w))
				return false;
			continue;
		}
		*how = S_ISDIR(st->st_mode) ? X_OK :
		       write		    ? R_OK | W_OK :
					      R_OK;
		if (!may(w->done, *how))
			return true;
	}
	return false;
}

static void name_user(uid_t uid, char *buf, size_t len)
{
	struct passwd entry, *pw;
	char strings[2048];

	if (!getpwuid_r(uid, &entry, strings, sizeof(strings), &pw) && pw)
		snprintf(buf, len, "%s", pw->pw_name);
	else
		snprintf(buf, len, "%u", uid);
}

static void name_group(gid_t gid, char *buf, size_t len)
{
	struct group entry, *gr;
	char strings[8192];

	if (!getgrgid_r(gid, &entry, strings, sizeof(strings), &gr) && gr)
		snprintf(buf, len, "%s", gr->gr_name);
	else
		snprintf(buf, len, "%u", gid);
}

static void name_groups(char *buf, size_t len)
{
	gid_t groups[64];
	int n = getgroups(64, groups);
	size_t at;

	name_group(getegid(), buf, len);
	for (int i = 0; i < n; i++) {
		if (groups[i] == getegid())
			continue;
		at = strlen(buf);
		if (at + 1 >= len)
			return;
		buf[at] = ',';
		name_group(groups[i], buf + at + 1, len - at - 1);
	}
}

/* For a node that is made anew at boot, so that an ACL would not last. */
static void advise_rule(const struct walk *w, const char *path, char *buf,
			size_t len)
{
	bool is_link = strcmp(path, w->done) != 0;
	const char *name = is_link ? path : w->done;
	char group[64];

	name_group(getegid(), group, sizeof(group));
	if (!strncmp(name, "/dev/", 5))
		name += 5;
	snprintf(buf, len,
		 "a udev rule such as SUBSYSTEM==\"block\", %s==\"%s\", "
		 "GROUP=\"%s\", MODE=\"0660\"",
		 is_link ? "SYMLINK" : "KERNEL", name, group);
}

static void advise(const struct walk *w, const char *path, int how,
		   const struct stat *st, char *buf, size_t len)
{
	unsigned need = how & W_OK ? 060 : 040;
	char user[64], group[64];

	name_user(geteuid(), user, sizeof(user));
	name_group(st->st_gid, group, sizeof(group));
	if (S_ISBLK(st->st_mode) && (st->st_mode & need) == need)
		snprintf(buf, len, "run with SupplementaryGroups=%s", group);
	else if (S_ISBLK(st->st_mode))
		advise_rule(w, path, buf, len);
	else
		snprintf(buf, len, "setfacl -m u:%s:%s %s", user,
			 how == X_OK   ? "x" :
			 how & W_OK ? "rw" :
				      "r",
			 w->done);
}

const char *denied_explain(const char *path, bool write, char *buf,
			   size_t len)
{
	char user[64], owner[64], group[64], groups[512];
	char advice[PATH_MAX + 128];
	struct walk w = {.links = 0};
	struct stat st;
	int how;

	snprintf(w.rest, sizeof(w.rest), "%s", path);
	name_user(geteuid(), user, sizeof(user));
	name_groups(groups, sizeof(groups));
	if (!find_refusal(&w, write, &how, &st)) {
		snprintf(buf, len,
			 "permission denied to user %s (groups %s), though no "
			 "file mode refuses: look at AppArmor, SELinux and "
			 "DeviceAllow= of the service",
			 user, groups);
		return buf;
	}
	name_user(st.st_uid, owner, sizeof(owner));
	name_group(st.st_gid, group, sizeof(group));
	advise(&w, path, how, &st, advice, sizeof(advice));
	snprintf(buf, len,
		 "permission denied: %s is owned by %s:%s, mode %04o, and we "
		 "are user %s (groups %s); try: %s",
		 w.done, owner, group, st.st_mode & 07777, user, groups,
		 advice);
	return buf;
}
