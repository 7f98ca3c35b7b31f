/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and block devices: open, claim, release. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backend/denied.h"
#include "backend/file_io.h"
#include "backend/file_probe.h"
#include "backend/inuse.h"
#include "backend/magic.h"
#include "base/log.h"
#include "run/offload.h"

static struct file_backend *file_of(struct backend *b)
{
	return container_of(b, struct file_backend, backend);
}

static void close_file(struct backend *b)
{
	struct file_backend *f = file_of(b);

	/* Control gives it up, and a network file system may be dead. */
	offload_close(f->look_fd);
	backend_fini(b);
	free(f);
}

/* A sentence about @path in front of what is in @err. */
static void prefix_err(const char *path, char *err, size_t err_len)
{
	char *reason = strdup(err);

	snprintf(err, err_len, "%s: %s", path, reason ? reason : "");
	free(reason);
}

static const char *type_name(mode_t mode)
{
	return S_ISDIR(mode)	? "a directory"
	       : S_ISCHR(mode)	? "a character device"
	       : S_ISFIFO(mode) ? "a pipe"
	       : S_ISSOCK(mode) ? "a socket"
				: "no file";
}

/*
 * Look what it is before it is opened: to open a tape rewinds it, and to open a
 * watchdog starts it.
 */
static int open_for_look(struct file_backend *f, char *err, size_t err_len)
{
	int fd, path_fd = open(f->backend.name, O_PATH | O_CLOEXEC);
	struct stat st;
	char path[64];
	int ret;

	if (path_fd < 0 || fstat(path_fd, &st)) {
		ret = -errno;
		goto fail;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		snprintf(err, err_len, "is %s, not a file or block device",
			 type_name(st.st_mode));
		close(path_fd);
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTBLK;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto fail;
	}
	close(path_fd);
	f->look_fd = fd;
	return inuse_identify(fd, &f->backend.id);
fail:
	if (ret == -EACCES || ret == -EPERM)
		denied_explain(f->backend.name, !f->backend.info.read_only, err,
			       err_len);
	else
		snprintf(err, err_len, "%s", strerror(-ret));
	if (path_fd >= 0)
		close(path_fd);
	return ret;
}

/* Never acted on: a guest writes there what it likes. */
static void warn_of_format(const struct file_backend *f,
			   const struct backend_params *p)
{
	char head[MAGIC_LEN];
	ssize_t n = pread(f->look_fd, head, sizeof(head), 0);
	const char *format = n > 0 ? magic_name(head, (size_t)n) : NULL;

	if (format)
		log_warn(p->tag,
			 "backend is served as it is, raw path=%s: it looks "
			 "like %s",
			 p->path, format);
}

/*
 * Those who have the storage together do not keep each other out, so getting a
 * read lock does not prove that a predecessor's requests are over: its lock
 * may be one of several.  So each read-locks a byte of its own as well, far
 * beyond what it has together with the others, which is the same byte after a
 * restart, and comes only when nobody has that any more.  A read lock it is as
 * who only reads cannot have another.
 *
 * One process may have a disk in several ways at once, say with and without
 * discards.  Whoever comes second there finds the byte locked by the first, but
 * on a list as well, and knows that the predecessor's requests are over.
 */
#define SHARED_END ((off_t)1 << 62)

static struct list claimed = {&claimed, &claimed}; /* by who shares */
static pthread_mutex_t claimed_lock = PTHREAD_MUTEX_INITIALIZER;

/* FNV-1a, of 64 bits. */
static uint64_t hash(uint64_t h, const char *text)
{
	while (*text)
		h = (h ^ (unsigned char)*text++) * 0x100000001b3;
	return h;
}

/* Of this host, since it was booted; a container has another name. */
static uint64_t hash_host(uint64_t h)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	char boot[64] = "";
	struct utsname u;

	if (f && fgets(boot, sizeof(boot), f))
		h = hash(h, boot);
	if (f)
		fclose(f);
	return uname(&u) ? h : hash(h, u.nodename);
}

/*
 * Two that get one number merely wait for each other, but for ever if both go
 * on living.  So it is made of the host, as a file system may be shared by
 * several, and of the user.
 */
static off_t find_own_byte(const char *user)
{
	if (!user)
		return 0;

	uint64_t h = hash(hash_host(0xcbf29ce484222325), user);

	return SHARED_END + 1 + (off_t)(h % (uint64_t)(SHARED_END - 1));
}

