/* SPDX-License-Identifier: BSD-2-Clause */
/* What somebody meant whose key or value is none of ours. */
#pragma once

#include "daemon/config_keys.h"

/* The end of a message, such as ", did you mean 10GiB?", or "". */
struct hint {
	char text[120];
};

/* On the word @text, which is no key of @scope.  Any thread. */
void hint_key(enum config_scope scope, const char *text, struct hint *h);

/* On @text, which the rule does not allow.  Any thread. */
void hint_value(const struct value_rule *rule, const char *text,
		struct hint *h);
