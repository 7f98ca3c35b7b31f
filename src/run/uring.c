/* SPDX-License-Identifier: BSD-2-Clause */
/* One io_uring: take an entry, submit once per turn, hand out results. */
#include "run/uring.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"

/* The completion queue is so many times the submission queue. */
#define CQ_TIMES 4

/* All that a ring may do; what is not here needs a reason to be added. */
static const unsigned char allowed_ops[] = {
	IORING_OP_NOP,	     IORING_OP_READV,	   IORING_OP_WRITEV,
	IORING_OP_FSYNC,     IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
	IORING_OP_POLL_ADD,  IORING_OP_TIMEOUT,	   IORING_OP_ASYNC_CANCEL,
	IORING_OP_FALLOCATE, IORING_OP_READ,	   IORING_OP_WRITE,
	IORING_OP_URING_CMD,
};

/* The same, where the kernel has them. */
static const unsigned char optional_ops[] = {
	URING_OP_READV_FIXED,
	URING_OP_WRITEV_FIXED,
};

static const unsigned char allowed_registers[] = {
	IORING_REGISTER_EVENTFD,       IORING_REGISTER_FILES_UPDATE,
	IORING_REGISTER_FILES_UPDATE2, IORING_REGISTER_BUFFERS_UPDATE,
	IORING_REGISTER_IOWQ_AFF,      IORING_REGISTER_IOWQ_MAX_WORKERS,
	IORING_REGISTER_RING_FDS,      IORING_UNREGISTER_RING_FDS,
};

#define ALLOWED_FLAGS (IOSQE_FIXED_FILE | IOSQE_ASYNC | IOSQE_IO_LINK)

/* Of the running kernel; constant after the first ring was made. */
static bool supported[UINT8_MAX + 1];

/* liburing 2.3 declares these two, but its library does not have them. */
static int register_restrictions(int fd, struct io_uring_restriction *res,
				 unsigned nr)
{
	int ret = syscall(__NR_io_uring_register, fd,
			  IORING_REGISTER_RESTRICTIONS, res, nr);

	return ret < 0 ? -errno : 0;
}

static int enable_rings(int fd)
{
	int ret = syscall(__NR_io_uring_register, fd,
			  IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	return ret < 0 ? -errno : 0;
}

static int probe_ops(struct uring *r)
{
	struct io_uring_probe *p = io_uring_get_probe_ring(&r->ring);

	if (!p)
		return -ENOMEM;
	for (unsigned op = 0; op < ARRAY_SIZE(supported); op++)
		supported[op] = io_uring_opcode_supported(p, op);
	io_uring_free_probe(p);
	for (unsigned i = 0; i < ARRAY_SIZE(allowed_ops); i++)
		if (!supported[allowed_ops[i]])
			return -EINVAL;
	return 0;
}

bool uring_has_op(unsigned op)
{
	return op < ARRAY_SIZE(supported) && supported[op];
}

#define NR_RESTRICTIONS                                       \
	(ARRAY_SIZE(allowed_ops) + ARRAY_SIZE(optional_ops) + \
	 ARRAY_SIZE(allowed_registers) + 1)

/* The kernel refuses a restriction to what it does not know. */
static unsigned allow_ops(struct io_uring_restriction *res,
			  const unsigned char *ops, unsigned nr)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr; i++) {
		if (!supported[ops[i]])
			continue;
		res[n].opcode = IORING_RESTRICTION_SQE_OP;
		res[n++].sqe_op = ops[i];
	}
	return n;
}

