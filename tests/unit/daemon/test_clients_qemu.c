/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU and User-mode Linux, as they speak: from traces of both. */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "testclient.h"

TestSuite(clients_qemu, .init = testclient_begin, .fini = testclient_end);

/* -- QEMU ---------------------------------------------------------------- */

#define QEMU_BIOS  0x140000046ULL
#define QEMU_LINUX 0x170007e46ULL

/* What QEMU takes of the protocol features that are offered. */
#define QEMU_PROTOCOL 0x8f2bULL

static const struct client_step qemu_connect[] = {
	CONNECT,
	ASK(GET_FEATURES, PROTOCOL | VERSION_1 | EVENT_IDX | INDIRECT | FLUSH),
	ASK(GET_PROTOCOL_FEATURES, MQ | CONFIG | REPLY_ACK | MEM_SLOTS),
	TELL_U64(SET_PROTOCOL_FEATURES, QEMU_PROTOCOL),
	ASK_NUMBER(GET_QUEUE_NUM, 2),
	ASK_NUMBER(GET_MAX_MEM_SLOTS, 32),
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	END,
};

/* Its eventfds go out when the device is made, long before a driver comes. */
static const struct client_step qemu_realize[] = {
	RING(0, 128), RING(1, 128), CALL_FD(0),		  ERR_FD(0),
	CALL_FD(1),   ERR_FD(1),    GET_CONFIG(0, 57, 0), GET_CONFIG(0, 60, 0),
	END,
};

/* SeaBIOS uses one queue; QEMU enables both, so one was never set up. */
static const struct client_step qemu_seabios[] = {
	TELL_U64(SET_FEATURES, QEMU_BIOS),
	RING(0, 128),
	CALL_FD(0),
	CALL_FD(1),
	TELL_U64(SET_FEATURES, QEMU_BIOS),
	NEED_REPLY(1),
	ADD_REGION(0),
	NEED_REPLY(0),
	NUM(0, 128),
	BASE(0),
	ADDR(0),
	KICK_FD(0),
	ENABLE(0, 1),
	ENABLE(1, 1),
	IO(0),
	ENABLE(0, 0),
	ENABLE(1, 0),
	GET_BASE(0),
	END,
};

static const struct client_step qemu_start[] = {
	NUM(0, 128),  BASE(0),	    ADDR(0), KICK_FD(0),
	NUM(1, 128),  BASE(1),	    ADDR(1), KICK_FD(1),
	ENABLE(0, 1), ENABLE(1, 1), END,
};

static const struct client_step qemu_linux[] = {
	TELL_U64(SET_FEATURES, QEMU_LINUX),
	RING(0, 128),
	RING(1, 128),
	CALL_FD(0),
	CALL_FD(1),
	TELL_U64(SET_FEATURES, QEMU_LINUX),
	END,
};

static const struct client_step qemu_io[] = {
	IO(0),
	IO(1),
	/* A vector is masked and unmasked while the queue runs. */
	CALL_FD(1),
	IO(1),
	GET_CONFIG(0, 60, 0),
	SET_CONFIG(WCE_OFFSET, VHOST_USER_CONFIG_WRITABLE, 0),
	IO(0),
	SET_CONFIG(WCE_OFFSET, VHOST_USER_CONFIG_WRITABLE, 1),
	IO(0),
	END,
};

static const struct client_step qemu_stop[] = {
	ENABLE(0, 0), ENABLE(1, 0), GET_BASE(0), GET_BASE(1), END,
};

static void qemu_boot(void)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 16 * MIB);
	testclient_play(qemu_connect);
	testclient_play(qemu_realize);
	testclient_play(qemu_seabios);
	testclient_play(qemu_linux);
	testclient_play(qemu_start);
	testclient_play(qemu_io);
}

Test(clients_qemu, qemu_boots_by_way_of_seabios)
{
	qemu_boot();
	testclient_play(qemu_stop);
}

