#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A QEMU guest is reset with requests in flight while the daemon is dead, and
# again while it serves: what the guest had flushed before is there, what was
# in flight is forgotten, and the next boot uses the disk.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
cat >"$T/script" <<'EOS'
set -eu
boot=$(host boot)
echo "guest: boot $boot"
# The first 8 MiB.
digest()
{
	dd if="$BLK0" bs=1M count=8 iflag=direct 2>/dev/null | sha256sum
}

if [ "$boot" -gt 1 ]; then
	[ "$(digest)" = "$(host digest)" ]
fi
if [ "$boot" = 3 ]; then
	echo "guest: done"
	exit 0
fi
dd if=/dev/urandom of="$BLK0" bs=1M count=8 oflag=direct conv=fsync 2>/dev/null
host digest "$(digest)"
fio --name=busy --filename="$BLK0" --offset=16M --size=32M --rw=randwrite \
	--ioengine=io_uring --direct=1 --bs=4k --iodepth=32 --time_based \
	--runtime=60 --minimal >/dev/null &
sleep 0.5
host busy
sleep 60
exit 1
EOS
cat >"$T/boot" <<'EOS'
#!/bin/sh
echo boot >>"$1/boots"
wc -l <"$1/boots"
EOS
cat >"$T/digest" <<'EOS'
#!/bin/sh
[ $# = 1 ] && exec cat "$1/digest.txt"
echo "$2" >"$1/digest.txt"
EOS
chmod +x "$T/boot" "$T/digest"

# resets RING PACKED
resets()
{
	: >"$daemon_log"
	rm -f "$T/busy" "$T/boots" "$T/qmp" "$T/disk.img"
	make_file disk.img 64M
	daemon_config <<-YAML
		targets:
		  - name: disk0
		    packed: $2
		    backend: {path: $T/disk.img, delay: 10ms}
	YAML
	daemon_start
	guest_qemu --blk "$T/disk0.sock,num-queues=2,reconnect=1,packed=$2" \
		--reboot --qmp "$T/qmp" --script "$T/script" \
		--on "boot=$T/boot $T" --on "digest=$T/digest $T \"\$@\"" \
		--on "busy=touch $T/busy" &
	guest=$!
	wait_until "the guest writes" test -e "$T/busy"
	rm "$T/busy"
	daemon_kill
	guest_qmp system_reset
	daemon_start
	wait_until "the guest writes again" test -e "$T/busy"
	guest_qmp system_reset
	wait $guest || fail "$1: the guest ended with status $?"
	daemon_stop
}

resets split off
resets packed on
