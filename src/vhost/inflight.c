/* SPDX-License-Identifier: BSD-2-Clause */
/* The shared record of requests in flight, from which a successor goes on. */
#include "vhost/inflight.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define WORD sizeof(uint64_t)

/* That there are addresses left for others: four times the largest need. */
#define BYTES_PER_QUEUE_MAX (4u << 20)

/*
 * The last bytes of a region that we made.  One slot is kept while the other is
 * written.
 */
struct keepsake {
	uint64_t magic;
	uint8_t current; /* slot */
	uint8_t reserved[7];
	struct {
		uint8_t len; /* 0: nothing is kept */
		uint8_t data[INFLIGHT_KEEP_MAX];
		uint8_t reserved[7];
	} slots[2];
	uint8_t pad[32];
};
static_assert(sizeof(struct keepsake) % VHOST_USER_INFLIGHT_ALIGN == 0,
	      "a region is so aligned");

#define KEEPSAKE_MAGIC UINT64_C(0xb5f1a6c3d2e8970d)

struct inflight_region {
	struct mapping mapping;
	struct offload_job job;
	int fd;
	uint64_t size;
	uint64_t parts_size;
	struct keepsake *keepsake; /* NULL: somebody else made the region */
	unsigned nr_queues;
	unsigned queue_size;
	bool own;
};

/* ---- layout ---- */

/* What a part takes. */
static uint64_t part_size(unsigned queue_size, bool packed)
{
	if (packed)
		return sizeof(struct vhost_user_inflight_packed) +
		       (uint64_t)queue_size *
			       sizeof(struct vhost_user_inflight_packed_desc);
	return sizeof(struct vhost_user_inflight_split) +
	       (uint64_t)queue_size *
		       sizeof(struct vhost_user_inflight_split_desc);
}

/* From one part to the next, where nobody says otherwise. */
static uint64_t usual_stride(unsigned queue_size, bool packed)
{
	return align_up(part_size(queue_size, packed),
			VHOST_USER_INFLIGHT_ALIGN);
}

/*
 * From one part to the next in a region of @size bytes.  The text does not
 * say, and back-ends differ, but each took as much as it needed: so it is the
 * size by the number of queues, if that may be.  0 when they do not fit.
 */
static uint64_t stride_in(uint64_t size, unsigned nr_queues,
			  unsigned queue_size, bool packed)
{
	uint64_t stride = size / nr_queues;

	if (stride * nr_queues == size && is_aligned(stride, WORD) &&
	    stride >= part_size(queue_size, packed))
		return stride;
	stride = usual_stride(queue_size, packed);
	return stride * nr_queues <= size ? stride : 0;
}

/* ---- regions ---- */

