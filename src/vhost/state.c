/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "run/offload.h"

/* A taker of another build reads the same bytes. */
_Static_assert(sizeof(struct memmap_range) == 32, "four words");
_Static_assert(sizeof(struct state_queue) == 48, "no padding");
_Static_assert(sizeof(struct state_inflight) == 24, "no padding");
_Static_assert(sizeof(struct state) == 96 &&
		       offsetof(struct state, queues) == 96,
	       "no padding");

size_t state_size(unsigned nr_queues)
{
	return sizeof(struct state) + nr_queues * sizeof(struct state_queue) +
	       MEMMAP_MAX_REGIONS * sizeof(struct memmap_range);
}

const struct memmap_range *state_regions(const struct state *s)
{
	return (const void *)&s->queues[s->nr_queues];
}

static int make_memfd(size_t size)
{
	int fd =
		memfd_create("vringd-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		    0)
		return fd;
	err = -errno;
	offload_close(fd);
	return err;
}

int state_new(struct state **out, int *fd, enum proto_device device,
	      unsigned nr_queues)
{
	size_t size = state_size(nr_queues);
	struct state *s;
	int err;

	assert(nr_queues <= STATE_QUEUES_MAX);
	*out = NULL;
	*fd = make_memfd(size);
	if (*fd < 0)
		return *fd;
	s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (s == MAP_FAILED) {
		err = -errno;
		offload_close(*fd);
		*fd = -1;
		return err;
	}
	s->device = device;
	s->nr_queues = nr_queues;
	atomic_signal_fence(memory_order_seq_cst);
	s->version = STATE_VERSION;
	*out = s;
	return 0;
}

void state_free(struct state *s, int fd)
{
	if (s)
		offload_munmap(s, state_size(s->nr_queues));
	if (fd >= 0)
		offload_close(fd);
}

/*
 * Who reads it does so when we are no more, and the kernel has then done all
 * stores in the order of the program.  So only the compiler must keep to it.
 */
void state_set_busy(struct state *s, bool busy)
{
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint8_t *)&s->busy = busy;
	atomic_signal_fence(memory_order_seq_cst);
}

void state_set_memory(struct state *s, const struct memmap *m)
{
	struct memmap_range *regions = (void *)&s->queues[s->nr_queues];

	s->nr_regions = memmap_nr_regions(m);
	for (unsigned i = 0; i < s->nr_regions; i++)
		memmap_region_range(m, i, &regions[i]);
}

void state_set_inflight(struct state *s, const struct vhost_user_inflight *d,
			bool own)
{
	s->inflight = (struct state_inflight){
		.mmap_size = d->mmap_size,
		.mmap_offset = d->mmap_offset,
		.num_queues = d->num_queues,
		.queue_size = d->queue_size,
		.own = own,
	};
	for (unsigned i = 0; i < s->nr_queues && !own; i++)
		s->queues[i].resumes = true;
}

__attribute__((format(printf, 2, 3))) static int refuse(struct proto_why *why,
							const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, args);
	va_end(args);
	return -EPROTO;
}

static int check_counts(const struct state *s, size_t len,
			struct proto_why *why)
{
	if (s->nr_queues > STATE_QUEUES_MAX)
		return refuse(why, "%u queues, at most %u are known",
			      s->nr_queues, STATE_QUEUES_MAX);
	if (len < state_size(s->nr_queues))
		return refuse(why, "%zu bytes, but %u queues take %zu", len,
			      s->nr_queues, state_size(s->nr_queues));
	if (s->nr_regions > MEMMAP_MAX_REGIONS)
		return refuse(why, "%u regions, at most %u are known",
			      s->nr_regions, MEMMAP_MAX_REGIONS);
	if (s->device_len > STATE_DEVICE_MAX)
		return refuse(why, "%u bytes of a device, at most %u fit",
			      s->device_len, STATE_DEVICE_MAX);
	return 0;
}

int state_check(const void *buf, size_t len, struct proto_why *why)
{
	const struct state *s = buf;

	if (len < sizeof(*s))
		return refuse(why, "%zu bytes, it begins with %zu", len,
			      sizeof(*s));
	if (s->version != STATE_VERSION)
		return refuse(why, "version %u, only %u is known", s->version,
			      STATE_VERSION);
	return check_counts(s, len, why);
}
