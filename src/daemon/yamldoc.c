/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A YAML text as a document of bounded size, free of what we do not use.
 *
 * The text is parsed twice.  The first pass sees events, one at a time, and
 * stops at the first thing that a configuration has no use for: an alias
 * would make a small text a large document, and anchors are gone by the time
 * libyaml has built one.  The second pass builds the document.
 */
#include "daemon/yamldoc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

struct scan {
	const char *file;
	const char *text;
	size_t len;
	struct config_errors *errs;
	unsigned documents;
	unsigned nodes;
	unsigned depth;
};

static int refuse(const struct scan *scan, yaml_mark_t mark, const char *what)
{
	config_errors_add(scan->errs, false, yamldoc_place(scan->file, mark),
			  "%s", what);
	return -EINVAL;
}

/* What probably led to what libyaml says. */
static const struct {
	const char *problem; /* its beginning */
	const char *hint;
} problems[] = {
	{"could not find expected ':'", "is the colon behind a key missing?"},
	{"did not find expected ',' or", "is a bracket not closed?"},
	{"did not find expected '-'", "is the indentation right?"},
	{"did not find expected key", "is the indentation right?"},
	{"found character that cannot", "does the value need quotes?"},
	{"found unexpected end of", "is a quote not closed?"},
	{"mapping values are not",
	 "is the blank behind a colon missing, or quotes around a value?"},
};

/* Does a tab indent line @line, counted from 0? */
static bool has_tab(const struct scan *scan, size_t line)
{
	const char *p = scan->text;
	const char *end = p + scan->len;

	for (; line && p < end; p++)
		line -= *p == '\n';
	for (; p < end && *p == ' '; p++)
		;
	return p < end && *p == '\t';
}

static const char *find_hint(const struct scan *scan, const char *problem,
			     size_t line)
{
	if (has_tab(scan, line))
		return "a tab cannot indent, use spaces";
	for (size_t i = 0; i < ARRAY_SIZE(problems); i++)
		if (!strncmp(problem, problems[i].problem,
			     strlen(problems[i].problem)))
			return problems[i].hint;
	return NULL;
}

/* What libyaml says is of two parts, and the mark of a bad byte is missing. */
static int report_parser(const yaml_parser_t *parser, const struct scan *scan)
{
	yaml_mark_t mark = parser->problem_mark;
	const char *problem = parser->problem ? parser->problem : "it is wrong";
	const char *context = parser->context;
	const char *hint = find_hint(scan, problem, mark.line);

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		mark = parser->mark;
	config_errors_add(scan->errs, false, yamldoc_place(scan->file, mark),
			  "this is not YAML: %s%s%s%s%s", problem,
			  context ? " " : "", context ? context : "",
			  hint ? "; " : "", hint ? hint : "");
	return -EINVAL;
}

static int check_node(struct scan *scan, const yaml_event_t *event,
		      const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return refuse(scan, event->start_mark,
			      "anchors (&name) are not allowed here");
	if (tag)
		return refuse(scan, event->start_mark,
			      "tags (!name) are not allowed here");
	if (++scan->nodes > YAMLDOC_NODES)
		return refuse(scan, event->start_mark,
			      "the file has too many values");
	return 0;
}

static int check_nesting(struct scan *scan, const yaml_event_t *event,
			 const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (++scan->depth > YAMLDOC_DEPTH)
		return refuse(scan, event->start_mark,
			      "values are nested too deeply");
	return check_node(scan, event, anchor, tag);
}

static int check_event(struct scan *scan, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++scan->documents > 1)
			return refuse(scan, event->start_mark,
				      "a second document is not allowed here");
		return 0;
	case YAML_ALIAS_EVENT:
		return refuse(scan, event->start_mark,
			      "aliases (*name) are not allowed here");
	case YAML_SCALAR_EVENT:
		return check_node(scan, event, event->data.scalar.anchor,
				  event->data.scalar.tag);
	case YAML_SEQUENCE_START_EVENT:
		return check_nesting(scan, event,
				     event->data.sequence_start.anchor,
				     event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return check_nesting(scan, event,
				     event->data.mapping_start.anchor,
				     event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		scan->depth--;
		return 0;
	default:
		return 0;
	}
}

static void set_input(yaml_parser_t *parser, const char *text, size_t len)
{
	yaml_parser_set_input_string(parser, (const unsigned char *)text, len);
}

static int scan_events(struct scan *scan)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	int err = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	set_input(&parser, scan->text, scan->len);
	while (!err && !end) {
		if (!yaml_parser_parse(&parser, &event)) {
			err = report_parser(&parser, scan);
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		err = check_event(scan, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return err;
}

int yamldoc_parse(yaml_document_t *doc, const char *file, const char *text,
		  size_t len, struct config_errors *errs)
{
	struct scan scan = {.file = file,
			    .text = text,
			    .len = len,
			    .errs = errs};
	yaml_parser_t parser;
	int err = scan_events(&scan);

	if (err)
		return err;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	set_input(&parser, text, len);
	if (!yaml_parser_load(&parser, doc))
		err = report_parser(&parser, &scan);
	yaml_parser_delete(&parser);
	return err;
}

/* Reads until the end or until @size is full; returns the bytes or -errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* Another than a regular file could block, or give something else each time. */
static int open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int err;

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st)	    ? -errno
	      : S_ISDIR(st.st_mode) ? -EISDIR
	      : S_ISREG(st.st_mode) ? 0
				    : -ENOTSUP;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int yamldoc_read(const char *path, size_t room, char **text, size_t *len)
{
	char *buf = malloc(room + 1);

	if (!buf)
		return -ENOMEM;

	int fd = open_regular(path);
	ssize_t n = fd < 0 ? fd : read_all(fd, buf, room + 1);

	if (fd >= 0)
		close(fd);
	if (n > (ssize_t)room)
		n = -EFBIG;
	/* Nobody means that: a disk was full, or it is being written. */
	if (n == 0)
		n = -ENODATA;
	if (n < 0) {
		free(buf);
		return (int)n;
	}
	*text = buf;
	*len = (size_t)n;
	return 0;
}