static int restrict_ring(struct uring *r)
{
	struct io_uring_restriction res[NR_RESTRICTIONS];
	unsigned n;

	memset(res, 0, sizeof(res));
	n = allow_ops(res, allowed_ops, ARRAY_SIZE(allowed_ops));
	n += allow_ops(res + n, optional_ops, ARRAY_SIZE(optional_ops));
	for (unsigned i = 0; i < ARRAY_SIZE(allowed_registers); i++, n++) {
		res[n].opcode = IORING_RESTRICTION_REGISTER_OP;
		res[n].register_op = allowed_registers[i];
	}
	res[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	res[n].sqe_flags = ALLOWED_FLAGS;
	return register_restrictions(r->ring.ring_fd, res, n + 1);
}

static int setup_ring(struct uring *r, const struct uring_params *p)
{
	struct io_uring_params kp = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
			 IORING_SETUP_SUBMIT_ALL,
		.cq_entries = p->entries * CQ_TIMES,
	};
	int err;

	if (p->kind == URING_SQPOLL) {
		kp.flags |= IORING_SETUP_SQPOLL;
		kp.sq_thread_idle = p->sqpoll_idle_ms;
		if (p->sqpoll_cpu >= 0) {
			kp.flags |= IORING_SETUP_SQ_AFF;
			kp.sq_thread_cpu = p->sqpoll_cpu;
		}
		if (p->share) {
			kp.flags |= IORING_SETUP_ATTACH_WQ;
			kp.wq_fd = p->share->ring.ring_fd;
		}
	} else {
		kp.flags |= IORING_SETUP_SINGLE_ISSUER |
			    IORING_SETUP_DEFER_TASKRUN |
			    IORING_SETUP_TASKRUN_FLAG;
	}
	err = io_uring_queue_init_params(p->entries, &r->ring, &kp);
	if (err) {
		r->ring.ring_fd = -1;
		/* A kernel without SQPOLL has failed on the direct ring. */
		if (err == -EINVAL && p->kind == URING_SQPOLL)
			err = -ENXIO;
	}
	return err;
}

static int add_eventfd(struct uring *r)
{
	if (r->kind == URING_DIRECT)
		return 0;
	r->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->eventfd < 0)
		return -errno;
	int err = io_uring_register_eventfd(&r->ring, r->eventfd);

	if (!err)
		uring_disarm(r);
	return err;
}

/* Of @nr places, none used. */
static int make_table(struct uring *r, struct uring_table *t, unsigned nr,
		      int (*make)(struct io_uring *ring, unsigned nr))
{
	if (!nr)
		return 0;
	t->used = calloc(nr, 1);
	if (!t->used)
		return -ENOMEM;
	t->nr = nr;
	return make(&r->ring, nr);
}

static int make_tables(struct uring *r, const struct uring_params *p)
{
	int err = make_table(r, &r->files, p->nr_files,
			     io_uring_register_files_sparse);

	if (!err)
		err = make_table(r, &r->buffers, p->nr_buffers,
				 io_uring_register_buffers_sparse);
	return err;
}

int uring_init(struct uring *r, const struct uring_params *p)
{
	int err;

	memset(r, 0, sizeof(*r));
	r->ring.ring_fd = -1;
	r->eventfd = -1;
	r->kind = p->kind;
	err = setup_ring(r, p);
	if (!err)
		err = probe_ops(r);
	if (!err)
		err = add_eventfd(r);
	if (!err)
		err = make_tables(r, p);
	if (!err)
		err = restrict_ring(r);
	if (err)
		uring_fini(r);
	return err;
}

void uring_fini(struct uring *r)
{
	if (r->ring.ring_fd < 0)
		return;
	io_uring_queue_exit(&r->ring);
	r->ring.ring_fd = -1;
	if (r->eventfd >= 0)
		close(r->eventfd);
	r->eventfd = -1;
	free(r->files.used);
	free(r->buffers.used);
	r->files.used = NULL;
	r->buffers.used = NULL;
}

