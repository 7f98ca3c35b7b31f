/* SPDX-License-Identifier: BSD-2-Clause */
/* The types of values in a configuration: text to value and back. */
#include "daemon/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first, because printing takes the first that divides. */
static const struct unit size_units[] = {
	{"TiB", 1ULL << 40},
	{"GiB", 1ULL << 30},
	{"MiB", 1ULL << 20},
	{"KiB", 1ULL << 10},
	{"", 1},
	{NULL, 0},
};

static const struct unit count_units[] = {
	{"G", 1000000000}, {"M", 1000000}, {"k", 1000}, {"", 1}, {NULL, 0},
};

static const struct unit time_units[] = {
	{"s", 1000000},
	{"ms", 1000},
	{"us", 1},
	{NULL, 0},
};

static const char *const truths[] = {"on",    "true", "yes", "off",
				     "false", "no",   NULL};

/* Reads digits at *@text and moves it behind them; false if too large. */
static bool read_digits(const char **text, unsigned base, uint64_t *n)
{
	const char *p = *text;

	*n = 0;
	for (; *p >= '0' && *p < '0' + (int)base; p++) {
		if (__builtin_mul_overflow(*n, base, n) ||
		    __builtin_add_overflow(*n, (uint64_t)(*p - '0'), n))
			return false;
	}
	if (p == *text)
		return false;
	*text = p;
	return true;
}

/*
 * Reads digits and a unit, all of @text, into @n.  What begins with 0 is octal
 * to some readers of YAML and decimal to others, so it is nothing to us.
 */
static bool read_with_unit(const char *text, const struct unit *units,
			   uint64_t *n)
{
	if (text[0] == '0' && isdigit((unsigned char)text[1]))
		return false;
	if (!read_digits(&text, 10, n))
		return false;
	for (; units->name; units++)
		if (!strcmp(text, units->name))
			return !__builtin_mul_overflow(*n, units->factor, n);
	return false;
}

static void print_with_unit(uint64_t n, const struct unit *units, char *buf,
			    size_t size)
{
	/* 0 is a multiple of all units, but reads best with the smallest. */
	while (units[1].name && (!n || n % units->factor))
		units++;
	snprintf(buf, size, "%" PRIu64 "%s", n / units->factor, units->name);
}

static const struct unit *units_of(enum value_type type)
{
	switch (type) {
	case VALUE_SIZE:
	case VALUE_BLOCK:
		return size_units;
	case VALUE_TIME:
	case VALUE_POLL:
		return time_units;
	default:
		return count_units;
	}
}

static bool in_range(const struct value_rule *rule, uint64_t n)
{
	return n >= rule->min && n <= rule->max;
}

static void list_words(const char *const *words, char *buf, size_t size)
{
	size_t len = 0;

	for (; *words; words++) {
		const char *between = !len ? "" : words[1] ? ", " : " or ";

		len += (size_t)snprintf(buf + len, size - len, "%s%s", between,
					*words);
		if (len >= size)
			return;
	}
}

static void describe_range(const struct value_rule *rule, const char *what,
			   char *buf, size_t size)
{
	const struct unit *units = units_of(rule->type);
	char min[32], max[32];

	if (rule->type == VALUE_UINT || rule->type == VALUE_POWER) {
		snprintf(buf, size, "%s %" PRIu64 "..%" PRIu64, what, rule->min,
			 rule->max);
		return;
	}
	print_with_unit(rule->min, units, min, sizeof(min));
	print_with_unit(rule->max, units, max, sizeof(max));
	snprintf(buf, size, "%s %s..%s", what, min, max);
}

