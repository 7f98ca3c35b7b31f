/* SPDX-License-Identifier: BSD-2-Clause */
/* One line of the log, before anybody has written it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define LOGLINE_TEXT 1000

struct logline {
	struct timespec when;
	const char *level; /* its name */
	int priority;	   /* of syslog */
	const char *id;	   /* 32 hexadecimal digits if it has any, or NULL */
	size_t tag_at;	   /* where in the text the tag is */
	size_t tag_len;
	size_t said_at;	   /* where in the text what is said begins */
	size_t len;
	char text[LOGLINE_TEXT + 1]; /* printable: "TAG: WHAT KEY=VALUE: WHY" */
};

/*
 * Is this the tag of a part of the program, "vringd" or "vringd/worker0"?  All
 * others are targets' and their queues', as no target may be called vringd.
 */
static inline bool logline_is_own(const char *tag, size_t len)
{
	static const char own[] = "vringd";
	size_t n = sizeof(own) - 1;

	return len >= n && !memcmp(tag, own, n) && (len == n || tag[n] == '/');
}