Test(clients_qemu, qemu_reboots_into_another_system)
{
	qemu_boot();
	testclient_play(qemu_stop);
	/* Memory is still shared: only the second stage of the BIOS runs. */
	testclient_play((struct client_step[]){
		TELL_U64(SET_FEATURES, QEMU_BIOS),
		RING(0, 16),
		NUM(0, 16),
		BASE(0),
		ADDR(0),
		KICK_FD(0),
		ENABLE(0, 1),
		IO(0),
		ENABLE(0, 0),
		GET_BASE(0),
		END,
	});
	testclient_play(qemu_linux);
	testclient_play(qemu_start);
	testclient_play(qemu_io);
	testclient_play(qemu_stop);
}

/* The rings go on where they were, and the eventfds are the same. */
static const struct client_step qemu_reconnect[] = {
	HANG_UP,
	CONNECT,
	ASK(GET_FEATURES, PROTOCOL),
	ASK(GET_PROTOCOL_FEATURES, CONFIG),
	TELL_U64(SET_PROTOCOL_FEATURES, QEMU_PROTOCOL),
	ASK_NUMBER(GET_QUEUE_NUM, 2),
	ASK_NUMBER(GET_MAX_MEM_SLOTS, 32),
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	CALL_FD(0),
	ERR_FD(0),
	CALL_FD(1),
	ERR_FD(1),
	TELL_U64(SET_FEATURES, QEMU_LINUX),
	CALL_FD(0),
	CALL_FD(1),
	TELL_U64(SET_FEATURES, QEMU_LINUX),
	NEED_REPLY(1),
	ADD_REGION(0),
	NEED_REPLY(0),
	END,
};

Test(clients_qemu, qemu_reconnects_with_reconnect_1)
{
	qemu_boot();
	for (unsigned i = 0; i < 3; i++) {
		testclient_play(qemu_reconnect);
		testclient_play(qemu_start);
		testclient_play(qemu_io);
	}
	testclient_play(qemu_stop);
}

/*
 * From 8.1 on it tells the status, adding to what it reads back, and from 8.2
 * on of a reset.  A VM that is merely paused is a status of 0, too, after which
 * it repeats the features, but not the position of the cache switch.
 */
#define QEMU_8_2_PROTOCOL                                            \
	(QEMU_PROTOCOL | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |                   \
	 BIT(VHOST_USER_PROTOCOL_F_STATUS))

static const struct client_step qemu_8_2_connect[] = {
	CONNECT,
	ASK(GET_FEATURES, PROTOCOL),
	ASK(GET_PROTOCOL_FEATURES, BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |
					   BIT(VHOST_USER_PROTOCOL_F_STATUS)),
	TELL_U64(SET_PROTOCOL_FEATURES, QEMU_8_2_PROTOCOL),
	ASK_NUMBER(GET_QUEUE_NUM, 2),
	ASK_NUMBER(GET_MAX_MEM_SLOTS, 32),
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	END,
};

static const struct client_step qemu_8_2_memory[] = {
	NEED_REPLY(1),
	ADD_REGION(0),
	NEED_REPLY(0),
	END,
};

static const struct client_step qemu_8_2_features[] = {
	TELL_U64(SET_FEATURES, QEMU_LINUX),
	ASK_LACKING(GET_STATUS, 8),
	TELL_U64(SET_STATUS, 8),
	ASK(GET_STATUS, 8),
	END,
};

static const struct client_step qemu_8_2_started[] = {
	ASK(GET_STATUS, 8),
	TELL_U64(SET_STATUS, 15),
	ASK(GET_STATUS, 15),
	IO(0),
	IO(1),
	END,
};

static const struct client_step qemu_8_2_stopped[] = {
	TELL_U64(SET_STATUS, 0),
	ASK_LACKING(GET_STATUS, 0xff),
	END,
};

static uint8_t cache_switch(void)
{
	uint8_t on = 2;

	testclient.f.protocol_features = CONFIG; /* the client did agree */
	cr_assert_eq(frontend_get_config(&testclient.f, WCE_OFFSET, &on, 1), 0);
	return on;
}

