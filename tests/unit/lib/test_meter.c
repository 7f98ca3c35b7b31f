/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/meter: CPU time of another process. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meter.h"

static double own_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void burn(double seconds)
{
	double end = own_s() + seconds;

	while (own_s() < end)
		;
}

Test(meter, counts_from_when_it_was_added)
{
	struct meter m = {0};

	burn(0.05);
	meter_add(&m, getpid(), false);
	cr_assert_eq(meter_sum(&m), 0);
	burn(0.05);
	meter_sample(&m);
	cr_assert(meter_sum(&m) >= 0.05 && meter_sum(&m) <= own_s() - 0.04);
	meter_fini(&m);
}

Test(meter, counts_all_of_a_process_that_began_while_it_looked)
{
	struct meter m = {0};

	burn(0.05);
	meter_add(&m, getpid(), true);
	meter_add(&m, getpid(), true);
	cr_assert(meter_sum(&m) >= 0.05 && meter_sum(&m) <= own_s());
	meter_fini(&m);
}

Test(meter, keeps_what_it_saw_of_a_process_that_ended)
{
	struct meter m = {0};
	double seen;
	pid_t pid = fork();

	if (pid == 0) {
		burn(0.05);
		pause();
	}
	meter_add(&m, pid, true);
	while (meter_sum(&m) < 0.05)
		meter_sample(&m);
	seen = meter_sum(&m);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	meter_sample(&m);
	cr_assert_eq(meter_sum(&m), seen);
	meter_fini(&m);
}

Test(meter, says_when_there_was_nothing_to_read)
{
	struct meter m = {0};

	cr_assert_lt(meter_sum(&m), 0);
	meter_add(&m, 4194304, false); /* above every pid */
	cr_assert_lt(meter_sum(&m), 0);
	meter_fini(&m);
}
