/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in flight of a split ring: how its part is begun and resumed. */
#include "vhost/inflight_split.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* What is in the part, copied, as it may change at any moment. */
struct copy {
	unsigned nr_desc;
	struct vhost_user_inflight_split_desc *desc;
	bool *seen; /* entries of the last batch */
	/* The last field, as it ends with an array of no length. */
	struct vhost_user_inflight_split head;
};

static void init_part(struct inflight *f, unsigned nr_desc, uint16_t used)
{
	struct vhost_user_inflight_split *s = f->split;

	/* Who dies in here leaves what nobody has used yet. */
	inflight_store(&s->version, 0);
	atomic_signal_fence(memory_order_seq_cst);
	memset(s->desc, 0, nr_desc * sizeof(*s->desc));
	inflight_store(&s->features, 0);
	inflight_store(&s->desc_num, (uint16_t)f->size);
	inflight_store(&s->last_batch_head, 0);
	inflight_store(&s->used_idx, used);
	inflight_store(&s->version, VHOST_USER_INFLIGHT_VERSION);
}

static int copy_part(struct copy *c, const struct inflight *f, unsigned nr_desc)
{
	size_t size = nr_desc * sizeof(*c->desc);

	c->nr_desc = nr_desc;
	c->desc = malloc(size);
	c->seen = calloc(nr_desc, sizeof(*c->seen));
	if (!c->desc || !c->seen)
		return -ENOMEM;
	memcpy(&c->head, f->split, sizeof(c->head));
	memcpy(c->desc, f->split->desc, size);
	/* The compiler must not read the original in place of the copy. */
	atomic_signal_fence(memory_order_seq_cst);
	return 0;
}

static void free_copy(struct copy *c)
{
	free(c->desc);
	free(c->seen);
}

static bool is_anything_marked(const struct copy *c)
{
	for (unsigned i = 0; i < c->nr_desc; i++)
		if (c->desc[i].inflight)
			return true;
	return false;
}

/*
 * Another back-end may have noted the size of the region where we note the
 * ring's.
 */
static int check_size(struct inflight *f, const struct copy *c)
{
	if (c->head.desc_num != f->size && c->head.desc_num != c->nr_desc)
		return inflight_refuse(f,
				       "in-flight region is of a ring of %u, "
				       "not of %u",
				       c->head.desc_num, f->size);
	return 0;
}

/* The entries of the last batch, if that was announced, are not in flight. */
static int clear_batch(struct inflight *f, struct copy *c, uint16_t used)
{
	uint16_t n = used - c->head.used_idx;
	uint16_t at = c->head.last_batch_head;

	if (n > f->size)
		return inflight_refuse(f,
				       "in-flight region has used index %u, "
				       "the ring %u",
				       c->head.used_idx, used);
	for (; n; n--) {
		if (at >= f->size)
			return inflight_refuse(f,
					       "in-flight region has entry %u "
					       "in its last batch",
					       at);
		if (c->seen[at])
			return inflight_refuse(f, "in-flight region has a last "
						  "batch that loops");
		c->seen[at] = true;
		c->desc[at].inflight = 0;
		at = c->desc[at].next;
	}
	return 0;
}

static int collect(struct inflight *f, const struct copy *c)
{
	f->found = calloc(f->size, sizeof(*f->found));
	if (!f->found)
		return -ENOMEM;
	for (unsigned i = 0; i < c->nr_desc; i++) {
		if (!c->desc[i].inflight)
			continue;
		if (i >= f->size || c->desc[i].inflight > 1)
			return inflight_refuse(f,
					       "in-flight region has entry %u "
					       "in flight (%u)",
					       i, c->desc[i].inflight);
		f->found[f->nr_found++] = (struct inflight_found){
			.counter = c->desc[i].counter,
			.index = i,
		};
	}
	inflight_sort(f);
	return 0;
}

/* No more can have been taken than the driver has made available. */
static int check_avail(struct inflight *f, uint16_t used, uint16_t avail)
{
	uint16_t n = avail - used;

	if (f->nr_found && (n > f->size || f->nr_found > n))
		return inflight_refuse(f,
				       "in-flight region has %u in flight, the "
				       "ring %u",
				       f->nr_found, n);
	return 0;
}

/* What was found true becomes so in the part, too. */
static void tidy_up(struct inflight *f, const struct copy *c, uint16_t used)
{
	for (unsigned i = 0; i < f->size; i++)
		if (c->seen[i]) {
			inflight_store(&f->split->desc[i].inflight, 0);
			CRASH_POINT(RECOVER_CLEARED);
		}
	inflight_store(&f->split->used_idx, used);
	CRASH_POINT(RECOVER_OVER);
	f->last_batch_head = c->head.last_batch_head;
}

static int recover(struct inflight *f, struct copy *c, uint16_t used,
		   uint16_t avail)
{
	int err = check_size(f, c);

	if (!err)
		err = clear_batch(f, c, used);
	if (!err)
		err = collect(f, c);
	if (!err)
		err = check_avail(f, used, avail);
	if (!err)
		tidy_up(f, c, used);
	return err;
}

static int resume(struct inflight *f, unsigned nr_desc, uint16_t used,
		  uint16_t avail)
{
	struct copy c = {0};
	int err = copy_part(&c, f, nr_desc);

	/* Nothing to be lost, but it is not of this ring. */
	bool can_forget = !err && !is_anything_marked(&c);

	if (!err)
		err = recover(f, &c, used, avail);
	free_copy(&c);
	if (err == -EPROTO && can_forget) {
		f->why[0] = '\0';
		init_part(f, nr_desc, used);
		return 0;
	}
	f->is_resumed = !err;
	return err ? err : 1;
}

int inflight_split_start(struct inflight *f, const struct inflight_part *p,
			 uint16_t used, uint16_t avail)
{
	int ret = inflight_begin(f, p);

	f->split = p->host;
	if (ret < 0)
		return ret;
	if (ret > 0)
		return resume(f, p->nr_desc, used, avail);
	init_part(f, p->nr_desc, used);
	return 0;
}
