/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/handlers: what a reset forgets and keeps, and the status. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "sessionrig.h"

TestSuite(handlers_reset, .timeout = 60);

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define FAILED	    VIRTIO_CONFIG_S_FAILED

/* Both ways to reset, which are one thing. */
static const struct {
	uint32_t request;
	unsigned size;
} ways[] = {
	{VHOST_USER_RESET_DEVICE, 0},
	{VHOST_USER_SET_STATUS, 8},
};

static const uint64_t zero;

static int reset(unsigned way)
{
	return frontend_set(&rig.t.vmm, ways[way].request,
			    ways[way].size ? &zero : NULL, ways[way].size, NULL,
			    0);
}

static void send_reset(unsigned way)
{
	cr_assert_eq(frontend_send(&rig.t.vmm, ways[way].request,
				   VHOST_USER_NEED_REPLY_MASK,
				   ways[way].size ? &zero : NULL,
				   ways[way].size, NULL, 0),
		     0);
}

static void set_features(void)
{
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_FEATURES,
				      rig.t.vmm.features),
		     0);
}

static uint64_t status(void)
{
	uint64_t s;

	cr_assert_eq(frontend_get_u64(&rig.t.vmm, VHOST_USER_GET_STATUS, &s),
		     0);
	return s;
}

static void set_status(uint64_t s)
{
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_STATUS, s), 0);
}

static void start_both(void)
{
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
}

/* ---- reset ---- */

Test(handlers_reset, stops_all_rings_and_starts_them_again)
{
	rig_open();
	rig_share();
	for (unsigned i = 0; i < 6; i++) {
		start_both();
		rig_submit(&rig.q0, 0);
		rig_expect_answer(&rig.q0);
		cr_assert_eq(reset(i % 2), 0);
		cr_assert_eq(sessiontest_look(&rig.t).idle[0], i + 1);
		cr_assert_eq(sessiontest_look(&rig.t).idle[1], i + 1);
		cr_assert_eq(sessiontest_look(&rig.t).resets, i + 1);
		/* Who was reset begins at 0, with memory and owner as before.
		 */
		guestring_reset(&rig.q0.ring);
		guestring_reset(&rig.q1.ring);
		set_features();
	}
	cr_assert_eq(rig_facts().nr_regions, 2);
	rig_close();
}

/* One thing that is told after a reset; the queue starts with the last. */
static void (*const steps[])(void) = {
	rig_tell_num, rig_tell_addr,   rig_tell_kick,
	set_features, rig_tell_enable,
};

Test(handlers_reset, forgets_all_that_the_driver_said)
{
	rig_open();
	rig_share();
	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		for (unsigned last = 0; last < ARRAY_SIZE(steps); last++) {
			unsigned ready;

			set_features();
			cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0),
				     0);
			cr_assert_eq(reset(way), 0);
			ready = sessiontest_look(&rig.t).ready[0];
			for (unsigned i = 1; i < ARRAY_SIZE(steps); i++)
				steps[(last + i) % ARRAY_SIZE(steps)]();
			cr_assert_eq(sessiontest_look(&rig.t).ready[0], ready);
			steps[last]();
			cr_assert_eq(sessiontest_look(&rig.t).ready[0],
				     ready + 1, "%u, %u last", way, last);
			cr_assert_eq(reset(way), 0);
		}
	}
	rig_close();
}

Test(handlers_reset, forgets_where_a_ring_was)
{
	unsigned base;

	rig_open();
	rig_share();
	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
		rig_submit(&rig.q0, 0);
		rig_expect_answer(&rig.q0);
		cr_assert_eq(frontend_set_state(&rig.t.vmm,
						VHOST_USER_SET_VRING_BASE, 1,
						77),
			     0);
		cr_assert_eq(reset(way), 0);
		for (unsigned i = 0; i < 2; i++) {
			cr_assert_eq(frontend_stop_queue(&rig.t.vmm,
							 i ? &rig.q1 : &rig.q0,
							 &base),
				     0);
			cr_assert_eq(base, 0);
		}
		set_features();
		guestring_reset(&rig.q0.ring);
	}
	rig_close();
}

/* QEMU tells of an error descriptor once, when it makes the device. */
Test(handlers_reset, keeps_call_and_error_descriptors)
{
	struct guestring_used u;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(reset(0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		steps[i]();
	rig_submit(&rig.q0, 0);
	cr_assert_eq(frontend_wait(&rig.q0, &u, 5000), 0);
	rig_close();
}

Test(handlers_reset, is_answered_when_the_last_request_is_done)
{
	struct frontend_msg m;

	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		memset(&rig, 0, sizeof(rig));
		rig.t.hold = true;
		rig_open();
		rig_share();
		start_both();
		rig_submit(&rig.q0, 0);
		rig_wait_for_request();
		send_reset(way);
		/* What is sent meanwhile is read later. */
		cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_GET_STATUS, 0,
					   NULL, 0, NULL, 0),
			     0);
		rig_expect_silence();
		cr_assert_eq(sessiontest_look(&rig.t).idle[0], 0);
		cr_assert_eq(sessiontest_look(&rig.t).resets, 0);
		sessiontest_release(&rig.t);
		cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
		cr_assert_eq(m.hdr.request, ways[way].request);
		cr_assert_eq(m.payload.u64, 0);
		rig_expect_answer(&rig.q0);
		cr_assert_eq(sessiontest_look(&rig.t).idle[0], 1);
		cr_assert_eq(sessiontest_look(&rig.t).resets, 1);
		cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
		cr_assert_eq(m.hdr.request, VHOST_USER_GET_STATUS);
		rig_close();
	}
}

