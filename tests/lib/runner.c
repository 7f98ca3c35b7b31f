/* SPDX-License-Identifier: BSD-2-Clause */
/* What the unit tests' program is by itself, besides the tests. */
#include <stdlib.h>

int __lsan_is_turned_off(void);

/*
 * Each test is a process of its own, which LeakSanitizer looks at.  Criterion's
 * process, which starts them and runs nothing of ours, loses a few bytes now
 * and then when there are many.  Its tests have this variable.
 */
int __lsan_is_turned_off(void)
{
	return !getenv("BXFI_MAP");
}
