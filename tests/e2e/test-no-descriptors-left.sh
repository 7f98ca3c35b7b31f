#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# When the daemon has no descriptor left for a client, the client waits and the
# daemon sleeps; it is served soon after there are some again.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires prlimit
daemon_config <<EOF
targets:
  - {name: mem, device: blk, backend: {kind: mem, size: 16MiB}}
EOF

# Hundredths of a second of CPU time that the daemon has had.
cpu_time()
{
	awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"
}

daemon_start
nr=0
while [ -h "/proc/$daemon_pid/fd/$nr" ]; do
	nr=$((nr + 1))
done
limit=$(prlimit --pid "$daemon_pid" --nofile --noheadings --output SOFT)
prlimit --pid "$daemon_pid" --nofile="$nr:"
"$VRINGBENCH" --socket "$T/mem.sock" --time 1 >"$T/out" 2>&1 &
client=$!
wait_until "a client cannot be accepted" logged "mem: cannot accept a client"
before=$(cpu_time)
sleep 1
after=$(cpu_time)
[ $((after - before)) -lt 30 ] ||
	fail "the daemon was busy doing nothing: $((after - before)) of 100"
prlimit --pid "$daemon_pid" --nofile="$limit:"
wait $client || {
	cat "$T/out"
	fail "the client is not served when there are descriptors again"
}
daemon_stop
