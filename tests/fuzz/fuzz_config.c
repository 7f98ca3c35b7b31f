/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any text is read as a configuration: it is refused with a reason, or what is
 * printed of it is read again and is the same.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"
#include "daemon/config_print.h"
#include "fuzz.h"

/* The configuration in @text as it is printed, or NULL. */
static char *reprint(const char *text, size_t text_len, size_t *len)
{
	struct config_errors errs = {0};
	struct config *c = NULL;
	char *out = NULL;
	int ret = config_parse("fuzz", text, text_len, &c, &errs);

	assert((ret == 0) == (errs.nr_errors == 0));
	assert((ret == 0) == (c != NULL));
	if (c) {
		FILE *f = open_memstream(&out, len);

		config_print(c, f);
		fclose(f);
	}
	config_free(c);
	config_errors_fini(&errs);
	return out;
}

int fuzz_config(const uint8_t *data, size_t size)
{
	size_t first_len, second_len;
	char *first = reprint((const char *)data, size, &first_len);

	if (!first)
		return 0;

	char *second = reprint(first, first_len, &second_len);

	assert(second && strcmp(first, second) == 0);
	free(first);
	free(second);
	return 0;
}
