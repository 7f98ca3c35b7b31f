/* SPDX-License-Identifier: BSD-2-Clause */
/* Where libFuzzer comes in; the build says with -DFUZZ_TARGET for what. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return FUZZ_TARGET(data, size);
}
