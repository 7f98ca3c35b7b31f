/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: plain data read from a YAML file, and checked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config_errors.h"
#include "daemon/value.h"

enum config_log_level {
	CONFIG_LOG_ERR,
	CONFIG_LOG_WARN,
	CONFIG_LOG_INFO,
	CONFIG_LOG_DEBUG,
};

enum config_device {
	CONFIG_DEVICE_BLK,
};

enum config_kind {
	CONFIG_KIND_FILE,
	CONFIG_KIND_MEM,
	CONFIG_KIND_NULL,
};

enum config_direct {
	CONFIG_DIRECT_AUTO,
	CONFIG_DIRECT_ON,
	CONFIG_DIRECT_OFF,
};

enum config_memory_files {
	CONFIG_MEMORY_FILES_SHMEM,
	CONFIG_MEMORY_FILES_ANY,
};

/* Where the bytes of a target are. */
struct config_backend {
	enum config_kind kind;
	char *path;	     /* file only, else NULL; absolute */
	uint64_t size;	     /* mem and null only, else 0 */
	bool zeroes;	     /* null: reads are filled with zeroes */
	unsigned block_size; /* 512, 4096; 0: that of the storage */
	enum config_direct direct;
	bool discard;
	bool shared;
	bool read_only; /* always equal to the target's */
};

struct config_target {
	struct config_place place;
	char *name;
	enum config_device device;
	struct config_backend backend;
	char *socket;	    /* absolute */
	char *socket_owner; /* name or number; NULL: unchanged */
	char *socket_group; /* the same */
	unsigned socket_mode;
	unsigned queues;
	unsigned queue_size;
	unsigned seg_max;
	char *serial; /* at most 20 bytes */
	bool read_only;
	struct value_cpus cpus; /* none: any worker */
	enum config_memory_files memory_files;
};

/* Never NULL but where a comment says so. */
struct config {
	struct value_cpus cpus; /* none: auto */
	char *control_path;	/* absolute */
	char *control_group;	/* name or number; NULL: unchanged */
	unsigned control_mode;
	char *socket_dir;   /* absolute */
	char *socket_owner; /* for targets that give none; or NULL */
	char *socket_group;
	unsigned socket_mode;
	enum config_log_level log_level;
	bool sqpoll;
	int sqpoll_cpu; /* -1: not pinned */
	uint64_t sqpoll_idle_us;
	unsigned io_workers;
	unsigned nr_targets;
	struct config_target *targets; /* NULL if there are none */
};

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

/* Frees @c, which may be NULL.  Any thread that owns @c. */
void config_free(struct config *c);

/*
 * Returns how many workers @c asks for: one for each CPU in `cpus', or with
 * `auto' a quarter of the CPUs that this process may use, and at least 1.
 *
 * Any thread.
 */
unsigned config_nr_workers(const struct config *c);
