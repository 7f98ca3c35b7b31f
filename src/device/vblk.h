/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: the disk that most guests see. */
#pragma once

#include "device/device.h"

/* Segments of one discard or write zeroes request. */
#define VBLK_MAX_SEG 16

extern const struct device_ops vblk_device;
