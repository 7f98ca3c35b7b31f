/* SPDX-License-Identifier: BSD-2-Clause */
/* One short function per vhost-user message, acting on a session. */
#pragma once

#include "vhost/session.h"

/*
 * Do what @m asks for.  It passed proto_check().  Returns 0: done, a reply of
 * its own is in @m; SESSION_LATER: the session's answer() will follow; or
 * -errno, with the reason in @s->why.
 *
 * Home only.
 */
int handlers_run(struct session *s, struct proto_msg *m);

/* Is there a handler?  The message table must agree.  Any thread. */
bool handlers_has(uint32_t request);
