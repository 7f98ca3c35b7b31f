/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test of the running daemon. */
#include "daemon/checkup.h"

#include <stdlib.h>

#include "daemon/selftest.h"
#include "run/offload.h"

/* How vringctl exits when a check has failed. */
#define STATUS_FAILED 1

struct checkup {
	struct offload_job job;
	struct control_reply *reply;
	struct selftest_targets targets;
	struct selftest_facts facts;
};

static void look(struct offload_job *j)
{
	struct checkup *c = container_of(j, struct checkup, job);

	selftest_look(&c->facts, &c->targets);
}

static void tell(struct offload_job *j)
{
	struct checkup *c = container_of(j, struct checkup, job);
	struct json_object *checks = selftest_judge(&c->facts, &c->targets);

	control_reply_send_status(c->reply,
				  selftest_has_failed(checks) ? STATUS_FAILED
							      : 0,
				  checks);
	selftest_targets_fini(&c->targets);
	free(c);
}

static int add_targets(struct selftest_targets *to, const struct roster *r)
{
	int ret = 0;

	for (unsigned i = 0; i < roster_nr(r) && ret == 0; i++) {
		const struct target *t = roster_target(r, i);
		bool has_failed = target_state(t) == TARGET_FAILED;

		ret = selftest_targets_add(to, target_config(t),
					   has_failed ? target_reason(t) : "");
	}
	return ret;
}

void checkup_begin(const struct checkup_params *p, struct control_reply *reply)
{
	struct checkup *c = calloc(1, sizeof(*c));

	if (!c || selftest_targets_init(&c->targets, true, p->config) < 0 ||
	    add_targets(&c->targets, p->roster) < 0) {
		control_reply_fail(reply, "out of memory");
		if (c)
			selftest_targets_fini(&c->targets);
		free(c);
		return;
	}
	if (!p->config_ok)
		c->targets.config_problem =
			"it was wrong when it was read last, and the one "
			"before is in use";
	c->reply = reply;
	offload_run(&c->job, look, tell, p->control);
}
