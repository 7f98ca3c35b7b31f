/* SPDX-License-Identifier: BSD-2-Clause */
/* What sysfs tells of a block device, found by its number. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The number in the file @attr of @dev's queue, or of its disk's if it is a
 * partition; 0 when there is none.  May block.
 */
uint64_t sysblock_queue(dev_t dev, const char *attr);

/* The disk that @dev is a partition of, or @dev itself.  May block. */
dev_t sysblock_disk(dev_t dev);

/* The same device, or a partition and its disk.  May block. */
bool sysblock_overlap(dev_t a, dev_t b);

/*
 * A device stacked on @dev, on one of its partitions or on its disk: device
 * mapper, RAID, cache.  True with its name in @buf.  May block.
 */
bool sysblock_holder(dev_t dev, char *buf, size_t len);
