#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A read-only target refuses what User-mode Linux writes.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires linux.uml
guest_meets_read_only guest_uml
