/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configurations of any bytes.  What is refused must be explained, and what
 * is accepted must keep its promises, be printed, and read again as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"
#include "daemon/config_print.h"
#include "fuzz.h"

static void expect(bool promise)
{
	if (!promise)
		abort();
}

/* All that the daemon relies on. */
static void check_target(const struct config_target *t)
{
	const struct config_backend *b = &t->backend;

	expect(t->place.line && *t->name && *t->serial);
	expect(*t->socket == '/' && strlen(t->socket) < 108);
	expect(strlen(t->serial) <= 20);
	expect(t->queues >= 1 && t->queues <= 256);
	expect(t->queue_size >= 2 && t->queue_size <= 32768);
	expect(t->seg_max >= 1);
	expect(t->read_only == b->read_only);
	expect((b->kind == CONFIG_KIND_FILE) == (b->path != NULL));
	expect((b->kind == CONFIG_KIND_FILE) == !b->size);
	expect(b->size % 512 == 0);
	expect(t->limits.burst_us >= 1000 && t->limits.burst_us <= 60000000);
}

static char *print(const struct config *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	config_print(c, f);
	fclose(f);
	return text;
}

static void check_accepted(const struct config *c)
{
	struct config_errors errs = {.nr = 0};
	struct config *again = NULL;
	char *once = print(c);

	for (unsigned i = 0; i < c->nr_targets; i++)
		check_target(&c->targets[i]);
	expect(config_nr_workers(c) >= 1);
	expect(!config_parse("again", once, strlen(once), &again, &errs));

	char *twice = print(again);

	expect(!strcmp(once, twice));
	free(once);
	free(twice);
	config_put(again);
	config_errors_fini(&errs);
}

static void check_refused(const struct config_errors *errs)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	config_errors_print(errs, f);
	fclose(f);
	expect(errs->nr_errors && errs->nr);
	/* No byte of the input reaches the terminal as it is. */
	for (size_t i = 0; i < len; i++)
		expect(text[i] == '\n' || (text[i] & 0xe0));
	free(text);
}

int fuzz_config(const uint8_t *data, size_t size)
{
	struct config_errors errs = {.nr = 0};
	struct config *c = NULL;

	if (config_parse("f", (const char *)data, size, &c, &errs))
		check_refused(&errs);
	else
		check_accepted(c);
	config_put(c);
	config_errors_fini(&errs);
	return 0;
}