static int fill_and_seal(int fd, uint64_t size)
{
	const uint64_t magic = KEEPSAKE_MAGIC;

	if (pwrite(fd, &magic, sizeof(magic),
		   (off_t)(size - sizeof(struct keepsake))) < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return 0;
}

int inflight_make(unsigned nr_queues, unsigned queue_size, bool packed,
		  uint64_t *size)
{
	int fd = memfd_create("vringd-inflight",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	*size = nr_queues * usual_stride(queue_size, packed) +
		sizeof(struct keepsake);
	err = fill_and_seal(fd, *size);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* What is behind the parts, should it be ours. */
static void find_keepsake(struct inflight_region *r, bool packed)
{
	uint64_t at = r->size - sizeof(struct keepsake);
	struct keepsake *k = (void *)(r->mapping.host + at);

	r->parts_size = r->size;
	if (r->size <= sizeof(*k) || !is_aligned(at, WORD) ||
	    !stride_in(at, r->nr_queues, r->queue_size, packed) ||
	    k->magic != KEEPSAKE_MAGIC)
		return;
	r->parts_size = at;
	r->keepsake = k;
}

int inflight_region_new(struct inflight_region **out, int fd,
			const struct vhost_user_inflight *where, bool packed,
			enum mapping_files files, bool own)
{
	unsigned nr = where->num_queues;
	struct inflight_region *r;
	int err;

	if (!nr || !where->queue_size ||
	    where->mmap_size > (uint64_t)nr * BYTES_PER_QUEUE_MAX ||
	    !stride_in(where->mmap_size, nr, where->queue_size, packed) ||
	    !is_aligned(where->mmap_offset, WORD))
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	err = mapping_open(&r->mapping, fd, where->mmap_offset,
			   where->mmap_size, files);
	if (err) {
		free(r);
		return err;
	}
	r->fd = fd;
	r->size = where->mmap_size;
	r->nr_queues = nr;
	r->queue_size = where->queue_size;
	r->own = own;
	find_keepsake(r, packed);
	*out = r;
	return 0;
}

/* Offload. */
static void unmap(struct offload_job *j)
{
	struct inflight_region *r =
		container_of(j, struct inflight_region, job);

	mapping_close(&r->mapping);
	free(r);
}

void inflight_region_free(struct inflight_region *r)
{
	if (!r)
		return;
	offload_close(r->fd);
	offload_run(&r->job, unmap, NULL, NULL);
}

void inflight_region_facts(const struct inflight_region *r,
			   struct inflight_region_facts *f)
{
	*f = (struct inflight_region_facts){
		.own = r->own,
		.nr_queues = r->nr_queues,
		.queue_size = r->queue_size,
		.size = r->size,
		.fd = r->fd,
	};
}

/* The slot that counts; the front-end may write there what it likes. */
static unsigned current_slot(const struct keepsake *k)
{
	return __atomic_load_n(&k->current, __ATOMIC_ACQUIRE) & 1;
}

void inflight_region_keep(struct inflight_region *r, const void *buf,
			  size_t len)
{
	struct keepsake *k = r->keepsake;

	assert(len <= INFLIGHT_KEEP_MAX);
	if (!k)
		return;

	unsigned next = !current_slot(k);

	memcpy(k->slots[next].data, buf, len);
	k->slots[next].len = (uint8_t)len;
	/* A successor may look as soon as this is said. */
	__atomic_store_n(&k->current, next, __ATOMIC_RELEASE);
}

size_t inflight_region_kept(const struct inflight_region *r, void *buf)
{
	const struct keepsake *k = r->keepsake;

	if (!k)
		return 0;

	unsigned slot = current_slot(k);
	size_t len = __atomic_load_n(&k->slots[slot].len, __ATOMIC_RELAXED);

	if (len > INFLIGHT_KEEP_MAX)
		return 0;
	memcpy(buf, k->slots[slot].data, len);
	return len;
}

struct inflight_part inflight_region_part(const struct inflight_region *r,
					  unsigned index, bool packed)
{
	uint64_t stride =
		stride_in(r->parts_size, r->nr_queues, r->queue_size, packed);

	if (index >= r->nr_queues || !stride)
		return (struct inflight_part){0};
	return (struct inflight_part){
		.host = r->mapping.host + index * stride,
		.nr_desc = r->queue_size,
		.guard = r->mapping.guard,
	};
}

/* ---- one queue's part ---- */

int inflight_init(struct inflight *f, unsigned size, bool packed)
{
	*f = (struct inflight){.size = size};
	f->batch = calloc(size, sizeof(*f->batch));
	if (packed)
		f->links = calloc(size, sizeof(*f->links));
	return f->batch && (f->links || !packed) ? 0 : -ENOMEM;
}

void inflight_fini(struct inflight *f)
{
	free(f->found);
	free(f->batch);
	free(f->links);
	free(f->descs);
	*f = (struct inflight){0};
}

int inflight_refuse(struct inflight *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/* It is at one place in both formats. */
static_assert(offsetof(struct vhost_user_inflight_split, version) ==
		      offsetof(struct vhost_user_inflight_packed, free),
	      "one version");

static unsigned load_version(const struct inflight_part *p)
{
	const struct vhost_user_inflight_split *s = p->host;

	return __atomic_load_n(&s->version, __ATOMIC_ACQUIRE);
}

int inflight_begin(struct inflight *f, const struct inflight_part *p)
{
	unsigned version;

	f->guard = p->guard;
	if (!p->host)
		return inflight_refuse(f, "in-flight region has no part for "
					  "this queue");
	if (f->size > p->nr_desc)
		return inflight_refuse(f,
				       "ring of %u, the in-flight region is "
				       "for %u",
				       f->size, p->nr_desc);
	version = p->resume ? load_version(p) : 0;
	if (version > VHOST_USER_INFLIGHT_VERSION)
		return inflight_refuse(f,
				       "in-flight region has version %u, not 1",
				       version);
	return version > 0;
}

static int compare(const void *a, const void *b)
{
	const struct inflight_found *x = a, *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

void inflight_sort(struct inflight *f)
{
	if (!f->nr_found)
		return;
	qsort(f->found, f->nr_found, sizeof(*f->found), compare);
	f->counter = f->found[f->nr_found - 1].counter + 1;
}
