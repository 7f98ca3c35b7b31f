/* SPDX-License-Identifier: BSD-2-Clause */
/* The other VMMs we know, as they speak: all of them get a disk that works. */
#include <criterion/criterion.h>
#include <unistd.h>

#include "testclient.h"

TestSuite(clients, .init = testclient_begin, .fini = testclient_end);

/* -- Cloud Hypervisor ---------------------------------------------------- */

#define CLH_PROTOCOL                                 \
	(MQ | CONFIG | MEM_SLOTS | REPLY_ACK |       \
	 BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |      \
	 BIT(VHOST_USER_PROTOCOL_F_DEVICE_STATE))

static const struct client_step clh_connect[] = {
	CONNECT,
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL | VERSION_1),
	ASK(GET_PROTOCOL_FEATURES, CONFIG | MQ | MEM_SLOTS | REPLY_ACK),
	TELL_U64(SET_PROTOCOL_FEATURES, CLH_PROTOCOL),
	NEED_REPLY(1),
	ASK_NUMBER(GET_QUEUE_NUM, 2),
	END,
};

static const struct client_step clh_activate[] = {
	TELL_U64(SET_FEATURES, EVERYTHING),
	RING(0, 128),
	RING(1, 128),
	MEM_TABLE,
	NUM(0, 128),
	ADDR(0),
	BASE(0),
	CALL_FD(0),
	KICK_FD(0),
	NUM(1, 128),
	ADDR(1),
	BASE(1),
	CALL_FD(1),
	KICK_FD(1),
	ENABLE(0, 1),
	ENABLE(1, 1),
	IO(0),
	IO(1),
	SET_CONFIG(WCE_OFFSET, 1, 0),
	IO(0),
	SET_CONFIG(WCE_OFFSET, 1, 1),
	IO(1),
	END,
};

static const struct client_step clh_reset[] = {
	ENABLE(0, 0), GET_BASE(0), ENABLE(1, 0), GET_BASE(1), END,
};

static void clh_boot(unsigned config_offset)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient_play(clh_connect);
	testclient_play(
		(struct client_step[]){GET_CONFIG(config_offset, 60, 1), END});
	testclient_play(clh_activate);
}

Test(clients, cloud_hypervisor_resets_and_starts_again)
{
	clh_boot(0);
	testclient_play(clh_reset);
	testclient_play(clh_activate);
	testclient_play(clh_reset);
}

Test(clients, cloud_hypervisor_46_reads_the_config_at_0x100)
{
	clh_boot(0x100);
	testclient_play(clh_reset);
}

Test(clients, cloud_hypervisor_plugs_memory_and_reconnects)
{
	clh_boot(0);
	testclient_share(4096 * MIB, GUESTMEM_UVA_HOST, 4 * MIB);
	testclient_play((struct client_step[]){ADD_REGION(1), IO(0), IO(1),
					       HANG_UP, END});
	testclient_play(clh_connect);
	testclient_play((struct client_step[]){GET_CONFIG(0, 60, 1), END});
	testclient_play(clh_activate);
}

/* -- Firecracker --------------------------------------------------------- */

#define FC_FEATURES (VERSION_1 | EVENT_IDX | PROTOCOL | BIT(VIRTIO_BLK_F_RO))

static const struct client_step fc_connect[] = {
	CONNECT,
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL | VERSION_1 | EVENT_IDX | FLUSH),
	ASK(GET_PROTOCOL_FEATURES, CONFIG),
	TELL_U64(SET_PROTOCOL_FEATURES, CONFIG),
	GET_CONFIG(0, 60, 1),
	END,
};

static const struct client_step fc_activate[] = {
	RING(0, 256),
	MEM_TABLE,
	NUM(0, 256),
	ADDR(0),
	BASE(0),
	CALL_FD(0),
	KICK_FD(0),
	ENABLE(0, 1),
	IO(0),
	/* PATCH /drives */
	GET_CONFIG(0, 60, 1),
	IO(0),
	END,
};

