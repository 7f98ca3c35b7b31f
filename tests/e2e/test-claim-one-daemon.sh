#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Two daemons with the same file: the second serves nothing from it until the
# first has let go, and says whom it waits for.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file disk.img 16M
daemon_config <<EOF
targets:
  - {name: disk, device: blk, backend: $T/disk.img}
EOF
mkdir "$T/b"
cat >"$T/b/vringd.yaml" <<EOF
control: {path: $T/b/control.sock}
socket-dir: $T/b
targets:
  - {name: disk, device: blk, backend: $T/disk.img}
EOF
daemon_start
"$VRINGBENCH" --socket "$T/disk.sock" --rw randwrite --bs 4k --iodepth 4 \
	--time 3 >"$T/first.out" 2>&1 &
first=$!
wait_until "the first client is served" sh -c \
	"'$VRINGCTL' --socket '$control' status | grep -q 'connected.*1'"
setpriv --pdeathsig KILL "$VRINGD" -c "$T/b/vringd.yaml" >"$T/b/log" 2>&1 &
second_daemon=$!
wait_until "the second daemon serves" is_listening "$T/b/control.sock"
"$VRINGBENCH" --socket "$T/b/disk.sock" --rw randwrite --bs 4k --iodepth 4 \
	--time 1 >"$T/second.out" 2>&1 &
second=$!
wait_until "the second daemon says that it waits" \
	grep -q "disk: waits for its backend" "$T/b/log"
kill -0 "$second" 2>/dev/null || fail "the second client did not wait"
wait "$first" || fail "the first client failed"
wait "$second" || fail "the second client was not served afterwards"
grep -q "disk: has its backend" "$T/b/log" ||
	fail "the second daemon does not say that it goes on"
kill -TERM "$second_daemon"
wait "$second_daemon" || fail "the second daemon ended with status $?"
daemon_stop
