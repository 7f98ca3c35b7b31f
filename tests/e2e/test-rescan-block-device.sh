#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A block device grows while it is used: nothing is opened again, the VMM is
# told, and what was added can be written.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires_root
requires losetup python3

make_file disk.img 8M
loop=$(losetup --find --show "$T/disk.img") || skip "no loop device here"
detach_and_cleanup()
{
	detach_status=$?
	losetup --detach "$loop"
	(exit $detach_status)
	cleanup
}
trap detach_and_cleanup EXIT

daemon_config <<EOF
targets:
  - {name: disk, backend: $loop}
EOF
daemon_start
"$top_srcdir/tests/lib/size-watcher" "$T/disk.sock" >"$T/sizes" 2>&1 &
watcher=$!
wait_until "the disk has a size" test -s "$T/sizes"
ctl rescan disk >/dev/null || fail "it cannot be looked at"
truncate -s 24M "$T/disk.img"
ctl rescan disk >/dev/null || fail "it cannot be looked at"
losetup --set-capacity "$loop"
ctl rescan disk >/dev/null || fail "it cannot be looked at"
wait_until "the VMM was told" grep -q '^25165824$' "$T/sizes"
[ "$(wc -l <"$T/sizes")" = 2 ] || fail "it was told too much"
kill "$watcher"
"$VRINGBENCH" --socket "$T/disk.sock" --rw randwrite --verify --bs 64k \
	--time 2 >"$T/out" 2>&1 || {
	cat "$T/out"
	fail "the disk is no good after it grew"
}
[ "$(du -k "$T/disk.img" | cut -f 1)" -gt 16384 ] ||
	fail "nothing was written to what was added"
daemon_stop
