/* SPDX-License-Identifier: BSD-2-Clause */
/* What the home and the workers of a target know, collected for control. */
#pragma once

#include "daemon/server.h"

/* A queue that is lent. */
struct served_queue {
	unsigned index;
	bool draining;
	struct queue_facts facts;

	/* private to served.c */
	struct mail mail;
	struct queue *queue;
	struct served *all;
};

/* What the home and the workers know of a target that is open. */
struct served {
	char reason[256];	/* what it waits for, or "" */
	enum loans_claim claim;
	bool connected;
	struct session_facts session;	/* when connected */
	struct memmap_region_facts *regions; /* nr_regions of them, or NULL */
	unsigned nr_regions;
	struct served_queue *queues;	/* nr_queues of them, or NULL */
	unsigned nr_queues;

	/* private to served.c */
	struct server *server;
	struct mail mail;
	unsigned pending;
	void (*done)(struct served *f);
};

/*
 * Fill @f, which is busy until done(@f) is called on the control thread, never
 * inside this call.  The server must not be freed meanwhile, closed or not.
 * served_fini() frees what @f then holds.
 */
void served_collect(struct server *s, struct served *f,
		    void (*done)(struct served *f));
void served_fini(struct served *f);
