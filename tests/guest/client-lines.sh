#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in a guest that was started with the lines of vringctl client: the disk
# is there, and is ours, and keeps what is written.
set -eu
tries=0
while [ ! -b /dev/vda ]; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || { echo "no /dev/vda"; exit 1; }
	sleep 0.1
done
[ "$(cat /sys/block/vda/serial)" = disk0 ] || { echo "not disk0"; exit 1; }
dd if=/dev/urandom of=/root/data bs=1M count=4 2>/dev/null
dd if=/root/data of=/dev/vda bs=64k conv=fsync 2>/dev/null
dd if=/dev/vda of=/root/back bs=64k count=64 iflag=direct 2>/dev/null
cmp /root/data /root/back
sha256sum </root/data | cut -d ' ' -f 1 >/root/digest
