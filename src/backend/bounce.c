/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/bounce.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "backend/backend.h"
#include "run/offload.h"

struct bounce {
	struct worker *worker;
	unsigned users;
	char *memory;		/* of all buffers */
	struct bounce_buffer buffers[BOUNCE_NR];
	struct bounce_buffer *free[BOUNCE_NR];
	unsigned nr_free;
	struct list waiting;	/* of turn_item.link */
};

/* Each worker touches its own place only. */
static struct bounce *pools[BACKEND_MAX_WORKERS];

static int make_pool(struct worker *w, struct bounce **out)
{
	struct bounce *b = calloc(1, sizeof(*b));
	void *memory;

	if (!b)
		return -ENOMEM;
	memory = mmap(NULL, BOUNCE_NR * BOUNCE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(b);
		return -ENOMEM;
	}
	b->worker = w;
	b->memory = memory;
	for (unsigned i = 0; i < BOUNCE_NR; i++) {
		b->buffers[i].memory = b->memory + i * BOUNCE_SIZE;
		b->buffers[i].place = -1;
		b->free[b->nr_free++] = &b->buffers[i];
	}
	list_init(&b->waiting);
	*out = b;
	return 0;
}

int bounce_open(struct worker *w, struct bounce **out)
{
	struct bounce **pool = &pools[worker_id(w)];

	if (!*pool) {
		int ret = make_pool(w, pool);

		if (ret)
			return ret;
	}
	(*pool)->users++;
	*out = *pool;
	return 0;
}

void bounce_close(struct bounce *b)
{
	if (!b || --b->users)
		return;
	assert(b->nr_free == BOUNCE_NR && list_empty(&b->waiting));
	pools[worker_id(b->worker)] = NULL;
	for (unsigned i = 0; i < BOUNCE_NR; i++)
		if (b->buffers[i].place >= 0)
			worker_drop_buffer(b->worker, b->buffers[i].place);
	offload_munmap(b->memory, BOUNCE_NR * BOUNCE_SIZE);
	free(b);
}

/* It does without being fixed: beyond RLIMIT_MEMLOCK, say. */
static void fix(struct bounce *b, struct bounce_buffer *buf)
{
	buf->is_made = true;
	buf->place = worker_add_buffer(b->worker, buf->memory, BOUNCE_SIZE);
	if (buf->place < 0)
		buf->place = -1;
}

struct bounce_buffer *bounce_get(struct bounce *b)
{
	struct bounce_buffer *buf;

	if (!b->nr_free)
		return NULL;
	buf = b->free[--b->nr_free];
	if (unlikely(!buf->is_made))
		fix(b, buf);
	return buf;
}

void bounce_put(struct bounce *b, struct bounce_buffer *buf)
{
	struct list *l = list_pop(&b->waiting);

	b->free[b->nr_free++] = buf;
	if (l)
		worker_add(b->worker, TURN_DONE,
			   list_entry(l, struct turn_item, link));
}

void bounce_wait(struct bounce *b, struct turn_item *item)
{
	list_add_tail(&b->waiting, &item->link);
}
