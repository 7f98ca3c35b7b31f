/* SPDX-License-Identifier: BSD-2-Clause */
/* Alarms of one thread: any number of them, to the microsecond, one timerfd. */
#include "run/alarms.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/util.h"

#define NS_PER_S 1000000000u

int alarms_init(struct alarms *as)
{
	*as = (struct alarms){.fd = timerfd_create(
				      CLOCK_MONOTONIC,
				      TFD_CLOEXEC | TFD_NONBLOCK)};
	return as->fd < 0 ? -errno : 0;
}

void alarms_fini(struct alarms *as)
{
	if (as->fd >= 0)
		close(as->fd);
	as->fd = -1;
}

void alarm_init(struct alarm *a, void (*fire)(struct alarm *a))
{
	*a = (struct alarm){.fire = fire};
}

/*
 * Two heaps become one: their right spines are merged, and each node on the
 * way has its children swapped, which keeps the spines short.
 */
static struct alarm *merge(struct alarm *a, struct alarm *b)
{
	struct alarm *top = NULL, *up = NULL;
	struct alarm **link = &top;

	while (a && b) {
		if (b->at_ns < a->at_ns) {
			struct alarm *later = a;

			a = b;
			b = later;
		}

		struct alarm *rest = a->right;

		*link = a;
		a->up = up;
		a->right = a->left;
		link = &a->left;
		up = a;
		a = rest;
	}
	*link = a ? a : b;
	if (*link)
		(*link)->up = up;
	return top;
}

void alarms_clear(struct alarms *as, struct alarm *a)
{
	if (!a->at_ns)
		return;

	struct alarm *up = a->up;
	struct alarm *below = merge(a->left, a->right);

	if (below)
		below->up = up;
	if (!up)
		as->first = below;
	else if (up->left == a)
		up->left = below;
	else
		up->right = below;
	alarm_init(a, a->fire);
}

void alarms_set(struct alarms *as, struct alarm *a, uint64_t at_ns)
{
	alarms_clear(as, a);
	/* Not in this run any more, and never 0. */
	a->at_ns = MAX(at_ns, as->now_ns + 1);
	as->first = merge(as->first, a);
}

void alarms_run(struct alarms *as, uint64_t now_ns)
{
	as->now_ns = now_ns;
	while (as->first && as->first->at_ns <= now_ns) {
		struct alarm *a = as->first;

		alarms_clear(as, a);
		a->fire(a);
	}
}

void alarms_arm(struct alarms *as)
{
	uint64_t at_ns = as->first ? as->first->at_ns : 0;
	struct itimerspec its = {
		.it_value = {
			.tv_sec = at_ns / NS_PER_S,
			.tv_nsec = at_ns % NS_PER_S,
		},
	};

	if (at_ns == as->armed_ns)
		return;
	/* Fails only for times that are none. */
	timerfd_settime(as->fd, TFD_TIMER_ABSTIME, &its, NULL);
	as->armed_ns = at_ns;
}
