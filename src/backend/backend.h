/* SPDX-License-Identifier: BSD-2-Clause */
/* A kind of storage: the vtable, and what every backend has. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backend/io.h"
#include "base/crash.h"
#include "base/list.h"
#include "run/worker.h"

/*
 * Theory of operation: from path to port
 *
 * open() looks at the storage and learns its size and limits.  It takes no
 * lock, so that a disk may be prepared by other programs until a guest uses it.
 *
 * claim() makes the storage ours: an OFD write lock over the whole file, and
 * O_EXCL as well for a block device, on the very descriptor that the I/O uses.
 * I/O of a dead predecessor holds that file, so to get the claim is to know
 * that it is over.  Nothing is read or written before.  Several targets that
 * share a backend share its claim.
 *
 * Who only reads, or says "shared", takes a read lock and no O_EXCL: they have
 * the storage together, and nobody who wants it alone has it meanwhile.  Each
 * user locks a place of its own as well, so that it waits for its predecessor,
 * too, though not for the others'.
 *
 * attach() gives a worker its port: where its entries go, the registered file,
 * the lists of ios that wait.  A port belongs to its worker alone.
 *
 *	open -> claim -> attach (each worker) -> submit ... -> detach -> release
 *
 * A delay, which is for tests, stands in front of all kinds: a port whose
 * backend has one is given another function to submit to, and costs the others
 * nothing.
 */
enum backend_direct {
	BACKEND_DIRECT_AUTO,
	BACKEND_DIRECT_ON,
	BACKEND_DIRECT_OFF,
};

struct backend_params {
	const char *tag;	/* of the target, for the log; NULL: the path */
	const char *kind;	/* "file", "mem", "null" */
	const char *path;	/* file */
	uint64_t size;		/* mem, null: bytes */
	unsigned block_size;	/* 512, 4096, or 0: what the storage has */
	enum backend_direct direct;
	bool discard;		/* pass discards on */
	bool read_only;
	bool shared;		/* several targets or processes may write */
	const char *user;	/* who we are, also after a restart; or NULL */
	bool zeroes;		/* null: fill reads with zeroes */
	uint64_t delay_us;	/* each io begins about so much later, or 0 */
};

/* What open() learnt; constant but for size, which control may enlarge. */
struct backend_info {
	uint64_t size;			/* bytes, whole blocks; control's */
	unsigned block_size;		/* logical; every offset and length */
	unsigned physical_block_size;
	unsigned alignment_offset;	/* bytes */
	unsigned min_io_size;		/* bytes, or 0 */
	unsigned opt_io_size;		/* bytes, or 0 */
	bool read_only;
	bool direct;			/* O_DIRECT is in use */
	bool can_discard;
	bool can_unmap;			/* write zeroes may deallocate */
	uint64_t max_discard;		/* bytes in one io */
	uint64_t discard_align;		/* bytes */
	uint64_t max_write_zeroes;	/* bytes in one io */
	bool copies;			/* data goes through the CPU */
	bool is_volatile;		/* empty whenever it is opened */
};

/* Which storage it is: the same for two paths that lead to one. */
struct backend_id {
	bool is_block;
	dev_t dev;		/* st_rdev of a device, else st_dev */
	ino_t ino;		/* 0 for a device */
};

struct backend;
struct port;

struct backend_ops {
	const char *name;	/* as written in the configuration */

	/*
	 * May block: control at start, else an offload thread.  On failure
	 * a sentence for the administrator is in @err.
	 */
	int (*open)(struct backend **out, const struct backend_params *p,
		    char *err, size_t err_len);
	void (*close)(struct backend *b);

	/*
	 * NULL, or: does the path still lead to what was opened?  0, or -ESTALE
	 * with a sentence in @err.  May block: an offload thread.
	 */
	int (*check)(struct backend *b, char *err, size_t err_len);

	/*
	 * May block: an offload thread.  -EBUSY when somebody else has it, with
	 * who, as far as known, in @err: try again later.
	 */
	int (*claim)(struct backend *b, char *err, size_t err_len);
	void (*release)(struct backend *b);