static void firecracker(uint64_t features)
{
	testclient_play(fc_connect);
	testclient_play(
		(struct client_step[]){TELL_U64(SET_FEATURES, features), END});
	testclient_play(fc_activate);
}

Test(clients, firecracker_in_both_cache_modes)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	firecracker(FC_FEATURES);
	testclient_play((struct client_step[]){HANG_UP, END});
	firecracker(FC_FEATURES | FLUSH);
}

/* -- crosvm -------------------------------------------------------------- */

static const struct client_step crosvm[] = {
	CONNECT,
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL | VERSION_1),
	ASK(GET_PROTOCOL_FEATURES, CONFIG | MQ),
	TELL_U64(SET_PROTOCOL_FEATURES,
		 CONFIG | MQ | REPLY_ACK |
			 BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
			 BIT(VHOST_USER_PROTOCOL_F_DEVICE_STATE)),
	ASK_NUMBER(GET_QUEUE_NUM, 4),
	TELL_U64(SET_FEATURES, EVERYTHING),
	RING(0, 256),
	RING(1, 256),
	RING(2, 256),
	RING(3, 256),
	/* What the guest's driver reads, as it reads it. */
	GET_CONFIG(0, 4, 0),
	GET_CONFIG(4, 4, 0),
	GET_CONFIG(0, 8, 0),
	GET_CONFIG(3, 1, 0),
	GET_CONFIG(12, 4, 0),
	GET_CONFIG(20, 4, 0),
	GET_CONFIG(24, 1, 0),
	GET_CONFIG(26, 2, 0),
	GET_CONFIG(WCE_OFFSET, 1, 0),
	GET_CONFIG(34, 2, 0),
	GET_CONFIG(95, 8, 0),
	MEM_TABLE,
	NUM(0, 256),
	ADDR(0),
	BASE(0),
	CALL_FD(0),
	KICK_FD(0),
	ENABLE(0, 1),
	NUM(1, 256),
	ADDR(1),
	BASE(1),
	CALL_FD(1),
	KICK_FD(1),
	ENABLE(1, 1),
	NUM(2, 256),
	ADDR(2),
	BASE(2),
	CALL_FD(2),
	KICK_FD(2),
	ENABLE(2, 1),
	NUM(3, 256),
	ADDR(3),
	BASE(3),
	CALL_FD(3),
	KICK_FD(3),
	ENABLE(3, 1),
	IO(0),
	IO(1),
	IO(2),
	IO(3),
	SET_CONFIG(WCE_OFFSET, 0, 0),
	IO(2),
	END,
};

Test(clients, crosvm_uses_all_queues_and_reads_the_config_in_pieces)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 16 * MIB);
	testclient_play(crosvm);
	testclient_play((struct client_step[]){
		ENABLE(0, 0),
		GET_BASE(0),
		ENABLE(1, 0),
		GET_BASE(1),
		ENABLE(2, 0),
		GET_BASE(2),
		ENABLE(3, 0),
		GET_BASE(3),
		END,
	});
}

/* -- Dragonball ---------------------------------------------------------- */

static const struct client_step dragonball[] = {
	CONNECT,
	/* The probe takes all there is, */
	ASK(GET_FEATURES, PROTOCOL),
	TELL_U64(SET_FEATURES, EVERYTHING),
	ASK(GET_PROTOCOL_FEATURES, MQ | CONFIG),
	TELL_U64(SET_PROTOCOL_FEATURES, EVERYTHING),
	GET_CONFIG(0x100, 60, 1),
	/* the activation less of it, on the same connection. */
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	TELL_U64(SET_FEATURES, VERSION_1 | PROTOCOL | FLUSH | INDIRECT),
	ASK(GET_PROTOCOL_FEATURES, MQ | CONFIG),
	TELL_U64(SET_PROTOCOL_FEATURES, MQ | CONFIG),
	ASK_NUMBER(GET_QUEUE_NUM, 1),
	END,
};

