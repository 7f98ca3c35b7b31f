/* SPDX-License-Identifier: BSD-2-Clause */
/* A target to be attacked, and a neighbour that must not notice. */
#include "attack.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "prove.h"

#define SETTLE_MS 5000

static char other_name[] = "t2";

unsigned attack_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	cr_assert(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

void attack_init(struct attack *a)
{
	memset(a, 0, sizeof(*a));
	testtarget_init(&a->t);
	a->backend = a->t.config.backend;
}

static void start_other(struct attack *a)
{
	a->other.config = a->t.config;
	a->other.config.name = other_name;
	a->other.config.backend = a->backend;
	a->other.config.socket = a->other.socket;
	snprintf(a->other.socket, sizeof(a->other.socket), "%s/t2.sock",
		 a->t.dir);
	testtarget_open(&a->t, &a->other.target, &a->other.config);
}

/* A client comes and goes, so that all that is made once is made. */
static void warm_up(struct attack *a)
{
	struct testguest g;

	testguest_start(&g, &a->t, 1, UINT64_MAX);
	cr_assert_eq(prove_disk(&g.q[0], 0, ++a->seed), 0);
	testguest_stop(&g);
	/* It is over when the next one is served; then nobody is left. */
	testguest_start(&g, &a->t, 1, UINT64_MAX);
	cr_assert_eq(prove_disk(&g.q[0], 0, ++a->seed), 0);
	a->fds = attack_count_fds();
	testguest_stop(&g);
	for (unsigned i = 0; i < SETTLE_MS; i++, usleep(1000)) {
		unsigned now = attack_count_fds();

		if (now < a->fds)
			a->fds = now;
		if (i > 50)
			return;
	}
}

void attack_begin(struct attack *a)
{
	testtarget_start(&a->t);
	start_other(a);
	testguest_start(&a->guard, &a->other, 1, UINT64_MAX);
	attack_check(a, "nobody", 0);
	warm_up(a);
}

void attack_end(struct attack *a)
{
	attack_check(a, "the last", 0);
	testguest_stop(&a->guard);
	testtarget_close(&a->t, a->other.target);
	testtarget_stop(&a->t);
}

void attack_check(struct attack *a, const char *what, unsigned nr)
{
	int ret = prove_disk(&a->guard.q[0], 0, ++a->seed);

	cr_assert_eq(ret, 0, "the neighbour suffers from %s %u: %d", what, nr,
		     ret);
}

void attack_settle(struct attack *a, const char *what, unsigned nr)
{
	unsigned now = 0;

	for (unsigned i = 0; i < SETTLE_MS; i++) {
		now = attack_count_fds();
		if (now <= a->fds)
			return;
		usleep(1000);
	}
	cr_assert(false, "%s %u leaves %u descriptors open", what, nr,
		  now - a->fds);
}

void attack_come(struct attack *a)
{
	testguest_start(&a->g, &a->t, 2, UINT64_MAX);
	a->g.f.timeout_ms = 2000;
}

void attack_go(struct attack *a, const char *what, unsigned nr)
{
	testguest_stop(&a->g);
	attack_check(a, what, nr);
	attack_settle(a, what, nr);
}

void attack_works(struct attack *a, unsigned ring, const char *what,
		  unsigned nr)
{
	int ret = prove_disk(&a->g.q[ring], 16 * ring, ++a->seed);

	cr_assert_eq(ret, 0, "%s %u: %d", what, nr, ret);
}

void attack_connect(struct attack *a, struct frontend *f)
{
	struct frontend_params p = {
		.features = UINT64_MAX,
		.protocol_features = UINT64_MAX,
	};

	frontend_init(f);
	cr_assert_eq(frontend_connect(f, a->t.socket), 0);
	cr_assert_eq(frontend_negotiate(f, &p), 0);
	cr_assert(frontend_has(f, VHOST_USER_PROTOCOL_F_REPLY_ACK));
	f->timeout_ms = 2000;
}

enum attack_reply attack_recv(struct frontend *f)
{
	struct frontend_msg m;
	int ret = frontend_recv(f, f->fd, &m);

	if (ret == -ETIMEDOUT)
		return ATTACK_SILENT;
	if (ret)
		return ATTACK_CLOSED;
	frontend_msg_close(&m);
	cr_assert_eq(m.hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK);
	/* Nothing at all is how GET_CONFIG says no. */
	if (!m.hdr.size)
		return ATTACK_REFUSED;
	if (m.hdr.size == sizeof(uint64_t) && m.payload.u64)
		return ATTACK_REFUSED;
	return ATTACK_ACCEPTED;
}

enum attack_reply attack_send(struct frontend *f, uint32_t request,
			      const void *payload, size_t size, const int *fds,
			      unsigned nr_fds)
{
	int ret = frontend_send(f, request, VHOST_USER_NEED_REPLY_MASK, payload,
				size, fds, nr_fds);

	return ret ? ATTACK_CLOSED : attack_recv(f);
}

const char *attack_reply_name(enum attack_reply reply)
{
	static const char *const names[] = {"accepted", "refused", "closed",
					    "silent"};

	return names[reply];
}

void attack_expect(enum attack_reply want, enum attack_reply got,
		   const char *what, unsigned nr)
{
	cr_assert_eq(got, want, "%s %u: %s, not %s", what, nr,
		     attack_reply_name(got), attack_reply_name(want));
}

void attack_expect_no(enum attack_reply got, const char *what, unsigned nr)
{
	cr_assert(got == ATTACK_REFUSED || got == ATTACK_CLOSED, "%s %u: %s",
		  what, nr, attack_reply_name(got));
}

int attack_make_file(uint64_t size)
{
	int fd = memfd_create("attack", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

struct attack attack;

void attack_suite_begin(void)
{
	attack_init(&attack);
	attack_begin(&attack);
}

void attack_suite_end(void)
{
	attack_settle(&attack, "the last", 0);
	attack_end(&attack);
}
