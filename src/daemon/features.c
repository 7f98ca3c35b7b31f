/* SPDX-License-Identifier: BSD-2-Clause */
/* Feature bits by name. */
#include "daemon/features.h"

#include <stddef.h>

static const char *const names[2][64] = {
#define FEATURE(set, bit, name) [FEATURES_##set][bit] = name,
#include "daemon/features.def"
#undef FEATURE
};

const char *features_name(enum features_set set, unsigned bit)
{
	return bit < 64 ? names[set][bit] : NULL;
}
