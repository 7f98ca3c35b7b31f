/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be asked of the daemon, and a question taken apart. */
#pragma once

#include <json.h>
#include <stdbool.h>
#include <stddef.h>

#define COMMAND_VERSION 1

/* More than any command has. */
#define COMMAND_ARGUMENTS_MAX 4

enum command {
#define COMMAND(name, word, limit_s, arguments, help) COMMAND_##name,
#include "daemon/commands.def"
	NR_COMMANDS,
};

enum command_argument {
#define ARGUMENT(name, type, option, letter, word, help) ARGUMENT_##name,
#include "daemon/commands.def"
	NR_ARGUMENTS,
};

/* The arguments of a question: NULL or false where there is none. */
struct command_args {
#define COMMAND_TEXT(name) const char *name;
#define COMMAND_FLAG(name) bool name;
#define COMMAND_OWN(name)
#define ARGUMENT(name, type, option, letter, word, help) COMMAND_##type(name)
#include "daemon/commands.def"
#undef COMMAND_TEXT
#undef COMMAND_FLAG
#undef COMMAND_OWN
};

enum command_type {
	COMMAND_TYPE_TEXT,
	COMMAND_TYPE_FLAG,
	COMMAND_TYPE_OWN,
};

struct command_argument_row {
	const char *name;
	enum command_type type;
	size_t offset; /* in struct command_args, unless it is OWN */
	const char *option;
	char letter;
	const char *word;
	const char *help;
};

/* Unused places have neither bit. */
struct command_use {
	enum command_argument argument;
	bool taken;
	bool needed;
};

struct command_row {
	const char *word;
	unsigned limit_s;
	struct command_use uses[COMMAND_ARGUMENTS_MAX];
	const char *help;
};

extern const struct command_argument_row command_arguments[NR_ARGUMENTS];
extern const struct command_row commands[NR_COMMANDS];

/* A question; its texts belong to the JSON object it was read from. */
struct command_question {
	enum command command;
	struct command_args args;
};

/* What is wrong with a question. */
struct command_wrong {
	char text[160];
};

/*
 * Returns what is called @word, or NR_COMMANDS.
 *
 * Any thread.
 */
enum command command_find(const char *word);

/*
 * Returns how @command uses @argument, or NULL if it does not.
 *
 * Any thread.
 */
const struct command_use *command_use_of(enum command command,
					 enum command_argument argument);

/*
 * Takes apart @line.  Nothing unknown is let through, for it might change what
 * is asked.  Returns 0 and fills @q, or -EINVAL with the reason in @wrong.
 *
 * Any thread.
 */
int command_parse(struct command_question *q, struct json_object *line,
		  struct command_wrong *wrong);
