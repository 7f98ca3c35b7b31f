/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/hint: what people write, and what they are told that they meant. */
#include "daemon/hint.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/util.h"

struct sample {
	const char *written;
	const char *meant; /* NULL: no idea */
};

static void expect(const char *written, const char *meant, const char *said)
{
	char expected[100] = "";

	if (meant)
		snprintf(expected, sizeof(expected), ", did you mean %s?",
			 meant);
	cr_assert_str_eq(said, expected, "%s: %s", written, said);
}

static void expect_values(const struct value_rule *rule,
			  const struct sample *samples)
{
	struct hint h;

	for (; samples->written; samples++) {
		hint_value(rule, samples->written, &h);
		expect(samples->written, samples->meant, h.text);
	}
}

Test(hint, knows_how_sizes_are_written)
{
	static const struct value_rule size = {.type = VALUE_SIZE,
					       .min = 512,
					       .max = 1ULL << 60};
	static const struct sample samples[] = {
		{"10GB", "10GiB"},  {"10 GiB", "10GiB"}, {"10G", "10GiB"},
		{"10gib", "10GiB"}, {"10Ti", "10TiB"},	 {"512 bytes", "512"},
		{"0010k", "10KiB"}, {"1B", NULL},	 {"10PB", NULL},
		{"1.5GiB", NULL},   {"GiB", NULL},	 {"", NULL},
		{"-1GB", NULL},	    {NULL, NULL},
	};

	expect_values(&size, samples);
}

Test(hint, knows_how_times_and_counts_are_written)
{
	static const struct value_rule span = {.type = VALUE_TIME,
					       .min = 1000,
					       .max = 60000000};
	static const struct value_rule count = {.type = VALUE_UINT,
						.min = 1,
						.max = 5000};
	static const struct value_rule power = {.type = VALUE_POWER,
						.min = 2,
						.max = 32768};
	static const struct sample times[] = {
		{"10 ms", "10ms"},
		{"10sec", "10s"},
		{"5S", "5s"},
		{"10msec", "10ms"},
		{"2000\xc2\xb5s", "2000us"},
		{"10", NULL},
		{"1us", NULL},
		{"2 minutes", NULL},
		{NULL, NULL},
	};
	static const struct sample counts[] = {
		{"1K", "1k"}, {"010", "10"}, {"6K", NULL},
		{"x", NULL},  {NULL, NULL},
	};
	static const struct sample powers[] = {{"0256", "256"},
					       {"0100", NULL},
					       {NULL, NULL}};

	expect_values(&span, times);
	expect_values(&count, counts);
	expect_values(&power, powers);
}

Test(hint, knows_other_words)
{
	static const char *const words[] = {"err", "warn", "info", "file",
					    NULL};
	static const struct value_rule word = {.type = VALUE_WORD,
					       .words = words};
	static const struct value_rule boolean = {.type = VALUE_BOOL};
	static const struct value_rule mode = {.type = VALUE_MODE};
	static const struct value_rule poll = {.type = VALUE_POLL,
					       .min = 1,
					       .max = 10000};
	static const struct sample modes[] = {
		{"384", "0600"}, {"438", "0666"}, {"0888", NULL},
		{"u=rw", NULL},	 {NULL, NULL},
	};
	static const struct sample known[] = {
		{"INFO", "info"}, {"warning", "warn"}, {"error", "err"},
		{"inof", "info"}, {"debug", NULL},     {NULL, NULL},
	};
	static const struct sample truths[] = {
		{"1", "on"},	     {"Y", "on"}, {"enabled", "on"},
		{"disabled", "off"}, {"2", NULL}, {NULL, NULL},
	};
	static const char *const autos[] = {"auto", "on", "off", NULL};
	static const struct value_rule choice = {.type = VALUE_WORD,
						 .words = autos};
	static const struct sample choices[] = {
		{"1", "on"},	     {"adaptive", NULL}, {"enabled", "on"},
		{"disabled", "off"}, {"Auto", "auto"},	 {NULL, NULL},
	};
	static const struct sample polls[] = {
		{"on", "auto"}, {"0", "off"},	{"50 usec", "50us"},
		{"50", NULL},	{"20ms", NULL}, {NULL, NULL},
	};

	expect_values(&word, known);
	expect_values(&boolean, truths);
	expect_values(&choice, choices);
	expect_values(&mode, modes);
	expect_values(&poll, polls);
}

Test(hint, knows_other_keys)
{
	static const struct sample keys[] = {
		{"num-queues", "queues"},
		{"NUM_QUEUES", "queues"},
		{"queue_size", "queue-size"},
		{"filename", "backend"},
		{"readonly", "read-only"},
		{"zzz", NULL},
		{NULL, NULL},
	};
	struct hint h;

	for (size_t i = 0; keys[i].written; i++) {
		hint_key(CONFIG_SCOPE_TARGET, keys[i].written, &h);
		expect(keys[i].written, keys[i].meant, h.text);
	}
	hint_key(CONFIG_SCOPE_TARGET, "engine", &h);
	cr_assert_str_eq(h.text, ": all storage is used through io_uring");
	hint_key(CONFIG_SCOPE_TARGET, "kind", &h);
	cr_assert_str_eq(h.text, " here, it belongs to backend");
}

/* A row for a key that exists by now would never be used. */
Test(hint, has_aliases_of_keys_that_exist_only)
{
	static const struct {
		enum config_scope scope;
		const char *written;
		const char *meant;
	} rows[] = {
#define MEANT(scope, written, key) {CONFIG_SCOPE_##scope, written, key},
#define SAYS(scope, written, text) {CONFIG_SCOPE_##scope, written, NULL},
#include "daemon/aliases.def"
#undef MEANT
#undef SAYS
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool found = !rows[i].meant;

		for (unsigned id = 0; id < CONFIG_KEYS; id++) {
			if (config_keys[id].scope != rows[i].scope)
				continue;
			cr_assert_str_neq(config_keys[id].name,
					  rows[i].written);
			found |= rows[i].meant &&
				 !strcmp(config_keys[id].name, rows[i].meant);
		}
		cr_assert(found, "%s means no key", rows[i].written);
	}
}
