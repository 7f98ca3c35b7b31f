/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/value: every type, its limits, and that printing can be read again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "daemon/value.h"

static const char *const words[] = {"auto", "on", "off", NULL};

static const struct value_rule boolean = {.type = VALUE_BOOL};
static const struct value_rule count = {.type = VALUE_UINT,
					.min = 1,
					.max = 5000};
static const struct value_rule power = {.type = VALUE_POWER,
					.min = 2,
					.max = 32768};
static const struct value_rule size = {.type = VALUE_SIZE,
				       .min = 512,
				       .max = 1ULL << 60};
static const struct value_rule block = {.type = VALUE_BLOCK};
static const struct value_rule span = {.type = VALUE_TIME,
				       .min = 1,
				       .max = 60000000};
static const struct value_rule poll = {.type = VALUE_POLL,
				       .min = 1,
				       .max = 10000};
static const struct value_rule mode = {.type = VALUE_MODE};
static const struct value_rule cpu = {.type = VALUE_CPU, .max = 1023};
static const struct value_rule cpus = {.type = VALUE_CPUS, .max = 1023};
static const struct value_rule word = {.type = VALUE_WORD, .words = words};
static const struct value_rule name = {.type = VALUE_NAME, .min = 1, .max = 8};
static const struct value_rule text = {.type = VALUE_TEXT, .min = 1, .max = 20};
static const struct value_rule path = {.type = VALUE_PATH,
				       .min = 1,
				       .max = 100};
static const struct value_rule file = {.type = VALUE_FILE,
				       .min = 1,
				       .max = 100};

/* Room for any value: the largest are a pointer with a number. */
union any {
	struct value_cpus cpus;
	char *text;
	uint64_t number;
};

/* What is printed after reading @from; must be @to. */
static void expect(const struct value_rule *rule, const char *from,
		   const char *to)
{
	union any v = {.cpus = {.nr = 0}};
	struct value_why why;
	char *out = NULL;
	size_t len;

	cr_assert_eq(value_parse(rule, from, &v, &why), 0, "%s: expected %s",
		     from, why.text);

	FILE *f = open_memstream(&out, &len);

	value_print(rule, &v, f);
	fclose(f);
	cr_assert_str_eq(out, to, "%s became %s", from, out);
	free(out);
	value_clear(rule, &v);
}

static void refuse(const struct value_rule *rule, const char *from,
		   const char *expected)
{
	union any v = {.cpus = {.nr = 0}};
	struct value_why why;

	cr_assert_eq(value_parse(rule, from, &v, &why), -EINVAL, "took %s",
		     from);
	cr_assert_str_eq(why.text, expected, "for %s said %s", from, why.text);
	cr_assert_eq(v.cpus.nr, 0);
	cr_assert_null(v.cpus.cpu);
}

static void refuse_all(const struct value_rule *rule, const char *const *list,
		       const char *expected)
{
	for (; *list; list++)
		refuse(rule, *list, expected);
}

Test(value, reads_on_and_off_in_all_the_ways_of_yaml)
{
	static const char *const bad[] = {"", "1", "o", "ons", NULL};

	expect(&boolean, "on", "on");
	expect(&boolean, "TRUE", "on");
	expect(&boolean, "Yes", "on");
	expect(&boolean, "no", "off");
	expect(&boolean, "false", "off");
	expect(&boolean, "off", "off");
	refuse_all(&boolean, bad, "on or off");
}

Test(value, reads_integers_within_their_limits)
{
	static const char *const bad[] = {"0",		"5001",
					  "many",	"-1",
					  "",		"1.5",
					  " 1",		"1 ",
					  "007",	"+1",
					  "6k",		"1K",
					  "0x10",	"1kk",
					  "4294967297", "18446744073709551617",
					  NULL};

	expect(&count, "1", "1");
	expect(&count, "5000", "5000");
	expect(&count, "5k", "5000");
	refuse_all(&count, bad, "an integer 1..5000");
	refuse(&power, "48", "a power of two 2..32768");
	refuse(&power, "1", "a power of two 2..32768");
	refuse(&power, "65536", "a power of two 2..32768");
	expect(&power, "32768", "32768");
}

