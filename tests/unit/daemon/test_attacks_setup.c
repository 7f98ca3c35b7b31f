/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hostile VMM says about its rings, and how it leaves. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)

TestSuite(attacks_setup, .init = attack_suite_begin, .fini = attack_suite_end);

static enum attack_reply send_state(uint32_t id, uint32_t ring, uint32_t num)
{
	struct vhost_user_vring_state s = {ring, num};

	return attack_send(&attack.g.f, id, &s, sizeof(s), NULL, 0);
}

/* -- rings ---------------------------------------------------------------- */

Test(attacks_setup, ring_sizes)
{
	static const uint32_t sizes[] = {0,	   3,	      100,   512,
					 1024,	   32769,     65536, 0x10080,
					 1u << 31, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		attack_come(&attack);
		attack_works(&attack, 0, "size of a ring", sizes[i]);
		attack_expect(ATTACK_REFUSED,
			      send_state(VHOST_USER_SET_VRING_NUM, 0, 64),
			      "size of a running ring", i);
		cr_assert_eq(frontend_stop_queue(&attack.g.f, &attack.g.q[0],
						 NULL),
			     0);
		attack_expect(ATTACK_REFUSED,
			      send_state(VHOST_USER_SET_VRING_NUM, 0, sizes[i]),
			      "size of a ring", sizes[i]);
		cr_assert_eq(frontend_start_queue(&attack.g.f, &attack.g.q[0]),
			     0);
		attack_works(&attack, 0, "size of a ring", sizes[i]);
		attack_works(&attack, 1, "size of a ring", sizes[i]);
		attack_go(&attack, "size of a ring", sizes[i]);
	}
}

enum where { DESC, USED, AVAIL };

Test(attacks_setup, ring_addresses)
{
	static const uint64_t wrong[] = {0,
					 1,
					 1ULL << 47,
					 UINT64_MAX,
					 UINT64_MAX - 15,
					 UINT64_MAX - PAGE + 1};

	for (unsigned i = 0; i < ARRAY_SIZE(wrong) * 3; i++) {
		uint64_t *field[3];
		struct vhost_user_vring_addr a = {.index = 0};
		const struct vring *v;
		enum attack_reply reply;

		attack_come(&attack);
		v = &attack.g.q[0].ring.vring;
		a.desc = guestmem_uva(&attack.g.mem, v->desc);
		a.used = guestmem_uva(&attack.g.mem, v->used);
		a.avail = guestmem_uva(&attack.g.mem, v->avail);
		field[DESC] = &a.desc;
		field[USED] = &a.used;
		field[AVAIL] = &a.avail;
		*field[i % 3] = wrong[i / 3];
		cr_assert_eq(frontend_stop_queue(&attack.g.f, &attack.g.q[0],
						 NULL),
			     0);
		reply = attack_send(&attack.g.f, VHOST_USER_SET_VRING_ADDR, &a,
				    sizeof(a), NULL, 0);
		cr_assert_neq(reply, ATTACK_SILENT);
		if (reply == ATTACK_ACCEPTED) {
			struct guestblk_req r;

			frontend_set_vring_fd(&attack.g.f,
					      VHOST_USER_SET_VRING_KICK, 0,
					      attack.g.q[0].kick);
			guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_FLUSH, 0,
				      0);
			cr_assert_lt(guestblk_run(&attack.g.q[0], &r, NULL, 10),
				     0);
		}
		if (reply != ATTACK_CLOSED)
			attack_works(&attack, 1, "ring address", i);
		attack_go(&attack, "ring address", i);
	}
}

Test(attacks_setup, rings_that_are_not_aligned_or_end_outside)
{
	static const int offsets[] = {1, 2, 8, 15};

	for (unsigned i = 0; i < ARRAY_SIZE(offsets) + 3; i++) {
		struct vring *v;
		char *end;

		attack_come(&attack);
		cr_assert_eq(frontend_stop_queue(&attack.g.f, &attack.g.q[0],
						 NULL),
			     0);
		v = &attack.g.q[0].ring.vring;
		end = (char *)attack.g.mem.regions[0].host + TESTTARGET_MEM;
		if (i < ARRAY_SIZE(offsets))
			v->desc = (void *)((char *)v->desc + offsets[i]);
		else if (i == ARRAY_SIZE(offsets))
			v->desc = (void *)(end - 128 * 16 + 16);
		else if (i == ARRAY_SIZE(offsets) + 1)
			v->avail = (void *)(end - 128 * 2);
		else
			v->used = (void *)(end - 128 * 8);
		frontend_start_queue(&attack.g.f, &attack.g.q[0]);
		usleep(2000);
		attack_works(&attack, 1, "misplaced ring", i);
		attack_go(&attack, "misplaced ring", i);
	}
}

