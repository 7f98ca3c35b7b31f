#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The daemon dies at every step of a request, one after the other, and a
# verified load that goes on over all of these deaths finds nothing lost, for
# each ring format.  CRASH_ROUNDS is how often each step is hit.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires setpriv "$VRINGBENCH"
VRINGD=$top_builddir/vringd-crash
rounds=${CRASH_ROUNDS:-1}
points=$top_srcdir/src/base/crash.def

# points_of RING: what such a ring comes by.
points_of()
{
	awk -F '[(,] *' -v rings="BOTH|$1" '
		$1 == "CRASH" && toupper(rings) ~ $3 { print $2 }
	' "$points"
}

# crash_at POINT COUNT: starts the daemon and waits until it is dead.
crash_at()
{
	export VRINGD_CRASH="$1:$2"
	daemon_spawn
	unset VRINGD_CRASH
	wait_until "the daemon dies at $1" is_gone "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
	daemon_is_clean
}

# tries RING [ARG...]: a load over a crash at each point.
tries()
{
	ring=$1
	shift
	: >"$daemon_log"
	rm -f "$T/disk.img"
	make_file disk.img 16M
	daemon_start
	"$VRINGBENCH" -s "$T/disk.sock" --rw randrw --verify --reconnect \
		--queues 2 --iodepth 32 --eventfd --time 280 --json "$@" \
		>"$T/out" 2>&1 &
	bench=$!
	wait_until "the load runs" is_said 1 "client connected"
	daemon_kill
	n=0
	for round in $(seq "$rounds"); do
		for point in $(points_of "$ring"); do
			# Deep in a run, or in its first steps.
			crash_at "$point" $((1 + (n * 37 + round) % 200))
			n=$((n + 1))
		done
	done
	daemon_start
	kill -INT $bench
	wait $bench || { cat "$T/out"; fail "$ring: the load failed"; }
	daemon_stop

	grep -q "\"reconnects\": $((n + 1))" "$T/out" ||
		{ cat "$T/out"; fail "$ring: not $((n + 1)) reconnects"; }
	for point in $(points_of "$ring"); do
		hits=$(grep -c "^crash point $point\$" "$daemon_log")
		[ "$hits" = "$rounds" ] ||
			fail "$ring: $point was hit $hits times"
	done
	echo "$ring: $n crashes, $(grep verified "$T/out")"
}

daemon_config <<YAML
targets:
  - {name: disk, packed: on, backend: $T/disk.img}
YAML
[ "$(points_of split)" ] || fail "there are no crash points"
tries split
tries packed --packed
