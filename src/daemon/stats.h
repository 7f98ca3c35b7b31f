/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to stats: what was counted, and how long requests took. */
#pragma once

#include "daemon/survey.h"

/* What stats answers of the targets of @s.  Control only. */
struct json_object *stats_make(const struct survey *s);
