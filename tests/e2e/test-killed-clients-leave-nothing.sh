#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Clients are killed in the midst of their requests, again and again: the
# daemon is left with as many descriptors and mappings as after the first.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

targets="a b c d e"
cpus=$(two_cpus) || skip "only one CPU"

for t in $targets; do
	make_file "$t.img" 16M
done
daemon_config <<EOF
cpus: [$cpus]
targets:
  - {name: a, device: blk, cpus: [$cpus], backend: $T/a.img}
  - {name: b, device: blk, backend: $T/b.img}
  - {name: c, device: blk, backend: {path: $T/c.img, direct: off}}
  - {name: d, device: blk, backend: {kind: mem, size: 16MiB}}
  - {name: e, device: blk, backend: {kind: mem, size: 16MiB}}
EOF

nr_connected()
{
	ctl status >"$T/status"
	[ "$(awk '$1 == "connected" { print $2 }' "$T/status")" = "$1" ]
}

kill_five()
{
	pids=
	for t in $targets; do
		"$VRINGBENCH" --socket "$T/$t.sock" --rw randrw --bs 16k \
			--iodepth 8 --queues 2 --time 60 \
			>"$T/$t.out" 2>&1 &
		pids="$pids $!"
	done
	wait_until "five clients are served" nr_connected 5
	sleep 0.05
	for pid in $pids; do
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
	done
	wait_until "no client is left" nr_connected 0
}

is_as_before()
{
	[ "$(count_files)" = "$before" ]
}

daemon_start
kill_five
sleep 0.5
before=$(count_files)
for _ in 1 2 3 4 5 6 7 8 9; do
	kill_five
done
wait_until "again $before, not $(count_files)" is_as_before
"$VRINGBENCH" --socket "$T/a.sock" --rw randrw --bs 4k --verify --time 1 ||
	fail "a client after those is not served"
daemon_stop
