/* SPDX-License-Identifier: BSD-2-Clause */
/* One line of the log, before anybody has written it. */
#pragma once

#include <stddef.h>
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
