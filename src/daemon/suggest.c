/* SPDX-License-Identifier: BSD-2-Clause */
/* The word that somebody meant who misspelt it. */
#include "daemon/suggest.h"

#include <limits.h>
#include <string.h>

#include "base/util.h"

#define LONGEST 40

/*
 * Optimal string alignment.  Row i of the table holds the distances of the
 * first i letters of @a to all beginnings of @b; the last three rows will do.
 */
unsigned suggest_distance(const char *a, const char *b)
{
	unsigned rows[3][LONGEST + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > LONGEST || lb > LONGEST)
		return UINT_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3];
		const unsigned *higher = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned moved = MIN(above[j], row[j - 1]) + 1;
			unsigned changed =
				above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = MIN(moved, changed);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], higher[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

void suggest_offer(const char **best, const char *word, const char *candidate)
{
	unsigned d = suggest_distance(word, candidate);
	size_t longer = MAX(strlen(word), strlen(candidate));

	/* One letter in three may be wrong: more would be a guess. */
	if (d > MAX(longer / 3, (size_t)1) || d >= longer)
		return;
	if (!*best || d < suggest_distance(word, *best))
		*best = candidate;
}
