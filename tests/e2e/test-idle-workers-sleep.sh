#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Targets that are connected and idle cost nothing: no worker wakes at all.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

{
	echo "targets:"
	for n in 1 2 3 4 5 6 7 8 9 10; do
		echo "  - {name: t$n, backend: {kind: mem, size: 16MiB}}"
	done
} | daemon_config
daemon_start
sockets=
for n in 1 2 3 4 5 6 7 8 9 10; do
	sockets="$sockets --socket $T/t$n.sock"
done
# shellcheck disable=SC2086
"$VRINGBENCH" $sockets --idle --queues 2 --time 30 >"$T/idle.out" 2>&1 &
bench=$!
wait_until "all clients are connected" sh -c \
	"'$VRINGCTL' --socket '$control' status | grep -q 'connected.* 10'"
sleep 1

before=$(worker_switches)
[ -n "$before" ] || fail "there is no worker"
sleep 3
after=$(worker_switches)
[ "$before" = "$after" ] || fail "a worker woke:
$before
$after"
kill "$bench"
wait "$bench"
daemon_stop
