#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A client that leaves, a client that is killed and a daemon that is stopped do
# not wait for limits, though the guest could do nothing for hours.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

daemon_config <<EOF
targets:
  - name: disk
    backend: {kind: mem, size: 64MiB}
    limits: {bandwidth: 4KiB}
EOF
daemon_start

is_state()
{
	ctl --json show disk | tr -d ' \n' | grep -q "$1"
}

throttle()
{
	"$VRINGBENCH" --socket "$T/disk.sock" --rw randwrite --bs 1m \
		--queues 2 --iodepth 8 --time 60 >"$T/bench.out" 2>&1 &
	bench=$!
	wait_until "the guest is throttled" is_state '"state":"throttled"'
}

began=$(date +%s)
throttle
kill -KILL "$bench"
wait "$bench" 2>/dev/null
wait_until "the target is free again" is_state '"state":"listening"'
throttle
daemon_stop
took=$(($(date +%s) - began))
kill "$bench" 2>/dev/null
wait "$bench" 2>/dev/null
[ "$took" -le 15 ] || fail "that took $took s"
