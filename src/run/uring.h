/* SPDX-License-Identifier: BSD-2-Clause */
/* One io_uring: take an entry, submit once per turn, hand out results. */
#pragma once

#include <liburing.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Theory of operation: rings
 *
 * A worker has one ring of each kind that it needs.  The main thread makes
 * them, disabled and restricted to the operations and registrations we use,
 * before any thread exists, so that a system call filter may forbid
 * io_uring_setup afterwards.  The worker enables its rings and is from then on
 * the only thread that may touch them.
 *
 * The direct ring is SINGLE_ISSUER, DEFER_TASKRUN and TASKRUN_FLAG.  Its
 * completions are not in memory until the worker enters the kernel, and its
 * ring descriptor does not wake an epoll.  So the worker sleeps in it:
 * uring_wait().
 *
 * The SQPOLL ring is the same to its users, with a kernel thread that takes
 * the entries.  It has a registered eventfd, which is watched edge-triggered
 * and never read.  The eventfd is switched off (CQ_EVENTFD_DISABLED) while the
 * worker is awake, so that I/O that completes at once cannot wake us for
 * nothing.  Going to sleep is: uring_arm(), look once more at uring_has_work(),
 * sleep.
 *
 * An entry's user_data is a struct uring_op; its done() gets the result.
 */
enum uring_kind {
	URING_DIRECT,
	URING_SQPOLL,
	URING_NR_KINDS,
};

/*
 * Reads and writes of several buffers that lie in one fixed buffer: Linux
 * 6.15.  The headers of Debian 12 do not have them.
 */
#define URING_OP_READV_FIXED  60
#define URING_OP_WRITEV_FIXED 61

/* Who is told of a completion.  Embedded in what the entry is about. */
struct uring_op {
	void (*done)(struct uring_op *op, int res);
};

struct uring_params {
	enum uring_kind kind;
	unsigned entries;	/* of the submission queue, a power of two */
	unsigned nr_files;	/* size of the table of registered files */
	unsigned nr_buffers;	/* and of that of fixed buffers */
	int sqpoll_cpu;		/* -1: any */
	unsigned sqpoll_idle_ms;
	const struct uring *share; /* whose SQPOLL thread to use, or NULL */
};

/* A table that the kernel keeps: which of its places are used. */
struct uring_table {
	unsigned nr;
	unsigned char *used;
};

struct uring {
	struct io_uring ring;	/* ring_fd is -1 before uring_init() */
	enum uring_kind kind;
	int eventfd;		/* -1: the direct ring needs none */
	unsigned in_flight;	/* entries whose done() has not been run */
	struct uring_table files;
	struct uring_table buffers;
};

/*
 * Make a ring, disabled and restricted.  Returns 0 or -errno; uring_explain()
 * says what the administrator can do about it.  uring_fini() accepts a ring
 * of which this failed, and a zeroed one with ring_fd -1.
 *
 * Main thread, before the worker's thread exists.
 */
int uring_init(struct uring *r, const struct uring_params *p);
void uring_fini(struct uring *r);

/*
 * A sentence for @err of uring_init(): whether a sysctl, a system call filter,
 * the container, a limit or the age of the kernel forbids io_uring, with the
 * remedy.  Written to @buf, which is returned.  Any thread.
 */
const char *uring_explain(int err, char *buf, size_t len);

/*
 * Enable the ring for the calling thread, register its descriptor, bound its
 * io-wq threads to @nr_threads and keep them on @cpus (NULL: anywhere).
 * Returns 0 or -errno.  Worker only, once.
 */
int uring_enable(struct uring *r, unsigned nr_threads, const cpu_set_t *cpus);

/* Bound them anew, to at least one.  Returns 0 or -errno.  Worker only. */
int uring_bound_threads(struct uring *r, unsigned nr_threads);

/* Is this IORING_OP_ supported by the running kernel?  Any thread. */
bool uring_has_op(unsigned op);

/*
 * An empty entry.  Never NULL: a full queue is submitted first.  Somebody must
 * be told of its result.  The prepare functions clear user_data, so that comes
 * last:
 *
 *	sqe = uring_sqe(r);
 *	io_uring_prep_read(sqe, ...);
 *	uring_sqe_done(sqe, &io->op);
 *
 * Worker only.
 */
struct io_uring_sqe *uring_sqe(struct uring *r);

static inline void uring_sqe_done(struct io_uring_sqe *sqe,
				  struct uring_op *op)
{
	sqe->user_data = (uintptr_t)op;
}

/*
 * Tell the kernel of the entries made since the last time.  Costs nothing when
 * there are none.  Returns the number submitted, or -errno (-EBUSY and -EAGAIN:
 * the entries stay queued; reap and try again).  Worker only.
 */
int uring_submit(struct uring *r);

/*
 * Run done() for every completion that is there, entering the kernel only if
 * it says that it has deferred some.  Returns how many.  Worker only.
 */
unsigned uring_reap(struct uring *r);

/*
 * Completions, deferred work, or entries that are not submitted yet: seen from
 * memory alone.  Worker only.
 */
bool uring_has_work(const struct uring *r);

/*
 * Tell the kernel of new entries and sleep until there is a completion, or a
 * signal.  Worker only.
 */
void uring_wait(struct uring *r);

/*
 * The eventfd of an SQPOLL ring announces completions (before sleeping), or
 * not.  Worker only.
 */
void uring_arm(struct uring *r);
void uring_disarm(struct uring *r);

/* What a ring is, for people. */
struct uring_facts {
	enum uring_kind kind;
	unsigned setup;		/* IORING_SETUP_ flags */
};

/* Any thread. */
void uring_facts(const struct uring *r, struct uring_facts *f);

/*
 * Of a ring with SQPOLL: is its thread asleep; how many entries has it taken so
 * far, and how many wait for it?  Seen from memory alone.
 *
 * Any thread; the last one, worker only.
 */
bool uring_is_asleep(const struct uring *r);
unsigned uring_nr_taken(const struct uring *r);
unsigned uring_nr_waiting(const struct uring *r);

/*
 * The name of a bit of IORING_SETUP_, such as "defer-taskrun", or NULL.  Any
 * thread.
 */
const char *uring_setup_name(unsigned bit);

/*
 * Register @fd.  Returns its place in the table, for IOSQE_FIXED_FILE, or
 * -errno (-ENFILE: the table is full).  The ring then holds a reference to the
 * file until uring_drop_file(); entries in flight hold their own.
 *
 * Worker only.
 */
int uring_add_file(struct uring *r, int fd);
void uring_drop_file(struct uring *r, int place);

/*
 * Have the kernel pin the memory at @addr, so that entries can name it by its
 * place (IORING_OP_READ_FIXED and its like) and need not pin it each time.  It
 * takes about 20 us for each MiB, and much longer for pages that are not there
 * yet.  Returns the place, lowest first, so rings to which the same is done
 * have the same places; or -errno: -ENFILE with a full table, -ENOMEM beyond
 * RLIMIT_MEMLOCK, -EFAULT or -EOPNOTSUPP for memory that cannot be pinned.
 *
 * uring_drop_buffer() takes about 5 us for each MiB.  Nothing that is in flight
 * names the place by then.
 *
 * Worker only.
 */
#define URING_BUFFER_MAX ((size_t)1 << 30)

int uring_add_buffer(struct uring *r, void *addr, size_t len);
void uring_drop_buffer(struct uring *r, int place);
