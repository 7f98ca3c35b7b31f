/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be asked of the daemon, and a question taken apart. */
#include "daemon/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define OFFSET_TEXT(name) offsetof(struct command_args, name)
#define OFFSET_FLAG(name) offsetof(struct command_args, name)
#define OFFSET_OWN(name)  0

const struct command_argument_row command_arguments[NR_ARGUMENTS] = {
#define ARGUMENT(name, type, option, letter, word, help) \
	{                                                \
		#name,                                   \
		COMMAND_TYPE_##type,                     \
		OFFSET_##type(name),                     \
		option,                                  \
		letter,                                  \
		word,                                    \
		help},
#include "daemon/commands.def"
};

#define NONE
#define NEEDS(name) {ARGUMENT_##name, true, true},
#define TAKES(name) {ARGUMENT_##name, true, false},
const struct command_row commands[NR_COMMANDS] = {
#define COMMAND(name, word, limit_s, arguments, help) \
	{word, limit_s, {arguments}, help},
#include "daemon/commands.def"
};

enum command command_find(const char *word)
{
	enum command c = 0;

	while (c < NR_COMMANDS && strcmp(commands[c].word, word))
		c++;
	return c;
}

const struct command_use *command_use_of(enum command command,
					 enum command_argument argument)
{
	const struct command_use *uses = commands[command].uses;

	for (unsigned i = 0; i < COMMAND_ARGUMENTS_MAX; i++)
		if (uses[i].taken && uses[i].argument == argument)
			return &uses[i];
	return NULL;
}

__attribute__((format(printf, 2, 3))) static int
explain(struct command_wrong *wrong, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(wrong->text, sizeof(wrong->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* The text of @o, or NULL if it is none or has a zero byte inside. */
static const char *text_of(struct json_object *o)
{
	if (!json_object_is_type(o, json_type_string))
		return NULL;

	const char *text = json_object_get_string(o);

	return strlen(text) == (size_t)json_object_get_string_len(o) ? text
								     : NULL;
}

static int read_version(struct json_object *value, struct command_wrong *wrong)
{
	if (json_object_is_type(value, json_type_int) &&
	    json_object_get_int64(value) == COMMAND_VERSION)
		return 0;
	return explain(wrong, "this daemon speaks version %d only",
		       COMMAND_VERSION);
}

static int read_command(struct command_question *q, struct json_object *value,
			struct command_wrong *wrong)
{
	const char *text = text_of(value);

	if (!text)
		return explain(wrong, "command must be a string");
	q->command = command_find(text);
	if (q->command == NR_COMMANDS)
		return explain(wrong, "unknown command %.64s", text);
	return 0;
}

/* What vringctl keeps to itself is unknown here. */
static const struct command_argument_row *find_argument(const char *name)
{
	for (unsigned i = 0; i < NR_ARGUMENTS; i++)
		if (command_arguments[i].type != COMMAND_TYPE_OWN &&
		    !strcmp(command_arguments[i].name, name))
			return &command_arguments[i];
	return NULL;
}

static int store_argument(struct command_args *args,
			  const struct command_argument_row *row,
			  struct json_object *value,
			  struct command_wrong *wrong)
{
	void *at = (char *)args + row->offset;

	if (row->type == COMMAND_TYPE_FLAG) {
		if (!json_object_is_type(value, json_type_boolean))
			return explain(wrong, "%s must be a boolean",
				       row->name);
		*(bool *)at = json_object_get_boolean(value);
		return 0;
	}

	const char *text = text_of(value);

	if (!text)
		return explain(wrong, "%s must be a string", row->name);
	*(const char **)at = text;
	return 0;
}

static int read_arguments(struct command_question *q, struct json_object *value,
			  struct command_wrong *wrong)
{
	if (!json_object_is_type(value, json_type_object))
		return explain(wrong, "arguments must be an object");
	json_object_object_foreach(value, key, argument)
	{
		const struct command_argument_row *row = find_argument(key);

		if (!row)
			return explain(wrong, "unknown argument %.64s", key);

		int err = store_argument(&q->args, row, argument, wrong);

		if (err)
			return err;
	}
	return 0;
}

static int read_member(struct command_question *q, const char *key,
		       struct json_object *value, struct command_wrong *wrong)
{
	if (!strcmp(key, "version"))
		return read_version(value, wrong);
	if (!strcmp(key, "command"))
		return read_command(q, value, wrong);
	if (!strcmp(key, "arguments"))
		return read_arguments(q, value, wrong);
	return explain(wrong, "unknown member %.64s", key);
}

/* The members come in any order, so this is for when all are read. */
static int check_arguments(const struct command_question *q,
			   struct json_object *given,
			   struct command_wrong *wrong)
{
	for (unsigned i = 0; i < NR_ARGUMENTS; i++) {
		const char *name = command_arguments[i].name;
		const struct command_use *use = command_use_of(q->command, i);
		bool is_given = json_object_object_get_ex(given, name, NULL);

		if (is_given && !use)
			return explain(wrong, "%s takes no %s",
				       commands[q->command].word, name);
		if (!is_given && use && use->needed)
			return explain(wrong, "%s needs a %s",
				       commands[q->command].word, name);
	}
	return 0;
}

int command_parse(struct command_question *q, struct json_object *line,
		  struct command_wrong *wrong)
{
	*q = (struct command_question){.command = NR_COMMANDS};
	if (!json_object_is_type(line, json_type_object))
		return explain(wrong, "the line is no JSON object");
	if (!json_object_object_get_ex(line, "version", NULL) ||
	    !json_object_object_get_ex(line, "command", NULL))
		return explain(wrong, "version and command are needed");
	json_object_object_foreach(line, key, value)
	{
		int err = read_member(q, key, value, wrong);

		if (err)
			return err;
	}
	return check_arguments(q, json_object_object_get(line, "arguments"),
			       wrong);
}