static bool is_closing(const struct sessiontest_seen *seen)
{
	return seen->closing;
}

Test(handlers_reset, of_a_client_that_does_not_wait_for_it)
{
	rig.t.hold = true;
	rig_open();
	rig_share();
	start_both();
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	send_reset(0);
	rig_expect_silence();
	frontend_close(&rig.t.vmm);
	sessiontest_wait(&rig.t, is_closing);
	cr_assert_eq(sessiontest_look(&rig.t).ended, 0);
	cr_assert_eq(sessiontest_look(&rig.t).resets, 0);
	sessiontest_release(&rig.t);
	rig_close();
}

/* Nothing was begun; ready but not started; a start that failed. */
Test(handlers_reset, finds_queues_in_any_state)
{
	const struct vhost_user_vring_addr bad = {.desc = 0x7f0000000001,
						  .avail = 0x7f0000001000,
						  .used = 0x7f0000002000};

	rig.t.wait = true;
	rig_open();
	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		cr_assert_eq(reset(way), 0);
		cr_assert_eq(reset(way), 0);
	}
	rig_share();
	set_features();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 1);
	cr_assert_eq(reset(0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 1);

	rig.t.wait = false;
	set_features();
	rig_tell_num();
	rig_tell_kick();
	cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_SET_VRING_ADDR, &bad,
				  sizeof(bad), NULL, 0),
		     0);
	rig_tell_enable();
	cr_assert_lt(sessiontest_look(&rig.t).started[0], 0);
	cr_assert_eq(reset(0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).idle[0], 2);

	set_features();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

/* ---- status ---- */

Test(handlers_reset, keeps_the_status_for_who_asks)
{
	rig_open();
	cr_assert_eq(status(), 0);
	for (unsigned i = 1; i < 256; i++) {
		if (i & 0x30) /* these have no meaning here */
			continue;
		set_status(i);
		cr_assert_eq(status(), i);
	}
	cr_assert_eq(reset(0), 0);
	cr_assert_eq(status(), 0);
	set_status(ACKNOWLEDGE | DRIVER | FAILED);
	set_status(0);
	cr_assert_eq(status(), 0);
	cr_assert_eq(sessiontest_look(&rig.t).resets, 2);
	rig_close();
}

Test(handlers_reset, refuses_a_status_that_there_is_not)
{
	static const uint64_t bad[] = {0x10,	   0x20,       0x100,	  0x10f,
				       1ULL << 32, 1ULL << 63, UINT64_MAX};

	rig_open();
	set_status(ACKNOWLEDGE | DRIVER);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_expect_refused(VHOST_USER_SET_STATUS, &bad[i], 8);
		cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	}
	cr_assert_eq(sessiontest_look(&rig.t).resets, 0);
	rig_close();
}

Test(handlers_reset, says_features_ok_only_of_features_that_are)
{
	uint64_t unknown = 1ULL << 63;

	rig_open();
	rig.t.refuse = 1 << 12;
	set_status(0);
	/* None came. */
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	/* What came was not offered; the device cannot do with it. */
	rig_expect_refused(VHOST_USER_SET_FEATURES, &unknown, 8);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	rig_expect_refused(VHOST_USER_SET_FEATURES, &rig.t.vmm.features, 8);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);

	rig.t.vmm.features &= ~rig.t.refuse;
	set_features();
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	/* Those that were agreed on before do not stand for the refused. */
	rig_expect_refused(VHOST_USER_SET_FEATURES, &unknown, 8);
	set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	rig_close();
}

Test(handlers_reset, has_no_status_for_who_did_not_agree_on_it)
{
	uint64_t bits;

	rig_open();
	bits = rig.t.vmm.protocol_features &
	       ~(1ULL << VHOST_USER_PROTOCOL_F_STATUS |
		 1ULL << VHOST_USER_PROTOCOL_F_RESET_DEVICE);
	cr_assert_eq(frontend_set_u64(&rig.t.vmm,
				      VHOST_USER_SET_PROTOCOL_FEATURES, bits),
		     0);
	rig_expect_refused(VHOST_USER_SET_STATUS, &zero, 8);
	rig_expect_refused(VHOST_USER_RESET_DEVICE, NULL, 0);
	rig_close();
}