/* Its eventfds come before the memory, and it never says where to begin. */
static const struct client_step dragonball_activate[] = {
	CALL_FD(0),   MEM_TABLE, NUM(0, 128), ADDR(0), KICK_FD(0),
	ENABLE(0, 1), IO(0),	 IO(0),	      END,
};

Test(clients, dragonball_never_says_where_to_begin)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient_play(dragonball);
	testclient_play((struct client_step[]){RING(0, 128), END});
	testclient_play(dragonball_activate);
	for (unsigned i = 0; i < 2; i++) {
		testclient_play((struct client_step[]){HANG_UP, END});
		usleep(200000);
		testclient_play(dragonball);
		testclient_play(dragonball_activate);
	}
}

/* -- SPDK's initiator ---------------------------------------------------- */

static const struct client_step spdk[] = {
	CONNECT,
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	ASK(GET_PROTOCOL_FEATURES, CONFIG),
	TELL_U64(SET_PROTOCOL_FEATURES, CONFIG),
	ASK_NUMBER(GET_QUEUE_NUM, 2),
	GET_CONFIG(0, 256, 0),
	CALL_FD(0),
	CALL_FD(1),
	TELL_U64(SET_FEATURES, VERSION_1 | PROTOCOL | FLUSH | EVENT_IDX),
	RING(0, 64),
	RING(1, 64),
	MEM_TABLE,
	NUM(0, 64),
	BASE(0),
	ADDR(0),
	KICK_FD(0),
	NUM(1, 64),
	BASE(1),
	ADDR(1),
	KICK_FD(1),
	ENABLE(0, 1),
	ENABLE(1, 1),
	IO(0),
	IO(1),
	GET_BASE(0),
	GET_BASE(1),
	END,
};

/* Guest addresses are its own, in regions as huge pages would be. */
Test(clients, spdk_uses_virtual_addresses_as_guest_addresses)
{
	for (unsigned i = 0; i < 8; i++) {
		testclient_share(0, GUESTMEM_UVA_HOST, 2 * MIB);
		testclient.mem.regions[i].gpa = testclient.mem.regions[i].uva;
	}
	/* A ring in one region, its requests in others. */
	testclient.mem.regions[0].used = 2 * MIB - 4096;
	testclient_play(spdk);
	testclient_play((struct client_step[]){HANG_UP, END});
	testclient_play(spdk);
}

/* -- libblkio ------------------------------------------------------------ */

static const struct client_step libblkio_connect[] = {
	CONNECT,
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	ASK(GET_PROTOCOL_FEATURES, CONFIG | MQ | MEM_SLOTS),
	TELL_U64(SET_PROTOCOL_FEATURES, CONFIG | MQ | MEM_SLOTS | REPLY_ACK),
	ASK_NUMBER(GET_MAX_MEM_SLOTS, 8),
	ASK_NUMBER(GET_QUEUE_NUM, 1),
	GET_CONFIG(0, 60, 0),
	END,
};

static const struct client_step libblkio_start[] = {
	RING(0, 256), ADD_REGION(0), NUM(0, 256),  ADDR(0), BASE(0),
	KICK_FD(0),   CALL_FD(0),    ENABLE(0, 1), END,
};

Test(clients, libblkio_adds_memory_piece_by_piece_while_it_runs)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 64 * 1024);
	testclient_play(libblkio_connect);
	testclient_play((struct client_step[]){
		TELL_U64(SET_FEATURES, VERSION_1 | PROTOCOL | FLUSH), END});
	testclient_play(libblkio_start);
	testclient_play((struct client_step[]){NEED_REPLY(1), END});
	/* All that follows is in regions that came later. */
	testclient.mem.regions[0].used = 64 * 1024;
	for (unsigned i = 1; i < 20; i++) {
		testclient_share(i * MIB, GUESTMEM_UVA_HOST, 64 * 1024);
		testclient_play(
			(struct client_step[]){ADD_REGION(i), IO(0), END});
		if (i % 3)
			testclient_play(
				(struct client_step[]){REM_REGION(i), END});
		testclient.mem.regions[i].used = 64 * 1024;
	}
}