static int open_file(struct backend **out, const struct backend_params *given,
		     char *err, size_t err_len)
{
	struct backend_params params = *given, *p = &params;
	struct file_backend *f = calloc(1, sizeof(*f));
	int ret;

	snprintf(err, err_len, "%s", strerror(ENOMEM));
	if (!f)
		return -ENOMEM;
	if (!p->tag)
		p->tag = p->path;
	f->look_fd = -1;
	f->fd = -1;
	f->backend.info.read_only = p->read_only;
	f->backend.shared = p->shared;
	f->backend.delay_us = p->delay_us;
	f->own_byte = find_own_byte(p->user);
	list_init(&f->claimed);
	ret = backend_init(&f->backend, &file_backend, p->path);
	if (ret)
		goto fail;
	ret = open_for_look(f, err, err_len);
	if (ret)
		goto fail;
	ret = inuse_by_host(&f->backend.id, err, err_len);
	if (ret)
		goto fail;
	ret = file_probe(f, p, err, err_len);
	if (ret)
		goto fail;
	warn_of_format(f, p);
	*out = &f->backend;
	return 0;
fail:
	prefix_err(p->path, err, err_len);
	close_file(&f->backend);
	return ret;
}

/* Nobody else may have it: neither a reader nor one who shares. */
static bool is_exclusive(const struct file_backend *f)
{
	return !f->backend.info.read_only && !f->backend.shared;
}

static int lock(int fd, short type, off_t start, off_t len)
{
	struct flock fl = {.l_type = type,
			   .l_whence = SEEK_SET,
			   .l_start = start,
			   .l_len = len};
	int ret = fcntl(fd, F_OFD_SETLK, &fl) ? -errno : 0;

	return ret == -EAGAIN || ret == -EACCES ? -EBUSY : ret;
}

/* The lock that keeps one of @type out; of no type when there is none. */
static struct flock find_lock(const struct file_backend *f, short type,
			      off_t start, off_t len)
{
	struct flock fl = {.l_type = type,
			   .l_whence = SEEK_SET,
			   .l_start = start,
			   .l_len = len};

	if (fcntl(f->look_fd, F_OFD_GETLK, &fl))
		fl.l_type = F_UNLCK;
	return fl;
}

static bool has_own_byte(const struct file_backend *f)
{
	return f->own_byte > SHARED_END;
}

static bool is_same(const struct file_backend *a, const struct file_backend *b)
{
	const struct backend_id *x = &a->backend.id, *y = &b->backend.id;

	return x->is_block == y->is_block && x->dev == y->dev &&
	       x->ino == y->ino && a->own_byte == b->own_byte;
}

/* In whatever way; the lock is held. */
static bool is_claimed_here(const struct file_backend *f)
{
	for (struct list *l = claimed.next; l != &claimed; l = l->next)
		if (is_same(f, container_of(l, struct file_backend, claimed)))
			return true;
	return false;
}

/* The same, the lock is held. */
static bool has_predecessor(const struct file_backend *f)
{
	return has_own_byte(f) && !is_claimed_here(f) &&
	       find_lock(f, F_WRLCK, f->own_byte, 1).l_type != F_UNLCK;
}

static int lock_bytes(const struct file_backend *f, int fd)
{
	int ret = lock(fd, F_RDLCK, 0, SHARED_END);

	if (!ret && has_own_byte(f))
		ret = lock(fd, F_RDLCK, f->own_byte, 1);
	return ret;
}

static int lock_shared(struct file_backend *f, int fd)
{
	int ret;

	pthread_mutex_lock(&claimed_lock);
	ret = has_predecessor(f) ? -EBUSY : lock_bytes(f, fd);
	if (!ret)
		list_add_tail(&claimed, &f->claimed);
	pthread_mutex_unlock(&claimed_lock);
	return ret;
}

static bool waits_for_predecessor(const struct file_backend *f)
{
	bool waits;

	if (is_exclusive(f))
		return false;
	pthread_mutex_lock(&claimed_lock);
	waits = has_predecessor(f);
	pthread_mutex_unlock(&claimed_lock);
	return waits;
}

/* Of a vringd, as other programs lock other ranges. */
static bool is_ours(const struct flock *fl)
{
	return fl->l_pid == -1 && fl->l_start == 0 &&
	       (fl->l_len == 0 || fl->l_len == SHARED_END);
}

