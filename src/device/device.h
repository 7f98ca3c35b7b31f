/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guest sees: the vtable of device models. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "vhost/queue.h"
#include "vhost/state.h"

struct device;

struct device_params {
	struct backend *backend;
	const char *serial;	/* at most 20 bytes are used */
	unsigned nr_queues;
	unsigned seg_max;	/* data segments of a request */
	bool read_only;
};

/* A device model.  One const table per file in device/. */
struct device_ops {
	const char *name;	/* as written in the configuration */
	size_t room;		/* bytes that each chain carries for it */

	/* Control only. */
	int (*open)(struct device **out, const struct device_params *p);
	void (*close)(struct device *d);

	/*
	 * Feature bits offered beyond those of the ring; what the driver
	 * accepted, bits of the ring included, before any queue starts: 0, or
	 * -EINVAL to refuse.
	 * Home only, as all but request().
	 */
	uint64_t (*features)(const struct device *d);
	int (*accept)(struct device *d, uint64_t features);

	/* @off + @len is at most 256; beyond what there is it reads zero. */
	void (*config_get)(const struct device *d, void *buf, size_t off,
			   size_t len);
	/* 0, or -EINVAL: read-only or outside. */
	int (*config_set)(struct device *d, const void *buf, size_t off,
			  size_t len);

	/* Worker only: one chain of a queue that was lent with this device. */
	void (*request)(void *device_queue, struct queue *q, struct chain *c);
	/* The same, but the answer is an error: the guest's data is lost. */
	void (*refuse)(void *device_queue, struct queue *q, struct chain *c);

	/*
	 * As after power on, for a new session; and the driver gave the device
	 * up.  That a driver turned the write cache off outlives the second:
	 * QEMU resets a device when its VM is merely paused, and does not
	 * repeat it.
	 */
	void (*power_on)(struct device *d);
	void (*reset)(struct device *d);

	/*
	 * State that nobody else knows, at most STATE_DEVICE_MAX bytes: how
	 * many went to @buf; and what was saved, -EINVAL if it was not.
	 */
	size_t (*save)(const struct device *d, void *buf);
	int (*load)(struct device *d, const void *buf, size_t len);

	/* The backend has @size bytes now, more than before. */
	void (*grow)(struct device *d, uint64_t size);
};

struct device {
	const struct device_ops *ops;
	struct backend *backend;
};

/* What the queues of one target have in flight on one worker. */
struct device_load {
	unsigned inflight;
	uint64_t since_us;	/* of the last change */
	uint64_t said_us;	/* when a failure of storage was said, or 0 */
};

/* The context of a lent queue: queue_user.ctx. */
struct device_queue {
	struct device *device;
	struct port *port;
	struct counters *counters;
	struct device_load *load;
	bool has_fixed;		/* ask queue_buffer() for reads and writes */
};

/*
 * A request begins, and ends when it is answered, at @now_us.  Here it is
 * counted what is in flight, for how long anything was, and how much.  All
 * queues of a target that are on one worker share the load, so time in which
 * several of them have requests in flight is counted once.
 *
 * Worker only.
 */
void device_begin(struct device_queue *dq, uint64_t now_us);
void device_end(struct device_queue *dq, uint64_t now_us);
