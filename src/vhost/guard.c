/* SPDX-License-Identifier: BSD-2-Clause */
/* Catches SIGBUS in memory that others share with us and take away. */
#include "vhost/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * Theory of operation: the table
 *
 * The SIGBUS handler runs on whichever thread touched the memory, and may take
 * no lock.  So the mappings it may repair stand in a table that only grows: a
 * list of chunks, each published once and never freed, whose places are used
 * again.  Writers hold a mutex.
 *
 * A place is free when its start is 0.  The handler looks for the place that
 * its address lies in; that one cannot change, since nothing is unmapped while
 * somebody uses it.  Any other place may change while it is looked at, so its
 * start is read again after its length.
 */
#define GUARD_CHUNK 128

struct guard {
	_Atomic(uintptr_t) start;
	_Atomic(size_t) len;
	atomic_bool gone;
};

struct guard_chunk {
	struct guard places[GUARD_CHUNK];
	_Atomic(struct guard_chunk *) next;
};

static struct guard_chunk guards;
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint faults;
static struct sigaction old_action;

static struct guard *find_free(struct guard_chunk *c)
{
	for (unsigned i = 0; i < GUARD_CHUNK; i++) {
		if (!atomic_load_explicit(&c->places[i].start,
					  memory_order_relaxed))
			return &c->places[i];
	}
	return NULL;
}

/* A free place, in a new chunk if need be; the lock is held. */
static struct guard *get_place(void)
{
	struct guard_chunk *c = &guards;

	for (;;) {
		struct guard *g = find_free(c);
		struct guard_chunk *next;

		if (g)
			return g;
		next = atomic_load_explicit(&c->next, memory_order_relaxed);
		if (!next)
			break;
		c = next;
	}

	struct guard_chunk *fresh = calloc(1, sizeof(*fresh));

	if (!fresh)
		return NULL;
	/* Pairs with the acquire of find(): zeroes come first. */
	atomic_store_explicit(&c->next, fresh, memory_order_release);
	return &fresh->places[0];
}

struct guard *guard_add(const void *start, size_t len)
{
	pthread_mutex_lock(&guards_lock);

	struct guard *g = get_place();

	if (g) {
		atomic_store_explicit(&g->gone, false, memory_order_relaxed);
		/*
		 * After the 0 of guard_del(), so that nobody sees our length
		 * and still the start of before: pairs with the acquire of the
		 * length in lies_in().
		 */
		atomic_store_explicit(&g->len, len, memory_order_release);
		/* Pairs with the first acquire of lies_in(). */
		atomic_store_explicit(&g->start, (uintptr_t)start,
				      memory_order_release);
	}
	pthread_mutex_unlock(&guards_lock);
	return g;
}

void guard_del(struct guard *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&guards_lock);
	atomic_store_explicit(&g->start, 0, memory_order_relaxed);
	pthread_mutex_unlock(&guards_lock);
}

/* Is @addr in the mapping of @g?  Signal handler. */
static bool lies_in(struct guard *g, uintptr_t addr)
{
	uintptr_t start = atomic_load_explicit(&g->start, memory_order_acquire);
	/* The start is read again after it: pairs with guard_add(). */
	size_t len = atomic_load_explicit(&g->len, memory_order_acquire);

	return start && addr >= start && addr - start < len &&
	       atomic_load_explicit(&g->start, memory_order_relaxed) == start;
}

static struct guard *find(uintptr_t addr)
{
	struct guard_chunk *c = &guards;

	while (c) {
		for (unsigned i = 0; i < GUARD_CHUNK; i++) {
			if (lies_in(&c->places[i], addr))
				return &c->places[i];
		}
		c = atomic_load_explicit(&c->next, memory_order_acquire);
	}
	return NULL;
}

/* Put zeroes where the guest took its memory away.  Signal handler. */
static bool repair(uintptr_t addr)
{
	struct guard *g = find(addr);

	if (!g)
		return false;

	uintptr_t start = atomic_load_explicit(&g->start, memory_order_relaxed);
	size_t len = atomic_load_explicit(&g->len, memory_order_relaxed);
	void *at = (void *)start;

	if (mmap(at, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		return false;
	atomic_store_explicit(&g->gone, true, memory_order_relaxed);
	/* Whoever sees the count sees which region it was: guard_faults(). */
	atomic_fetch_add_explicit(&faults, 1, memory_order_release);
	return true;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	/* Only the kernel fills in an address. */
	if (info->si_code <= 0 || !repair((uintptr_t)info->si_addr)) {
		/*
		 * Not ours.  The access faults again on return and meets the
		 * action of before; a signal that was sent is sent again.
		 */
		sigaction(sig, &old_action, NULL);
		if (info->si_code <= 0)
			raise(sig);
	}
	errno = saved;
}

int guard_init(void)
{
	struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, &old_action) ? -errno : 0;
}

unsigned guard_faults(void)
{
	return atomic_load_explicit(&faults, memory_order_acquire);
}

bool guard_is_gone(const struct guard *g)
{
	return atomic_load_explicit(&g->gone, memory_order_relaxed);
}
