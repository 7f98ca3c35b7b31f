#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The disk of a QEMU guest grows while it is used.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_disk_grows guest_qemu --env REBIND=1
