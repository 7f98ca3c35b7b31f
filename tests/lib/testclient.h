/* SPDX-License-Identifier: BSD-2-Clause */
/* A target and one client of it, for tests that play scripts. */
#pragma once

#include "clientscript.h"
#include "testtarget.h"

#define BIT(n) (1ULL << (n))

#define MQ	  BIT(VHOST_USER_PROTOCOL_F_MQ)
#define REPLY_ACK BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define CONFIG	  BIT(VHOST_USER_PROTOCOL_F_CONFIG)
#define MEM_SLOTS BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)

#define VERSION_1  BIT(32)
#define PROTOCOL   BIT(VHOST_USER_F_PROTOCOL_FEATURES)
#define EVENT_IDX  BIT(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT   BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define FLUSH	   BIT(VIRTIO_BLK_F_FLUSH)
#define WCE	   BIT(VIRTIO_BLK_F_CONFIG_WCE)
#define EVERYTHING UINT64_MAX

#define NR_SECTORS 2048 /* of testtarget's 1 MiB */
#define MIB	   (1ULL << 20)

/* Where the write cache is switched in the configuration space. */
#define WCE_OFFSET 32

extern struct testtarget testclient_target;
extern struct client testclient;

/* Before and after each test: a target of 1 MiB, a client without memory. */
void testclient_begin(void);
void testclient_end(void);

/* Gives the client memory.  Failures end the test. */
void testclient_share(uint64_t gpa, uint64_t uva, uint64_t size);

/* Plays; what goes wrong ends the test. */
void testclient_play(const struct client_step *steps);