/* Without protocol features there is nothing to enable rings with. */
Test(clients, a_client_without_protocol_features_has_its_rings_enabled)
{
	static const struct client_step minimal[] = {
		CONNECT,
		TELL(SET_OWNER),
		ASK(GET_FEATURES, VERSION_1),
		TELL_U64(SET_FEATURES, VERSION_1),
		RING(0, 64),
		MEM_TABLE,
		NUM(0, 64),
		BASE(0),
		ADDR(0),
		CALL_FD(0),
		KICK_FD(0),
		IO(0),
		GET_BASE(0),
		/* An older system boots, and knows no version 1. */
		TELL_U64(SET_FEATURES, 0),
		NUM(0, 64),
		BASE(0),
		ADDR(0),
		KICK_FD(0),
		IO(0),
		HANG_UP,
		END,
	};

	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient_play(minimal);
	testclient_play(minimal);
}

/* -- what any of them may do --------------------------------------------- */

/* Nothing in the protocol says in which order a ring is described. */
Test(clients, a_client_that_does_all_backwards)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient_play(libblkio_connect);
	testclient_play((struct client_step[]){
		RING(0, 128),
		ENABLE(0, 1),
		KICK_FD(0),
		CALL_FD(0),
		ADDR(0),
		BASE(0),
		NUM(0, 128),
		MEM_TABLE,
		TELL_U64(SET_FEATURES, VERSION_1 | PROTOCOL | FLUSH),
		IO(0),
		END,
	});
}

Test(clients, a_client_that_polls_and_is_polled)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient_play(libblkio_connect);
	testclient_play((struct client_step[]){
		TELL_U64(SET_FEATURES, VERSION_1 | PROTOCOL | FLUSH),
		RING(0, 128),
		MEM_TABLE,
		NUM(0, 128),
		BASE(0),
		ADDR(0),
		NO_KICK_FD(0),
		CALL_FD(0),
		ENABLE(0, 1),
		IO(0),
		/* Kicks after all, and calls no more. */
		KICK_FD(0),
		NO_CALL_FD(0),
		POST(0),
		FIND(0),
		CALL_FD(0),
		IO(0),
		GET_BASE(0),
		END,
	});
}

/* RING_RESET: one ring begins anew with another size, the other runs on. */
Test(clients, a_driver_that_resets_one_ring)
{
	clh_boot(0);
	for (unsigned size = 4; size <= 256; size *= 2) {
		testclient_play((struct client_step[]){
			ENABLE(1, 0),
			GET_BASE(1),
			RING(1, size),
			NUM(1, size),
			ADDR(1),
			BASE(1),
			KICK_FD(1),
			ENABLE(1, 1),
			IO(1),
			IO(0),
			END,
		});
	}
	testclient_play(clh_reset);
}

Test(clients, a_second_client_is_served_when_the_first_has_gone)
{
	struct client second;

	testclient_share(0, GUESTMEM_UVA_HOST, 8 * MIB);
	firecracker(FC_FEATURES);
	client_init(&second, testclient_target.socket, NR_SECTORS);
	cr_assert_geq(guestmem_add(&second.mem, 0, GUESTMEM_UVA_HOST, 8 * MIB),
		      0);
	/* It connects just before the first one leaves. */
	cr_assert_eq(frontend_connect(&second.f, testclient_target.socket), 0);
	testclient_play((struct client_step[]){IO(0), HANG_UP, END});
	/* Held till then, and served without having to connect again. */
	cr_assert_eq(client_play(&second, fc_connect + 1), 0, "%s", second.why);
	cr_assert_eq(client_play(&second,
				 (struct client_step[]){TELL_U64(SET_FEATURES,
								 FC_FEATURES),
							END}),
		     0);
	cr_assert_eq(client_play(&second, fc_activate), 0, "%s", second.why);
	client_fini(&second);
}
