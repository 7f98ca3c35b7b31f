/* SPDX-License-Identifier: BSD-2-Clause */
/* The types of values in a configuration: text to value and back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* CPU numbers, ascending, none twice; an empty list is written `auto'. */
struct value_cpus {
	unsigned nr;
	unsigned *cpu;
};

/* The C type of each is given by a VALUE_C_ macro below. */
enum value_type {
	VALUE_BOOL,  /* on, off, true, false, yes, no */
	VALUE_UINT,  /* 12, 5k */
	VALUE_POWER, /* a power of two */
	VALUE_SIZE,  /* bytes: 512, 4KiB */
	VALUE_BLOCK, /* a block size: 512, 4096; auto is 0 */
	VALUE_TIME,  /* microseconds: 50us, 2ms, 1s */
	VALUE_POLL,  /* a time; off is 0, auto is VALUE_POLL_AUTO */
	VALUE_MODE,  /* a file mode: 0660 */
	VALUE_CPU,   /* a CPU number; auto is -1 */
	VALUE_CPUS,  /* 0-3,5 or auto */
	VALUE_WORD,  /* the index of a word in a list */
	VALUE_NAME,  /* letters, digits, dot, underscore, hyphen */
	VALUE_TEXT,  /* printable ASCII */
	VALUE_PATH,  /* an absolute path */
	VALUE_FILE,  /* an absolute path, or a file name */
};

#define VALUE_C_BOOL  bool
#define VALUE_C_UINT  unsigned
#define VALUE_C_POWER unsigned
#define VALUE_C_SIZE  uint64_t
#define VALUE_C_BLOCK unsigned
#define VALUE_C_TIME  uint64_t
#define VALUE_C_POLL  uint64_t
#define VALUE_C_MODE  unsigned
#define VALUE_C_CPU   int
#define VALUE_C_CPUS  struct value_cpus
#define VALUE_C_WORD  unsigned
#define VALUE_C_NAME  char *
#define VALUE_C_TEXT  char *
#define VALUE_C_PATH  char *
#define VALUE_C_FILE  char *

#define VALUE_POLL_AUTO UINT64_MAX

/* What a value may be. */
struct value_rule {
	enum value_type type;
	uint64_t min; /* of the number, or of the length */
	uint64_t max;
	const char *const *words; /* VALUE_WORD: ends with NULL */
};

/* What was expected instead. */
struct value_why {
	char text[160];
};

/*
 * Reads @text into the C object at @field, whose type is that of the rule.  An
 * old value is replaced.  Returns 0, -EINVAL with @field unchanged and in @why
 * what was expected, or -ENOMEM.
 *
 * Any thread that owns @field.
 */
int value_parse(const struct value_rule *rule, const char *text, void *field,
		struct value_why *why);

/*
 * Adds a CPU number or a range of them, such as 2-3, to @cpus.  Returns 0, or
 * as value_parse().
 *
 * Any thread that owns @cpus.
 */
int value_cpus_add(struct value_cpus *cpus, const char *text, uint64_t max,
		   struct value_why *why);

/* Returns whether @cpu is in @cpus.  Any thread that owns @cpus. */
bool value_cpus_has(const struct value_cpus *cpus, unsigned cpu);

/*
 * Prints the value at @field so that value_parse() reads it again, as a YAML
 * scalar.  A text that is NULL is not printed.
 *
 * Any thread that owns @field.
 */
void value_print(const struct value_rule *rule, const void *field, FILE *out);

/*
 * Prints in words which values the rule allows.
 *
 * Any thread.
 */
void value_describe(const struct value_rule *rule, char *buf, size_t size);

/* Returns whether @text can be shown as it is: UTF-8, no control characters. */
bool value_is_printable(const char *text);

/* Returns whether a value of this type is a pointer to allocated text. */
bool value_is_text(const struct value_rule *rule);

/*
 * Returns whether the values at @a and @b, both of this rule's type, are the
 * same.
 *
 * Any thread that owns both.
 */
bool value_equal(const struct value_rule *rule, const void *a, const void *b);

/* Frees what the value at @field holds.  Any thread that owns @field. */
void value_clear(const struct value_rule *rule, void *field);
