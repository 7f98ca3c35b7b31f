/* SPDX-License-Identifier: BSD-2-Clause */
/* Does this machine let us do what is configured?  What, if not, helps? */
#pragma once

#include <json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config.h"

/*
 * Theory of operation: looking and judging
 *
 * selftest_look() asks the system, and may block; selftest_judge() makes of it
 * a list of checks for people: each is ok, a warning, or a failure, says what
 * was seen, and what helps.  The daemon looks at itself.  When it does not run,
 * vringctl looks in its place, as whoever calls it, and tries the storage of
 * each target itself.
 */

/* A configured target, with copies of what its configuration says. */
struct selftest_target {
	char *name;
	char *path; /* of its storage, or NULL */
	char *socket;
	unsigned queues;
	bool write;

	/* filled by the daemon, or by selftest_look() */
	char problem[512];  /* why it cannot be served, or "" */
	char driver[32];    /* of a block device, as in /proc/devices, or "" */
};

struct selftest_targets {
	bool is_daemon;
	char *config;		    /* the file */
	const char *config_problem; /* why it cannot be used, or NULL */
	struct selftest_target *all;
	size_t nr;
};

/*
 * No targets yet; one more, which has @problem, or "" if it is not known to
 * have one.  Both copy their texts, and return 0 or -ENOMEM; after either
 * selftest_targets_fini() is due.
 *
 * Any thread that owns @t.
 */
int selftest_targets_init(struct selftest_targets *t, bool is_daemon,
			  const char *config);
int selftest_targets_add(struct selftest_targets *t,
			 const struct config_target *config,
			 const char *problem);
void selftest_targets_fini(struct selftest_targets *t);

enum selftest_apparmor {
	SELFTEST_APPARMOR_OFF,
	SELFTEST_APPARMOR_UNUSED, /* libvirt's rules are not installed */
	SELFTEST_APPARMOR_LACKS,  /* QEMU may not connect */
	SELFTEST_APPARMOR_HAS,
};

/* The group of VMMs, as distributions call it. */
#define SELFTEST_VMM_GROUP "kvm"

struct selftest_facts {
	char release[65];   /* of the kernel */
	int ring_setting;   /* kernel.io_uring_disabled, or -1 */
	char ring_why[300]; /* why there is no io_uring, or "" */
	uint64_t max_fds;
	uint64_t memlock;   /* bytes; UINT64_MAX: no limit */
	uid_t uid;
	char user[64];
	char groups[256];   /* names, with commas */
	bool has_vmm_group;
	enum selftest_apparmor apparmor;
};

/* Asks the system.  May block. */
void selftest_look(struct selftest_facts *f, struct selftest_targets *t);

/*
 * Returns a list of objects with check, result, detail and remedy, of which the
 * last may be null.
 *
 * Any thread.
 */
struct json_object *selftest_judge(const struct selftest_facts *f,
				   const struct selftest_targets *t);

/* Returns whether a check of such a list failed.  Any thread. */
bool selftest_has_failed(struct json_object *checks);
