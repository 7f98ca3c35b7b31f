/* SPDX-License-Identifier: BSD-2-Clause */
/* A YAML document along the table of keys, into a configuration. */
#include "daemon/config_read.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/hint.h"
#include "daemon/yamldoc.h"

struct reader {
	struct config_reading *all;
	struct config *config;	    /* that of all */
	struct config_errors *errs; /* the same */
	yaml_document_t *doc;
	const char *file;
	bool is_included;
	char path[32]; /* of the mapping: `targets[2].' */
	int err;       /* -ENOMEM: give up */
};

/* A value from the file as it may stand in a message. */
struct quoted {
	char text[64];
};

static struct quoted quote(const yaml_node_t *node)
{
	const unsigned char *p = node->data.scalar.value;
	const unsigned char *end = p + node->data.scalar.length;
	struct quoted q = {.text = "\""};
	size_t n = 1;

	for (; p < end && n < sizeof(q.text) - 8; p++)
		n += (size_t)snprintf(q.text + n, 5,
				      *p < 0x20 || *p > 0x7e ? "\\x%02x" : "%c",
				      *p);
	strcpy(q.text + n, p < end ? "\"..." : "\"");
	return q;
}

static struct config_place place_of(const struct reader *r,
				    const yaml_node_t *node)
{
	return yamldoc_place(r->file, node->start_mark);
}

__attribute__((format(printf, 4, 5))) static void report(struct reader *r,
							 const yaml_node_t *at,
							 const char *key,
							 const char *fmt, ...)
{
	char text[PATH_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	config_errors_add(r->errs, false, place_of(r, at), "%s%s: %s", r->path,
			  key, text);
}

/* The ways to leave a value out, of which null is a kind of backend too. */
static bool is_nothing(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	if (node->type != YAML_SCALAR_NODE ||
	    node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	return !*text || !strcmp(text, "~") || !strcmp(text, "null") ||
	       !strcmp(text, "Null") || !strcmp(text, "NULL");
}

static const char *scalar_text(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	/* "\0" is YAML, but would end the text for us. */
	if (strlen(text) != node->data.scalar.length)
		return NULL;
	return text;
}

static void report_value_and_hint(struct reader *r, const yaml_node_t *node,
				  const char *key, const char *expected,
				  const char *hint)
{
	if (node->type == YAML_SEQUENCE_NODE)
		report(r, node, key, "expected %s, got a list", expected);
	else if (node->type == YAML_MAPPING_NODE)
		report(r, node, key, "expected %s, got a mapping", expected);
	else if (is_nothing(node))
		report(r, node, key, "expected %s, got nothing", expected);
	else
		report(r, node, key, "expected %s, got %s%s", expected,
		       quote(node).text, hint);
}

static void report_value(struct reader *r, const yaml_node_t *node,
			 const char *key, const char *expected)
{
	report_value_and_hint(r, node, key, expected, "");
}

/* Reads [0, 2-3]; returns 0, -EINVAL with the error reported, or -ENOMEM. */
static int read_cpu_list(struct reader *r, const struct config_key *key,
			 const yaml_node_t *list, struct value_cpus *field)
{
	struct value_why why;
	const yaml_node_item_t *item = list->data.sequence.items.start;

	value_clear(&key->rule, field);
	if (item == list->data.sequence.items.top) {
		report(r, list, key->name, "expected a CPU, got an empty list");
		return -EINVAL;
	}
	for (; item < list->data.sequence.items.top; item++) {
		const yaml_node_t *node = yaml_document_get_node(r->doc, *item);
		const char *text = node->type == YAML_SCALAR_NODE
					   ? scalar_text(node)
					   : NULL;
		int err = value_cpus_add(field, text ? text : "", key->rule.max,
					 &why);

		if (err == -EINVAL)
			report_value(r, node, key->name, why.text);
		if (err)
			return err;
	}
	return 0;
}

static int read_scalar(struct reader *r, const struct config_key *key,
		       const yaml_node_t *node, void *field)
{
	bool is_empty = is_nothing(node) && key->rule.type != VALUE_WORD;
	struct hint hint = {""};
	struct value_why why;
	const char *text = NULL;
	int err = -EINVAL;

	value_describe(&key->rule, why.text, sizeof(why.text));
	if (node->type == YAML_SCALAR_NODE && !is_empty)
		text = scalar_text(node);
	if (text) {
		err = value_parse(&key->rule, text, field, &why);
		hint_value(&key->rule, text, &hint);
	}
	if (err == -EINVAL)
		report_value_and_hint(r, node, key->name, why.text, hint.text);
	return err;
}

/* Reads the value of a key that is no section into @object. */
static bool read_value(struct reader *r, const struct config_key *key,
		       const yaml_node_t *node, void *object)
{
	void *field = config_keys_field(key, object);
	int err;

	if (key->rule.type == VALUE_CPUS && node->type == YAML_SEQUENCE_NODE)
		err = read_cpu_list(r, key, node, field);
	else
		err = read_scalar(r, key, node, field);
	if (err == -ENOMEM)
		r->err = err;
	return !err;
}

static bool read_targets(struct reader *r, const yaml_node_t *list);
static bool read_backend(struct reader *r, const yaml_node_t *node,
			 struct config_target *t, struct config_places *places);
static bool read_mapping(struct reader *r, const yaml_node_t *node,
			 enum config_scope scope, void *object,
			 struct config_places *places);

/* Reads the mapping that @key stands for; @object is what has the key. */
static bool read_map(struct reader *r, const struct config_key *key,
		     const yaml_node_t *node, void *object,
		     struct config_places *places)
{
	bool is_limits = key->child == CONFIG_SCOPE_LIMITS;
	size_t len = strlen(r->path);

	if (node->type != YAML_MAPPING_NODE) {
		report_value(r, node, key->name,
			     is_limits ? "a mapping such as {iops: 5000}"
				       : "a mapping such as {group: vringd}");
		return false;
	}
	if (is_limits)
		object = &((struct config_target *)object)->limits;
	snprintf(r->path + len, sizeof(r->path) - len, "%s.", key->name);
	read_mapping(r, node, key->child, object, places);
	r->path[len] = '\0';
	return true;
}

static bool read_include(struct reader *r, const yaml_node_t *node)
{
	struct config_reading *all = r->all;
	const char *text =
		node->type == YAML_SCALAR_NODE ? scalar_text(node) : NULL;
	struct config_include *list;

	if (!text || !*text || is_nothing(node) || !value_is_printable(text)) {
		report_value(r, node, "include",
			     "a file or a pattern such as conf.d/*.yaml");
		return false;
	}
	list = reallocarray(all->includes, all->nr_includes + 1, sizeof(*list));
	if (list) {
		all->includes = list;
		list += all->nr_includes;
		list->place = place_of(r, node);
		list->name = strdup(text);
	}
	if (!list || !list->name) {
		r->err = -ENOMEM;
		return false;
	}
	all->nr_includes++;
	return true;
}

static bool read_includes(struct reader *r, const yaml_node_t *node)
{
	bool good = true;

	/* All of them may be commented out. */
	if (is_nothing(node))
		return true;
	if (node->type != YAML_SEQUENCE_NODE)
		return read_include(r, node);
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top && !r->err; item++)
		good &= read_include(r, yaml_document_get_node(r->doc, *item));
	return good;
}

static bool read_section(struct reader *r, const struct config_key *key,
			 const yaml_node_t *node, void *object,
			 struct config_places *places)
{
	switch (key->form) {
	case CONFIG_FORM_VALUE:
		return read_value(r, key, node, object);
	case CONFIG_FORM_MAP:
		return read_map(r, key, node, object, places);
	case CONFIG_FORM_LIST:
		return read_targets(r, node);
	case CONFIG_FORM_FILES:
		return read_includes(r, node);
	case CONFIG_FORM_MAP_OR_PATH:
		return read_backend(r, node, object, places);
	}
	return false;
}

static void report_unknown(struct reader *r, const yaml_node_t *node,
			   enum config_scope scope)
{
	const char *text = scalar_text(node);
	struct quoted q = quote(node);
	struct hint hint = {""};

	/* The place is shown like that of a known key where it can be. */
	if (text && *text &&
	    !text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
			       "0123456789_-")])
		snprintf(q.text, sizeof(q.text), "%s", text);
	if (text)
		hint_key(scope, text, &hint);
	report(r, node, q.text, "unknown key%s", hint.text);
}

