/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that may be shown, whoever wrote it. */
#include "base/printable.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* How many bytes a character has by its first byte; 0: none begins so. */
static size_t char_len(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	if (first >= 0xf0 && first < 0xf5)
		return 4;
	return 0;
}

/* The character at @s; 0 when it is none, or longer than it need be. */
static uint32_t decode(const unsigned char *s, size_t len)
{
	static const unsigned char bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = s[0] & bits[len];

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[len] ? 0 : c;
}

static bool is_shown(uint32_t c)
{
	/* 0 to 31, and 127 to 159: the two sets of controls. */
	if (c < ' ' || (c >= 0x7f && c < 0xa0))
		return false;
	/* Line and paragraph separator; what turns the direction around. */
	if (c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069))
		return false;
	return c < 0xd800 || (c > 0xdfff && c <= 0x10ffff);
}

void printable_text(char *text, size_t len)
{
	unsigned char *s = (unsigned char *)text;

	for (size_t i = 0, n; i < len; i += n) {
		n = char_len(s[i]);
		if (n && n <= len - i && is_shown(decode(s + i, n)))
			continue;
		s[i] = '?';
		n = 1;
	}
}

void printable_word(char *word, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		word[i] = isalnum(c) || strchr("+-._/@", c) ? (char)c : '?';
	}
	word[len] = '\0';
}
