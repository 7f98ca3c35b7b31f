/* SPDX-License-Identifier: BSD-2-Clause */
/* What the world says to a configuration: which disks its paths lead to. */
#pragma once

#include "daemon/config.h"

/*
 * Looks for two targets on one disk, whatever their paths: links, names in
 * /dev/disk, a partition and its disk.  That is an error, unless all of them
 * are read-only or say shared.  A path that leads nowhere is nobody's.
 *
 * Returns 0, -EINVAL with the errors in @errs, or -ENOMEM.  It takes a moment,
 * and some seconds where a file system is dead, see lookup.h.  Any thread.
 */
int config_disks_check(const struct config *c, struct config_errors *errs);

/*
 * Warns in @errs of what would make a target fail if it were opened now by this
 * process, and of images in other formats than raw.  Returns 0 or -ENOMEM, and
 * takes as long.  Any thread; may block on the user database.
 */
int config_disks_warn(const struct config *c, struct config_errors *errs);
