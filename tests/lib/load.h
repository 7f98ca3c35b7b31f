/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads one virtio-blk target: makes requests, checks answers, counts. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "frontend.h"
#include "guestblk.h"
#include "histogram.h"
#include "tick.h"
#include "verify.h"

/*
 * Theory of operation
 *
 * Each queue has as many slots as requests may be in flight on it.  A slot owns
 * a prepared buffer of the ring, a header, a status byte and a data buffer, so
 * a request costs a few stores and no allocation.
 *
 *	FILL --> RUN --> READBACK --> DONE		FAILED from any of them
 *
 * FILL writes everything once, when a load that only reads is to be verified.
 * RUN is what is measured.  READBACK reads all that --verify knows about.  A
 * phase ends when nothing is in flight any more.
 *
 * When verifying, no two requests in flight touch the same chunk (@bs bytes):
 * a bit of @busy is taken when a request is made and given back when it is
 * answered.  So the order in which the target serves them does not matter, and
 * what each block must hold is known at any moment.
 *
 * When the socket closes, all that was answered is taken from the rings first.
 * Then, if we may reconnect, everything is set up again.  A target that records
 * what is in flight gets its record back together with the rings as they are,
 * and has to answer all that was posted.  For any other the rings are new, and
 * each request in flight is posted once more, with the same bytes, which is
 * more than a VMM could do; @keep_rings leaves that out.  A slot that is in
 * flight is the only record that needs; what it holds does not change until it
 * is answered.
 *
 * Either way each request must be answered once: an answer to none in flight is
 * an error, none for LOAD_PROGRESS_S is one, and at the end the target must
 * have come as far in its rings as we have.
 *
 * A load belongs to one thread.  Only @pid may be read by others.
 */

#define LOAD_PROGRESS_S 30 /* without an answer for so long: failed */
#define LOAD_RANGES_MAX 4  /* of a discard or write zeroes */
#define LOAD_COMPLAINTS 20 /* then errors are only counted */

enum load_phase {
	LOAD_FILL,
	LOAD_RUN,
	LOAD_READBACK,
	LOAD_DONE,
	LOAD_FAILED,
};

/* How far a run is to be cut short. */
enum load_stop {
	LOAD_GO_ON,
	LOAD_STOP,     /* no more load, but read back */
	LOAD_STOP_NOW, /* only wait for what is in flight */
};

struct load_params {
	struct tick tick;
	bool reads;
	bool writes;
	bool random;
	uint32_t only; /* requests of this type; VIRTIO_BLK_T_IN: as above */
	bool idle;
	bool verify;
	bool reconnect;
	bool eventfd; /* sleep until called; else poll */
	bool packed;
	bool no_indirect;
	bool no_event_idx;
	bool no_inflight;
	bool keep_rings; /* also of a target that records nothing */
	uint32_t bs;
	unsigned iodepth; /* of each queue */
	unsigned queues;
	uint64_t size; /* 0: all of the disk */
	uint64_t rate; /* requests a second of each target; 0: no limit */
	uint64_t time_ms;
	uint64_t seed;
};

struct load_stats {
	struct histogram lat; /* of RUN, in ticks */
	uint64_t bytes;	      /* of RUN */
	uint64_t run_ticks;
	uint64_t errors;
	uint64_t reconnects;
};

/* What the target reads and writes besides the data. */
struct load_shared {
	struct virtio_blk_outhdr hdr;
	uint8_t status;
};

/* One request, again and again. */
struct load_slot {
	/* constant */
	struct load_shared *shared;
	uint8_t *data;
	unsigned id; /* of the ring's buffer */
	unsigned index;

	/* the request */
	uint64_t start;
	uint32_t type;
	unsigned nr_chunks; /* that it touches */
	uint64_t chunks[LOAD_RANGES_MAX];
	uint64_t filled; /* what the ring's buffer was last filled for */
	bool in_flight;
};

struct load_queue {
	struct frontend_queue fq;
	struct load_slot *slots;
	unsigned *idle; /* indexes of slots, a stack */
	unsigned nr_idle;
};

struct load {
	const struct load_params *p;
	const char *path;
	struct frontend fe;
	struct guestmem mem;
	struct load_queue *queues;
	bool is_recorded; /* what is in flight, by the target, and there: */
	struct frontend_inflight inflight;
	_Atomic int pid; /* of the target's process, or 0 */
	int epfd;	 /* that shall hear of calls and the end, or -1 */

	/* the disk */
	uint64_t features;
	unsigned max_ranges; /* of a discard or write zeroes, 0: neither */
	uint64_t nr_chunks;

	/* what to do next */
	enum load_phase phase;
	enum load_stop stop;
	uint64_t cursor;
	unsigned first_queue;
	uint64_t random;
	uint64_t next_due;
	uint64_t run_start;
	uint64_t deadline;
	bool past_deadline;

	/* what is going on */
	unsigned in_flight;
	uint64_t last_progress;
	bool down;
	uint64_t next_try;
	struct verify verify;
	uint8_t *busy; /* a bit for each chunk */
	struct load_stats stats;
};

/*
 * Connects to @path and sets everything up.  Returns 0 or -errno; on failure
 * the reason was printed.  @p must outlive it.
 */
int load_open(struct load *l, const char *path, const struct load_params *p);

/* Stops the queues and frees.  Also after a failure. */
void load_close(struct load *l);

/* Begins with the first phase. */
void load_start(struct load *l, uint64_t now);

/*
 * Takes answers and makes requests.  Returns how many it took and made; never
 * enters the kernel but for a kick that the target asked for.
 */
unsigned load_turn(struct load *l, uint64_t now);

/*
 * Every now and then: is the target there, is it time to reconnect, to give up
 * or to go to the next phase?  Returns false when the load has ended.
 */
bool load_check(struct load *l, uint64_t now, enum load_stop stop);

/* Adds the socket and all calls to @epfd, edge-triggered, and keeps doing so.
 */
int load_watch(struct load *l, int epfd);

/* Asks for calls.  Returns true if there is something to take already. */
bool load_arm(struct load *l);
void load_disarm(struct load *l);

/* Counts an error and, unless there were many, prints it. */
void load_complain(struct load *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
