/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VMM must be told to use a target. */
#pragma once

#include <stdbool.h>

enum client_kind {
#define CLIENT(name, word) CLIENT_##name,
#include "daemon/clients.def"
#undef CLIENT
	CLIENT_NR_KINDS,
};

struct client_facts {
	const char *name;
	const char *socket;
	const char *serial;
	unsigned queues;	/* at most so many */
	unsigned queue_size;	/* the same; a power of two */
	bool packed;		/* packed rings are offered */
	bool read_only;
	bool any_memory;	/* guest memory may be in any file */
};

/* Returns what is called @word, or CLIENT_NR_KINDS.  Any thread. */
enum client_kind client_find(const char *word);

/* The words of all, for a message: "qemu, libvirt, ...".  Any thread. */
const char *client_words(void);

/*
 * Returns lines to be copied, for a shell or, for libvirt, as XML, with what is
 * to be known as comments; the caller frees them.  NULL without memory.
 *
 * Any thread.
 */
char *client_text(const struct client_facts *f, enum client_kind kind);
