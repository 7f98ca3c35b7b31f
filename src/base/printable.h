/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that may be shown, whoever wrote it. */
#pragma once

#include <stddef.h>

/*
 * Put a `?' in the place of each byte of @text that is no text in UTF-8 or that
 * controls something: line feeds and escapes, and their kin above ASCII, with
 * which text could forge lines or drive a terminal.  Any thread.
 */
void printable_text(char *text, size_t len);

/*
 * Copy @text, made by somebody we do not trust, as one word without blanks,
 * equals signs or colons, which mean something in a line of the log.  Cut where
 * @size ends.  Any thread.
 */
void printable_word(char *word, size_t size, const char *text);
