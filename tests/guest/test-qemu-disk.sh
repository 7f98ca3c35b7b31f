#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A QEMU guest with two CPUs and two queues uses a disk with 512-byte blocks;
# the host then finds the guest's file in the backend.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_uses_disk guest_qemu 512 --env QUEUES=2
