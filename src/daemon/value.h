/* SPDX-License-Identifier: BSD-2-Clause */
/* The types of values in a configuration: text to value and back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A list of CPU numbers, ascending; none means `auto' where that is allowed. */
struct value_cpus {
	unsigned nr;
	unsigned *cpu;
};
