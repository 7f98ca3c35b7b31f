#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs in a guest: everything a user does to the disk $BLK0.  Wants $SERIAL,
# $SIZE in bytes, $BLOCK, the size of its blocks, and $PACKED, on or off; leaves
# a file system with /file on it, whose digest is in /root/digest.
set -eu
disk=${BLK0#/dev/}
queue=/sys/block/$disk/queue

step()
{
	echo "guest: $*"
}

# The kernel's own words about a lost or failed request must not stay unseen.
no_errors()
{
	! dmesg | grep -E 'I/O error|critical .* error|EXT4-fs (error|warning)'
}

step "what the disk says of itself"
[ "$(cat "/sys/block/$disk/serial")" = "$SERIAL" ]
[ "$(blockdev --getsize64 "$BLK0")" = "$SIZE" ]
[ "$(cat "$queue/logical_block_size")" = "$BLOCK" ]
[ "$(blockdev --getro "$BLK0")" = 0 ]
echo "guest: queues $(ls "/sys/block/$disk/mq" | wc -l)," \
	"discard $(cat "$queue/discard_max_bytes")," \
	"write zeroes $(cat "$queue/write_zeroes_max_bytes")," \
	"cache $(cat "$queue/write_cache")"
[ -z "${QUEUES-}" ] || [ "$(ls "/sys/block/$disk/mq" | wc -l)" = "$QUEUES" ]
# Bit 34: VIRTIO_F_RING_PACKED.
ring=$(cut -c 35 "/sys/block/$disk/device/features")
[ "$ring" = "$([ "$PACKED" = on ] && echo 1 || echo 0)" ]

step "verified load"
fio --name=verify --filename="$BLK0" --ioengine=io_uring --direct=1 \
	--rw=randwrite --bsrange="${BLOCK}-256k" --ba="$BLOCK" --size=24M \
	--iodepth=16 --verify=crc32c --verify_fatal=1 --fsync=64 \
	--minimal >/root/fio.log 2>&1 || { cat /root/fio.log; exit 1; }

step "discard"
blkdiscard -o 1M -l 8M "$BLK0"

step "write zeroes"
dd if=/dev/urandom of="$BLK0" bs=1M seek=16 count=4 oflag=direct 2>/dev/null
blkdiscard -z -o 17M -l 2M "$BLK0"
dd if="$BLK0" bs=1M skip=17 count=2 iflag=direct 2>/dev/null |
	cmp -n 2097152 - /dev/zero
! dd if="$BLK0" bs=1M skip=16 count=1 iflag=direct 2>/dev/null |
	cmp -s -n 1048576 - /dev/zero

step "a file system"
mkfs.ext4 -q -F "$BLK0"
mkdir -p /mnt
mount -t ext4 "$BLK0" /mnt
dd if=/dev/urandom of=/mnt/file bs=64k count=128 2>/dev/null
digest=$(sha256sum </mnt/file)
sync
umount /mnt
mount -t ext4 "$BLK0" /mnt
[ "$(sha256sum </mnt/file)" = "$digest" ]
fstrim /mnt 2>/dev/null || echo "guest: no fstrim"
umount /mnt
e2fsck -f -n "$BLK0"
echo "${digest%% *}" >/root/digest
no_errors
step "done"
