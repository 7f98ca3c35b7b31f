#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The metrics of a daemon at work are what Prometheus reads, whatever the names
# of targets and files; and the reader that says so finds what is wrong.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3
check=$top_srcdir/tests/lib/check-metrics
"$check" --self-test || fail "the reader of metrics is blind"

disk="a\"b\"\\n{x=1},é.img"
make_file "$disk" 8M
daemon_config <<EOF
targets:
  - {name: le, device: blk, backend: {kind: mem, size: 8MiB}}
  - {name: "0.-_Z", device: blk, backend: '$T/$disk', read-only: true}
  - {name: failed, device: blk, backend: $T/none.img}
EOF
daemon_start
ctl metrics >"$T/idle"
"$check" "$T/idle" || fail "the metrics are wrong"
grep -q '^vringd_target_up{target="failed"} 0$' "$T/idle" ||
	fail "a failed target is up"
grep -qF "backend=\"$T/a\\\"b\\\"\\\\n{x=1},é.img\"" "$T/idle" ||
	fail "the name of the file is not escaped"

"$VRINGBENCH" --socket "$T/le.sock" --rw randrw --iodepth 8 --verify --time 2 \
	>"$T/out" &
load=$!
while kill -0 $load 2>/dev/null; do
	ctl metrics >"$T/busy"
	"$check" "$T/busy" >"$T/out2" || fail "$(cat "$T/out2")"
done
wait $load || fail "the load failed"
ctl metrics >"$T/after"
"$check" "$T/after" || fail "the metrics are wrong"
grep -q 'duration_seconds_count{target="le",op="write"} [1-9]' "$T/after" ||
	fail "no writes are counted"
grep -q '^vringd_io_now{target="le"} 0$' "$T/after" ||
	fail "something is still in flight"
[ "$(grep -c '^# TYPE' "$T/idle")" = "$(grep -c '^# TYPE' "$T/after")" ] ||
	fail "families come and go"
daemon_stop
