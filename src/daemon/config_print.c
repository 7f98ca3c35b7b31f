/* SPDX-License-Identifier: BSD-2-Clause */
/* The effective configuration as YAML, and help on every key. */
#include "daemon/config_print.h"

#include "base/util.h"

static const char *const effects[] = {
	[CONFIG_EFFECT_LIVE] = "live",
	[CONFIG_EFFECT_TARGET] = "target",
	[CONFIG_EFFECT_RESTART] = "restart",
};

_Static_assert(ARRAY_SIZE(effects) == CONFIG_EFFECT_RESTART + 1, "one each");

static const void *field_of(const struct config_key *key, const void *object)
{
	return (const char *)object + key->offset;
}

static bool has_value(const struct config_key *key, const void *object)
{
	const void *field = field_of(key, object);

	return !value_is_text(&key->rule) || *(const char *const *)field;
}

static void print_value(const struct config_key *key, const void *object,
			const char *indent, FILE *out)
{
	if (!has_value(key, object))
		return;
	fprintf(out, "%s%s: ", indent, key->name);
	value_print(&key->rule, field_of(key, object), out);
	fputc('\n', out);
}

static void print_control(const struct config *c, FILE *out)
{
	fputs("control:\n", out);
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		if (config_keys[id].scope == CONFIG_SCOPE_CONTROL)
			print_value(&config_keys[id], c, "  ", out);
}

static void print_backend(const struct config_backend *b, FILE *out)
{
	fputs("    backend:\n", out);
	for (unsigned id = 0; id < CONFIG_KEYS; id++)
		if (config_keys[id].scope == CONFIG_SCOPE_BACKEND &&
		    config_keys_apply(id, b->kind))
			print_value(&config_keys[id], b, "      ", out);
}

static void print_limits(const struct config_limits *l, FILE *out)
{
	static const struct config_limits none;

	if (!config_keys_has_limits(l))
		return;
	fputs("    limits:\n", out);
	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		const struct config_key *key = &config_keys[id];

		if (key->scope == CONFIG_SCOPE_LIMITS &&
		    !value_equal(&key->rule, field_of(key, l),
				 field_of(key, &none)))
			print_value(key, l, "      ", out);
	}
}

static void print_target(const struct config_target *t, FILE *out)
{
	const char *indent = "  - ";

	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		const struct config_key *key = &config_keys[id];

		if (key->scope != CONFIG_SCOPE_TARGET)
			continue;
		if (key->form == CONFIG_FORM_VALUE)
			print_value(key, t, indent, out);
		else if (key->child == CONFIG_SCOPE_LIMITS)
			print_limits(&t->limits, out);
		else
			print_backend(&t->backend, out);
		indent = "    ";
	}
}

static void print_targets(const struct config *c, FILE *out)
{
	fputs(c->nr_targets ? "targets:\n" : "targets: []\n", out);
	for (unsigned i = 0; i < c->nr_targets; i++)
		print_target(&c->targets[i], out);
}

void config_print(const struct config *c, FILE *out)
{
	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		const struct config_key *key = &config_keys[id];

		if (key->scope != CONFIG_SCOPE_TOP)
			continue;
		if (key->form == CONFIG_FORM_VALUE)
			print_value(key, c, "", out);
		else if (key->form == CONFIG_FORM_MAP)
			print_control(c, out);
		else if (key->form == CONFIG_FORM_LIST)
			print_targets(c, out);
	}
}

static void print_section_help(const struct config_key *key, FILE *out)
{
	static const char *const forms[] = {
		[CONFIG_FORM_VALUE] = "",
		[CONFIG_FORM_MAP] = "a mapping",
		[CONFIG_FORM_LIST] = "a list of mappings",
		[CONFIG_FORM_MAP_OR_PATH] = "a mapping or a path",
		[CONFIG_FORM_FILES] = ("a file, a pattern such as "
				       "conf.d/*.yaml, or a list of them"),
	};

	fprintf(out, "    %s\n    %s\n", key->help, forms[key->form]);
}

static void print_key_help(const struct config_key *key, FILE *out)
{
	char values[160];

	value_describe(&key->rule, values, sizeof(values));
	fprintf(out, "    %s\n    %s\n    ", key->help, values);
	if (key->required)
		fputs("required, ", out);
	else if (key->def)
		fprintf(out, "default %s, ", key->def);
	fprintf(out, "effect %s\n", effects[key->effect]);
}

void config_print_help(FILE *out)
{
	static const char *const prefixes[] = {
		[CONFIG_SCOPE_TOP] = "",
		[CONFIG_SCOPE_CONTROL] = "control.",
		[CONFIG_SCOPE_TARGET] = "targets[].",
		[CONFIG_SCOPE_BACKEND] = "targets[].backend.",
		[CONFIG_SCOPE_LIMITS] = "targets[].limits.",
	};

	for (unsigned id = 0; id < CONFIG_KEYS; id++) {
		const struct config_key *key = &config_keys[id];

		fprintf(out, "%s%s\n", prefixes[key->scope], key->name);
		if (key->form == CONFIG_FORM_VALUE)
			print_key_help(key, out);
		else
			print_section_help(key, out);
	}
}