/* The kernel says of a lock neither whose it is nor whether he still lives. */
static void explain_lock(const struct file_backend *f, const struct flock *fl,
			 char *err, size_t err_len)
{
	struct inuse_process p;

	switch (inuse_by_process(&f->backend.id, true, &p)) {
	case INUSE_BY_PROCESS:
		if (p.pid == getpid())
			snprintf(err, err_len,
				 "a target that is closing still has it");
		else
			snprintf(err, err_len, "is in use by pid %d (%s)",
				 (int)p.pid, p.comm);
		break;
	case INUSE_BY_NOBODY:
		snprintf(err, err_len,
			 "requests of a process that has ended are not over "
			 "yet");
		break;
	case INUSE_BY_UNSEEN:
		snprintf(err, err_len,
			 is_ours(fl) ? "requests of a vringd that has ended "
				       "are not over yet, or another user's "
				       "has it"
				     : "is in use by a process that we may "
				       "not see");
		break;
	}
}

static void explain_busy(const struct file_backend *f, char *err,
			 size_t err_len)
{
	const struct flock fl =
		find_lock(f, is_exclusive(f) ? F_WRLCK : F_RDLCK, 0, 0);
	struct inuse_process p;

	if (inuse_by_host(&f->backend.id, err, err_len) == -EBUSY)
		return;
	if (waits_for_predecessor(f))
		snprintf(err, err_len,
			 "requests of the vringd that was here before are not "
			 "over yet");
	else if (fl.l_type != F_UNLCK)
		explain_lock(f, &fl, err, err_len);
	else if (inuse_by_process(&f->backend.id, false, &p) ==
		 INUSE_BY_PROCESS)
		snprintf(err, err_len, "is in use, perhaps by pid %d (%s)",
			 (int)p.pid, p.comm);
	else
		snprintf(err, err_len,
			 "is in use by the kernel, or by a process that we may "
			 "not see");
}

static int check_file(struct backend *b, char *err, size_t err_len)
{
	struct backend_id now;

	if (!inuse_identify_path(b->name, &now) && now.dev == b->id.dev &&
	    now.ino == b->id.ino && now.is_block == b->id.is_block)
		return 0;
	snprintf(err, err_len,
		 "%s: is gone, or other storage than when it was opened; what "
		 "is there is served when the VMM connects again",
		 b->name);
	return -ESTALE;
}

/*
 * Readers and those who share take read locks, and no O_EXCL, so they do not
 * exclude each other, but an exclusive user is excluded by any of them.
 */
static int claim_file(struct backend *b, char *err, size_t err_len)
{
	struct file_backend *f = file_of(b);
	bool excl = is_exclusive(f);
	struct backend_id id;
	int ret, fd;

	fd = file_probe_reopen(f,
			       f->open_flags |
				       (excl && b->id.is_block ? O_EXCL : 0));
	if (fd < 0) {
		ret = fd;
		goto fail;
	}
	ret = inuse_identify(fd, &id);
	if (!ret && (id.dev != b->id.dev || id.ino != b->id.ino))
		ret = -ESTALE;
	if (!ret)
		ret = excl ? lock(fd, F_WRLCK, 0, 0) : lock_shared(f, fd);
	if (ret)
		goto fail;
	f->fd = fd;
	return 0;
fail:
	if (ret == -EBUSY)
		explain_busy(f, err, err_len);
	else
		snprintf(err, err_len, "cannot claim: %s", strerror(-ret));
	prefix_err(b->name, err, err_len);
	if (fd >= 0)
		close(fd);
	return ret;
}

/*
 * A ring drops its reference to the file some time after it was told to, so the
 * lock is given up here, where no io is in flight.
 */
static void release_file(struct backend *b)
{
	struct file_backend *f = file_of(b);

	pthread_mutex_lock(&claimed_lock);
	lock(f->fd, F_UNLCK, 0, 0);
	list_del(&f->claimed);
	pthread_mutex_unlock(&claimed_lock);
	close(f->fd);
	f->fd = -1;
}

static int rescan_file(struct backend *b, uint64_t *size)
{
	int ret = file_probe_size(file_of(b), size);

	if (!ret)
		*size = align_down(*size, b->info.block_size);
	return ret;
}

const struct backend_ops file_backend = {
	.name = "file",
	.open = open_file,
	.close = close_file,
	.check = check_file,
	.claim = claim_file,
	.release = release_file,
	.attach = file_io_attach,
	.detach = file_io_detach,
	.submit = file_io_submit,
	.rescan = rescan_file,
};
