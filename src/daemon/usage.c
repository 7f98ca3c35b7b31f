/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process uses of the machine. */
#include "daemon/usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

/* A line of /proc/self/status: "VmRSS:	    1234 kB". */
static void read_status_line(struct usage *u, const char *line)
{
	const struct {
		const char *name;
		uint64_t *to;
		unsigned unit;
	} rows[] = {
		{"VmSize:", &u->virtual_bytes, 1024},
		{"VmRSS:", &u->resident_bytes, 1024},
		{"RssAnon:", &u->anonymous_bytes, 1024},
		{"Threads:", &u->threads, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i].name);
		uint64_t n;

		if (!strncmp(line, rows[i].name, len) &&
		    sscanf(line + len, "%" SCNu64, &n) == 1)
			*rows[i].to = n * rows[i].unit;
	}
}

static void read_status(struct usage *u)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		read_status_line(u, line);
	if (f)
		fclose(f);
}

/* The 22nd word of /proc/self/stat is when it started, in ticks since boot. */
static double ticks_at_start(void)
{
	FILE *f = fopen("/proc/self/stat", "re");
	unsigned long long ticks = 0;
	char text[1024];
	size_t n = 0;

	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';

	/* The second word may have spaces and brackets. */
	const char *p = strrchr(text, ')');

	if (p)
		sscanf(p + 1,
		       " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		       "%*s %*s %*s %*s %*s %*s %llu",
		       &ticks);
	return (double)ticks;
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void read_start(struct usage *u)
{
	double boot = seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME);

	u->started_s = boot + ticks_at_start() / (double)sysconf(_SC_CLK_TCK);
}

static void read_fds(struct usage *u)
{
	struct rlimit lim;
	DIR *d = opendir("/proc/self/fd");

	if (!getrlimit(RLIMIT_NOFILE, &lim))
		u->max_fds = lim.rlim_cur;
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		u->open_fds += e->d_name[0] != '.';
	closedir(d);
	/* The directory itself was one. */
	u->open_fds--;
}

void usage_read(struct usage *u)
{
	memset(u, 0, sizeof(*u));
	u->cpu_us = (uint64_t)(seconds(CLOCK_PROCESS_CPUTIME_ID) * 1e6);
	read_status(u);
	read_start(u);
	read_fds(u);
}
