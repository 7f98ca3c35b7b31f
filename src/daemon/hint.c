/* SPDX-License-Identifier: BSD-2-Clause */
/* What somebody meant whose key or value is none of ours. */
#include "daemon/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "daemon/suggest.h"

static void offer(struct hint *h, const char *meant)
{
	snprintf(h->text, sizeof(h->text), ", did you mean %s?", meant);
}

/* Keys */

static const struct alias {
	enum config_scope scope;
	const char *written;
	const char *meant; /* NULL: see text */
	const char *text;
} aliases[] = {
#define MEANT(scope, written, key) {CONFIG_SCOPE_##scope, written, key, NULL},
#define SAYS(scope, written, text) {CONFIG_SCOPE_##scope, written, NULL, text},
#include "daemon/aliases.def"
#undef MEANT
#undef SAYS
};

static bool is_same_word(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		int x = *a == '_' ? '-' : tolower((unsigned char)*a);
		int y = *b == '_' ? '-' : tolower((unsigned char)*b);

		if (x != y)
			return false;
	}
	return *a == *b;
}

static const struct alias *find_alias(enum config_scope scope, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (aliases[i].scope == scope &&
		    is_same_word(aliases[i].written, text))
			return &aliases[i];
	return NULL;
}

/* Where a key of this name would be right. */
static const char *find_home(const char *text)
{
	static const char *const homes[] = {
		[CONFIG_SCOPE_TOP] = "the top of the file",
		[CONFIG_SCOPE_CONTROL] = "control",
		[CONFIG_SCOPE_TARGET] = "a target",
		[CONFIG_SCOPE_BACKEND] = "backend",
		[CONFIG_SCOPE_LIMITS] = "limits",
	};

	for (unsigned i = 0; i < CONFIG_KEYS; i++)
		if (!strcmp(config_keys[i].name, text))
			return homes[config_keys[i].scope];
	return NULL;
}

static const char *find_nearest(enum config_scope scope, const char *text)
{
	const char *nearest = NULL;

	for (unsigned i = 0; i < CONFIG_KEYS; i++)
		if (config_keys[i].scope == scope)
			suggest_offer(&nearest, text, config_keys[i].name);
	return nearest;
}

void hint_key(enum config_scope scope, const char *text, struct hint *h)
{
	const struct alias *a = find_alias(scope, text);
	const char *home = find_home(text);
	const char *nearest = find_nearest(scope, text);

	h->text[0] = '\0';
	if (a && a->meant)
		offer(h, a->meant);
	else if (a)
		snprintf(h->text, sizeof(h->text), ": %s", a->text);
	else if (!strcmp(text, "<<"))
		snprintf(h->text, sizeof(h->text),
			 ": merge keys are not allowed");
	else if (home)
		snprintf(h->text, sizeof(h->text),
			 " here, it belongs to %s", home);
	else if (nearest)
		offer(h, nearest);
}

/* Values */

struct spelling {
	const char *written; /* case does not count */
	const char *meant;
};

static const struct spelling sizes[] = {
	{"k", "KiB"},	{"ki", "KiB"},	{"kb", "KiB"},	{"kib", "KiB"},
	{"m", "MiB"},	{"mi", "MiB"},	{"mb", "MiB"},	{"mib", "MiB"},
	{"g", "GiB"},	{"gi", "GiB"},	{"gb", "GiB"},	{"gib", "GiB"},
	{"t", "TiB"},	{"ti", "TiB"},	{"tb", "TiB"},	{"tib", "TiB"},
	{"b", ""},	{"byte", ""},	{"bytes", ""},	{"", ""},
	{NULL, NULL},
};

static const struct spelling counts[] = {
	{"k", "k"}, {"m", "M"}, {"g", "G"}, {"", ""}, {NULL, NULL},
};

