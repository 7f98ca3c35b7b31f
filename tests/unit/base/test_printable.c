/* SPDX-License-Identifier: BSD-2-Clause */
/* base/printable: what may be shown. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/printable.h"
#include "base/util.h"

static const struct {
	const char *text;
	const char *shown;
} cases[] = {
	{"", ""},
	{"plain text, ~", "plain text, ~"},
	{"a\nb\rc\td\033[2Je\177", "a?b?c?d?[2Je?"},
	/* letters of two, three and four bytes */
	{"\303\244 \342\202\254 \360\237\230\200",
	 "\303\244 \342\202\254 \360\237\230\200"},
	/* cut short, at the end and before another one */
	{"\303", "?"},
	{"\342\202", "??"},
	{"\342\202a", "??a"},
	{"\360\237\230", "???"},
	/* no beginning; bytes that UTF-8 never has */
	{"\200\277", "??"},
	{"\300\257", "??"},
	{"\376\377", "??"},
	/* longer than it need be, a surrogate, beyond the last */
	{"\340\200\257", "???"},
	{"\360\200\200\257", "????"},
	{"\355\240\200", "???"},
	{"\364\220\200\200", "????"},
	/* controls above ASCII: CSI, NEL; the first letter behind them */
	{"\302\2331m", "??1m"},
	{"\302\205", "??"},
	{"\302\240", "\302\240"},
	/* line separator, right-to-left override, isolate */
	{"\342\200\250", "???"},
	{"\342\200\256x", "???x"},
	{"\342\201\246x", "???x"},
};

Test(printable, shows_text_and_nothing_else)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[64];

		strcpy(buf, cases[i].text);
		printable_text(buf, strlen(buf));
		cr_assert_str_eq(buf, cases[i].shown, "case %zu", i);
	}
}

Test(printable, makes_one_word_of_anything)
{
	char word[16];

	printable_word(word, sizeof(word), "qemu-system-x86");
	cr_assert_str_eq(word, "qemu-system-x86");
	printable_word(word, sizeof(word), "a pid=1: b\n\303");
	cr_assert_str_eq(word, "a?pid?1??b??");
	printable_word(word, 4, "abcdef");
	cr_assert_str_eq(word, "abc");
	printable_word(word, sizeof(word), "");
	cr_assert_str_eq(word, "");
}