static void qemu_8_2_boot(void)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 16 * MIB);
	testclient_play(qemu_8_2_connect);
	testclient_play(qemu_realize);
	testclient_play(qemu_8_2_features);
	testclient_play((struct client_step[]){RING(0, 128), RING(1, 128),
					       CALL_FD(0), CALL_FD(1), END});
	testclient_play(qemu_8_2_memory);
	testclient_play(qemu_start);
	testclient_play(qemu_8_2_started);
}

Test(clients_qemu, qemu_8_2_pauses_and_goes_on)
{
	qemu_8_2_boot();
	testclient_play((struct client_step[]){
		SET_CONFIG(WCE_OFFSET, VHOST_USER_CONFIG_WRITABLE, 0), END});
	for (unsigned i = 0; i < 10; i++) {
		testclient_play(qemu_stop);
		testclient_play(qemu_8_2_stopped);
		cr_assert_eq(cache_switch(), 0);
		/* Memory and rings are what they were, and so are eventfds. */
		testclient_play(qemu_8_2_features);
		testclient_play(qemu_start);
		testclient_play(qemu_8_2_started);
		cr_assert_eq(cache_switch(), 0, "pause %u", i);
	}
}

Test(clients_qemu, qemu_8_2_reboots_by_a_reset)
{
	qemu_8_2_boot();
	testclient_play(qemu_stop);
	testclient_play(qemu_8_2_stopped);
	testclient_play((struct client_step[]){
		TELL(RESET_DEVICE),
		ASK_LACKING(GET_STATUS, 0xff),
		RING(0, 64),
		NUM(0, 64),
		BASE(0),
		ADDR(0),
		KICK_FD(0),
		ENABLE(0, 1),
		/* No features, no requests. */
		POST(0),
		QUIET(0),
		END,
	});
	testclient_play(qemu_8_2_features);
	testclient_play((struct client_step[]){REAP(0), IO(0), END});
}

/* A request that was posted while nobody was there is served. */
Test(clients_qemu, qemu_kicks_before_it_enables)
{
	qemu_boot();
	testclient_play(qemu_stop);
	testclient_play((struct client_step[]){
		NUM(0, 128),
		BASE(0),
		ADDR(0),
		POST(0),
		KICK_FD(0),
		QUIET(0),
		ENABLE(0, 1),
		REAP(0),
		IO(0),
		/* Disabled means that nothing happens, and is not forgotten. */
		ENABLE(0, 0),
		POST(0),
		QUIET(0),
		ENABLE(0, 1),
		REAP(0),
		END,
	});
}

Test(clients_qemu, qemu_shares_memory_in_one_table)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 2 * MIB);
	testclient_share(4096 * MIB, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient.mem.regions[0].used = 2 * MIB - 65536;
	testclient_play((struct client_step[]){
		CONNECT,
		ASK(GET_FEATURES, PROTOCOL),
		ASK(GET_PROTOCOL_FEATURES, CONFIG),
		TELL_U64(SET_PROTOCOL_FEATURES, MQ | CONFIG),
		ASK_NUMBER(GET_QUEUE_NUM, 2),
		TELL(SET_OWNER),
		ASK(GET_FEATURES, PROTOCOL),
		END,
	});
	testclient_play(qemu_realize);
	testclient_play(qemu_linux);
	testclient_play((struct client_step[]){MEM_TABLE, END});
	testclient_play(qemu_start);
	testclient_play(qemu_io);
	/* Memory was plugged in: a whole new table, while the rings run. */
	testclient_share(8192 * MIB, GUESTMEM_UVA_HOST, 8 * MIB);
	testclient_play((struct client_step[]){MEM_TABLE, IO(0), IO(1), END});
	testclient_play(qemu_stop);
}

/*
 * QEMU 11 may write to a kick itself, and would use guest addresses for rings
 * and send the in-flight region elsewhere if we offered that.
 */
