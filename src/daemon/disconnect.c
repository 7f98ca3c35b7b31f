/* SPDX-License-Identifier: BSD-2-Clause */
/* Cut the client of a target off. */
#include "daemon/disconnect.h"

#include <stdlib.h>

#include "daemon/member.h"

struct disconnect {
	struct target_cut cut;
	struct control_reply *reply;
};

static struct json_object *say_whom(const struct target_cut *c)
{
	struct json_object *o = json_object_new_object();

	member_str(o, "name", target_config(c->target)->name);
	member_u64(o, "peer_pid", c->peer.pid);
	member_u64(o, "peer_uid", c->peer.uid);
	member_u64(o, "peer_gid", c->peer.gid);
	return o;
}

static void tell(struct target_cut *c)
{
	struct disconnect *d = container_of(c, struct disconnect, cut);

	if (c->peer.was_cut)
		control_reply_send(d->reply, say_whom(c));
	else
		control_reply_fail(d->reply, "nobody is connected to %s%s",
				   target_config(c->target)->name,
				   target_is_connected(c->target)
					   ? ": its client has left, but the "
					     "storage has not answered all "
					     "requests yet"
					   : "");
	target_cut_fini(c);
	free(d);
}

void disconnect_begin(struct target *t, struct control_reply *reply)
{
	struct disconnect *d = calloc(1, sizeof(*d));

	if (!d) {
		control_reply_fail(reply, "out of memory");
		return;
	}
	d->reply = reply;
	target_cut(t, &d->cut, tell);
}
