#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The disk of User-mode Linux grows while it is used.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires linux.uml
guest_disk_grows guest_uml
