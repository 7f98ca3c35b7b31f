/* SPDX-License-Identifier: BSD-2-Clause */
/* Every state in which a process can leave shared memory when it dies. */
#include "deaths.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t state_size(const struct deaths *d)
{
	size_t size = 0;

	for (unsigned i = 0; i < DEATHS_AREAS; i++)
		size += d->areas[i].len;
	return size;
}

bool deaths_is_now(const struct deaths *d, unsigned i)
{
	const unsigned char *at = d->states + i * state_size(d);

	for (unsigned k = 0; k < DEATHS_AREAS; k++) {
		if (memcmp(at, d->areas[k].start, d->areas[k].len) != 0)
			return false;
		at += d->areas[k].len;
	}
	return true;
}

static void keep_state(struct deaths *d)
{
	size_t size = state_size(d);
	unsigned char *at;

	d->states = realloc(d->states, (d->nr + 1) * size);
	if (!d->states)
		abort();
	at = d->states + d->nr++ * size;
	for (unsigned i = 0; i < DEATHS_AREAS; i++) {
		memcpy(at, d->areas[i].start, d->areas[i].len);
		at += d->areas[i].len;
	}
}

static void run_traced(void (*fn)(void *arg), void *arg)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	fn(arg);
	_exit(0);
}

/* To the end of the child, whose status is the result. */
static int step_through(struct deaths *d, pid_t pid, int status)
{
	while (WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		if (sig == SIGTRAP || sig == SIGSTOP)
			sig = 0;
		if (!deaths_is_now(d, d->nr - 1))
			keep_state(d);
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (long)sig) < 0 ||
		    waitpid(pid, &status, 0) != pid)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPROTO;
}

int deaths_collect(struct deaths *d, void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	keep_state(d);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		run_traced(fn, arg);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return -EPERM;
	return step_through(d, pid, status);
}

void deaths_restore(const struct deaths *d, unsigned i)
{
	const unsigned char *at = d->states + i * state_size(d);

	for (unsigned k = 0; k < DEATHS_AREAS; k++) {
		memcpy(d->areas[k].start, at, d->areas[k].len);
		at += d->areas[k].len;
	}
}

void deaths_free(struct deaths *d)
{
	free(d->states);
	d->states = NULL;
	d->nr = 0;
}

bool deaths_try(void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		fn(arg);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid &&
	       WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
