/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/metrics: samples, labels, times, histograms. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/metrics.h"

static struct metrics_target targets[2];
static struct metrics_worker workers[2] = {
	{.id = 0, .cpu = -1, .ring = "direct", .queues = 3},
	{.id = 1, .cpu = 7, .ring = "sqpoll", .switches = 12, .sleeps = 5,
	 .polled_us = 12},
};
static struct metrics_facts facts = {
	.version = "0.1",
	.reload_ok = true,
	.reload_s = 1700000000,
	.usage = {.cpu_us = 1000001, .open_fds = 12, .started_s = 1.5},
	.workers = workers,
	.nr_workers = 2,
	.targets = targets,
	.nr_targets = 2,
};
static char *text;

static void make(void)
{
	for (unsigned i = 0; i < 2; i++)
		targets[i] = (struct metrics_target){
			.name = i ? "b" : "a",
			.device = "blk",
			.backend = "mem",
			.socket = "/s",
			.size = 512,
		};
}

static void put(void)
{
	free(text);
}

TestSuite(metrics, .init = make, .fini = put);

static void expect(const char *line)
{
	char whole[512];

	free(text);
	text = metrics_text(&facts);
	cr_assert_not_null(text);
	snprintf(whole, sizeof(whole), "\n%s\n", line);
	cr_assert_not_null(strstr(text, whole), "no %s in:\n%s", line, text);
}

static void expect_none(const char *part)
{
	free(text);
	text = metrics_text(&facts);
	cr_assert_null(strstr(text, part), "%s in:\n%s", part, text);
}

Test(metrics, tells_of_the_daemon)
{
	expect("vringd_build_info{version=\"0.1\"} 1");
	expect("vringd_config_last_reload_successful 1");
	facts.reload_ok = false;
	expect("vringd_config_last_reload_successful 0");
	expect("vringd_config_last_reload_success_timestamp_seconds "
	       "1700000000");
	expect("vringd_config_from_last_good 0");
	expect("vringd_worker_info{worker=\"0\",ring=\"direct\"} 1");
	expect("vringd_worker_info{worker=\"1\",cpu=\"7\",ring=\"sqpoll\"} 1");
	expect("vringd_worker_ring_switches_total{worker=\"0\"} 0");
	expect("vringd_worker_ring_switches_total{worker=\"1\"} 12");
	expect("vringd_worker_queues{worker=\"0\"} 3");
	expect("vringd_worker_sleeps_total{worker=\"1\"} 5");
	expect("vringd_worker_poll_seconds_total{worker=\"1\"} 0.000012");
	expect("vringd_process_cpu_seconds_total 1.000001");
	expect("vringd_process_open_fds 12");
	expect("vringd_process_start_time_seconds 1.50");
}

Test(metrics, tells_of_a_target)
{
	targets[1].read_only = true;
	targets[1].up = true;
	targets[1].connected = true;
	targets[1].size = 1ULL << 40;
	expect("vringd_target_info{target=\"b\",device=\"blk\","
	       "backend=\"mem\",socket=\"/s\",read_only=\"true\"} 1");
	expect("vringd_target_up{target=\"a\"} 0\n"
	       "vringd_target_up{target=\"b\"} 1");
	expect("vringd_target_connected{target=\"b\"} 1");
	expect("vringd_target_size_bytes{target=\"b\"} 1099511627776");
}

Test(metrics, escapes_labels)
{
	targets[0].name = "a \"b\" \\ \n{},";
	expect("vringd_target_up{target=\"a \\\"b\\\" \\\\ \\n{},\"} 0");
}

Test(metrics, puts_samples_of_a_counter_under_one_head)
{
	targets[0].counters.reads = 5;
	targets[1].counters.reads = UINT64_MAX;
	expect("# HELP vringd_reads_completed_total reads completed\n"
	       "# TYPE vringd_reads_completed_total counter\n"
	       "vringd_reads_completed_total{target=\"a\"} 5\n"
	       "vringd_reads_completed_total{target=\"b\"} "
	       "18446744073709551615");
	targets[0].counters.inflight = 2;
	expect("# TYPE vringd_io_now gauge\n"
	       "vringd_io_now{target=\"a\"} 2\n"
	       "vringd_io_now{target=\"b\"} 0");
}

Test(metrics, tells_times_in_seconds)
{
	targets[0].counters.read_us = 1;
	targets[0].counters.busy_us = 123456789;
	expect("vringd_read_time_seconds_total{target=\"a\"} 0.000001");
	expect("vringd_io_time_seconds_total{target=\"a\"} 123.456789");
}

Test(metrics, adds_up_the_buckets)
{
	struct counters *c = &targets[1].counters;

	counters_add_latency(&c->write_latency, 3);
	counters_add_latency(&c->write_latency, 100000);
	counters_add_latency(&c->write_latency, 20000000);
	c->write_us = 20100003;
#define BUCKET "vringd_request_duration_seconds_bucket{target=\"b\",op="
	expect(BUCKET "\"write\",le=\"2e-06\"} 0\n" BUCKET
		      "\"write\",le=\"5e-06\"} 1");
	expect(BUCKET "\"write\",le=\"0.05\"} 1\n" BUCKET
		      "\"write\",le=\"0.1\"} 2");
	expect(BUCKET
	       "\"write\",le=\"10\"} 2\n" BUCKET "\"write\",le=\"+Inf\"} 3\n"
	       "vringd_request_duration_seconds_sum{target=\"b\",op=\"write\"}"
	       " 20.100003\n"
	       "vringd_request_duration_seconds_count{target=\"b\",op="
	       "\"write\"} 3");
	expect_none("op=\"read\"");
	expect_none("{target=\"a\",op");
}

Test(metrics, is_right_without_targets)
{
	facts.nr_targets = 0;
	expect("# TYPE vringd_reads_completed_total counter\n"
	       "# HELP vringd_read_bytes_total bytes read");
}

Test(metrics, knows_what_this_process_uses)
{
	struct usage before, after;
	int fd;

	usage_read(&before);
	fd = dup(0);
	usage_read(&after);
	cr_assert_eq(after.open_fds, before.open_fds + 1);
	cr_assert_geq(after.max_fds, after.open_fds);
	cr_assert_geq(after.cpu_us, before.cpu_us);
	cr_assert_geq(after.threads, 1);
	cr_assert_gt(after.virtual_bytes, after.resident_bytes);
	cr_assert_gt(after.resident_bytes, after.anonymous_bytes);
	cr_assert_gt(after.anonymous_bytes, 0);

	double now = (double)time(NULL);

	cr_assert(after.started_s <= now + 1 && after.started_s > now - 600,
		  "started at %f, now %f", after.started_s, now);
	close(fd);
}
