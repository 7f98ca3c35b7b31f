/* SPDX-License-Identifier: BSD-2-Clause */
/* Feature bits by name. */
#pragma once

#include <stdint.h>

enum features_set {
	FEATURES_DEVICE,   /* of virtio and of the device */
	FEATURES_PROTOCOL, /* of vhost-user */
};

/*
 * Returns the name of @bit, or NULL if it has none.
 *
 * Any thread.
 */
const char *features_name(enum features_set set, unsigned bit);
