/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU time that other processes use, while we look. */
#include "meter.h"

#include <stdlib.h>
#include <time.h>

/* All threads of the process, also those that ended, or -1. */
static double cpu_time_s(int pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return -1;
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void meter_add(struct meter *m, int pid, bool from_its_beginning)
{
	struct meter_process *all;
	double now_s = cpu_time_s(pid);

	for (unsigned i = 0; i < m->nr; i++)
		if (m->all[i].pid == pid)
			return;
	all = reallocarray(m->all, m->nr + 1, sizeof(*all));
	if (!all)
		return;
	m->all = all;
	all[m->nr++] = (struct meter_process){
		.pid = pid,
		.first_s = from_its_beginning && now_s >= 0 ? 0 : now_s,
		.last_s = now_s,
	};
}

void meter_sample(struct meter *m)
{
	for (unsigned i = 0; i < m->nr; i++) {
		double now_s = cpu_time_s(m->all[i].pid);

		if (now_s > m->all[i].last_s)
			m->all[i].last_s = now_s;
	}
}

double meter_sum(const struct meter *m)
{
	double sum = 0;

	for (unsigned i = 0; i < m->nr; i++) {
		if (m->all[i].first_s < 0)
			return -1;
		sum += m->all[i].last_s - m->all[i].first_s;
	}
	return m->nr ? sum : -1;
}

void meter_fini(struct meter *m)
{
	free(m->all);
	m->all = NULL;
	m->nr = 0;
}
