/* SPDX-License-Identifier: BSD-2-Clause */
/* The device models there are. */
#pragma once

#include "device/device.h"

/* NULL when there is no model of this name.  Any thread. */
const struct device_ops *models_find(const char *name);
