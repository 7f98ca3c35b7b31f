/* SPDX-License-Identifier: BSD-2-Clause */
/* The word that somebody meant who misspelt it. */
#pragma once

#include <stddef.h>

/*
 * Returns in how many letters @a and @b differ: letters added, left out,
 * changed, or swapped with their neighbour.  Long words count as very
 * different.
 *
 * Any thread.
 */
unsigned suggest_distance(const char *a, const char *b);

/*
 * Keeps in *@best the nearer to @word of *@best, which may be NULL, and
 * @candidate, if @candidate is near enough to be meant.
 *
 * Any thread.
 */
void suggest_offer(const char **best, const char *word, const char *candidate);
