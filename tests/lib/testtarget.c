/* SPDX-License-Identifier: BSD-2-Clause */
/* A target in the test's own process, and a guest that uses it. */
#include "testtarget.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "vhost/guard.h"

static char name[] = "t1";
static char serial[] = "SERIAL";

void testtarget_init(struct testtarget *t)
{
	memset(t, 0, sizeof(*t));
	strcpy(t->dir, "/tmp/testtarget.XXXXXX");
	cr_assert(mkdtemp(t->dir));
	snprintf(t->socket, sizeof(t->socket), "%s/t1.sock", t->dir);
	t->nr_workers = 1;
	t->config = (struct config_target){
		.name = name,
		.backend = {.kind = CONFIG_KIND_MEM,
			    .size = 1 << 20,
			    .discard = true},
		.socket = t->socket,
		.socket_mode = 0600,
		.queues = 4,
		.queue_size = 256,
		.seg_max = 126,
		.serial = serial,
	};
}

static void target_changed(void *ctx, struct target *target)
{
	(void)ctx;
	(void)target;
}

void testtarget_open(struct testtarget *t, struct target **out,
		     const struct config_target *config)
{
	struct target_params p = {
		.config = config,
		.workers = t->workers,
		.nr_workers = t->nr_workers,
		.control = &t->control,
		.changed = target_changed,
	};

	cr_assert_eq(target_new(out, &p), 0);
	target_open(*out);
	while (target_is_busy(*out))
		ev_run(t->loop, EVRUN_ONCE);
	cr_assert_eq(target_state(*out), TARGET_OPEN, "%s",
		     target_reason(*out));
}

void testtarget_close(struct testtarget *t, struct target *target)
{
	target_retire(target, SERVER_CUT);
	while (target_state(target) != TARGET_CLOSED)
		ev_run(t->loop, EVRUN_ONCE);
	target_put(target);
}

void testtarget_start(struct testtarget *t)
{
	cr_assert_eq(guard_init(), 0);
	t->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	mailbox_init(&t->control, t->loop);
	for (unsigned i = 0; i < t->nr_workers; i++) {
		struct worker_params wp = {.id = i,
					   .cpu = -1,
					   .sqpoll_cpu = -1,
					   .io_workers = 4};

		cr_assert_eq(worker_new(&t->workers[i], &wp), 0);
		cr_assert_eq(worker_start(t->workers[i]), 0);
	}
	testtarget_open(t, &t->target, &t->config);
}

void testtarget_stop(struct testtarget *t)
{
	testtarget_close(t, t->target);
	for (unsigned i = 0; i < t->nr_workers; i++)
		worker_stop(t->workers[i]);
	for (unsigned i = 0; i < t->nr_workers; i++)
		worker_free(t->workers[i]);
	mailbox_fini(&t->control);
	ev_loop_destroy(t->loop);
	cr_assert_neq(access(t->socket, F_OK), 0, "the socket is removed");
	rmdir(t->dir);
}

static bool facts_done;

static void note_facts(struct target_facts *f)
{
	(void)f;
	facts_done = true;
}

void testtarget_facts(struct testtarget *t, struct target_facts *f)
{
	facts_done = false;
	target_collect(t->target, f, note_facts);
	while (!facts_done)
		ev_run(t->loop, EVRUN_ONCE);
}

void testguest_start(struct testguest *g, const struct testtarget *t,
		     unsigned nr, uint64_t features)
{
	struct frontend_params p = {
		.features = features | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES |
			    1ULL << 32,
		.protocol_features = UINT64_MAX,
		.queues = nr,
	};
	struct guestring_params rp = {.size = 128};

	memset(g, 0, sizeof(*g));
	frontend_init(&g->f);
	guestmem_init(&g->mem);
	cr_assert_eq(frontend_connect(&g->f, t->socket), 0);
	cr_assert_eq(frontend_negotiate(&g->f, &p), 0);
	cr_assert_geq(guestmem_add(&g->mem, 0, GUESTMEM_UVA_HOST,
				   TESTTARGET_MEM),
		      0);
	cr_assert_eq(frontend_share_memory(&g->f, &g->mem), 0);
	rp.indirect = g->f.features & 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
	rp.packed = g->f.features & 1ULL << VIRTIO_F_RING_PACKED;
	rp.event_idx = g->f.features & 1ULL << VIRTIO_RING_F_EVENT_IDX;
	for (g->nr_queues = 0; g->nr_queues < nr; g->nr_queues++) {
		struct frontend_queue *q = &g->q[g->nr_queues];

		cr_assert_eq(frontend_queue_init(q, g->nr_queues, &g->mem, &rp),
			     0);
		cr_assert_eq(frontend_start_queue(&g->f, q), 0);
	}
}

void testguest_stop(struct testguest *g)
{
	frontend_close(&g->f);
	for (unsigned i = 0; i < g->nr_queues; i++)
		frontend_queue_fini(&g->q[i]);
	guestmem_fini(&g->mem);
}
