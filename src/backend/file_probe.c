/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/file_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/denied.h"
#include "backend/sysblock.h"
#include "base/log.h"
#include "base/util.h"

/* What a device model may put in one io: a second or so of a slow disk. */
#define MAX_DISCARD	 ((uint64_t)1 << 30)
#define MAX_WRITE_ZEROES ((uint64_t)256 << 20)

int file_probe_reopen(const struct file_backend *f, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->look_fd);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int file_probe_size(const struct file_backend *f, uint64_t *size)
{
	struct stat st;

	if (f->backend.id.is_block)
		return ioctl(f->look_fd, BLKGETSIZE64, size) ? -errno : 0;
	if (fstat(f->look_fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

/* The smallest direct read that works, where statx does not tell. */
static unsigned try_direct(int fd)
{
	unsigned align = 0;
	void *buf;

	if (posix_memalign(&buf, 4096, 4096))
		return 0;
	for (unsigned len = 512; !align && len <= 4096; len *= 8)
		if (pread(fd, buf, len, len) >= 0)
			align = len;
	free(buf);
	return align;
}

/* Returns 0, or -EINVAL when direct I/O does not work here. */
static int find_alignment(struct file_backend *f, int fd)
{
	struct statx stx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    stx.stx_mask & STATX_DIOALIGN) {
		f->mem_align = stx.stx_dio_mem_align;
		f->len_align = stx.stx_dio_offset_align;
	} else {
		f->len_align = try_direct(fd);
		f->mem_align = f->len_align;
	}
	if (!is_power_of_two(f->mem_align) || !is_power_of_two(f->len_align))
		return -EINVAL;
	return 0;
}

/* Not where every io is handed to a thread first, as by some drivers. */
static bool can_refuse(const struct file_backend *f, int fd)
{
	size_t len = MAX(f->len_align, 4096u);
	struct iovec iov = {.iov_len = len};
	bool can;

	if (posix_memalign(&iov.iov_base, MAX(f->mem_align, 4096u), len))
		return false;
	can = preadv2(fd, &iov, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN;
	free(iov.iov_base);
	return can;
}

/*
 * Is direct I/O possible, in units that suit blocks of @block bytes (0: any)?
 * 0 with the alignments set; -EINVAL; or an error of opening.
 */
static int try_open_direct(struct file_backend *f, unsigned block)
{
	int ret, fd = file_probe_reopen(f, f->open_flags | O_DIRECT);

	if (fd < 0)
		return fd == -EOPNOTSUPP ? -EINVAL : fd;
	ret = find_alignment(f, fd);
	if (!ret && block && block < f->len_align)
		ret = -EINVAL;
	if (!ret)
		f->can_refuse = can_refuse(f, fd);
	close(fd);
	return ret;
}

static int try_open_buffered(struct file_backend *f)
{
	int fd = file_probe_reopen(f, f->open_flags);

	f->mem_align = 1;
	f->len_align = 1;
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void explain_open(const struct file_backend *f, int error, char *err,
			 size_t err_len)
{
	bool write = !f->backend.info.read_only;

	if (error == -EACCES || error == -EPERM)
		denied_explain(f->backend.name, write, err, err_len);
	else if (error == -EROFS)
		snprintf(err, err_len,
			 "is read-only: to serve it so, say read-only: true");
	else
		snprintf(err, err_len, "%s", strerror(-error));
}

static int choose_direct(struct file_backend *f, const struct backend_params *p,
			 char *err, size_t err_len)
{
	unsigned block = f->backend.id.is_block ? 0 : p->block_size;
	int ret = -EINVAL;

	if (p->direct != BACKEND_DIRECT_OFF)
		ret = try_open_direct(f, block);
	f->backend.info.direct = !ret;
	if (!ret) {
		f->open_flags |= O_DIRECT;
		return 0;
	}
	if (ret == -EINVAL && p->direct == BACKEND_DIRECT_ON) {
		snprintf(err, err_len, "direct I/O does not work here");
		return ret;
	}
	if (ret == -EINVAL) {
		if (p->direct == BACKEND_DIRECT_AUTO)
			log_info(p->tag,
				 "page cache is used path=%s: no direct I/O "
				 "there",
				 p->path);
		ret = try_open_buffered(f);
	}
	if (ret)
		explain_open(f, ret, err, err_len);
	return ret;
}

/*
 * Some file systems wait for their server although io_uring asks them not to,
 * FUSE above all: a worker would stand still, with all its targets.
 */
static bool may_wait(int fd)
{
	static const unsigned long never[] = {
		BTRFS_SUPER_MAGIC,     EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC,
		OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC,	 TMPFS_MAGIC,
		XFS_SUPER_MAGIC,
	};
	struct statfs st;

	if (fstatfs(fd, &st))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if ((unsigned long)st.f_type == never[i])
			return false;
	return true;
}

/* What the device itself demands, and what it likes. */
static int probe_device(struct file_backend *f, char *err, size_t err_len)
{
	struct backend_info *info = &f->backend.info;
	dev_t dev = f->backend.id.dev;
	unsigned physical = 0, min = 0, opt = 0;
	int logical, read_only, offset = 0;

	if (ioctl(f->look_fd, BLKSSZGET, &logical) ||
	    ioctl(f->look_fd, BLKROGET, &read_only)) {
		int ret = -errno;

		snprintf(err, err_len, "%s", strerror(-ret));
		return ret;
	}
	if (read_only && !info->read_only) {
		explain_open(f, -EROFS, err, err_len);
		return -EROFS;
	}
	ioctl(f->look_fd, BLKPBSZGET, &physical);
	ioctl(f->look_fd, BLKIOMIN, &min);
	ioctl(f->look_fd, BLKIOOPT, &opt);
	ioctl(f->look_fd, BLKALIGNOFF, &offset);
	info->block_size = (unsigned)logical;
	info->physical_block_size = MAX(physical, (unsigned)logical);
	info->min_io_size = min;
	info->opt_io_size = opt;
	info->alignment_offset = offset > 0 ? (unsigned)offset : 0;
	info->can_discard = sysblock_queue(dev, "discard_max_bytes") > 0;
	info->can_unmap = sysblock_queue(dev, "write_zeroes_max_bytes") > 0;
	info->discard_align = sysblock_queue(dev, "discard_granularity");
	return 0;
}

/* A hole beyond the end changes nothing, but tells if there can be one. */
static bool can_punch(const struct file_backend *f, uint64_t size)
{
	int fd = file_probe_reopen(f, f->open_flags & ~O_DIRECT);
	bool can;

	if (fd < 0)
		return false;
	can = !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)align_up(size, 1 << 20), 4096);
	close(fd);
	return can;
}

static void probe_regular(struct file_backend *f, uint64_t size)
{
	struct backend_info *info = &f->backend.info;
	struct stat st;

	info->block_size = MAX(512u, f->len_align);
	info->physical_block_size = 4096;
	info->discard_align = 4096;
	if (!fstat(f->look_fd, &st) && is_power_of_two((uint64_t)st.st_blksize))
		info->discard_align = MAX((uint64_t)st.st_blksize, 4096u);
	info->can_discard = !info->read_only && can_punch(f, size);
	info->can_unmap = info->can_discard;
}

static int set_blocks(struct file_backend *f, const struct backend_params *p,
		      char *err, size_t err_len)
{
	struct backend_info *info = &f->backend.info;
	unsigned wanted = p->block_size ? p->block_size : info->block_size;

	if (wanted != 512 && wanted != 4096) {
		snprintf(err, err_len,
			 "blocks of %u bytes: must be 512 or 4096", wanted);
		return -EINVAL;
	}
	if (wanted < info->block_size) {
		snprintf(err, err_len,
			 "has blocks of %u bytes, so block-size: %u cannot be",
			 info->block_size, wanted);
		return -EINVAL;
	}
	info->block_size = wanted;
	info->physical_block_size = MAX(info->physical_block_size, wanted);
	info->discard_align = MAX(info->discard_align, wanted);
	return 0;
}

static int set_size(struct file_backend *f, const struct backend_params *p,
		    uint64_t size, char *err, size_t err_len)
{
	struct backend_info *info = &f->backend.info;

	info->size = align_down(size, info->block_size);
	if (!info->size) {
		snprintf(err, err_len, "is empty");
		return -EINVAL;
	}
	if (info->size != size)
		log_warn(p->tag,
			 "end is not served path=%s size=%llu block-size=%u: "
			 "the last %llu bytes are no whole block",
			 p->path, (unsigned long long)size, info->block_size,
			 (unsigned long long)(size - info->size));
	return 0;
}

int file_probe(struct file_backend *f, const struct backend_params *p,
	       char *err, size_t err_len)
{
	struct backend_info *info = &f->backend.info;
	uint64_t size;
	int ret;

	info->read_only = p->read_only;
	f->open_flags = p->read_only ? O_RDONLY : O_RDWR;
	if (f->backend.id.is_block) {
		ret = probe_device(f, err, err_len);
		if (ret)
			return ret;
	}
	ret = choose_direct(f, p, err, err_len);
	if (ret)
		return ret;
	ret = file_probe_size(f, &size);
	if (ret) {
		snprintf(err, err_len, "%s", strerror(-ret));
		return ret;
	}
	if (!f->backend.id.is_block) {
		probe_regular(f, size);
		f->may_wait = may_wait(f->look_fd);
	}
	ret = set_blocks(f, p, err, err_len);
	if (ret)
		return ret;
	info->can_discard &= p->discard && !p->read_only;
	info->can_unmap &= p->discard && !p->read_only;
	info->max_discard = MAX_DISCARD;
	info->max_write_zeroes = MAX_WRITE_ZEROES;
	return set_size(f, p, size, err, err_len);
}
