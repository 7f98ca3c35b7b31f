/* SPDX-License-Identifier: BSD-2-Clause */
/* Sequences of messages and guest memory that a fuzzer began from or found. */
#include <criterion/criterion.h>

#include "fuzz.h"

Test(attacks_fuzz, a_live_target_survives_the_corpus)
{
	cr_assert_geq(fuzz_corpus("session", fuzz_session), 22);
}
