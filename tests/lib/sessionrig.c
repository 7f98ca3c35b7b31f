/* SPDX-License-Identifier: BSD-2-Clause */
/* A session under test, with guest memory and two rings. */
#include "sessionrig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "iotest.h"

struct sessionrig rig;

void rig_make_queue(struct frontend_queue *q, unsigned index, unsigned size)
{
	const struct guestring_params p = {
		.size = size,
		.packed = rig.t.packed,
		.event_idx = true,
	};

	cr_assert_eq(frontend_queue_init(q, index, &rig.mem, &p), 0);
}

void rig_open(void)
{
	sessiontest_open(&rig.t);
	guestmem_init(&rig.mem);
	cr_assert_eq(guestmem_add(&rig.mem, 0, 0x7f0000000000, RIG_REGION_SIZE),
		     0);
	cr_assert_eq(guestmem_add(&rig.mem, 1 << 30, 0x7f0040000000,
				  RIG_REGION_SIZE),
		     1);
	rig_make_queue(&rig.q0, 0, 16);
	rig_make_queue(&rig.q1, 1, 32);
	sessiontest_negotiate(&rig.t);
}

void rig_close(void)
{
	sessiontest_close(&rig.t);
	frontend_queue_fini(&rig.q0);
	frontend_queue_fini(&rig.q1);
	guestmem_fini(&rig.mem);
}

void rig_run_with_both(void (*body)(void))
{
	for (unsigned packed = 0; packed < 2; packed++) {
		memset(&rig, 0, sizeof(rig));
		rig.t.packed = packed;
		body();
	}
}

void rig_share(void)
{
	cr_assert_eq(frontend_share_memory(&rig.t.vmm, &rig.mem), 0);
}

void rig_submit(struct frontend_queue *q, unsigned region)
{
	void *buf = guestmem_alloc_in(&rig.mem, region, 64, 64);
	const struct guestring_seg seg = {guestmem_gpa(&rig.mem, buf), 64,
					  true};

	cr_assert_geq(frontend_submit(q, &seg, 1, NULL), 0);
}

void rig_expect_answer(struct frontend_queue *q)
{
	struct guestring_used u;

	cr_assert_eq(frontend_wait(q, &u, 5000), 0);
}

static bool has_request(const struct sessiontest_seen *seen)
{
	return seen->requests > 0;
}

void rig_wait_for_request(void)
{
	sessiontest_wait(&rig.t, has_request);
}

void rig_expect_silence(void)
{
	struct pollfd p = {.fd = rig.t.vmm.fd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 100), 0);
}

void rig_expect_refused(uint32_t request, const void *payload, size_t size)
{
	cr_assert_eq(frontend_set(&rig.t.vmm, request, payload, size, NULL, 0),
		     -EREMOTEIO);
}

void rig_tell_num(void)
{
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_NUM, 0,
					16),
		     0);
}

void rig_tell_addr(void)
{
	cr_assert_eq(frontend_set_vring_addr(&rig.t.vmm, &rig.q0, 0), 0);
}

void rig_tell_kick(void)
{
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm,
					   VHOST_USER_SET_VRING_KICK, 0,
					   rig.q0.kick),
		     0);
}

void rig_tell_enable(void)
{
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_ENABLE,
					0, 1),
		     0);
}

void rig_tell_features(void)
{
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_FEATURES,
				      1ULL << 32 | 1 << 30),
		     0);
}

void rig_greet(void)
{
	struct frontend *f = &rig.t.vmm;

	cr_assert_eq(frontend_set(f, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0),
		     0);
	f->protocol_features = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	cr_assert_eq(frontend_set_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES,
				      f->protocol_features),
		     0);
}

static void get_facts(void *arg)
{
	session_facts(rig.t.session, arg);
}

struct session_facts rig_facts(void)
{
	struct session_facts f;

	iotest_call(rig.t.home, get_facts, &f);
	return f;
}

uint32_t rig_get_config(uint32_t off, uint32_t size, uint32_t flags,
			struct vhost_user_config *c)
{
	struct frontend_msg m;

	*c = (struct vhost_user_config){off, size, flags, {0}};
	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_GET_CONFIG, 0, c,
				   12 + size, NULL, 0),
		     0);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_CONFIG);
	*c = m.payload.config;
	return m.hdr.size;
}
