/* SPDX-License-Identifier: BSD-2-Clause */
/* A target and one client of it, for tests that play scripts. */
#include "testclient.h"

#include <criterion/criterion.h>

struct testtarget testclient_target;
struct client testclient;

void testclient_begin(void)
{
	testtarget_init(&testclient_target);
	testtarget_start(&testclient_target);
	client_init(&testclient, testclient_target.socket, NR_SECTORS);
}

void testclient_end(void)
{
	client_fini(&testclient);
	testtarget_stop(&testclient_target);
}

void testclient_share(uint64_t gpa, uint64_t uva, uint64_t size)
{
	cr_assert_geq(guestmem_add(&testclient.mem, gpa, uva, size), 0);
}

void testclient_play(const struct client_step *steps)
{
	cr_assert_eq(client_play(&testclient, steps), 0, "%s", testclient.why);
}
