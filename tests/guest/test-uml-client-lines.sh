#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# User-mode Linux boots with the line that vringctl client prints for it.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires linux.uml
guest_target 64M
ctl client disk0 uml >"$T/lines"
guest_uml --append "$(grep -v '^#' "$T/lines")" --modules virtio_blk \
	--script "$guest_dir/client-lines.sh" \
	--get "/root/digest:$T/digest" || fail "the guest ended with status $?"
daemon_stop
head -c 4M "$T/disk.img" | sha256sum | cut -d ' ' -f 1 |
	cmp - "$T/digest" || fail "the backend does not hold what was written"