void value_describe(const struct value_rule *rule, char *buf, size_t size)
{
	switch (rule->type) {
	case VALUE_BOOL:
		snprintf(buf, size, "on or off");
		break;
	case VALUE_UINT:
		describe_range(rule, "an integer", buf, size);
		break;
	case VALUE_POWER:
		describe_range(rule, "a power of two", buf, size);
		break;
	case VALUE_SIZE:
		describe_range(rule, "a size such as 10GiB,", buf, size);
		break;
	case VALUE_BLOCK:
		snprintf(buf, size, "512, 4096 or auto");
		break;
	case VALUE_TIME:
		describe_range(rule, "a time such as 20ms,", buf, size);
		break;
	case VALUE_POLL:
		describe_range(rule, "auto, off or a time", buf, size);
		break;
	case VALUE_MODE:
		snprintf(buf, size, "an octal mode such as 0660");
		break;
	case VALUE_CPU:
		snprintf(buf, size, "a CPU number 0..%" PRIu64 " or auto",
			 rule->max);
		break;
	case VALUE_CPUS:
		snprintf(buf, size,
			 "a list of CPU numbers 0..%" PRIu64
			 " such as [0, 1] or 0-3, or auto",
			 rule->max);
		break;
	case VALUE_WORD:
		list_words(rule->words, buf, size);
		break;
	case VALUE_NAME:
		snprintf(buf, size,
			 "a name of %" PRIu64 "..%" PRIu64
			 " letters, digits, '.', '_' or '-', beginning with"
			 " a letter or digit",
			 rule->min, rule->max);
		break;
	case VALUE_TEXT:
		snprintf(buf, size,
			 "%" PRIu64 "..%" PRIu64 " printable ASCII characters",
			 rule->min, rule->max);
		break;
	case VALUE_PATH:
		snprintf(buf, size, "an absolute path");
		break;
	case VALUE_FILE:
		snprintf(buf, size, "a file name or an absolute path");
		break;
	}
}

static int find_word(const char *const *words, const char *text)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], text))
			return i;
	return -EINVAL;
}