Test(value, reads_sizes)
{
	static const char *const bad[] = {
		"511", "2EiB", "4 GiB", "GiB",	      "1GB",
		"1g",  "1gib", "16777217TiB", "18446744073709551615TiB",
		NULL};

	expect(&size, "512", "512");
	expect(&size, "1024", "1KiB");
	expect(&size, "1536KiB", "1536KiB");
	expect(&size, "2048MiB", "2GiB");
	expect(&size, "3TiB", "3TiB");
	expect(&size, "1048577", "1048577");
	refuse_all(&size, bad, "a size such as 10GiB, 512..1048576TiB");
	expect(&block, "auto", "auto");
	expect(&block, "512", "512");
	expect(&block, "4KiB", "4096");
	refuse(&block, "1024", "512, 4096 or auto");
	refuse(&block, "0", "512, 4096 or auto");
}

Test(value, reads_times)
{
	static const char *const bad[] = {"5",	  "61s", "0us",
					  "5sec", "1m",	 NULL};

	expect(&span, "50us", "50us");
	expect(&span, "2000us", "2ms");
	expect(&span, "1500ms", "1500ms");
	expect(&span, "60000ms", "60s");
	refuse_all(&span, bad, "a time such as 20ms, 1us..60s");
}

Test(value, reads_how_long_to_poll)
{
	static const char *const bad[] = {"on", "0us",	"0", "11ms",
					  "5",	"Auto", "",  NULL};

	expect(&poll, "auto", "auto");
	expect(&poll, "off", "off");
	expect(&poll, "No", "off");
	expect(&poll, "1us", "1us");
	expect(&poll, "10000us", "10ms");
	refuse_all(&poll, bad, "auto, off or a time 1us..10ms");
}

Test(value, reads_octal_modes)
{
	static const char *const bad[] = {"0888",  "rw", "",
					  "01777", "0o", NULL};

	expect(&mode, "0660", "\"0660\"");
	expect(&mode, "660", "\"0660\"");
	expect(&mode, "0o600", "\"0600\"");
	expect(&mode, "0", "\"0000\"");
	refuse_all(&mode, bad, "an octal mode such as 0660");
}

Test(value, reads_cpu_lists)
{
	static const char *const bad[] = {"",	  "1-",	   "-1", "3-1",
					  "1024", "1,",	   ",1", "a",
					  "0 1",  "1-2-3", NULL};

	expect(&cpu, "7", "7");
	expect(&cpu, "auto", "auto");
	refuse(&cpu, "1024", "a CPU number 0..1023 or auto");
	refuse(&cpu, "-1", "a CPU number 0..1023 or auto");
	expect(&cpus, "auto", "auto");
	expect(&cpus, "3", "[3]");
	expect(&cpus, "0-3", "[0, 1, 2, 3]");
	expect(&cpus, "8,0-1, 4", "[0, 1, 4, 8]");
	refuse_all(&cpus, bad, "a CPU number 0..1023 or a range such as 0-3");
	refuse(&cpus, "0-3,2", "each CPU once, but 2 is there twice");
}

Test(value, reads_words_and_their_equals)
{
	expect(&word, "auto", "auto");
	expect(&word, "on", "on");
	expect(&word, "no", "off");
	expect(&word, "true", "on");
	refuse(&word, "maybe", "auto, on or off");
	refuse(&word, "", "auto, on or off");
}

Test(value, restricts_names)
{
	static const char *const bad[] = {"",	 "-a",	     ".a",  "a/b",
					  "a b", "\xc3\xa4", "a:b", "123456789",
					  "_",	 NULL};

	expect(&name, "a", "a");
	expect(&name, "1._-Z", "1._-Z");
	refuse_all(&name, bad,
		   "a name of 1..8 letters, digits, '.', '_' or '-', beginning "
		   "with a letter or digit");
}

