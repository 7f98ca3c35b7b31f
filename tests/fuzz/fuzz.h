/* SPDX-License-Identifier: BSD-2-Clause */
/* The fuzzed functions, which unit tests run over their corpus, too. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef int fuzz_target(const uint8_t *data, size_t size);

/* Any bytes at all; a broken promise aborts.  Returns 0. */
fuzz_target fuzz_config;
fuzz_target fuzz_inflight;
fuzz_target fuzz_packed;
fuzz_target fuzz_proto;
fuzz_target fuzz_session;
fuzz_target fuzz_split;

/*
 * Run @target on each file in tests/fuzz/corpus/@name, found by the environment
 * variable top_srcdir or from here.  Returns their number.
 */
unsigned fuzz_corpus(const char *name, fuzz_target *target);