	/* Worker only.  The backend is claimed. */
	int (*attach)(struct backend *b, struct worker *w, struct port **out);
	void (*detach)(struct port *p);

	/*
	 * Worker only.  Returns nothing and never completes inside the call:
	 * every result comes through io->done() later.
	 */
	void (*submit)(struct port *p, struct io *io);

	/*
	 * May block: an offload thread.  Look at the size again; info.size is
	 * left to control.
	 */
	int (*rescan)(struct backend *b, uint64_t *size);
};

#define KIND(kind) extern const struct backend_ops kind##_backend;
#include "backend/kinds.def"
#undef KIND

/* As many as a configuration can name CPUs. */
#define BACKEND_MAX_WORKERS 1024

struct backend {
	const struct backend_ops *ops;
	struct backend_info info;
	struct backend_id id;	/* valid for kind file */
	char *name;		/* path, or "mem:1073741824", for the log */
	bool shared;
	uint64_t delay_us;

	/* control's */
	unsigned users;
	struct list watches;

	/* under lock, never on the data path */
	pthread_mutex_t lock;
	unsigned claims;

	/* found by a check: the path leads elsewhere by now, or nowhere */
	atomic_bool is_outdated;

	/* under ports_lock, the list; a port is its worker's own */
	pthread_mutex_t ports_lock;
	struct list ports;
};

/* Who is told that a backend grew.  Embedded; list_del(&link) ends it. */
struct backend_watch {
	struct list link;
	void (*grew)(struct backend_watch *w);
};

/* What every port has; the kinds embed it. */
struct port {
	struct list link;	/* the backend's */
	struct backend *backend;
	struct worker *worker;
	unsigned users;		/* queues that were given it */

	/* the kind's, or what holds ios back before it */
	void (*submit)(struct port *p, struct io *io);
	uint64_t random;	/* of the delays drawn so far */
	unsigned nr_held;	/* ios that are to begin */
};

/*
 * Fill what every backend has.  For the kinds' open(), and their close().
 * Returns 0 or -ENOMEM.
 */
int backend_init(struct backend *b, const struct backend_ops *ops,
		 const char *name);
void backend_fini(struct backend *b);

/*
 * What is as @p has it, for kinds that have no storage to ask.
 * Returns 0, or -EINVAL with a sentence in @err.
 */
int backend_set_size(struct backend *b, const struct backend_params *p,
		     char *err, size_t err_len);

/*
 * Have grew(@w) called when the size has become more; say that it has become
 * @size.  Control only, both.
 */
void backend_watch(struct backend *b, struct backend_watch *w);
void backend_grow(struct backend *b, uint64_t size);

/*
 * May a guest that comes now be given @b?  Not if its path leads to other
 * storage than at the open: who puts a copy into a disk's place would lose what
 * is written to the old one.  A guest that has it keeps it.  Returns 0, or
 * -ESTALE with a sentence in @err, and notes that @b is outdated.  Offload
 * thread.
 */
int backend_check(struct backend *b, char *err, size_t err_len);

/*
 * Claim for one more user; release for one.  Returns 0, -EBUSY or -errno, with
 * a sentence in @err.  Offload thread.
 */
int backend_claim(struct backend *b, char *err, size_t err_len);
void backend_release(struct backend *b);

/*
 * The calling worker's port, made on first use.  Returns 0 or -errno.
 * backend_detach() undoes one backend_attach(); no io is in flight by then if
 * it was the last.  Worker only.
 */
int backend_attach(struct backend *b, struct worker *w, struct port **out);
void backend_detach(struct port *p);

/* Start @io.  Worker only; see backend_ops.submit. */
static inline void port_submit(struct port *p, struct io *io)
{
	io->port = p;
	CRASH_POINT(SUBMIT_BEFORE);
	p->submit(p, io);
	CRASH_POINT(SUBMIT_TAKEN);
}