static const struct config_key *find_key(enum config_scope scope,
					 const yaml_node_t *node)
{
	const char *text = scalar_text(node);

	for (unsigned i = 0; text && i < CONFIG_KEYS; i++)
		if (config_keys[i].scope == scope &&
		    !strcmp(config_keys[i].name, text))
			return &config_keys[i];
	return NULL;
}

static void read_pair(struct reader *r, const yaml_node_t *name,
		      const yaml_node_t *value, enum config_scope scope,
		      void *object, struct config_places *places)
{
	if (name->type != YAML_SCALAR_NODE) {
		report_value(r, name, "key", "a name");
		return;
	}

	const struct config_key *key = find_key(scope, name);

	if (!key) {
		report_unknown(r, name, scope);
		return;
	}

	if (key->form == CONFIG_FORM_FILES && r->is_included) {
		report(r, name, key->name,
		       "an included file cannot include others");
		return;
	}

	size_t id = (size_t)(key - config_keys);
	struct config_place *place = &places->of[id];

	if (place->line) {
		report(r, name, key->name,
		       "given twice, first at " CONFIG_PLACE_FMT,
		       CONFIG_PLACE_ARGS(*place));
		return;
	}
	*place = place_of(r, value);
	places->bad[id] = !read_section(r, key, value, object, places);
}

static bool read_mapping(struct reader *r, const yaml_node_t *node,
			 enum config_scope scope, void *object,
			 struct config_places *places)
{
	const yaml_node_pair_t *pair = node->data.mapping.pairs.start;

