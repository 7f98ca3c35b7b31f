/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/kinds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sysblock.h"
#include "base/list.h"
#include "base/util.h"

static const struct backend_ops *const kinds[] = {
#define KIND(kind) &kind##_backend,
#include "backend/kinds.def"
#undef KIND
};

/* An open backend that has an identity.  Control only, like the list. */
struct use {
	struct list link;
	struct backend *backend;
	struct backend_params params;	/* its strings are not kept */
};

static struct list uses = {&uses, &uses};

const struct backend_ops *kinds_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	return NULL;
}

static bool is_same(const struct backend_id *a, const struct backend_id *b)
{
	return a->is_block == b->is_block && a->dev == b->dev &&
	       a->ino == b->ino;
}

static bool is_overlapping(const struct backend_id *a,
			   const struct backend_id *b)
{
	if (a->is_block && b->is_block)
		return sysblock_overlap(a->dev, b->dev);
	return is_same(a, b);
}

static bool may_coexist(const struct backend *a, const struct backend *b)
{
	return (a->info.read_only && b->info.read_only) ||
	       (a->shared && b->shared);
}

/* Would an open with @b give what @a gave? */
static bool is_like(const struct backend_params *a,
		    const struct backend_params *b)
{
	return a->block_size == b->block_size && a->direct == b->direct &&
	       a->discard == b->discard && a->read_only == b->read_only &&
	       a->shared == b->shared && a->delay_us == b->delay_us;
}

static int check_conflicts(const struct backend *b, char *err, size_t err_len)
{
	struct list *l;

	list_for_each(l, &uses)
	{
		const struct backend *other =
			list_entry(l, struct use, link)->backend;

		if (!is_overlapping(&b->id, &other->id) ||
		    may_coexist(b, other))
			continue;
		if (is_same(&b->id, &other->id))
			snprintf(err, err_len,
				 "%s and %s are one storage, which only "
				 "read-only or shared uses may have twice",
				 other->name, b->name);
		else
			snprintf(err, err_len,
				 "%s and %s overlap, a partition and its disk",
				 other->name, b->name);
		return -EEXIST;
	}
	return 0;
}

/* The use to be shared, if there is one. */
static struct use *find_like(const struct backend *b,
			     const struct backend_params *p)
{
	struct list *l;

	list_for_each(l, &uses)
	{
		struct use *u = list_entry(l, struct use, link);

		if (is_same(&u->backend->id, &b->id) && is_like(&u->params, p))
			return u;
	}
	return NULL;
}

int kinds_open(struct backend **out, const struct backend_params *p, char *err,
	       size_t err_len)
{
	const struct backend_ops *ops = kinds_find(p->kind);

	if (ops)
		return ops->open(out, p, err, err_len);
	snprintf(err, err_len, "there is no kind of backend \"%s\"", p->kind);
	return -EINVAL;
}

int kinds_admit(struct backend **b, const struct backend_params *p, char *err,
		size_t err_len)
{
	int ret = 0;
	struct use *u;

	if ((*b)->ops != &file_backend)
		return 0;
	ret = check_conflicts(*b, err, err_len);
	if (ret)
		return ret;
	u = find_like(*b, p);
	if (u) {
		uint64_t size = (*b)->info.size;

		(*b)->ops->close(*b);
		*b = kinds_get(u->backend);
		if (size > (*b)->info.size)
			backend_grow(*b, size);
		return 0;
	}
	u = calloc(1, sizeof(*u));
	if (!u) {
		snprintf(err, err_len, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	u->backend = *b;
	u->params = *p;
	list_add_tail(&uses, &u->link);
	return 0;
}

struct backend *kinds_get(struct backend *b)
{
	b->users++;
	return b;
}

void kinds_close(struct backend *b)
{
	struct list *l, *tmp;

	if (!b || --b->users)
		return;
	list_for_each_safe(l, tmp, &uses)
	{
		struct use *u = list_entry(l, struct use, link);

		if (u->backend != b)
			continue;
		list_del(&u->link);
		free(u);
	}
	b->ops->close(b);
}
