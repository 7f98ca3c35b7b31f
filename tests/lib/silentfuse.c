/* SPDX-License-Identifier: BSD-2-Clause */
/* A file on a file system whose server has stopped to answer. */
#include "silentfuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_NODE 2

static void answer(struct silentfuse *s, const struct fuse_in_header *in,
		   const void *payload, size_t size)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + size),
		.unique = in->unique,
	};
	struct iovec iov[] = {
		{&out, sizeof(out)},
		{(void *)(uintptr_t)payload, size},
	};

	(void)!writev(s->dev, iov, 2);
}

static void refuse(struct silentfuse *s, const struct fuse_in_header *in)
{
	struct fuse_out_header out = {
		.len = sizeof(out),
		.error = -ENOSYS,
		.unique = in->unique,
	};

	(void)!write(s->dev, &out, sizeof(out));
}

static void serve(struct silentfuse *s, const struct fuse_in_header *in)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = 4096,
	};
	struct fuse_entry_out entry = {
		.nodeid = FILE_NODE,
		.attr = {.ino = FILE_NODE,
			 .mode = S_IFREG | 0600,
			 .nlink = 1,
			 .size = SILENTFUSE_SIZE},
	};
	struct fuse_attr_out attr = {.attr = entry.attr};
	struct fuse_open_out opened = {.fh = 1};

	if (in->nodeid == FUSE_ROOT_ID)
		attr.attr.mode = S_IFDIR | 0700;
	if (in->opcode == FUSE_INIT)
		answer(s, in, &init, sizeof(init));
	else if (in->opcode == FUSE_LOOKUP)
		answer(s, in, &entry, sizeof(entry));
	else if (in->opcode == FUSE_GETATTR)
		answer(s, in, &attr, sizeof(attr));
	else if (in->opcode == FUSE_OPEN)
		answer(s, in, &opened, sizeof(opened));
	else
		refuse(s, in);
}

static void *run_server(void *arg)
{
	static char buf[FUSE_MIN_READ_BUFFER + 65536];
	struct silentfuse *s = arg;
	struct pollfd p = {.fd = s->dev, .events = POLLIN};

	while (!atomic_load(&s->silent)) {
		if (poll(&p, 1, 10) == 1 && read(s->dev, buf, sizeof(buf)) > 0)
			serve(s, (const void *)buf);
	}
	return NULL;
}

/* What is mounted is seen by nobody else, and ends with us. */
static int leave_namespace(void)
{
	if (unshare(CLONE_NEWNS))
		return -errno;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -errno : 0;
}

static int mount_fuse(struct silentfuse *s)
{
	char options[96];

	strcpy(s->dir, "/tmp/silent.XXXXXX");
	if (!mkdtemp(s->dir))
		return -errno;
	s->dev = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (s->dev < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u", s->dev,
		 geteuid(), getegid());
	return mount("silent", s->dir, "fuse", MS_NOSUID | MS_NODEV, options)
		       ? -errno
		       : 0;
}

void silentfuse_silence(struct silentfuse *s)
{
	atomic_store(&s->silent, 1);
	pthread_join(s->server, NULL);
}

int silentfuse_mount(struct silentfuse *s)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->dev = -1;
	ret = leave_namespace();
	if (!ret)
		ret = mount_fuse(s);
	if (!ret)
		ret = -pthread_create(&s->server, NULL, run_server, s);
	if (ret) {
		if (s->dev >= 0)
			close(s->dev);
		rmdir(s->dir);
		return ret;
	}
	snprintf(s->path, sizeof(s->path), "%s/file", s->dir);
	s->file = open(s->path, O_RDWR | O_CLOEXEC);
	ret = s->file < 0 ? -errno : 0;
	if (ret) {
		silentfuse_silence(s);
		silentfuse_end(s);
	}
	return ret;
}

int silentfuse_begin(struct silentfuse *s)
{
	int ret = silentfuse_mount(s);

	if (!ret)
		silentfuse_silence(s);
	return ret;
}

void silentfuse_end(struct silentfuse *s)
{
	/* The end of the server is the end of every wait. */
	close(s->dev);
	if (s->file >= 0)
		close(s->file);
	umount2(s->dir, MNT_DETACH);
	rmdir(s->dir);
}
