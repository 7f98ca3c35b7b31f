/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/backend.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

int backend_init(struct backend *b, const struct backend_ops *ops,
		 const char *name)
{
	b->ops = ops;
	b->users = 1;
	list_init(&b->watches);
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->ports_lock, NULL);
	list_init(&b->ports);
	b->name = strdup(name);
	return b->name ? 0 : -ENOMEM;
}

void backend_fini(struct backend *b)
{
	assert(b->claims == 0 && list_empty(&b->watches));
	assert(list_empty(&b->ports));
	pthread_mutex_destroy(&b->lock);
	pthread_mutex_destroy(&b->ports_lock);
	free(b->name);
}

int backend_set_size(struct backend *b, const struct backend_params *p,
		     char *err, size_t err_len)
{
	unsigned block = p->block_size ? p->block_size : 512;

	if (block != 512 && block != 4096) {
		snprintf(err, err_len,
			 "blocks of %u bytes: must be 512 or 4096", block);
		return -EINVAL;
	}
	if (!p->size || p->size > INT64_MAX || !is_aligned(p->size, block)) {
		snprintf(err, err_len,
			 "size of %llu bytes: must be whole blocks of %u",
			 (unsigned long long)p->size, block);
		return -EINVAL;
	}
	b->info.size = p->size;
	b->info.block_size = block;
	b->info.physical_block_size = 4096;
	b->info.read_only = p->read_only;
	b->shared = p->shared;
	b->delay_us = p->delay_us;
	return 0;
}

void backend_watch(struct backend *b, struct backend_watch *w)
{
	list_add_tail(&b->watches, &w->link);
}

void backend_grow(struct backend *b, uint64_t size)
{
	struct list *l, *tmp;

	assert(size > b->info.size);
	b->info.size = size;
	list_for_each_safe(l, tmp, &b->watches)
	{
		struct backend_watch *w =
			list_entry(l, struct backend_watch, link);

		w->grew(w);
	}
}

int backend_check(struct backend *b, char *err, size_t err_len)
{
	int ret = b->ops->check ? b->ops->check(b, err, err_len) : 0;

	if (ret)
		atomic_store(&b->is_outdated, true);
	return ret;
}

int backend_claim(struct backend *b, char *err, size_t err_len)
{
	int ret = 0;

	pthread_mutex_lock(&b->lock);
	if (!b->claims)
		ret = b->ops->claim(b, err, err_len);
	if (!ret)
		b->claims++;
	pthread_mutex_unlock(&b->lock);
	return ret;
}

void backend_release(struct backend *b)
{
	pthread_mutex_lock(&b->lock);
	assert(b->claims);
	if (!--b->claims)
		b->ops->release(b);
	pthread_mutex_unlock(&b->lock);
}

/* Xorshift: cheap, and nobody must guess anything. */
static uint64_t draw(struct port *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

static void begin(struct alarm *a)
{
	struct io *io = container_of(a, struct io, alarm);
	struct port *p = io->port;

	p->nr_held--;
	p->backend->ops->submit(p, io);
}

/* Between a half and one and a half of the delay: so ios overtake others. */
static void submit_late(struct port *p, struct io *io)
{
	uint64_t delay_ns = p->backend->delay_us * 1000;
	uint64_t wait_ns = delay_ns / 2 + draw(p) % delay_ns;

	p->nr_held++;
	alarm_init(&io->alarm, begin);
	alarms_set(worker_alarms(p->worker), &io->alarm,
		   worker_now_ns(p->worker) + wait_ns);
}

static struct port *find_port(struct backend *b, const struct worker *w)
{
	struct port *found = NULL;
	struct list *l;

	pthread_mutex_lock(&b->ports_lock);
	list_for_each(l, &b->ports)
	{
		struct port *p = list_entry(l, struct port, link);

		if (p->worker == w)
			found = p;
	}
	pthread_mutex_unlock(&b->ports_lock);
	return found;
}

static void add_port(struct backend *b, struct port *p)
{
	pthread_mutex_lock(&b->ports_lock);
	list_add_tail(&b->ports, &p->link);
	pthread_mutex_unlock(&b->ports_lock);
}

static void remove_port(struct backend *b, struct port *p)
{
	pthread_mutex_lock(&b->ports_lock);
	list_del(&p->link);
	pthread_mutex_unlock(&b->ports_lock);
}

int backend_attach(struct backend *b, struct worker *w, struct port **out)
{
	struct port *p = find_port(b, w);
	int ret;

	if (!p) {
		ret = b->ops->attach(b, w, &p);
		if (ret)
			return ret;
		p->backend = b;
		p->worker = w;
		p->users = 0;
		p->submit = b->delay_us ? submit_late : b->ops->submit;
		p->random = worker_id(w) + 1;
		p->nr_held = 0;
		add_port(b, p);
	}
	p->users++;
	*out = p;
	return 0;
}

void backend_detach(struct port *p)
{
	struct backend *b = p->backend;

	assert(p->users);
	if (--p->users)
		return;
	assert(!p->nr_held);
	remove_port(b, p);
	b->ops->detach(p);
}
