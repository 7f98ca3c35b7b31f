/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a test makes the program die; nothing in the program itself. */
#pragma once

/*
 * CRASH_POINT(NAME), for a row of crash.def, stands between two stores that a
 * successor must be able to tell apart.  It is compiled only into vringd-crash,
 * which tests/e2e/test-crash-points.sh kills at each of them.
 */
#ifdef CRASH_POINTS

enum crash_point {
#define CRASH(name, rings, what) CRASH_##name,
#include "base/crash.def"
#undef CRASH
	CRASH_NR_POINTS
};

/* Kills the process if this is where it shall die.  Any thread. */
void crash_pass(enum crash_point point);

#define CRASH_POINT(name) crash_pass(CRASH_##name)

#else

#define CRASH_POINT(name) ((void)0)

#endif
