/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzzed function over the files of its corpus. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define FILE_MAX 65536

static void run_file(const char *dir, const char *name, fuzz_target *target)
{
	char path[512];
	/* Exactly as long as the file, so that a sanitizer sees its end. */
	uint8_t *data = malloc(FILE_MAX);
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f || !data)
		abort();
	size = fread(data, 1, FILE_MAX, f);
	fclose(f);
	if (size)
		data = realloc(data, size);
	if (!data)
		abort();
	target(data, size);
	free(data);
}

unsigned fuzz_corpus(const char *name, fuzz_target *target)
{
	const char *top = getenv("top_srcdir");
	char dir[256];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", top ? top : ".",
		 name);
	d = opendir(dir);
	if (!d)
		return 0;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		run_file(dir, e->d_name, target);
		n++;
	}
	closedir(d);
	return n;
}
