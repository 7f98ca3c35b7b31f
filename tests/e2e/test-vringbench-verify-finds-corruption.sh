#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# --verify fails when the data change behind its back, names the place, and
# tells a stale block from foreign bytes.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires qemu-storage-daemon setpriv "$VRINGBENCH"

# Reads through the page cache, so that what we put in the file is seen.
make_file disk.img 1M
peer_start "driver=file,filename=$T/disk.img,cache.direct=off"

# has_written: the pass that writes everything has come to the end.
has_written()
{
	[ "$(dd if="$T/disk.img" bs=512 skip=2047 count=1 status=none |
		tr -d '\0' | wc -c)" != 0 ]
}

# spoiled OUTPUT COMMAND...: runs the command while vringbench reads, and wants
# it to fail with that output.
spoiled()
{
	spoiled_want=$1
	shift
	truncate -s 0 "$T/disk.img"
	truncate -s 1M "$T/disk.img"
	"$VRINGBENCH" -s "$T/peer.sock" --rw randread --verify --time 30 \
		--eventfd --iodepth 4 >"$T/out" 2>"$T/err" &
	bench_pid=$!
	wait_until "all is written" has_written
	"$@"
	# It need not take all of its time once it has seen it.
	wait_until "it is seen" test -s "$T/err"
	kill -INT $bench_pid
	wait $bench_pid
	[ $? = 1 ] || fail "status after: $*"
	grep -q "$spoiled_want" "$T/err" ||
		{ cat "$T/err"; fail "no '$spoiled_want' after: $*"; }
}

overwrite()
{
	tr '\0' "$1" </dev/zero |
		dd of="$T/disk.img" bs=1 seek="$2" count="$3" conv=notrunc \
			iflag=fullblock status=none
}

copy_block()
{
	dd if="$T/disk.img" of="$T/disk.img" bs=512 skip="$1" seek="$2" \
		count=1 conv=notrunc status=none
}

spoiled "foreign: offset 0x10000 expected offset 0x10000 generation 1" \
	overwrite x 65536 512
spoiled "foreign: offset 0x20000 .*from byte 480 on" overwrite x 131552 1
spoiled "torn: offset 0x20000 .*found offset 0x20000 generation 120 from byte" \
	overwrite x 131560 1
spoiled "lost: offset 0x10200 .*found zeroes" overwrite '\0' 66048 512
spoiled "misplaced: offset 0x1000 .*found offset 0x2000" copy_block 16 8

# And without any of that it does not fail.
"$VRINGBENCH" -s "$T/peer.sock" --rw randread --verify --time 0.5 >"$T/out" ||
	fail "fails by itself"
exit 0
