/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of keys, and what can be done with it alone. */
#include "daemon/config_keys.h"

#include <assert.h>
#include <errno.h>

static const char *const log_levels[] = {"err", "warn", "info", "debug", NULL};
static const char *const devices[] = {"blk", NULL};
static const char *const kinds[] = {"file", "mem", "null", NULL};
static const char *const directs[] = {"auto", "on", "off", NULL};
static const char *const sqpolls[] = {"auto", "on", "off", NULL};
static const char *const memory_files[] = {"shmem", "any", NULL};

#define STRUCT_TOP     struct config
#define STRUCT_CONTROL struct config
#define STRUCT_TARGET  struct config_target
#define STRUCT_BACKEND struct config_backend
#define STRUCT_LIMITS  struct config_limits

/* Each field must have the C type that value.c will write there. */
#define KEY(scope, key, vtype, field, def_, limits, effect_, help_) \
	_Static_assert(_Generic(((STRUCT_##scope *)0)->field,       \
				VALUE_C_##vtype : 1, default : 0),  \
		       #field " has another type");
#define SECTION(scope, key, form_, child_, help_)
#include "daemon/keys.def"
#undef KEY
#undef SECTION

#define REQUIRED	 .required = true
#define NONE		 .required = false
#define DEFAULT(text)	 .def = (text)
#define RANGE(low, high) .min = (low), .max = (high)
#define WORDS(list)	 .words = (list)
#define ANY		 .min = 0
#define KEY(scope_, key, vtype, field, default_, limits, effect_, help_) \
	[CONFIG_KEY_##scope_##_##field] = {                              \
		.scope = CONFIG_SCOPE_##scope_,                          \
		.name = key,                                             \
		.help = help_,                                           \
		.rule = {.type = VALUE_##vtype, limits},                 \
		.offset = offsetof(STRUCT_##scope_, field),              \
		.effect = CONFIG_EFFECT_##effect_,                       \
		default_,                                                \
	},
#define SECTION(scope_, key, form_, child_, help_) \
	[CONFIG_KEY_##scope_##_##child_] = {       \
		.scope = CONFIG_SCOPE_##scope_,    \
		.name = key,                       \
		.help = help_,                     \
		.form = CONFIG_FORM_##form_,       \
		.child = CONFIG_SCOPE_##child_,    \
	},

const struct config_key config_keys[CONFIG_KEYS] = {
#include "daemon/keys.def"
};

#define FILE_ONLY (1U << CONFIG_KIND_FILE)
#define MEM_ONLY  (1U << CONFIG_KIND_MEM)
#define NULL_ONLY (1U << CONFIG_KIND_NULL)

bool config_keys_apply(enum config_key_id id, enum config_kind kind)
{
	unsigned kinds_of_key = ~0U;

	switch (id) {
	case CONFIG_KEY_BACKEND_path:
	case CONFIG_KEY_BACKEND_direct:
		kinds_of_key = FILE_ONLY;
		break;
	case CONFIG_KEY_BACKEND_size:
		kinds_of_key = MEM_ONLY | NULL_ONLY;
		break;
	case CONFIG_KEY_BACKEND_zeroes:
		kinds_of_key = NULL_ONLY;
		break;
	default:
		break;
	}
	return kinds_of_key & 1U << kind;
}

bool config_keys_has_limits(const struct config_limits *l)
{
	return l->iops || l->read_iops || l->write_iops || l->bandwidth ||
	       l->read_bandwidth || l->write_bandwidth;
}

const void *config_keys_object(enum config_scope scope,
			       const struct config_target *t)
{
	switch (scope) {
	case CONFIG_SCOPE_TARGET:
		return t;
	case CONFIG_SCOPE_BACKEND:
		return &t->backend;
	case CONFIG_SCOPE_LIMITS:
		return &t->limits;
	case CONFIG_SCOPE_TOP:
	case CONFIG_SCOPE_CONTROL:
		break;
	}
	return NULL;
}

bool config_keys_equal(enum config_key_id id, const struct config_target *a,
		       const struct config_target *b)
{
	const struct config_key *key = &config_keys[id];
	const char *x = config_keys_object(key->scope, a);
	const char *y = config_keys_object(key->scope, b);

	assert(x && y && key->form == CONFIG_FORM_VALUE);
	return value_equal(&key->rule, x + key->offset, y + key->offset);
}

const char *config_keys_prefix(enum config_scope scope)
{
	switch (scope) {
	case CONFIG_SCOPE_CONTROL:
		return "control.";
	case CONFIG_SCOPE_BACKEND:
		return "backend.";
	case CONFIG_SCOPE_LIMITS:
		return "limits.";
	case CONFIG_SCOPE_TOP:
	case CONFIG_SCOPE_TARGET:
		break;
	}
	return "";
}

int config_keys_set_defaults(enum config_scope scope, void *object)
{
	struct value_why why;

	for (unsigned i = 0; i < CONFIG_KEYS; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->scope != scope || !key->def)
			continue;

		int err = value_parse(&key->rule, key->def,
				      config_keys_field(key, object), &why);

		/* The rows of keys.def are our own. */
		assert(err != -EINVAL);
		if (err)
			return err;
	}
	return 0;
}

void config_keys_clear(enum config_scope scope, void *object)
{
	for (unsigned i = 0; i < CONFIG_KEYS; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->scope == scope && key->form == CONFIG_FORM_VALUE)
			value_clear(&key->rule, config_keys_field(key, object));
	}
}
