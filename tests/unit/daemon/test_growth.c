/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/growth: a disk grows while its guest uses it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "run/offload.h"
#include "silentfuse.h"
#include "testtarget.h"

#define MIB UINT64_C(1048576)

static struct testtarget t;
static char path[128];

TestSuite(growth, .timeout = 60);

/* A target on a file of @size bytes, with two workers. */
static void begin(off_t size)
{
	int fd;

	testtarget_init(&t);
	t.nr_workers = 2;
	snprintf(path, sizeof(path), "%s/disk.img", t.dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
	t.config.backend = (struct config_backend){.kind = CONFIG_KIND_FILE,
						   .path = path,
						   .discard = true};
	testtarget_start(&t);
}

static void end(void)
{
	cr_assert_eq(unlink(path), 0);
	testtarget_stop(&t);
}

/* The answer that is waited for. */
struct question {
	struct growth_answer answer;
	bool done;
};

static void note_answer(struct growth_answer *a)
{
	container_of(a, struct question, answer)->done = true;
}

static void ask(struct question *q, struct target *target)
{
	q->done = false;
	growth_look(target_growth(target), &q->answer, note_answer);
}

static void wait_for(const struct question *q)
{
	while (!q->done)
		ev_run(t.loop, EVRUN_ONCE);
}

static struct growth_answer look(struct target *target)
{
	struct question q;

	ask(&q, target);
	wait_for(&q);
	return q.answer;
}

/* The storage has @size bytes now, and the target is looked at. */
static struct growth_answer resize(off_t size)
{
	cr_assert_eq(truncate(path, size), 0);
	return look(t.target);
}

static void expect_capacity(struct testguest *g, uint64_t size)
{
	uint64_t capacity;

	cr_assert_eq(frontend_get_config(&g->f, 0, &capacity, 8), 0);
	cr_assert_eq(capacity << 9, size);
}

static void expect_told(struct testguest *g)
{
	struct frontend_msg m;

	cr_assert_eq(frontend_recv(&g->f, g->f.backend_fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
}

static void expect_not_told(struct testguest *g)
{
	struct pollfd p = {.fd = g->f.backend_fd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 50), 0);
}

/* Writes to the sector before @size and reads it back. */
static int use_end(struct testguest *g, unsigned queue, uint64_t size)
{
	char out[512], in[512];
	int status;

	memset(out, (int)(size >> 20), sizeof(out));
	status = guestblk_write(&g->q[queue], (size >> 9) - 1, out, 512);
	if (status)
		return status;
	status = guestblk_read(&g->q[queue], (size >> 9) - 1, in, 512);
	cr_assert_arr_eq(in, out, 512);
	return status;
}

Test(growth, shows_its_guest_that_it_grew)
{
	struct growth_answer r;
	struct target_facts f;
	struct testguest g;

	begin(MIB);
	testguest_start(&g, &t, 2, UINT64_MAX);
	cr_assert_eq(frontend_open_backend_channel(&g.f), 0);
	for (int i = 2; i < 5; i++) {
		cr_assert_eq(use_end(&g, 0, i * MIB), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(use_end(&g, 1, i * MIB), VIRTIO_BLK_S_IOERR);
		r = resize(i * MIB);
		cr_assert_str_empty(r.why);
		cr_assert_eq(r.old_size, (i - 1) * MIB);
		cr_assert_eq(r.new_size, i * MIB);
		cr_assert(r.connected && r.told);
		expect_told(&g);
		expect_capacity(&g, i * MIB);
		cr_assert_eq(use_end(&g, 0, i * MIB), 0);
		cr_assert_eq(use_end(&g, 1, i * MIB), 0);
		cr_assert_eq(use_end(&g, 1, i * MIB + 512), VIRTIO_BLK_S_IOERR);
	}
	testtarget_facts(&t, &f);
	cr_assert_eq(f.info.size, 4 * MIB);
	target_facts_fini(&f);
	expect_not_told(&g);
	testguest_stop(&g);
	end();
}

Test(growth, tells_nobody_when_nothing_changed)
{
	struct growth_answer r;
	struct testguest g;

	begin(MIB);
	testguest_start(&g, &t, 1, UINT64_MAX);
	cr_assert_eq(frontend_open_backend_channel(&g.f), 0);
	r = resize(MIB);
	cr_assert_str_empty(r.why);
	cr_assert_eq(r.new_size, r.old_size);
	r = resize(MIB + 511); /* no whole block more */
	cr_assert_str_empty(r.why);
	cr_assert_eq(r.new_size, MIB);
	expect_not_told(&g);
	testguest_stop(&g);
	end();
}

Test(growth, keeps_its_size_when_storage_shrinks)
{
	struct growth_answer r;
	struct testguest g;

	begin(2 * MIB);
	testguest_start(&g, &t, 1, UINT64_MAX);
	cr_assert_eq(frontend_open_backend_channel(&g.f), 0);
	for (int i = 0; i < 2; i++) {
		r = resize(MIB);
		cr_assert(strstr(r.why, "shrunk to 1048576 bytes"), "%s",
			  r.why);
		cr_assert_eq(r.new_size, 2 * MIB);
		cr_assert_eq(r.old_size, 2 * MIB);
		expect_not_told(&g);
		expect_capacity(&g, 2 * MIB);
	}
	cr_assert_eq(use_end(&g, 0, MIB), 0);
	r = resize(2 * MIB);
	cr_assert_str_empty(r.why);
	expect_not_told(&g);
	r = resize(3 * MIB);
	cr_assert_eq(r.new_size, 3 * MIB);
	expect_told(&g);
	cr_assert_eq(use_end(&g, 0, 3 * MIB), 0);
	testguest_stop(&g);
	end();
}

Test(growth, shows_its_size_to_who_comes_later)
{
	struct growth_answer r;
	struct testguest g;

	begin(MIB);
	r = resize(2 * MIB);
	cr_assert_str_empty(r.why);
	cr_assert_eq(r.new_size, 2 * MIB);
	cr_assert(!r.connected && !r.told);
	testguest_start(&g, &t, 1, UINT64_MAX);
	expect_capacity(&g, 2 * MIB);
	cr_assert_eq(use_end(&g, 0, 2 * MIB), 0);

	/* Who has no channel cannot be told, but may ask. */
	r = resize(3 * MIB);
	cr_assert(r.connected && !r.told);
	expect_capacity(&g, 3 * MIB);
	cr_assert_eq(use_end(&g, 0, 3 * MIB), 0);
	testguest_stop(&g);
	end();
}

Test(growth, tells_all_guests_of_a_disk_that_is_shared)
{
	struct config_target second;
	struct testtarget other;
	struct testguest g[2];
	struct growth_answer r;
	char socket[128];

	begin(MIB);
	testtarget_close(&t, t.target);
	t.config.backend.shared = true;
	testtarget_open(&t, &t.target, &t.config);
	second = t.config;
	snprintf(socket, sizeof(socket), "%s/t2.sock", t.dir);
	second.socket = socket;
	other = t;
	testtarget_open(&t, &other.target, &second);
	strcpy(other.socket, socket);
	testguest_start(&g[0], &t, 1, UINT64_MAX);
	testguest_start(&g[1], &other, 1, UINT64_MAX);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(frontend_open_backend_channel(&g[i].f), 0);
	cr_assert_eq(truncate(path, 2 * MIB), 0);
	r = look(other.target);
	cr_assert_eq(r.new_size, 2 * MIB);
	for (int i = 0; i < 2; i++) {
		expect_told(&g[i]);
		expect_capacity(&g[i], 2 * MIB);
		cr_assert_eq(use_end(&g[i], 0, 2 * MIB), 0);
	}
	testguest_stop(&g[0]);
	testguest_stop(&g[1]);
	testtarget_close(&t, other.target);
	end();
}

/* What a guest does on a queue of its own while the disk grows. */
struct user {
	struct testguest *g;
	_Atomic uint64_t least; /* that it was shown */
	_Atomic uint64_t most;	/* that it may be shown */
	atomic_bool stop;
	atomic_uint ok, refused;
};

static void *use_disk(void *arg)
{
	struct user *u = arg;
	struct guestblk_req w, r;
	struct frontend_queue *q = &u->g->q[1];

	guestblk_init(&w, &u->g->mem, VIRTIO_BLK_T_OUT, 0, 4096);
	guestblk_init(&r, &u->g->mem, VIRTIO_BLK_T_IN, 0, 4096);
	for (unsigned i = 0; !atomic_load(&u->stop); i++) {
		uint64_t sector = i * 104729 % (40 * MIB >> 12) * 8;
		uint64_t end = (sector + 8) << 9;
		uint64_t least = atomic_load(&u->least);
		int status;

		memset(w.data, (int)i, 4096);
		w.hdr->sector = r.hdr->sector = sector;
		status = guestblk_run(q, &w, NULL, 5000);
		if (status == 0)
			status = guestblk_run(q, &r, NULL, 5000);
		cr_assert(status == 0 || status == VIRTIO_BLK_S_IOERR);
		if (status == 0) {
			cr_assert_leq(end, atomic_load(&u->most));
			cr_assert_arr_eq(r.data, w.data, 4096);
			u->ok++;
		} else {
			cr_assert_gt(end, least);
			u->refused++;
		}
	}
	return NULL;
}

/* However busy the machine is, some requests meet each size. */
static void wait_for_requests(struct user *u, unsigned nr)
{
	unsigned before = u->ok + u->refused;

	while (u->ok + u->refused < before + nr)
		usleep(100);
}

Test(growth, grows_under_load)
{
	struct testguest g;
	struct user u = {.g = &g, .least = MIB, .most = MIB};
	struct growth_answer r;
	pthread_t thread;

	begin(MIB);
	testguest_start(&g, &t, 2, UINT64_MAX);
	cr_assert_eq(frontend_open_backend_channel(&g.f), 0);
	cr_assert_eq(pthread_create(&thread, NULL, use_disk, &u), 0);
	while (!u.ok || !u.refused)
		wait_for_requests(&u, 1);
	for (int i = 2; i <= 40; i++) {
		atomic_store(&u.most, i * MIB);
		r = resize(i * MIB);
		cr_assert_eq(r.new_size, i * MIB);
		atomic_store(&u.least, i * MIB);
		wait_for_requests(&u, 8);
	}
	atomic_store(&u.stop, true);
	pthread_join(thread, NULL);
	cr_assert_eq(use_end(&g, 0, 40 * MIB), 0);
	testguest_stop(&g);
	end();
}

Test(growth, says_why_it_cannot_be_looked_at)
{
	struct target_params p = {.config = &t.config, .workers = t.workers};
	struct growth_answer r;
	struct target *closed;

	begin(MIB);
	p.nr_workers = 1;
	cr_assert_eq(target_new(&closed, &p), 0);
	r = look(closed);
	cr_assert_str_eq(r.why, "is not open");
	target_put(closed);
	end();
}

/* Its home may be at the growth when it is closed, and control at the look. */
Test(growth, may_be_closed_while_it_is_looked_at)
{
	for (int i = 0; i < 20; i++) {
		struct question q;

		begin(MIB);
		cr_assert_eq(truncate(path, 2 * MIB), 0);
		ask(&q, t.target);
		for (int k = 0; k < i % 4 && !q.done; k++)
			ev_run(t.loop, EVRUN_ONCE);
		target_retire(t.target, SERVER_CUT);
		while (target_state(t.target) != TARGET_CLOSED)
			ev_run(t.loop, EVRUN_ONCE);
		wait_for(&q);
		end();
	}
}

Test(growth, is_not_held_up_by_storage_that_does_not_answer)
{
	struct silentfuse silent;
	struct config_target second;
	struct target *dead;
	struct question q, again;
	char socket[128];
	int ret = silentfuse_mount(&silent);

	if (ret)
		cr_skip_test("no FUSE here: %s", strerror(-ret));
	begin(MIB);
	second = t.config;
	snprintf(socket, sizeof(socket), "%s/t2.sock", t.dir);
	second.socket = socket;
	second.backend.path = silent.path;
	testtarget_open(&t, &dead, &second);
	silentfuse_silence(&silent);
	ask(&q, dead);
	ask(&again, dead);
	cr_assert_eq(resize(2 * MIB).new_size, 2 * MIB);
	testtarget_close(&t, dead);
	cr_assert(!q.done && !again.done);
	silentfuse_end(&silent);
	wait_for(&q);
	wait_for(&again);
	cr_assert_str_eq(q.answer.why, "was closed meanwhile");
	end();
}
