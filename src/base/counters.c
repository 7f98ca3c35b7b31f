/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of counters, and sums over their writers. */
#include "base/counters.h"

#include "base/util.h"

const struct counters_row counters_table[COUNTERS_NR] = {
#define COUNTER(name, help) {#name, help, offsetof(struct counters, name)},
#include "base/counters.def"
#undef COUNTER
};

/* The fields of struct counters are an array in all but name. */
static const uint64_t *field(const struct counters *c, size_t offset)
{
	return (const uint64_t *)(const void *)((const char *)c + offset);
}

uint64_t counters_get(const struct counters *c, const struct counters_row *row)
{
	return counters_read(field(c, row->offset));
}

void counters_sum(struct counters *sum, const struct counters *part)
{
#define COUNTER(name, help) \
	counters_add(&sum->name, counters_read(&part->name));
#include "base/counters.def"
#undef COUNTER
}
