#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# QEMU boots with the lines that vringctl client prints for it, as they are.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_target 64M
ctl client disk0 qemu >"$T/lines"
guest_qemu --client "$T/lines" --modules virtio_pci,virtio_blk \
	--script "$guest_dir/client-lines.sh" \
	--get "/root/digest:$T/digest" || fail "the guest ended with status $?"
daemon_stop
head -c 4M "$T/disk.img" | sha256sum | cut -d ' ' -f 1 |
	cmp - "$T/digest" || fail "the backend does not hold what was written"
