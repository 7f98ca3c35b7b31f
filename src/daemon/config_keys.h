/* SPDX-License-Identifier: BSD-2-Clause */
/* What a configuration holds, and the table of its keys. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
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

enum config_sqpoll {
	CONFIG_SQPOLL_AUTO,
	CONFIG_SQPOLL_ON,
	CONFIG_SQPOLL_OFF,
};

enum config_memory_files {
	CONFIG_MEMORY_FILES_SHMEM,
	CONFIG_MEMORY_FILES_ANY,
};

/* Where the bytes of a target are. */
struct config_backend {
	struct config_place place; /* of the path, if there is one */
	enum config_kind kind;
	char *path;	     /* file only, else NULL; absolute */
	uint64_t size;	     /* mem and null only, else 0 */
	bool zeroes;	     /* null: reads are filled with zeroes */
	unsigned block_size; /* 512, 4096; 0: that of the storage */
	enum config_direct direct;
	bool discard;
	bool shared;
	bool read_only; /* always equal to the target's */
	uint64_t delay_us; /* each request is held back for about so long */
};

/* What the guest of a target may do in a second; 0: without limit. */
struct config_limits {
	unsigned iops;
	unsigned read_iops;
	unsigned write_iops;
	uint64_t bandwidth; /* bytes */
	uint64_t read_bandwidth;
	uint64_t write_bandwidth;
	uint64_t burst_us; /* never 0 */
};

struct config_target {
	struct config_place place;
	unsigned index; /* in the list of its file */
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
	struct config_limits limits;
	enum config_memory_files memory_files;
	bool fixed_buffers;
	bool packed;
};

/* Never NULL but where a comment says so. */
struct config {
	unsigned users; /* of config_get() and config_put() */
	struct value_cpus cpus; /* none: auto */
	char *control_path;	/* absolute */
	char *control_group;	/* name or number; NULL: unchanged */
	unsigned control_mode;
	char *socket_dir;   /* absolute */
	char *socket_owner; /* for targets that give none; or NULL */
	char *socket_group;
	unsigned socket_mode;
	enum config_log_level log_level;
	uint64_t poll_us; /* 0: not at all; VALUE_POLL_AUTO */
	enum config_sqpoll sqpoll;
	int sqpoll_cpu; /* -1: not pinned */
	uint64_t sqpoll_idle_us;
	unsigned io_workers;
	unsigned nr_targets;
	struct config_target *targets; /* NULL if there are none */
	unsigned nr_files;
	char **files; /* those that were read; places have their names */
};

/* The mappings in which keys stand. */
enum config_scope {
	CONFIG_SCOPE_TOP,     /* fields of struct config */
	CONFIG_SCOPE_CONTROL, /* fields of struct config */
	CONFIG_SCOPE_TARGET,  /* fields of struct config_target */
	CONFIG_SCOPE_BACKEND, /* fields of struct config_backend */
	CONFIG_SCOPE_LIMITS,  /* fields of struct config_limits */
};

/* What the value of a key looks like. */
enum config_form {
	CONFIG_FORM_VALUE,
	CONFIG_FORM_MAP,
	CONFIG_FORM_LIST,
	CONFIG_FORM_MAP_OR_PATH,
	CONFIG_FORM_FILES,
};

/* When a changed value counts. */
enum config_effect {
	CONFIG_EFFECT_LIVE,
	CONFIG_EFFECT_TARGET,
	CONFIG_EFFECT_RESTART,
};

/* CONFIG_KEY_TARGET_queues is the row of `queues' in the scope TARGET. */
enum config_key_id {
#define KEY(scope, key, type, field, def, limits, effect, help) \
	CONFIG_KEY_##scope##_##field,
#define SECTION(scope, key, form, child, help) CONFIG_KEY_##scope##_##child,
#include "daemon/keys.def"
#undef KEY
#undef SECTION
	CONFIG_KEYS,
};

/* A row of keys.def. */
struct config_key {
	enum config_scope scope;
	const char *name;
	enum config_form form;
	const char *help;

	/* CONFIG_FORM_VALUE */
	struct value_rule rule;
	size_t offset;	 /* of the field in the struct of the scope */
	const char *def; /* NULL: none, or it follows from others */
	bool required;
	enum config_effect effect;

	/* the other forms */
	enum config_scope child;
};

extern const struct config_key config_keys[CONFIG_KEYS];

/* Returns the field of @key in @object, the struct of the key's scope. */
static inline void *config_keys_field(const struct config_key *key,
				      void *object)
{
	return (char *)object + key->offset;
}

/*
 * Returns whether a backend of kind @kind has any use for the key @id.  True
 * for all keys of other scopes.
 *
 * Any thread.
 */
bool config_keys_apply(enum config_key_id id, enum config_kind kind);

/* Returns whether there is a limit among @l.  Any thread. */
bool config_keys_has_limits(const struct config_limits *l);

/*
 * Returns the object in @t in which the keys of @scope are, which is one that
 * a target has; and whether the value of key @id of such a scope is the same in
 * both targets.
 *
 * Any thread that owns the targets.
 */
const void *config_keys_object(enum config_scope scope,
			       const struct config_target *t);
bool config_keys_equal(enum config_key_id id, const struct config_target *a,
		       const struct config_target *b);

/*
 * What stands before the keys of @scope where they are named within a target,
 * or within the file: "backend.", or "".  Any thread.
 */
const char *config_keys_prefix(enum config_scope scope);

/*
 * Gives the fields of @scope in @object, which is all zeroes, their defaults.
 * Returns 0 or -ENOMEM.
 *
 * Any thread that owns @object.
 */
int config_keys_set_defaults(enum config_scope scope, void *object);

/*
 * Frees what the fields of @scope in @object hold.
 *
 * Any thread that owns @object.
 */
void config_keys_clear(enum config_scope scope, void *object);
