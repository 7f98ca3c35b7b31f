/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of all that is wrong with a configuration, each with its place. */
#include "daemon/config_errors.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define LOGGED 20 /* at most */

void config_errors_add(struct config_errors *errs, bool warning,
		       struct config_place place, const char *fmt, ...)
{
	char *file = NULL, *text = NULL;
	va_list ap;

	if (warning)
		errs->nr_warnings++;
	else
		errs->nr_errors++;
	if (errs->nr >= CONFIG_ERRORS_MAX)
		return;
	if (!errs->list) {
		errs->list = calloc(CONFIG_ERRORS_MAX, sizeof(*errs->list));
		if (!errs->list)
			return;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	file = strdup(place.file);
	/* Out of memory: it is counted, which is what decides. */
	if (!text || !file) {
		free(text);
		free(file);
		return;
	}
	place.file = file;
	errs->list[errs->nr++] = (struct config_error){.place = place,
						       .file = file,
						       .warning = warning,
						       .text = text};
}

static bool is_behind(const struct config_place *a,
		      const struct config_place *b, const char *first)
{
	int order = strcmp(a->file, b->file);

	if (order && !strcmp(a->file, first))
		return false;
	if (order && !strcmp(b->file, first))
		return true;
	if (order)
		return order > 0;
	if (a->line != b->line)
		return a->line > b->line;
	return a->column > b->column;
}

/* By insertion, for it keeps the order and the list is short and near sorted.
 */
void config_errors_sort(struct config_errors *errs, const char *first)
{
	for (size_t i = 1; i < errs->nr; i++) {
		struct config_error e = errs->list[i];
		size_t j = i;

		for (;
		     j && is_behind(&errs->list[j - 1].place, &e.place, first);
		     j--)
			errs->list[j] = errs->list[j - 1];
		errs->list[j] = e;
	}
}

void config_errors_line(const struct config_error *e, char *buf, size_t size)
{
	const char *warning = e->warning ? "warning: " : "";

	if (e->place.line)
		snprintf(buf, size, CONFIG_PLACE_FMT ": %s%s",
			 CONFIG_PLACE_ARGS(e->place), warning, e->text);
	else
		snprintf(buf, size, "%s: %s%s", e->place.file, warning,
			 e->text);
}

void config_errors_print(const struct config_errors *errs, FILE *out)
{
	size_t lost = (size_t)errs->nr_errors + errs->nr_warnings - errs->nr;
	char line[CONFIG_ERRORS_LINE];

	for (size_t i = 0; i < errs->nr; i++) {
		config_errors_line(&errs->list[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
	if (lost)
		fprintf(out, "and %zu more\n", lost);
}

void config_errors_log(const struct config_errors *errs, const char *tag)
{
	char line[CONFIG_ERRORS_LINE];

	for (size_t i = 0; i < errs->nr && i < LOGGED; i++) {
		config_errors_line(&errs->list[i], line, sizeof(line));
		if (errs->list[i].warning)
			log_warn(tag, "configuration is doubtful: %s", line);
		else
			log_err(tag, "configuration is wrong: %s", line);
	}
	if (errs->nr > LOGGED)
		log_err(tag, "configuration has more errors: vringd --check "
			     "prints them all");
}

void config_errors_fini(struct config_errors *errs)
{
	for (size_t i = 0; i < errs->nr; i++) {
		free(errs->list[i].file);
		free(errs->list[i].text);
	}
	free(errs->list);
	memset(errs, 0, sizeof(*errs));
}
