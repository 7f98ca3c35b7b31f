/* SPDX-License-Identifier: BSD-2-Clause */
#include "loopdev.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int configure(int control, int file, unsigned block_size, char *name)
{
	struct loop_config config = {
		.fd = (unsigned)file,
		.block_size = block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN,
	};
	int fd, writable = 0, number = ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return -1;
	snprintf(name, 32, "/dev/loop%d", number);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config)) {
		close(fd);
		fd = -1;
	}
	/* A number keeps this from the device that had it before. */
	if (fd >= 0)
		ioctl(fd, BLKROSET, &writable);
	return fd;
}

int loopdev_open(const char *path, unsigned block_size, char *name)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int file = open(path, O_RDWR | O_CLOEXEC);
	int fd = -1;

	/* Another test may be faster with the number that is free. */
	for (int i = 0; i < 20 && fd < 0 && control >= 0 && file >= 0; i++)
		fd = configure(control, file, block_size, name);
	if (control >= 0)
		close(control);
	if (file >= 0)
		close(file);
	return fd;
}

static bool add_partition(int fd, int number, long long start_byte)
{
	struct blkpg_partition part = {.pno = number, .start = start_byte,
				       .length = 4 << 20};
	struct blkpg_ioctl_arg arg = {.op = BLKPG_ADD_PARTITION,
				      .datalen = sizeof(part), .data = &part};

	return ioctl(fd, BLKPG, &arg) == 0;
}

int loopdev_open_partitions(const char *path, char *name)
{
	int fd = loopdev_open(path, 512, name);
	char second[40];

	if (fd >= 0 && (!add_partition(fd, 1, 1 << 20) ||
			!add_partition(fd, 2, 8 << 20))) {
		close(fd);
		return -1;
	}
	snprintf(second, sizeof(second), "%sp2", name);
	for (int i = 0; fd >= 0 && i < 50 && access(second, F_OK); i++)
		usleep(20000);
	return fd;
}
