/* SPDX-License-Identifier: BSD-2-Clause */
/* Dies at one of the points of crash.def, as VRINGD_CRASH=NAME:COUNT says. */
#include "base/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define CRASH(name, rings, what) [CRASH_##name] = #name,
#include "base/crash.def"
#undef CRASH
};

static enum crash_point chosen = CRASH_NR_POINTS;
static atomic_long left; /* passings, this one too */

static void refuse(const char *wish)
{
	fprintf(stderr, "VRINGD_CRASH=%s: no such point, or no count\n", wish);
	_exit(2);
}

/* Before there are threads. */
__attribute__((constructor)) static void choose(void)
{
	const char *wish = getenv("VRINGD_CRASH");
	size_t len;

	if (!wish)
		return;
	len = strcspn(wish, ":");
	for (unsigned i = 0; i < CRASH_NR_POINTS; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], wish, len))
			chosen = i;
	left = wish[len] ? atol(wish + len + 1) : 0;
	if (chosen == CRASH_NR_POINTS || left < 1)
		refuse(wish);
}

void crash_pass(enum crash_point point)
{
	char line[64];
	int n;

	if (point != chosen || atomic_fetch_sub(&left, 1) != 1)
		return;
	/* The log has a thread of its own, which will not come to it. */
	n = snprintf(line, sizeof(line), "crash point %s\n", names[point]);
	if (write(STDERR_FILENO, line, (size_t)n) != n)
		_exit(2);
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}
