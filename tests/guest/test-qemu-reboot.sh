#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A QEMU guest is reset while it writes, once from outside and once by itself,
# and finds what it had flushed before each reset.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
guest_target 64M
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
case $boot in
1) host qmp system_reset ;;
2) echo b >/proc/sysrq-trigger ;;
esac
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
guest_qemu --reboot --blk "$T/disk0.sock,num-queues=2" --script "$T/script" \
	--on "boot=$T/boot $T" --on "digest=$T/digest $T \"\$@\"" ||
	fail "the guest ended with status $?"
daemon_stop
