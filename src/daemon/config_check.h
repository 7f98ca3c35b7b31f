/* SPDX-License-Identifier: BSD-2-Clause */
/* What no key can say alone: values that follow from others, and conflicts. */
#pragma once

#include "daemon/config_keys.h"

/* Where the keys of one target, or of the file, were given; line 0: not. */
struct config_places {
	struct config_place of[CONFIG_KEYS];
	bool bad[CONFIG_KEYS]; /* given, but the value is no use */
};

/* How one disk may be that of two targets, for the end of a message. */
#define CONFIG_CHECK_SHARING \
	"to share it, both must be read-only or say shared: true"

/* Returns whether two targets may have one disk as their backend. */
bool config_check_can_share(const struct config_backend *a,
			    const struct config_backend *b);

/*
 * Fills what follows from other keys, then checks keys against each other.
 * @top has the places of the file's own keys, @targets those of each target.
 * Errors and warnings go to @errs.  Returns 0 or -ENOMEM.
 *
 * Any thread that owns @c.
 */
int config_check(struct config *c, const struct config_places *top,
		 const struct config_places *targets,
		 struct config_errors *errs);
