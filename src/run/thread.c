/* SPDX-License-Identifier: BSD-2-Clause */
/* Start a thread that takes no signals. */
#include "run/thread.h"

#include <signal.h>

#include "base/util.h"

static const int own_faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL,
				 SIGTRAP, SIGSYS, SIGABRT};

int thread_start(pthread_t *t, const char *name, void *(*fn)(void *arg),
		 void *arg)
{
	sigset_t blocked, saved;

	sigfillset(&blocked);
	for (unsigned i = 0; i < ARRAY_SIZE(own_faults); i++)
		sigdelset(&blocked, own_faults[i]);
	/* The mask is inherited, so no signal can slip in at the start. */
	pthread_sigmask(SIG_SETMASK, &blocked, &saved);
	int err = pthread_create(t, NULL, fn, arg);

	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (!err)
		pthread_setname_np(*t, name);
	return -err;
}
