#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A QEMU guest uses a disk through packed rings, as any other.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_packed=on
guest_uses_disk guest_qemu 512 --env QUEUES=2