	for (; pair < node->data.mapping.pairs.top && !r->err; pair++)
		read_pair(r, yaml_document_get_node(r->doc, pair->key),
			  yaml_document_get_node(r->doc, pair->value), scope,
			  object, places);
	return true;
}

static bool read_backend(struct reader *r, const yaml_node_t *node,
			 struct config_target *t, struct config_places *places)
{
	const struct config_key *path = &config_keys[CONFIG_KEY_BACKEND_path];
	size_t len = strlen(r->path);

	if (node->type == YAML_SEQUENCE_NODE || is_nothing(node)) {
		report_value(r, node, "backend", "a path or a mapping");
		return false;
	}
	strcpy(r->path + len, "backend.");
	if (node->type == YAML_MAPPING_NODE) {
		read_mapping(r, node, CONFIG_SCOPE_BACKEND, &t->backend,
			     places);
	} else {
		places->of[CONFIG_KEY_BACKEND_path] = place_of(r, node);
		read_value(r, path, node, &t->backend);
	}
	r->path[len] = '\0';
	return true;
}

/* Reads target @i, which is number @index in its file. */
static void read_target(struct reader *r, const yaml_node_t *node, unsigned i,
			unsigned index)
{
	struct config_target *t = &r->config->targets[i];

	t->index = index;
	t->place = place_of(r, node);
	r->err = config_keys_set_defaults(CONFIG_SCOPE_TARGET, t);
	if (!r->err)
		r->err = config_keys_set_defaults(CONFIG_SCOPE_BACKEND,
						  &t->backend);
	if (!r->err)
		r->err = config_keys_set_defaults(CONFIG_SCOPE_LIMITS,
						  &t->limits);
	if (r->err)
		return;
	if (node->type != YAML_MAPPING_NODE) {
		char name[32];

		snprintf(name, sizeof(name), "targets[%u]", index);
		report_value(r, node, name, "a mapping with name and backend");
		return;
	}
	snprintf(r->path, sizeof(r->path), "targets[%u].", index);
	read_mapping(r, node, CONFIG_SCOPE_TARGET, t, &r->all->targets[i]);
	r->path[0] = '\0';
}

/* Makes room for @n more targets, which are all zeroes. */
static int grow_targets(struct config_reading *all, size_t n)
{
	struct config *c = all->config;
	size_t old = c->nr_targets;
	struct config_target *targets =
		reallocarray(c->targets, old + n, sizeof(*targets));

	if (!targets)
		return -ENOMEM;
	c->targets = targets;

	struct config_places *places =
		reallocarray(all->targets, old + n, sizeof(*places));

	if (!places)
		return -ENOMEM;
	all->targets = places;
	memset(&targets[old], 0, n * sizeof(*targets));
	memset(&places[old], 0, n * sizeof(*places));
	c->nr_targets = (unsigned)(old + n);
	return 0;
}

static bool read_targets(struct reader *r, const yaml_node_t *list)
{
	/* All of them may be commented out. */
	if (is_nothing(list))
		return true;
	if (list->type != YAML_SEQUENCE_NODE) {
		report_value(r, list, "targets", "a list of targets");
		return false;
	}

	const yaml_node_item_t *item = list->data.sequence.items.start;
	size_t n = (size_t)(list->data.sequence.items.top - item);
	unsigned first = r->config->nr_targets;

	if (!n)
		return true;
	r->err = grow_targets(r->all, n);
	for (unsigned i = 0; i < n && !r->err; i++)
		read_target(r, yaml_document_get_node(r->doc, item[i]),
			    first + i, i);
	return !r->err;
}

static void read_root(struct reader *r)
{
	const yaml_node_t *root = yaml_document_get_root_node(r->doc);

	/* An empty file is all defaults. */
	if (!root || is_nothing(root))
		return;
	if (root->type == YAML_MAPPING_NODE)
		read_mapping(r, root, CONFIG_SCOPE_TOP, r->config,
			     &r->all->top);
	else
		report_value(r, root, "file", "a mapping of keys to values");
}

int config_read_init(struct config_reading *all, struct config *c,
		     struct config_errors *errs)
{
	int err = config_keys_set_defaults(CONFIG_SCOPE_TOP, c);

	*all = (struct config_reading){.config = c, .errs = errs};
	return err ? err : config_keys_set_defaults(CONFIG_SCOPE_CONTROL, c);
}

void config_read_fini(struct config_reading *all)
{
	for (unsigned i = 0; i < all->nr_includes; i++)
		free(all->includes[i].name);
	free(all->includes);
	free(all->targets);
}

int config_read(struct config_reading *all, const char *file,
		yaml_document_t *doc)
{
	struct reader r = {
		.all = all,
		.config = all->config,
		.errs = all->errs,
		.doc = doc,
		.file = file,
		.is_included = all->config->nr_files > 1,
	};

	/* Each file may have some of the targets. */
	all->top.of[CONFIG_KEY_TOP_TARGET].line = 0;

	read_root(&r);
	return r.err;
}
