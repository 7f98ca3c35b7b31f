/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost/backchannel.h"

#include <assert.h>

#include "vhost/vhost_user_spec.h"

/* A header is all that there is of this message. */
static const struct vhost_user_header config_change = {
	.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
	.flags = VHOST_USER_VERSION,
};

int backchannel_open(struct backchannel *b, int fd, const char *tag)
{
	assert(!b->call);

	int err = call_new(&b->call, fd);

	if (err)
		return err;
	b->call->message = &config_change;
	b->call->message_len = sizeof(config_change);
	b->call->tag = tag;
	b->call->lost = "told of changes";
	return 0;
}

bool backchannel_stop(struct backchannel *b, void (*stopped)(void *ctx),
		      void *ctx)
{
	struct call *call = b->call;

	b->call = NULL;
	return call_stop(call, stopped, ctx);
}

bool backchannel_is_open(const struct backchannel *b)
{
	return b->call && !b->call->is_broken;
}

void backchannel_tell(struct backchannel *b, struct worker *home)
{
	b->is_wanted = false;
	call_send(b->call, home);
}
