#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in a guest: the disk $BLK0 of 64 MiB grows while it is in use, and with
# REBIND=1 also while no driver has it.  "host grow SIZE" makes its storage that
# large.
set -eu
size=/sys/block/${BLK0#/dev/}/size

# wait_for_size MIB: every 0.1 s, 100 times at most.
wait_for_size()
{
	tries=0
	until [ "$(cat "$size")" = $(($1 * 2048)) ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || {
			echo "guest: still $(cat "$size") sectors"
			exit 1
		}
		sleep 0.1
	done
}

[ "$(cat "$size")" = $((64 * 2048)) ]
mkfs.ext4 -q -F "$BLK0"
mkdir -p /mnt
mount -t ext4 "$BLK0" /mnt
fio --name=verify --directory=/mnt --direct=1 --rw=randrw --bs=16k \
	--size=16M --iodepth=8 --ioengine=io_uring --verify=crc32c \
	--verify_fatal=1 --time_based --runtime=1000 >/root/fio.log 2>&1 &
fio=$!
mib=64
while [ $mib -lt 160 ]; do
	! dd if=/dev/urandom of="$BLK0" bs=1M seek=$mib count=1 oflag=direct \
		conv=notrunc 2>/dev/null
	mib=$((mib + 32))
	host grow ${mib}M
	wait_for_size $mib
	echo "guest: has $mib MiB"
	resize2fs "$BLK0" >/dev/null 2>&1
	dd if=/dev/urandom of=/mnt/$mib bs=1M count=28 oflag=direct 2>/dev/null
	sha256sum /mnt/$mib >>/root/digests
done
[ "$(wc -l </root/digests)" = 3 ]
kill -INT $fio # which fails if it has ended, as it does when it is disturbed
wait $fio || true
grep -q 'verify: .*err= 0:' /root/fio.log || { cat /root/fio.log; exit 1; }
umount /mnt
e2fsck -f -n "$BLK0"
mount -t ext4 "$BLK0" /mnt
sha256sum -c /root/digests
umount /mnt
if [ -n "${REBIND-}" ]; then
	driver=/sys/bus/virtio/drivers/virtio_blk
	device=$(readlink -f "/sys/block/${BLK0#/dev/}/device")
	echo "${device##*/}" >$driver/unbind
	host grow 192M
	echo "${device##*/}" >$driver/bind
	wait_for_size 192
	echo "guest: has 192 MiB"
	mount -t ext4 "$BLK0" /mnt
	resize2fs "$BLK0" >/dev/null 2>&1
	sha256sum -c /root/digests
	umount /mnt
fi
! dmesg | grep -E 'I/O error|critical .* error|EXT4-fs (error|warning)'