static int parse_bool(const char *text, bool *field)
{
	for (int i = 0; truths[i]; i++) {
		if (!strcasecmp(truths[i], text)) {
			*field = i < 3;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_uint(const struct value_rule *rule, const char *text,
		      unsigned *field)
{
	uint64_t n;

	if (!read_with_unit(text, count_units, &n) || !in_range(rule, n))
		return -EINVAL;
	if (rule->type == VALUE_POWER && !is_power_of_two(n))
		return -EINVAL;
	*field = (unsigned)n;
	return 0;
}

static int parse_long(const struct value_rule *rule, const char *text,
		      uint64_t *field)
{
	uint64_t n;

	if (!read_with_unit(text, units_of(rule->type), &n) ||
	    !in_range(rule, n))
		return -EINVAL;
	*field = n;
	return 0;
}

static int parse_poll(const struct value_rule *rule, const char *text,
		      uint64_t *field)
{
	bool truth;

	if (!strcmp(text, "auto")) {
		*field = VALUE_POLL_AUTO;
		return 0;
	}
	if (parse_bool(text, &truth))
		return parse_long(rule, text, field);
	if (truth)
		return -EINVAL;
	*field = 0;
	return 0;
}

static int parse_block(const char *text, unsigned *field)
{
	uint64_t n = 0;

	if (strcmp(text, "auto")) {
		if (!read_with_unit(text, size_units, &n))
			return -EINVAL;
		if (n != 512 && n != 4096)
			return -EINVAL;
	}
	*field = (unsigned)n;
	return 0;
}

static int parse_mode(const char *text, unsigned *field)
{
	uint64_t n;

	/* YAML 1.2 writes 0o660. */
	if (text[0] == '0' && text[1] == 'o')
		text += 2;
	if (!read_digits(&text, 8, &n) || *text || n > 0777)
		return -EINVAL;
	*field = (unsigned)n;
	return 0;
}

static int parse_cpu(const struct value_rule *rule, const char *text,
		     int *field)
{
	uint64_t n;

	if (!strcmp(text, "auto")) {
		*field = -1;
		return 0;
	}
	if (!read_digits(&text, 10, &n) || *text || !in_range(rule, n))
		return -EINVAL;
	*field = (int)n;
	return 0;
}

bool value_cpus_has(const struct value_cpus *cpus, unsigned cpu)
{
	for (unsigned i = 0; i < cpus->nr; i++)
		if (cpus->cpu[i] == cpu)
			return true;
	return false;
}

static int insert_cpu(struct value_cpus *cpus, unsigned cpu)
{
	unsigned *grown = reallocarray(cpus->cpu, cpus->nr + 1, sizeof(*grown));
	unsigned i = cpus->nr;

	if (!grown)
		return -ENOMEM;
	for (; i && grown[i - 1] > cpu; i--)
		grown[i] = grown[i - 1];
	grown[i] = cpu;
	cpus->cpu = grown;
	cpus->nr++;
	return 0;
}

static int insert_range(struct value_cpus *cpus, uint64_t first, uint64_t last,
			struct value_why *why)
{
	for (uint64_t cpu = first; cpu <= last; cpu++) {
		if (value_cpus_has(cpus, (unsigned)cpu)) {
			snprintf(why->text, sizeof(why->text),
				 "each CPU once, but %" PRIu64
				 " is there twice",
				 cpu);
			return -EINVAL;
		}

		int err = insert_cpu(cpus, (unsigned)cpu);

		if (err)
			return err;
	}
	return 0;
}

/* Reads `2' or `2-3' at *@text. */
static bool read_range(const char **text, uint64_t *first, uint64_t *last)
{
	if (!read_digits(text, 10, first))
		return false;
	*last = *first;
	if (**text != '-')
		return true;
	++*text;
	return read_digits(text, 10, last);
}

int value_cpus_add(struct value_cpus *cpus, const char *text, uint64_t max,
		   struct value_why *why)
{
	uint64_t first, last;

	for (;;) {
		if (!read_range(&text, &first, &last) || last > max ||
		    first > last || (*text && *text != ',')) {
			snprintf(why->text, sizeof(why->text),
				 "a CPU number 0..%" PRIu64
				 " or a range such as 0-3",
				 max);
			return -EINVAL;
		}

		int err = insert_range(cpus, first, last, why);

		if (err || !*text)
			return err;
		for (text++; *text == ' '; text++)
			;
	}
}

static int parse_cpus(const struct value_rule *rule, const char *text,
		      struct value_cpus *field, struct value_why *why)
{
	struct value_cpus cpus = {.nr = 0};

	if (strcmp(text, "auto")) {
		int err = value_cpus_add(&cpus, text, rule->max, why);

		if (err) {
			free(cpus.cpu);
			return err;
		}
	}
	free(field->cpu);
	*field = cpus;
	return 0;
}

static int parse_word(const struct value_rule *rule, const char *text,
		      unsigned *field)
{
	int i = find_word(rule->words, text);

	/* YAML knows three ways to say on and off. */
	if (i < 0) {
		bool truth;

		if (parse_bool(text, &truth))
			return -EINVAL;
		i = find_word(rule->words, truth ? "on" : "off");
	}
	if (i < 0)
		return i;
	*field = (unsigned)i;
	return 0;
}

static bool is_name(const char *text)
{
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c >= 0x80 || !(isalnum(c) || strchr("._-", c)))
			return false;
	}
	return isalnum((unsigned char)*text);
}

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

/* Names in the file system may be UTF-8, but must not upset a terminal. */
bool value_is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static bool is_fitting_text(const struct value_rule *rule, const char *text)
{
	if (!in_range(rule, strlen(text)))
		return false;
	switch (rule->type) {
	case VALUE_NAME:
		return is_name(text);
	case VALUE_TEXT:
		return is_ascii(text);
	case VALUE_PATH:
		return value_is_printable(text) && *text == '/';
	default:
		return value_is_printable(text) && *text &&
		       (*text == '/' || !strchr(text, '/'));
	}
}

static int parse_text(const struct value_rule *rule, const char *text,
		      char **field)
{
	if (!is_fitting_text(rule, text))
		return -EINVAL;

	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int value_parse(const struct value_rule *rule, const char *text, void *field,
		struct value_why *why)
{
	value_describe(rule, why->text, sizeof(why->text));
	switch (rule->type) {
	case VALUE_BOOL:
		return parse_bool(text, field);
	case VALUE_UINT:
	case VALUE_POWER:
		return parse_uint(rule, text, field);
	case VALUE_SIZE:
	case VALUE_TIME:
		return parse_long(rule, text, field);
	case VALUE_POLL:
		return parse_poll(rule, text, field);
	case VALUE_BLOCK:
		return parse_block(text, field);
	case VALUE_MODE:
		return parse_mode(text, field);
	case VALUE_CPU:
		return parse_cpu(rule, text, field);
	case VALUE_CPUS:
		return parse_cpus(rule, text, field, why);
	case VALUE_WORD:
		return parse_word(rule, text, field);
	default:
		return parse_text(rule, text, field);
	}
}

static void print_cpus(const struct value_cpus *cpus, FILE *out)
{
	if (!cpus->nr) {
		fputs("auto", out);
		return;
	}
	for (unsigned i = 0; i < cpus->nr; i++)
		fprintf(out, "%s%u", i ? ", " : "[", cpus->cpu[i]);
	fputc(']', out);
}

/* A plain scalar must not look like YAML's own signs, nor like null. */
static bool is_plain(const char *text)
{
	if (!isalnum((unsigned char)*text) && *text != '/')
		return false;
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c >= 0x80 || !(isalnum(c) || strchr("/._+@-", c)))
			return false;
	}
	return strcasecmp(text, "null") != 0;
}

