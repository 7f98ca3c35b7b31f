#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# User-mode Linux uses a disk with 4096-byte blocks.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires linux.uml
guest_uses_disk guest_uml 4096
