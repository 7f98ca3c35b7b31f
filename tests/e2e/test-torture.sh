#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# For minutes: two verified loads with many queues, beside clients of a third
# target that are killed in the midst of theirs.  Runs only with TORTURE=1
# (contrib/check-all); TORTURE_SECONDS says how long.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
[ "${TORTURE-}" = 1 ] || skip "only with TORTURE=1"
requires "$VRINGBENCH"
seconds=${TORTURE_SECONDS:-150}
make_file disk.img 256M
make_file victim.img 64M
daemon_config <<YAML
targets:
  - {name: disk, backend: $T/disk.img}
  - {name: memory, backend: {kind: mem, size: 128MiB, block-size: 4096}}
  - {name: victim, backend: $T/victim.img}
YAML
daemon_start

"$VRINGBENCH" --socket "$T/disk.sock" --rw randrw --verify --queues 4 \
	--iodepth 16 --time "$seconds" >"$T/disk.out" 2>&1 &
disk=$!
"$VRINGBENCH" --socket "$T/memory.sock" --rw randrw --verify --queues 4 \
	--iodepth 64 --bs 16k --eventfd --time "$seconds" \
	>"$T/memory.out" 2>&1 &
memory=$!

victims=0
end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt $end ]; do
	"$VRINGBENCH" --socket "$T/victim.sock" --rw randwrite --bs 64k \
		--queues 2 --time 60 >/dev/null 2>&1 &
	victim=$!
	sleep "0.$((victims % 10))"
	kill -KILL $victim
	wait $victim 2>/dev/null
	victims=$((victims + 1))
done
echo "$victims clients killed"

wait $disk || { cat "$T/disk.out"; fail "disk"; }
wait $memory || { cat "$T/memory.out"; fail "memory"; }
"$VRINGBENCH" --socket "$T/victim.sock" --rw randrw --verify --time 2 \
	>"$T/victim.out" 2>&1 || { cat "$T/victim.out"; fail "victim"; }
daemon_stop