/* Reads one UTF-8 character, which libyaml has found to be valid. */
static const char *read_utf8(const char *p, unsigned *c)
{
	unsigned char lead = (unsigned char)*p++;

	*c = lead < 0x80 ? lead : lead & (lead < 0xe0 ? 0x1f : 0x0f);
	if (lead >= 0xf0)
		*c = lead & 0x07;
	for (; (*p & 0xc0) == 0x80; p++)
		*c = *c << 6 | (*p & 0x3f);
	return p;
}

/* Some characters above ASCII may not stand in YAML as they are. */
static void print_text(const char *text, FILE *out)
{
	unsigned c;

	if (is_plain(text)) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	while (*text) {
		text = read_utf8(text, &c);
		if (c >= 0x80)
			fprintf(out, "\\U%08X", c);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else
			fputc((int)c, out);
	}
	fputc('"', out);
}

static void print_number(const struct value_rule *rule, uint64_t n, FILE *out)
{
	char buf[32];

	print_with_unit(n, units_of(rule->type), buf, sizeof(buf));
	fputs(buf, out);
}

static void print_poll(const struct value_rule *rule, uint64_t us, FILE *out)
{
	if (us == VALUE_POLL_AUTO)
		fputs("auto", out);
	else if (!us)
		fputs("off", out);
	else
		print_number(rule, us, out);
}

void value_print(const struct value_rule *rule, const void *field, FILE *out)
{
	const unsigned *number = field;
	const char *const *text = field;

	switch (rule->type) {
	case VALUE_BOOL:
		fputs(*(const bool *)field ? "on" : "off", out);
		break;
	case VALUE_UINT:
	case VALUE_POWER:
		fprintf(out, "%u", *number);
		break;
	case VALUE_SIZE:
	case VALUE_TIME:
		print_number(rule, *(const uint64_t *)field, out);
		break;
	case VALUE_POLL:
		print_poll(rule, *(const uint64_t *)field, out);
		break;
	case VALUE_BLOCK:
		*number ? fprintf(out, "%u", *number) : fputs("auto", out);
		break;
	case VALUE_MODE:
		fprintf(out, "\"%04o\"", *number);
		break;
	case VALUE_CPU:
		*(const int *)field < 0 ? fputs("auto", out)
					: fprintf(out, "%u", *number);
		break;
	case VALUE_CPUS:
		print_cpus(field, out);
		break;
	case VALUE_WORD:
		fputs(rule->words[*number], out);
		break;
	default:
		if (*text)
			print_text(*text, out);
	}
}

bool value_is_text(const struct value_rule *rule)
{
	return rule->type >= VALUE_NAME;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool is_same_cpus(const struct value_cpus *a, const struct value_cpus *b)
{
	return a->nr == b->nr &&
	       (!a->nr || !memcmp(a->cpu, b->cpu, a->nr * sizeof(*a->cpu)));
}

bool value_equal(const struct value_rule *rule, const void *a, const void *b)
{
	switch (rule->type) {
	case VALUE_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case VALUE_UINT:
	case VALUE_POWER:
	case VALUE_BLOCK:
	case VALUE_MODE:
	case VALUE_WORD:
		return *(const unsigned *)a == *(const unsigned *)b;
	case VALUE_SIZE:
	case VALUE_TIME:
	case VALUE_POLL:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case VALUE_CPU:
		return *(const int *)a == *(const int *)b;
	case VALUE_CPUS:
		return is_same_cpus(a, b);
	case VALUE_NAME:
	case VALUE_TEXT:
	case VALUE_PATH:
	case VALUE_FILE:
		return is_same_text(*(const char *const *)a,
				    *(const char *const *)b);
	}
	return false;
}

void value_clear(const struct value_rule *rule, void *field)
{
	if (value_is_text(rule)) {
		char **text = field;

		free(*text);
		*text = NULL;
	} else if (rule->type == VALUE_CPUS) {
		struct value_cpus *cpus = field;

		free(cpus->cpu);
		cpus->cpu = NULL;
		cpus->nr = 0;
	}
}
