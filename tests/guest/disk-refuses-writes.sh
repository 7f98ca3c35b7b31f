#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in a guest: $BLK0 can be read and not be written.
set -eu
[ "$(blockdev --getro "$BLK0")" = 1 ]
dd if="$BLK0" bs=1M count=4 iflag=direct 2>/dev/null | sha256sum |
	cut -d ' ' -f 1 >/root/digest
! blockdev --setrw "$BLK0" 2>/dev/null || [ "$(blockdev --getro "$BLK0")" = 1 ]
! dd if=/dev/zero of="$BLK0" bs=4k count=1 oflag=direct 2>/dev/null
! blkdiscard -l 1M "$BLK0" 2>/dev/null
echo "guest: done"
