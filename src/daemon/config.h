/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: plain data read from a YAML file, and checked. */
#pragma once

#include "daemon/config_errors.h"
#include "daemon/config_keys.h"

/*
 * Reads and checks the file at @path, and does nothing else.  Returns 0 and
 * fills @out, which the caller frees; -EINVAL when the text is wrong, with
 * every error in @errs; or another -errno when the file cannot be read, with
 * one error in @errs.  @errs may also hold warnings after success.
 *
 * Any thread; may block on the file system.
 */
int config_load(const char *path, struct config **out,
		struct config_errors *errs);

/*
 * As config_load(), from @len bytes at @text; @name stands for the file in
 * messages.
 *
 * Any thread.
 */
int config_parse(const char *name, const char *text, size_t len,
		 struct config **out, struct config_errors *errs);

/*
 * A configuration begins with one user.  config_get() counts one more and
 * returns @c; config_put() counts one less, and frees it with the last.  Both
 * accept NULL.
 *
 * One thread at a time: control, once targets use it.
 */
struct config *config_get(struct config *c);
void config_put(struct config *c);

/*
 * Returns how many workers @c asks for: one for each CPU in `cpus', or with
 * `auto' a quarter of the CPUs that this process may use, and at least 1.
 *
 * Any thread.
 */
unsigned config_nr_workers(const struct config *c);
