/* SPDX-License-Identifier: BSD-2-Clause */
/* Any answer as text for people: labels, tables, units. */
#include "ctl/print.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static bool ends_with(const char *text, const char *end)
{
	size_t lt = strlen(text), le = strlen(end);

	return lt >= le && !strcmp(text + lt - le, end);
}

static void format_size(struct print_cell *c, uint64_t n)
{
	static const char *const units[] = {"B",   "KiB", "MiB",
					    "GiB", "TiB", "PiB"};
	unsigned u = 0;
	double d = (double)n;

	for (; d >= 1024 && u < ARRAY_SIZE(units) - 1; u++)
		d /= 1024;
	if (n % (1ULL << 10 * u))
		snprintf(c->text, sizeof(c->text), "%.1f %s", d, units[u]);
	else
		snprintf(c->text, sizeof(c->text), "%" PRIu64 " %s",
			 n >> 10 * u, units[u]);
}

static void format_time(struct print_cell *c, uint64_t s)
{
	uint64_t days = s / 86400;

	snprintf(c->text, sizeof(c->text), "%" PRIu64 " days %02u:%02u:%02u",
		 days, (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60),
		 (unsigned)(s % 60));
}

/* A duration of @us microseconds, in the unit that leaves few digits. */
static void format_us(struct print_cell *c, uint64_t us)
{
	static const struct {
		uint64_t us;
		const char *name;
	} units[] = {{1000000, "s"}, {1000, "ms"}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (us < units[i].us)
			continue;
		snprintf(c->text, sizeof(c->text), "%.4g %s",
			 (double)us / (double)units[i].us, units[i].name);
		return;
	}
	snprintf(c->text, sizeof(c->text), "%" PRIu64 " us", us);
}

static void format_number(struct print_cell *c, const char *key, uint64_t n)
{
	if (ends_with(key, "uptime_s"))
		format_time(c, n);
	else if (ends_with(key, "_us"))
		format_us(c, n);
	else if (ends_with(key, "features"))
		snprintf(c->text, sizeof(c->text), "0x%" PRIx64, n);
	else if (!strcmp(key, "size") || !strcmp(key, "old_size") ||
		 !strcmp(key, "bytes") ||
		 !strcmp(key, "page_size") || ends_with(key, "bandwidth"))
		format_size(c, n);
	else
		snprintf(c->text, sizeof(c->text), "%" PRIu64, n);
}

/* What comes from outside the daemon must not move the cursor. */
static void clean(struct print_cell *c)
{
	for (char *p = c->text; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
}

struct print_cell print_format(const char *key, struct json_object *v)
{
	struct print_cell c = {.text = "-"};
	int64_t n;

	switch (json_object_get_type(v)) {
	case json_type_null:
		break;
	case json_type_boolean:
		strcpy(c.text, json_object_get_boolean(v) ? "yes" : "no");
		break;
	case json_type_int:
		n = json_object_get_int64(v);
		if (n < 0)
			snprintf(c.text, sizeof(c.text), "%" PRId64, n);
		else
			format_number(&c, key, json_object_get_uint64(v));
		break;
	default:
		snprintf(c.text, sizeof(c.text), "%s",
			 json_object_get_string(v));
		clean(&c);
	}
	return c;
}

/* Takes @end off a text that has it. */
static bool chop(char *text, const char *end)
{
	if (!ends_with(text, end))
		return false;
	text[strlen(text) - strlen(end)] = '\0';
	return true;
}

/*
 * A key as a label: uptime_s is "uptime", read_us is "read time"; over a column
 * p50_us is "P50".
 */
static struct print_cell format_label(const char *key, bool upper)
{
	struct print_cell c;

	snprintf(c.text, sizeof(c.text), "%s", key);
	if (chop(c.text, "_us") && !upper)
		strcat(c.text, "_time");
	chop(c.text, "_s");
	for (char *p = c.text; *p; p++) {
		if (*p == '_')
			*p = upper ? '-' : ' ';
		else if (upper)
			*p = (char)toupper((unsigned char)*p);
	}
	return c;
}

static bool is_nested(struct json_object *v)
{
	return json_object_is_type(v, json_type_object) ||
	       json_object_is_type(v, json_type_array);
}

static bool has_nested(struct json_object *o)
{
	json_object_object_foreach(o, key, v)
	{
		(void)key;
		if (is_nested(v))
			return true;
	}
	return false;
}

#define COLUMNS_MAX 24
#define LINE_WIDTH  78

/* A list of flat objects with the members of the first as columns. */
struct table {
	struct json_object *rows;
	unsigned nr;
	const char *key[COLUMNS_MAX];
	int width[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
};

/* Width of the column of @key: that of its title or of its widest value. */
static int column_width(struct json_object *rows, const char *key)
{
	size_t width = strlen(format_label(key, true).text);

	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		struct json_object *v = json_object_object_get(row, key);

		width = MAX(width, strlen(print_format(key, v).text));
	}
	return (int)width;
}

/* Numbers stand at the right, and what is no number in some rows. */
static bool is_number_column(struct json_object *rows, const char *key)
{
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		if (json_object_is_type(json_object_object_get(row, key),
					json_type_int))
			return true;
	}
	return false;
}

