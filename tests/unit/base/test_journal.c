/* SPDX-License-Identifier: BSD-2-Clause */
/* base/journal: the fields of a line. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/journal.h"
#include "base/printable.h"
#include "base/util.h"

/* The line that log.c would make of it. */
static void make_line(struct logline *l, const char *category, const char *tag,
		      const char *said)
{
	memset(l, 0, sizeof(*l));
	l->priority = 4;
	l->tag_at = strlen(category);
	l->tag_len = strlen(tag);
	l->said_at = l->tag_at + l->tag_len + 2;
	l->len = (size_t)snprintf(l->text, sizeof(l->text), "%s%s: %s",
				  category, tag, said);
}

/* The fields but those that every line has. */
static const char *fields_of(const char *category, const char *tag,
			     const char *said)
{
	static char buf[JOURNAL_MAX + 1];
	struct logline l;

	make_line(&l, category, tag, said);
	buf[journal_format(buf, &l)] = '\0';

	char *rest = strstr(buf, "MESSAGE=");

	cr_assert_not_null(rest);
	rest = strchr(rest, '\n') + 1;
	return rest;
}

static const struct {
	const char *tag;
	const char *said;
	const char *fields;
} cases[] = {
	/* the object */
	{"vm1", "stands", "TARGET=vm1\n"},
	{"vm1/q12", "stands", "TARGET=vm1\nQUEUE=12\n"},
	{"vringd", "ready", ""},
	{"vringd/worker0", "runs", ""},
	{"vringd2", "stands", "TARGET=vringd2\n"},
	{"worker0", "stands", "TARGET=worker0\n"},
	{"control/q0", "stands", "TARGET=control\nQUEUE=0\n"},
	/* facts */
	{"vringd", "ready targets=3 workers=2",
	 "VRINGD_TARGETS=3\nVRINGD_WORKERS=2\n"},
	{"vringd", "limits read-iops=5 b2=1",
	 "VRINGD_READ_IOPS=5\nVRINGD_B2=1\n"},
	{"vringd", "x path=/srv/my disk.img size=5",
	 "VRINGD_PATH=/srv/my disk.img\nVRINGD_SIZE=5\n"},
	{"vringd", "x path=/a=b", "VRINGD_PATH=/a=b\n"},
	{"vringd", "x path=", "VRINGD_PATH=\n"},
	{"vringd", "key=1", "VRINGD_KEY=1\n"},
	/* none of these is one */
	{"vringd", "x Key=1 9k=2 =3 k_e=4 -k=5", ""},
	/* names that others use too */
	{"vringd", "x pid=1 uid=2 message=SET_OWNER",
	 "PEER_PID=1\nPEER_UID=2\nVHOST_USER_MESSAGE=SET_OWNER\n"},
	/* a reason may quote facts that are not of this line */
	{"vringd", "broken pid=1: memory gpa=0x0 size=1", "PEER_PID=1\n"},
	{"vringd", "broken: add share=on", ""},
	/* errors of the system */
	{"vringd", "cannot open path=/a: Permission denied",
	 "VRINGD_PATH=/a\nERRNO=13\n"},
	{"vringd", "cannot open: /a: No such file or directory", "ERRNO=2\n"},
	{"vringd", "cannot open: Permission denied at all", ""},
	{"vringd", "Permission denied", ""},
};

Test(journal, makes_fields_of_what_a_line_says)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_str_eq(fields_of("", cases[i].tag, cases[i].said),
				 cases[i].fields, "case %zu", i);
}

Test(journal, finds_the_object_behind_the_category_of_a_trace)
{
	cr_assert_str_eq(fields_of("proto ", "vm1/q2", "x"),
			 "TARGET=vm1\nQUEUE=2\n");
}

Test(journal, gives_each_line_what_every_line_has)
{
	char buf[JOURNAL_MAX + 1];
	struct logline l;

	make_line(&l, "", "vringd", "x");
	l.id = "0123456789abcdef0123456789abcdef";
	buf[journal_format(buf, &l)] = '\0';
	cr_assert_str_eq(buf, "PRIORITY=4\n"
			      "SYSLOG_FACILITY=3\n"
			      "SYSLOG_IDENTIFIER=vringd\n"
			      "MESSAGE=vringd: x\n"
			      "MESSAGE_ID=0123456789abcdef0123456789abcdef\n");
}

/* Is it a field, of a name that may come from a fact or a reason? */
static bool is_derived(const char *field)
{
	static const char *const begins[] = {"VRINGD_", "PEER_PID=",
					     "PEER_UID=", "ERRNO=",
					     "VHOST_USER_MESSAGE="};
	size_t n = strspn(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		if (!strncmp(field, begins[i], strlen(begins[i])))
			return field[n] == '=' && n <= 64;
	return false;
}

Test(journal, lets_no_text_forge_a_field)
{
	static const char *const pieces[] = {
		" ", "=", ": ", "\n", "a", "Z", "pid", " pid=", "\377", "-",
		" uid=1", "TARGET=x", "\nTARGET=x", "\303\244", "_", "9",
		" target=x", "\001",
	};
	unsigned seed = 1;

	for (int round = 0; round < 20000; round++) {
		char said[200] = "";

		for (int i = 0; i < 12; i++) {
			seed = seed * 1103515245 + 12345;
			strcat(said, pieces[(seed >> 16) % ARRAY_SIZE(pieces)]);
		}
		printable_text(said, strlen(said));

		const char *rest = fields_of("", "vm1", said);

		cr_assert_eq(strncmp(rest, "TARGET=vm1\n", 11), 0, "%s", rest);
		for (rest += 11; *rest; rest = strchr(rest, '\n') + 1)
			cr_assert(is_derived(rest), "%s: %s", said, rest);
	}
}

/* Each line is a field, whatever there was too much of. */
Test(journal, bounds_what_one_line_can_fill)
{
	char said[LOGLINE_TEXT], buf[JOURNAL_MAX + 1];
	struct logline l;
	unsigned nr = 0;

	said[0] = '\0';
	while (strlen(said) + 8 < sizeof(said) - 20)
		strcat(said, "k=1 ");
	make_line(&l, "", "vm1", said);
	buf[journal_format(buf, &l)] = '\0';
	for (char *s = strtok(buf, "\n"); s; s = strtok(NULL, "\n"))
		nr += !strcmp(s, "VRINGD_K=1");
	cr_assert_eq(nr, 32);

	/* a key so long that no field has room for it */
	memset(said, 'k', sizeof(said));
	strcpy(said + sizeof(said) - 20, "=1");
	make_line(&l, "", "vm1", said);
	cr_assert_lt(journal_format(buf, &l), JOURNAL_MAX);
}