static const struct spelling times[] = {
	{"s", "s"},	  {"sec", "s"},	   {"secs", "s"},  {"second", "s"},
	{"seconds", "s"}, {"ms", "ms"},	   {"msec", "ms"}, {"msecs", "ms"},
	{"us", "us"},	  {"usec", "us"},  {"usecs", "us"}, {"\xc2\xb5s", "us"},
	{NULL, NULL},
};

static const struct spelling truths[] = {
	{"1", "on"},	   {"y", "on"},	      {"enable", "on"},
	{"enabled", "on"}, {"0", "off"},      {"n", "off"},
	{"none", "off"},   {"disable", "off"}, {"disabled", "off"},
	{NULL, NULL},
};

static const struct spelling polls[] = {
	{"on", "auto"},	      {"true", "auto"},	  {"yes", "auto"},
	{"adaptive", "auto"}, {"always", "10ms"}, {"0", "off"},
	{"0us", "off"},	      {"none", "off"},	  {"never", "off"},
	{"disabled", "off"},  {NULL, NULL},
};

static const char *find_spelling(const struct spelling *s, const char *text)
{
	for (; s->written; s++)
		if (!strcasecmp(s->written, text))
			return s->meant;
	return NULL;
}

static void offer_spelling(const struct spelling *s, const char *text,
			   struct hint *h)
{
	const char *meant = find_spelling(s, text);

	if (meant)
		offer(h, meant);
}

/* Offers digits and unit as they should be written, if that is then right. */
static void offer_number(const struct value_rule *rule,
			 const struct spelling *units, const char *text,
			 struct hint *h)
{
	uint64_t room;
	struct value_why why;
	char meant[40];
	const char *unit;
	size_t digits;

	for (; *text == '0' && isdigit((unsigned char)text[1]); text++)
		;
	digits = strspn(text, "0123456789");
	unit = find_spelling(units, text + digits + strspn(text + digits, " "));
	if (!digits || digits > 20 || !unit)
		return;
	snprintf(meant, sizeof(meant), "%.*s%s", (int)digits, text, unit);
	if (!value_parse(rule, meant, &room, &why))
		offer(h, meant);
}

/* Programs write the number in decimal: 384 is 0600. */
static void offer_mode(const char *text, struct hint *h)
{
	char *end, meant[8];
	unsigned long mode = strtoul(text, &end, 10);

	if (end == text || *end || (mode & ~0777UL) || (mode & 0600) != 0600)
		return;
	snprintf(meant, sizeof(meant), "%04lo", mode);
	offer(h, meant);
}

/* "INFO", "warning" and "inof" alike. */
static void offer_word(const char *const *words, const char *text,
		       struct hint *h)
{
	const char *nearest = NULL;

	for (const char *const *w = words; *w; w++) {
		size_t len = strlen(*w);

		if (len >= 3 && !strncasecmp(*w, text, len)) {
			offer(h, *w);
			return;
		}
		suggest_offer(&nearest, text, *w);
	}
	if (nearest)
		offer(h, nearest);
}

/* For words that are a switch, and more. */
static void offer_switch(const char *const *words, const char *text,
			 struct hint *h)
{
	for (const char *const *w = words; *w; w++)
		if (!strcmp(*w, "on"))
			offer_spelling(truths, text, h);
}

void hint_value(const struct value_rule *rule, const char *text, struct hint *h)
{
	h->text[0] = '\0';
	switch (rule->type) {
	case VALUE_BOOL:
		offer_spelling(truths, text, h);
		break;
	case VALUE_UINT:
	case VALUE_POWER:
		offer_number(rule, counts, text, h);
		break;
	case VALUE_SIZE:
	case VALUE_BLOCK:
		offer_number(rule, sizes, text, h);
		break;
	case VALUE_TIME:
		offer_number(rule, times, text, h);
		break;
	case VALUE_POLL:
		offer_number(rule, times, text, h);
		offer_spelling(polls, text, h);
		break;
	case VALUE_MODE:
		offer_mode(text, h);
		break;
	case VALUE_WORD:
		offer_word(rule->words, text, h);
		offer_switch(rule->words, text, h);
		break;
	default:
		break;
	}
}
