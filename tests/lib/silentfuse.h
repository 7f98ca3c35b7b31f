/* SPDX-License-Identifier: BSD-2-Clause */
/* A file on a file system whose server has stopped to answer. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

/*
 * Whoever reads, maps and touches, polls, asks for the size of, or closes such
 * a file waits until silentfuse_end().
 */
#define SILENTFUSE_SIZE 4096

struct silentfuse {
	int dev;  /* the server's end */
	int file; /* an open file; copies of it behave alike */
	char dir[32];
	char path[64]; /* of the file */
	pthread_t server;
	_Atomic int silent;
};

/*
 * Mounts it where only this thread and those it makes see it.  Returns 0 or
 * -errno: -EPERM to all but root.
 */
int silentfuse_begin(struct silentfuse *s);

/* The same in two steps: in between, files may be opened and looked at. */
int silentfuse_mount(struct silentfuse *s);
void silentfuse_silence(struct silentfuse *s);

/* Lets all who wait go on with an error, and closes. */
void silentfuse_end(struct silentfuse *s);
