/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/look.h"

#include <errno.h>
#include <stdlib.h>

#include "backend/kinds.h"
#include "run/offload.h"

/* One call, and all who wait for what comes of it. */
struct looking {
	struct list link; /* in begun or waiting */
	struct backend *backend;
	struct mailbox *control;
	struct list looks;
	struct offload_job job;

	/* results */
	int ret;
	uint64_t size;
};

/* Control only. */
static struct list begun = {&begun, &begun};
static struct list waiting = {&waiting, &waiting};
static unsigned nr_begun;

static struct looking *find(struct list *list, const struct backend *b)
{
	struct list *pos;

	list_for_each (pos, list) {
		struct looking *k = list_entry(pos, struct looking, link);

		if (k->backend == b)
			return k;
	}
	return NULL;
}

static void begin_next(void);

static void run(struct offload_job *j)
{
	struct looking *k = container_of(j, struct looking, job);

	k->ret = k->backend->ops->rescan(k->backend, &k->size);
}

static void tell(struct looking *k)
{
	struct list *pos;

	while ((pos = list_pop(&k->looks))) {
		struct look *l = list_entry(pos, struct look, link);

		l->ret = k->ret;
		l->size = k->size;
		l->done(l);
	}
}

static void done(struct offload_job *j)
{
	struct looking *k = container_of(j, struct looking, job);

	list_del(&k->link);
	nr_begun--;
	if (!k->ret && k->size > k->backend->info.size)
		backend_grow(k->backend, k->size);
	tell(k);
	kinds_close(k->backend);
	free(k);
	begin_next();
}

static void begin_next(void)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &waiting) {
		struct looking *k = list_entry(pos, struct looking, link);

		if (nr_begun == LOOK_THREADS)
			return;
		if (find(&begun, k->backend))
			continue;
		list_del(&k->link);
		list_add_tail(&begun, &k->link);
		nr_begun++;
		offload_run(&k->job, run, done, k->control);
	}
}

static struct looking *new_looking(struct backend *b, struct mailbox *control)
{
	struct looking *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->backend = kinds_get(b);
	k->control = control;
	list_init(&k->looks);
	list_add_tail(&waiting, &k->link);
	return k;
}

int look_begin(struct look *l, struct backend *b, struct mailbox *control,
	       void (*told)(struct look *l))
{
	struct looking *k = find(&waiting, b);

	if (!k)
		k = new_looking(b, control);
	if (!k)
		return -ENOMEM;
	l->done = told;
	list_add_tail(&k->looks, &l->link);
	begin_next();
	return 0;
}
