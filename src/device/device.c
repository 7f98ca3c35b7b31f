/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guest sees: how much of it is under way. */
#include "device/device.h"

#include <assert.h>

#include "base/counters.h"

/* Most changes of a busy queue are in the turn of the one before: no time. */
static void pass_time(struct device_queue *dq, uint64_t now_us)
{
	struct device_load *l = dq->load;
	uint64_t us = now_us - l->since_us;

	if (!us)
		return;
	l->since_us = now_us;
	if (!l->inflight)
		return;
	counters_add(&dq->counters->busy_us, us);
	counters_add(&dq->counters->weighted_us, us * l->inflight);
}

void device_begin(struct device_queue *dq, uint64_t now_us)
{
	pass_time(dq, now_us);
	dq->load->inflight++;
	counters_add(&dq->counters->inflight, 1);
}

void device_end(struct device_queue *dq, uint64_t now_us)
{
	assert(dq->load->inflight);
	pass_time(dq, now_us);
	dq->load->inflight--;
	counters_add(&dq->counters->inflight, -1);
}
