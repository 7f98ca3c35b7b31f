#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target with limits that nobody reaches costs nothing, nor does one whose
# guest was throttled a moment ago: no worker wakes.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

daemon_config <<EOF
targets:
  - {name: idle, backend: {kind: null, size: 1GiB}, limits: {iops: 1}}
  - {name: busy, backend: {kind: null, size: 1GiB}, limits: {iops: 1000}}
EOF
daemon_start
"$VRINGBENCH" --socket "$T/idle.sock" --idle --queues 4 --time 60 \
	>"$T/idle.out" 2>&1 &
idle=$!
"$VRINGBENCH" --socket "$T/busy.sock" --rw randread --time 1 --queues 2 \
	>"$T/busy.out" 2>&1 || fail "the load failed"
ctl --json stats busy | grep -q '"throttled_us": *[1-9]' ||
	fail "the guest was not throttled"
wait_until "the idle client is connected" sh -c \
	"'$VRINGCTL' --socket '$control' status | grep -q 'connected.* 1'"
sleep 1
before=$(worker_switches)
[ -n "$before" ] || fail "there is no worker"
sleep 2
after=$(worker_switches)
[ "$before" = "$after" ] || fail "a worker woke:
$before
$after"
kill "$idle"
wait "$idle"
daemon_stop