Test(clients_qemu, qemu_11_kicks_for_no_reason)
{
	testclient_share(0, GUESTMEM_UVA_HOST, 16 * MIB);
	testclient_play(qemu_connect);
	testclient_play((struct client_step[]){
		ASK_LACKING(GET_PROTOCOL_FEATURES,
			    BIT(VHOST_USER_PROTOCOL_F_GPA_ADDRESSES) |
				    BIT(VHOST_USER_PROTOCOL_F_SHMEM) |
				    BIT(VHOST_USER_PROTOCOL_F_PAGEFAULT) |
				    BIT(VHOST_USER_PROTOCOL_F_XEN_MMAP)),
		END,
	});
	testclient_play(qemu_realize);
	testclient_play(qemu_linux);
	testclient_play((struct client_step[]){
		NEED_REPLY(1),
		ADD_REGION(0),
		NEED_REPLY(0),
		SPURIOUS_KICK(0),
		END,
	});
	testclient_play(qemu_start);
	for (unsigned i = 0; i < 20; i++)
		testclient_play((struct client_step[]){
			SPURIOUS_KICK(0),
			SPURIOUS_KICK(1),
			SPURIOUS_KICK(0),
			IO(i & 1),
			END,
		});
	testclient_play(qemu_stop);
	testclient_play((struct client_step[]){SPURIOUS_KICK(0), END});
	testclient_play(qemu_start);
	testclient_play(qemu_io);
}

/* -- User-mode Linux ----------------------------------------------------- */

#define UML_PHYS  0x13c7d000ULL
#define UML_SPLIT (4 * MIB)

static const struct client_step uml[] = {
	CONNECT,
	TELL(SET_OWNER),
	ASK(GET_FEATURES, PROTOCOL),
	ASK(GET_PROTOCOL_FEATURES, CONFIG | REPLY_ACK),
	/* The message that agrees on acks is the first to want one. */
	NEED_REPLY(1),
	TELL_U64(SET_PROTOCOL_FEATURES,
		 REPLY_ACK | CONFIG | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)),
	TELL_U64(SET_FEATURES, QEMU_LINUX),
	RING(0, 256),
	GET_CONFIG(0, 16, 0),
	GET_CONFIG(0, 36, 0),
	MEM_TABLE,
	CALL_FD(0),
	NUM(0, 256),
	BASE(0),
	ADDR(0),
	KICK_FD(0),
	ENABLE(0, 1),
	GET_CONFIG(0, 33, 0),
	GET_CONFIG(0, 12, 0),
	GET_CONFIG(0, 24, 0),
	GET_CONFIG(0, 25, 0),
	GET_CONFIG(0, 26, 0),
	GET_CONFIG(0, 28, 0),
	GET_CONFIG(0, 32, 0),
	GET_CONFIG(0, 48, 0),
	GET_CONFIG(0, 40, 0),
	GET_CONFIG(0, 44, 0),
	GET_CONFIG(0, 52, 0),
	GET_CONFIG(0, 8, 0),
	IO(0),
	ENABLE(0, 0),
	ASK(GET_FEATURES, PROTOCOL),
	HANG_UP,
	END,
};

Test(clients_qemu, user_mode_linux_wants_every_message_acknowledged)
{
	int fd = memfd_create("physmem", MFD_CLOEXEC);

	/* One file, in two regions whose addresses are the same everywhere. */
	cr_assert_eq(ftruncate(fd, UML_PHYS + 2 * UML_SPLIT), 0);
	cr_assert_geq(guestmem_add_fd(&testclient.mem, fd, UML_PHYS, UML_PHYS,
				      UML_PHYS, UML_SPLIT),
		      0);
	cr_assert_geq(guestmem_add_fd(&testclient.mem, fd, UML_PHYS + UML_SPLIT,
				      UML_PHYS + UML_SPLIT,
				      UML_PHYS + UML_SPLIT, UML_SPLIT),
		      0);
	close(fd);
	testclient_play(uml);
	/* It boots again, as another process. */
	testclient_play(uml);
}
