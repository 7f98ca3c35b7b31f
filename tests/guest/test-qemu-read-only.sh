#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A read-only target refuses what a QEMU guest writes.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_meets_read_only guest_qemu
