#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Reports are asked for in a tight loop while clients come and are killed: each
# is answered, whatever state the queues are in just then.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

cpus=$(two_cpus) || skip "only one CPU"
daemon_config <<EOF
cpus: [$cpus]
targets:
  - {name: a, device: blk, cpus: [$cpus], backend: {kind: mem, size: 16MiB}}
  - {name: b, device: blk, cpus: [$cpus], backend: {kind: mem, size: 16MiB}}
EOF

# Until $T/stop exists, or the test ended early and took $T along.
come_and_go()
{
	while [ -d "$T" ] && [ ! -e "$T/stop" ]; do
		"$VRINGBENCH" --socket "$T/$1.sock" --rw randread --bs 4k \
			--queues 8 --time 60 >"$T/$1.out" 2>&1 &
		client=$!
		sleep 0.05
		kill -KILL $client
		wait $client 2>/dev/null
	done
}

daemon_start
come_and_go a &
first=$!
come_and_go b &
second=$!
end=$(($(date +%s) + 4))
while [ "$(date +%s)" -lt $end ]; do
	for what in status list stats "show a" "show b"; do
		# shellcheck disable=SC2086 # a command and its argument
		ctl $what >"$T/answer" || fail "no answer to $what"
	done
done
: >"$T/stop"
wait $first
wait $second
daemon_stop