/* -1 when the kernel has no such setting. */
static int read_setting(const char *path)
{
	FILE *f = fopen(path, "re");
	int value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

static void explain_forbidden(char *buf, size_t len)
{
	int how = read_setting("/proc/sys/kernel/io_uring_disabled");
	int group = read_setting("/proc/sys/kernel/io_uring_group");

	if (how == 2)
		snprintf(buf, len,
			 "io_uring is forbidden to all: "
			 "kernel.io_uring_disabled=2; set this sysctl to 1 and "
			 "kernel.io_uring_group to a group of vringd, or to 0");
	else if (how == 1)
		snprintf(buf, len,
			 "io_uring is forbidden to this user: "
			 "kernel.io_uring_disabled=1; make vringd a member of "
			 "the group in kernel.io_uring_group (now %d)",
			 group);
	else
		snprintf(buf, len,
			 "io_uring is forbidden by a system call filter "
			 "(seccomp), a security module or the container, not "
			 "by kernel.io_uring_disabled; allow io_uring_setup, "
			 "io_uring_enter and io_uring_register");
}

static void explain_memory(char *buf, size_t len)
{
	struct rlimit lim = {0};

	getrlimit(RLIMIT_MEMLOCK, &lim);
	snprintf(buf, len,
		 "no memory for io_uring: raise LimitMEMLOCK (now %llu KiB) or "
		 "the memory limit of the service",
		 (unsigned long long)lim.rlim_cur / 1024);
}

const char *uring_explain(int err, char *buf, size_t len)
{
	struct utsname u = {0};

	uname(&u);
	switch (-err) {
	case EPERM:
	case EACCES:
		explain_forbidden(buf, len);
		break;
	case ENOSYS:
		snprintf(buf, len,
			 "kernel %s has no io_uring, or a system call filter "
			 "(seccomp) or the container hides it; vringd needs "
			 "Linux 6.1 or later with CONFIG_IO_URING",
			 u.release);
		break;
	case ENOMEM:
		explain_memory(buf, len);
		break;
	case EINVAL:
		snprintf(buf, len,
			 "the io_uring of kernel %s is too old: vringd needs "
			 "Linux 6.1 or later",
			 u.release);
		break;
	case ENXIO:
		snprintf(buf, len,
			 "no SQPOLL thread: sqpoll-cpu names a CPU that is not "
			 "online, or not allowed here");
		break;
	case EMFILE:
	case ENFILE:
		snprintf(buf, len,
			 "too few file descriptors for io_uring: raise "
			 "LimitNOFILE");
		break;
	default:
		snprintf(buf, len, "cannot make an io_uring: %s",
			 strerror(-err));
	}
	return buf;
}

int uring_bound_threads(struct uring *r, unsigned nr_threads)
{
	/*
	 * The kernel counts those that serve files and block devices apart from
	 * those that serve the rest, such as a call descriptor that is not what
	 * it should be.  Where it counts what is IOSQE_ASYNC depends on its
	 * version.
	 */
	unsigned bounds[2] = {nr_threads, nr_threads};

	/* Zero would leave the bounds as they are. */
	assert(nr_threads);
	return io_uring_register_iowq_max_workers(&r->ring, bounds);
}

int uring_enable(struct uring *r, unsigned nr_threads, const cpu_set_t *cpus)
{
	int err = enable_rings(r->ring.ring_fd);

	if (err)
		return err;
	/* Also gives the thread its io-wq, which the next steps need. */
	err = io_uring_register_ring_fd(&r->ring);
	if (err < 0)
		return err;
	err = uring_bound_threads(r, nr_threads);
	if (!err && cpus)
		err = io_uring_register_iowq_aff(&r->ring, sizeof(*cpus), cpus);
	return err;
}

/*
 * Wait until the kernel has taken entries.  A direct ring is full after a
 * submit only when the kernel had no memory for a single request: nothing can
 * go on before it has.
 */
static void wait_for_space(struct uring *r)
{
	const struct timespec a_moment = {.tv_nsec = 100000};

	if (r->kind == URING_SQPOLL)
		__io_uring_sqring_wait(&r->ring);
	else if (uring_submit(r) <= 0)
		nanosleep(&a_moment, NULL);
}

struct io_uring_sqe *uring_sqe(struct uring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

	if (unlikely(!sqe)) {
		uring_submit(r);
		while (!(sqe = io_uring_get_sqe(&r->ring)))
			wait_for_space(r);
	}
	memset(sqe, 0, sizeof(*sqe));
	r->in_flight++;
	return sqe;
}

/* Entries that are new, or that the kernel had no memory for. */
static bool has_entries(const struct uring *r)
{
	const struct io_uring_sq *sq = &r->ring.sq;

	/* The SQPOLL thread looks itself for what was shown to it before. */
	if (r->kind == URING_SQPOLL)
		return sq->sqe_head != sq->sqe_tail;
	return sq->sqe_tail != *sq->khead;
}

int uring_submit(struct uring *r)
{
	int n;

	if (!has_entries(r))
		return 0;
	do {
		n = io_uring_submit(&r->ring);
	} while (n == -EINTR);
	return n;
}

void uring_wait(struct uring *r)
{
	io_uring_submit_and_wait(&r->ring, 1);
}

static bool has_deferred(const struct uring *r)
{
	return __atomic_load_n(r->ring.sq.kflags, __ATOMIC_RELAXED) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

bool uring_has_work(const struct uring *r)
{
	const struct io_uring_cq *cq = &r->ring.cq;

	return __atomic_load_n(cq->ktail, __ATOMIC_RELAXED) != *cq->khead ||
	       has_deferred(r) || has_entries(r);
}

unsigned uring_reap(struct uring *r)
{
	struct io_uring_cq *cq = &r->ring.cq;
	unsigned head = *cq->khead, first = head, tail;

	if (has_deferred(r))
		io_uring_get_events(&r->ring);

	/*
	 * What completes meanwhile waits for the next turn.  Acquire: the
	 * entries are there before the tail.
	 */
	tail = __atomic_load_n(cq->ktail, __ATOMIC_ACQUIRE);
	while (head != tail) {
		unsigned place = head & cq->ring_mask;
		struct uring_op *op =
			(void *)(uintptr_t)cq->cqes[place].user_data;
		int res = cq->cqes[place].res;

		r->in_flight--;
		/* Free the place first: done() may make the kernel need it. */
		__atomic_store_n(cq->khead, ++head, __ATOMIC_RELEASE);
		op->done(op, res);
	}
	return head - first;
}

void uring_facts(const struct uring *r, struct uring_facts *f)
{
	f->kind = r->kind;
	f->setup = r->ring.flags & ~IORING_SETUP_R_DISABLED;
}

bool uring_is_asleep(const struct uring *r)
{
	return __atomic_load_n(r->ring.sq.kflags, __ATOMIC_RELAXED) &
	       IORING_SQ_NEED_WAKEUP;
}

unsigned uring_nr_taken(const struct uring *r)
{
	return __atomic_load_n(r->ring.sq.khead, __ATOMIC_RELAXED);
}

unsigned uring_nr_waiting(const struct uring *r)
{
	return r->ring.sq.sqe_tail - uring_nr_taken(r);
}

const char *uring_setup_name(unsigned bit)
{
	static const char *const names[] = {
		"iopoll",	 "sqpoll",	  "sq-affinity", "cq-size",
		"clamp",	 "attach-wq",	  "r-disabled",	 "submit-all",
		"coop-taskrun",	 "taskrun-flag",  "sqe128",	 "cqe32",
		"single-issuer", "defer-taskrun",
	};

	return bit < ARRAY_SIZE(names) ? names[bit] : NULL;
}

void uring_arm(struct uring *r)
{
	__atomic_store_n(r->ring.cq.kflags, 0, __ATOMIC_RELAXED);
	/*
	 * The eventfd must be on before the caller looks once more.  Pairs with
	 * the kernel, which makes work visible before it looks at the flag.
	 */
	__sync_synchronize();
}

void uring_disarm(struct uring *r)
{
	__atomic_store_n(r->ring.cq.kflags, IORING_CQ_EVENTFD_DISABLED,
			 __ATOMIC_RELAXED);
}

/* The lowest one that is free, or -ENFILE. */
static int find_place(const struct uring_table *t)
{
	unsigned char *place = t->nr ? memchr(t->used, 0, t->nr) : NULL;

	return place ? place - t->used : -ENFILE;
}

int uring_add_file(struct uring *r, int fd)
{
	int place = find_place(&r->files);

	if (place < 0)
		return place;
	int n = io_uring_register_files_update(&r->ring, place, &fd, 1);

	if (n < 0)
		return n;
	r->files.used[place] = 1;
	return place;
}

void uring_drop_file(struct uring *r, int place)
{
	int none = -1;

	assert(r->files.used[place]);
	/* Without memory it fails; the place's next user drops the file. */
	io_uring_register_files_update(&r->ring, place, &none, 1);
	r->files.used[place] = 0;
}

static int update_buffer(struct uring *r, int place, void *addr, size_t len)
{
	const struct iovec iov = {addr, len};
	const __u64 tag = 0;
	int n = io_uring_register_buffers_update_tag(&r->ring, (unsigned)place,
						     &iov, &tag, 1);

	return n < 0 ? n : 0;
}

int uring_add_buffer(struct uring *r, void *addr, size_t len)
{
	int place = find_place(&r->buffers);
	int err;

	if (place < 0)
		return place;
	err = update_buffer(r, place, addr, len);
	if (err)
		return err;
	r->buffers.used[place] = 1;
	return place;
}

void uring_drop_buffer(struct uring *r, int place)
{
	assert(r->buffers.used[place]);
	/* Without memory it fails; the place's next user drops the pages. */
	update_buffer(r, place, NULL, 0);
	r->buffers.used[place] = 0;
}
