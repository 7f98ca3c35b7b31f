#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A disk is plugged into a running QEMU guest, used, unplugged, and plugged
# again: it then holds what was written before.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_target 64M
cat >"$T/script" <<'EOS'
set -eu

qmp()
{
	host qmp "$1" || { echo "guest: QMP refused $1"; exit 1; }
}

# Every 0.1 s, 300 times at most.
wait_until()
{
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || { echo "guest: not in time: $*"; exit 1; }
		sleep 0.1
	done
}

is_unplugged()
{
	! qmp '{"execute": "qom-list", "arguments":
		{"path": "/machine/peripheral"}}' | grep -q '"hot"'
}

plug()
{
	qmp '{"execute": "chardev-add", "arguments": {"id": "char-hot",
		"backend": {"type": "socket", "data": {"server": false,
		"addr": {"type": "unix", "data": {"path": "'"$SOCKET"'"}}}}}}'
	qmp '{"execute": "device_add", "arguments": {"id": "hot",
		"driver": "vhost-user-blk-pci", "chardev": "char-hot",
		"num-queues": 2, "bus": "port0"}}'
	wait_until test -b /dev/vda
}

unplug()
{
	qmp '{"execute": "device_del", "arguments": {"id": "hot"}}'
	wait_until is_unplugged
	qmp '{"execute": "chardev-remove", "arguments": {"id": "char-hot"}}'
	[ ! -e /dev/vda ]
}

plug
fio --name=hot --filename=/dev/vda --ioengine=io_uring --direct=1 \
	--rw=randwrite --bs=16k --size=16M --iodepth=8 --verify=crc32c \
	--verify_fatal=1 --minimal >/dev/null
digest=$(dd if=/dev/vda bs=1M count=16 iflag=direct 2>/dev/null | sha256sum)
unplug
echo "guest: unplugged"
plug
[ "$(dd if=/dev/vda bs=1M count=16 iflag=direct 2>/dev/null |
	sha256sum)" = "$digest" ]
unplug
echo "guest: done"
EOS
guest_qemu --ports 1 --modules virtio_blk --env "SOCKET=$T/disk0.sock" \
	--script "$T/script" || fail "the guest ended with status $?"
daemon_stop
