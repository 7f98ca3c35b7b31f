#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A delay keeps requests in flight, loses none of them, and is waited for when a
# client or the daemon ends.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file disk.img 16M
daemon_config <<EOF
targets:
  - {name: file, backend: {path: $T/disk.img, delay: 20ms}}
  - {name: mem, backend: {kind: mem, size: 16MiB, delay: 20ms}}
  - {name: void, backend: {kind: null, size: 16MiB, delay: 20ms}}
EOF
"$VRINGD" -t -c "$T/vringd.yaml" >"$T/out" 2>&1 || fail "$(cat "$T/out")"
[ "$(grep -c 'backend.delay: makes the disk slow' "$T/out")" = 3 ] ||
	fail "nobody is warned: $(cat "$T/out")"
daemon_start

# Half of the delay at least for each of them, so at most 100 a second.
for target in file mem void; do
	"$VRINGBENCH" -s "$T/$target.sock" --rw randrw --iodepth 1 --json \
		--time 1 >"$T/out" || fail "$target failed"
	awk '$1 == "\"iops\":" { ok = $2 + 0 > 0 && $2 + 0 <= 101 }
		END { exit !ok }' "$T/out" ||
		fail "$target is not delayed: $(cat "$T/out")"
done
for target in file mem; do
	"$VRINGBENCH" -s "$T/$target.sock" --rw randrw --verify --queues 2 \
		--iodepth 32 --time 1 || fail "$target lost data"
done

for target in file mem void; do
	"$VRINGBENCH" -s "$T/$target.sock" --rw randwrite --iodepth 32 \
		--time 60 >"$T/$target.out" 2>&1 &
done
are_in_flight()
{
	ctl --json show "$1" | grep -q '"inflight": *[1-9]'
}
for target in file mem void; do
	wait_until "requests of $target are in flight" are_in_flight $target
done
ctl disconnect mem >/dev/null || fail "disconnect exits with $?"
daemon_stop