static void lay_out(struct table *t, struct json_object *rows)
{
	struct json_object *first = json_object_array_get_idx(rows, 0);

	t->rows = rows;
	t->nr = 0;
	json_object_object_foreach(first, key, v)
	{
		(void)v;
		if (t->nr == COLUMNS_MAX)
			break;
		t->key[t->nr] = key;
		t->width[t->nr] = column_width(rows, key);
		t->right[t->nr] = is_number_column(rows, key);
		t->nr++;
	}
}

/* Prints one line of the table, or its head if @row is NULL. */
static void print_row(const struct table *t, struct json_object *row,
		      int indent)
{
	printf("%*s", indent, "");
	for (unsigned i = 0; i < t->nr; i++) {
		const char *key = t->key[i];
		struct print_cell c = format_label(key, true);
		bool last = i == t->nr - 1;

		if (row)
			c = print_format(key, json_object_object_get(row, key));
		if (t->right[i])
			printf("%*s", t->width[i], c.text);
		else
			printf("%-*s", last ? 0 : t->width[i], c.text);
		fputs(last ? "\n" : "  ", stdout);
	}
}

static void print_table(struct json_object *rows, int indent)
{
	struct table t;

	lay_out(&t, rows);
	print_row(&t, NULL, indent);
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		print_row(&t, json_object_array_get_idx(rows, i), indent);
}

static void print_object(struct json_object *o, int indent);

/* A list of plain values: as many in a line as fit. */
static void print_words(struct json_object *list, int indent)
{
	size_t n = json_object_array_length(list);
	int column = indent;

	printf("%*s", indent, "");
	for (size_t i = 0; i < n; i++) {
		struct print_cell c =
			print_format("", json_object_array_get_idx(list, i));
		int width = (int)strlen(c.text) + (i + 1 < n);

		if (column > indent && column + 1 + width > LINE_WIDTH) {
			printf("\n%*s", indent, "");
			column = indent;
		}
		column += printf("%s%s%s", column > indent ? " " : "", c.text,
				 i + 1 < n ? "," : "");
	}
	putchar('\n');
}

/* A list of flat objects is a table; others are printed one after another. */
static void print_list(struct json_object *list, int indent)
{
	size_t n = json_object_array_length(list);
	struct json_object *first = json_object_array_get_idx(list, 0);

	if (!n) {
		printf("%*snone\n", indent, "");
		return;
	}
	if (!json_object_is_type(first, json_type_object)) {
		print_words(list, indent);
		return;
	}
	if (!has_nested(first)) {
		print_table(list, indent);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (i)
			putchar('\n');
		if (json_object_is_type(o, json_type_object))
			print_object(o, indent);
	}
}

static int label_width(struct json_object *o)
{
	size_t width = 0;

	json_object_object_foreach(o, key, v)
	{
		if (!is_nested(v))
			width = MAX(width,
				    strlen(format_label(key, false).text));
	}
	return (int)width;
}

static void print_object(struct json_object *o, int indent)
{
	int width = label_width(o);

	json_object_object_foreach(o, key, v)
	{
		struct print_cell label = format_label(key, false);

		printf("%*s", indent, "");
		if (!is_nested(v)) {
			printf("%-*s  %s\n", width, label.text,
			       print_format(key, v).text);
			continue;
		}
		printf("%s:\n", label.text);
		if (json_object_is_type(v, json_type_object))
			print_object(v, indent + 2);
		else
			print_list(v, indent + 2);
	}
}

/* Text of several lines, as it is but for what would move the cursor. */
static void print_text(const char *text)
{
	for (const char *p = text; *p; p++)
		putchar(iscntrl((unsigned char)*p) && *p != '\n' && *p != '\t'
				? '?'
				: *p);
	if (*text && text[strlen(text) - 1] != '\n')
		putchar('\n');
}

void print_result(struct json_object *result)
{
	if (json_object_is_type(result, json_type_string))
		print_text(json_object_get_string(result));
	else if (json_object_is_type(result, json_type_object))
		print_object(result, 0);
	else if (json_object_is_type(result, json_type_array))
		print_list(result, 0);
	else
		printf("%s\n", print_format("", result).text);
}