Test(attacks_setup, places_to_begin_at)
{
	static const uint32_t bases[] = {1,	  127,	      128,
					 0x7fff,  0x8000,     0xffff,
					 0x10000, 0x80008000, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		unsigned base;

		attack_come(&attack);
		attack_works(&attack, 0, "base", bases[i]);
		attack_expect(ATTACK_REFUSED,
			      send_state(VHOST_USER_SET_VRING_BASE, 0, 0),
			      "base of a running ring", i);
		cr_assert_eq(frontend_stop_queue(&attack.g.f, &attack.g.q[0],
						 NULL),
			     0);
		/* Twice, and of a ring that was never set up. */
		cr_assert_eq(frontend_stop_queue(&attack.g.f, &attack.g.q[0],
						 &base),
			     0);
		cr_assert_eq(base, attack.g.q[0].ring.used_idx);
		send_state(VHOST_USER_SET_VRING_BASE, 0, bases[i]);
		frontend_set_vring_fd(&attack.g.f, VHOST_USER_SET_VRING_KICK, 0,
				      attack.g.q[0].kick);
		frontend_kick(&attack.g.q[0]);
		usleep(2000);
		attack_works(&attack, 1, "base", bases[i]);
		attack_go(&attack, "base", bases[i]);
	}
}

Test(attacks_setup, the_base_of_a_ring_that_was_never_set_up)
{
	struct frontend_queue q = {.index = 3};
	struct frontend f;
	unsigned base;

	attack_connect(&attack, &f);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(frontend_stop_queue(&f, &q, &base), 0);
		cr_assert_eq(base, 0);
	}
	frontend_close(&f);
}

/* -- configuration, coming and going --------------------------------------- */

static const struct {
	uint32_t offset, size, flags;
	bool set;
} configs[] = {
	{0, 257, 0, false},	   {1, 256, 0, false},
	{0x1ff, 2, 0, false},	   {255, 2, 0, false},
	{0xffffffff, 1, 0, false}, {0xffffff00, 256, 0, false},
	{0x10000, 4, 0, false},	   {0, 0, 0, true},
	{0, 8, 0, true},	   {0, 60, 0, true},
	{20, 4, 0, true},	   {31, 1, 0, true},
	{33, 1, 0, true},	   {32, 2, 0, true},
	{0xffffffff, 1, 0, true},  {0xffffffe0, 64, 0, true},
	{32, 1, 2, true},	   {32, 1, 0xffffffff, true},
};

Test(attacks_setup, places_in_the_configuration)
{
	for (unsigned i = 0; i < ARRAY_SIZE(configs); i++) {
		struct vhost_user_config c = {.offset = configs[i].offset,
					      .size = configs[i].size,
					      .flags = configs[i].flags};
		uint8_t buf[12 + 300] = {0};
		enum attack_reply reply;

		attack_come(&attack);
		memcpy(buf, &c, 12);
		reply = attack_send(&attack.g.f,
				    configs[i].set ? VHOST_USER_SET_CONFIG
						   : VHOST_USER_GET_CONFIG,
				    buf, 12 + configs[i].size, NULL, 0);
		attack_expect_no(reply, "configuration", i);
		if (reply == ATTACK_REFUSED)
			attack_works(&attack, 0, "configuration", i);
		attack_go(&attack, "configuration", i);
	}
}

Test(attacks_setup, features_that_were_not_offered)
{
	uint64_t all = UINT64_MAX;

	for (unsigned i = 0; i < 2; i++) {
		attack_come(&attack);
		attack_expect_no(
			attack_send(&attack.g.f,
				    i ? VHOST_USER_SET_FEATURES
				      : VHOST_USER_SET_PROTOCOL_FEATURES,
				    &all, 8, NULL, 0),
			"features", i);
		attack_go(&attack, "features", i);
	}
}

Test(attacks_setup, coming_and_going)
{
	for (unsigned i = 0; i < 100; i++) {
		attack_come(&attack);
		if (i % 3)
			attack_works(&attack, i % 2, "coming and going", i);
		testguest_stop(&attack.g);
	}
	attack_go(&attack, "coming and going", 0);
}
