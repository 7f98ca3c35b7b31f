/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reload did, or would do, as text for people. */
#include "ctl/diff.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl/print.h"

static const char *member(struct json_object *o, const char *key)
{
	const char *text =
		json_object_get_string(json_object_object_get(o, key));

	return text ? text : "";
}

/* What comes from outside must not move the cursor. */
static void put(const char *text)
{
	for (; *text; text++)
		putchar(iscntrl((unsigned char)*text) ? '?' : *text);
}

static size_t length(struct json_object *result, const char *key)
{
	struct json_object *list = json_object_object_get(result, key);

	return list ? json_object_array_length(list) : 0;
}

static struct json_object *item(struct json_object *result, const char *key,
				size_t i)
{
	return json_object_array_get_idx(json_object_object_get(result, key),
					 i);
}

static void put_line(struct json_object *text)
{
	put(json_object_get_string(text));
	putchar('\n');
}

static void print_texts(struct json_object *result, const char *key)
{
	for (size_t i = 0; i < length(result, key); i++)
		put_line(item(result, key, i));
}

/* added vm1 | changed vm1: limits.iops | removed vm1 (lingers): why */
static void print_change(struct json_object *c)
{
	const char *outcome = member(c, "outcome");
	const char *keys = member(c, "keys");
	const char *reason = member(c, "reason");

	printf("%-9s  %s", member(c, "change"), member(c, "target"));
	if (strcmp(outcome, "ok"))
		printf(" (%s)", outcome);
	if (*reason || *keys)
		fputs(": ", stdout);
	put(*reason ? reason : keys);
	putchar('\n');
}

/* grew vm1: 16 MiB -> 24 MiB | failed vm1: why, as nobody could look */
static void print_growth(struct json_object *g)
{
	const char *error = member(g, "error");
	bool told = json_object_get_boolean(json_object_object_get(g, "told"));
	bool has_client =
		json_object_get_boolean(json_object_object_get(g, "connected"));

	printf("%-9s  %s: ", *error ? "failed" : "grew", member(g, "name"));
	if (*error) {
		put(error);
		putchar('\n');
		return;
	}
	put(print_format("size", json_object_object_get(g, "old_size")).text);
	fputs(" -> ", stdout);
	put(print_format("size", json_object_object_get(g, "size")).text);
	puts(has_client && !told ? ", its VMM could not be told" : "");
}

static unsigned count(struct json_object *result, const char *key,
		      const char *value)
{
	unsigned n = 0;

	for (size_t i = 0; i < length(result, "changes"); i++)
		n += !strcmp(member(item(result, "changes", i), key), value);
	return n;
}

static void print_sum(struct json_object *result)
{
	static const char *const words[][2] = {
		{"change", "added"},	{"change", "removed"},
		{"change", "replaced"}, {"change", "changed"},
		{"outcome", "refused"}, {"outcome", "failed"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		printf("%u %s, ", count(result, words[i][0], words[i][1]),
		       words[i][1]);
	printf("%s unchanged\n", member(result, "unchanged"));
}

void diff_print(struct json_object *result)
{
	print_texts(result, "errors");
	print_texts(result, "warnings");
	if (length(result, "errors")) {
		puts("nothing changed");
		return;
	}
	for (size_t i = 0; i < length(result, "changes"); i++)
		print_change(item(result, "changes", i));
	for (size_t i = 0; i < length(result, "live"); i++)
		printf("%-9s  %s\n", "changed",
		       json_object_get_string(item(result, "live", i)));
	for (size_t i = 0; i < length(result, "restart"); i++)
		printf("%-9s  %s: restart vringd to change it\n", "refused",
		       json_object_get_string(item(result, "restart", i)));
	for (size_t i = 0; i < length(result, "grown"); i++)
		print_growth(item(result, "grown", i));
	print_sum(result);
	if (!json_object_get_boolean(json_object_object_get(result, "applied")))
		puts("this was a dry run: nothing changed");
}
