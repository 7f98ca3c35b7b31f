/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to show: one target with all that is known of it. */
#pragma once

#include "daemon/survey.h"

/* What show answers of the one target of @s.  Control only. */
struct json_object *show_make(const struct survey *s);