Test(value, quotes_text_where_yaml_needs_it)
{
	expect(&text, "abc", "abc");
	expect(&text, "null", "\"null\"");
	expect(&text, "~", "\"~\"");
	expect(&text, "a: b", "\"a: b\"");
	expect(&text, "a\"\\b", "\"a\\\"\\\\b\"");
	expect(&text, "-", "\"-\"");
	refuse(&text, "", "1..20 printable ASCII characters");
	refuse(&text, "a\nb", "1..20 printable ASCII characters");
	refuse(&text, "\xc3\xa4", "1..20 printable ASCII characters");
	refuse(&text, "123456789012345678901",
	       "1..20 printable ASCII characters");
}

Test(value, reads_paths)
{
	expect(&path, "/srv/a.img", "/srv/a.img");
	expect(&path, "/srv/a b", "\"/srv/a b\"");
	expect(&path, "/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	       "\"/\\U000000E4\\U000020AC\\U0001F600\"");
	refuse(&path, "srv/a.img", "an absolute path");
	refuse(&path, "/srv/\x1b[2J", "an absolute path");
	refuse(&path, "/srv/\x7f", "an absolute path");
	expect(&file, "a.sock", "a.sock");
	expect(&file, "/a/b.sock", "/a/b.sock");
	refuse(&file, "b/a.sock", "a file name or an absolute path");
}

Test(value, replaces_what_was_there)
{
	struct value_why why;
	char *t = strdup("old");
	struct value_cpus c = {.nr = 0};

	cr_assert_eq(value_parse(&text, "new", &t, &why), 0);
	cr_assert_str_eq(t, "new");
	cr_assert_eq(value_parse(&text, "", &t, &why), -EINVAL);
	cr_assert_str_eq(t, "new");
	value_clear(&text, &t);
	cr_assert_null(t);
	cr_assert_eq(value_parse(&cpus, "0-1", &c, &why), 0);
	cr_assert_eq(value_parse(&cpus, "5", &c, &why), 0);
	cr_assert_eq(c.nr, 1);
	cr_assert(value_cpus_has(&c, 5));
	cr_assert_not(value_cpus_has(&c, 0));
	value_clear(&cpus, &c);
}

/* Are the values that @a and @b are read to the same? */
static bool are_equal(const struct value_rule *rule, const char *a,
		      const char *b)
{
	union {
		uint64_t number;
		char *text;
		struct value_cpus cpus;
	} x = {.cpus = {0}}, y = {.cpus = {0}};
	struct value_why why;

	cr_assert_eq(value_parse(rule, a, &x, &why), 0, "%s", why.text);
	cr_assert_eq(value_parse(rule, b, &y, &why), 0, "%s", why.text);

	bool equal = value_equal(rule, &x, &y);

	value_clear(rule, &x);
	value_clear(rule, &y);
	return equal;
}

Test(value, compares_what_was_meant)
{
	static const struct value_rule on_off = {.type = VALUE_BOOL};
	static const struct value_rule bytes = {.type = VALUE_SIZE,
						.max = UINT64_MAX};

	cr_expect(are_equal(&on_off, "yes", "true"));
	cr_expect_not(are_equal(&on_off, "yes", "off"));
	cr_expect(are_equal(&bytes, "1TiB", "1024GiB"));
	cr_expect_not(are_equal(&bytes, "4GiB", "8GiB"));
	cr_expect(are_equal(&cpus, "0-2", "2,0,1"));
	cr_expect_not(are_equal(&cpus, "0-2", "0-1"));
	cr_expect_not(are_equal(&cpus, "0-2", "0,1,3"));
	cr_expect(are_equal(&cpus, "auto", "auto"));
	cr_expect(are_equal(&text, "a", "a"));
	cr_expect_not(are_equal(&text, "a", "b"));
	cr_expect(are_equal(&path, "/a", "/a"));
}

Test(value, compares_texts_that_are_missing)
{
	char a[] = "a";
	char *some = a, *none = NULL, *other = NULL;

	cr_expect(value_equal(&text, &none, &other));
	cr_expect_not(value_equal(&text, &none, &some));
	cr_expect_not(value_equal(&text, &some, &none));
}
