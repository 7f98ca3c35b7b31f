#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The daemon dies at every step of a request and of the recovery from that, one
# after the other, and a verified load that goes on over all of these deaths
# finds nothing lost and nothing answered twice, for each ring format.
# CRASH_ROUNDS is how often each step is hit.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires setpriv "$VRINGBENCH"
VRINGD=$top_builddir/vringd-crash
[ "${TORTURE-}" = 1 ] && CRASH_ROUNDS=${CRASH_ROUNDS:-2}
rounds=${CRASH_ROUNDS:-1}
points=$top_srcdir/src/base/crash.def

# points_of RING: what such a ring comes by.
points_of()
{
	awk -F '[(,] *' -v rings="BOTH|$1" '
		$1 == "CRASH" && toupper(rings) ~ $3 { print $2 }
	' "$points"
}

# is_over: the daemon is dead, or has served for a second; before that it may
# have to wait until the storage is done with what its predecessor left.
is_over()
{
	is_gone "$daemon_pid" && return
	is_said $((sessions + 1)) "session started" || return
	served=$((served + 1))
	[ $served -gt 20 ]
}

# dies_at POINT COUNT: starts the daemon; true when it died there, false when
# it did not come by often enough, and was killed.
dies_at()
{
	crashes=$((crashes + 1))
	sessions=$(grep -c "session started" "$daemon_log")
	deaths=$(grep -c "^crash point $1\$" "$daemon_log")
	served=0
	export VRINGD_CRASH="$1:$2"
	daemon_spawn
	unset VRINGD_CRASH
	wait_until "the daemon comes by $1" is_over
	kill -KILL "$daemon_pid" 2>/dev/null
	daemon_died
	is_said $((deaths + 1)) "^crash point $1\$"
}

# crash_in_recovery POINT: what there is to recover depends on where the daemon
# died before.
crash_in_recovery()
{
	for try in $(seq 20); do
		before=PUBLISH_SHOWN
		[ $((try % 2)) = 0 ] || before=PUBLISH_BEFORE
		dies_at $before $((20 + try)) && dies_at "$1" 1 && return
	done
	fail "$ring: never came by $1"
}

# tries RING [ARG...]: a load over a crash at each point.
tries()
{
	ring=$1
	shift
	crashes=0
	: >"$daemon_log"
	rm -f "$T/disk.img"
	make_file disk.img 16M
	daemon_start
	"$VRINGBENCH" -s "$T/disk.sock" --rw randrw --verify --reconnect \
		--queues 2 --iodepth 128 --eventfd --time 280 --json "$@" \
		>"$T/out" 2>&1 &
	bench=$!
	wait_until "the load runs" is_said 1 "session started"
	daemon_kill
	for round in $(seq "$rounds"); do
		for point in $(points_of "$ring"); do
			case $point in
			RECOVER_*)
				crash_in_recovery "$point"
				;;
			*)	# Deep in a run, or in its first steps.
				n=$((1 + (crashes * 37 + round) % 200))
				dies_at "$point" $n ||
					fail "$ring: $n times $point"
				;;
			esac
		done
	done
	daemon_start
	kill -INT $bench
	wait $bench || { cat "$T/out"; fail "$ring: the load failed"; }
	daemon_stop
	grep -q '"inflight": true' "$T/out" || fail "$ring: nothing is recorded"
	for point in $(points_of "$ring"); do
		[ "$(grep -c "^crash point $point\$" "$daemon_log")" -ge \
			"$rounds" ] || fail "$ring: $point was not hit"
	done
	echo "$ring: $crashes crashes, $(grep verified "$T/out")"
}

daemon_config <<YAML
targets:
  - {name: disk, packed: on, backend: $T/disk.img}
YAML
[ "$(points_of split)" ] || fail "there are no crash points"
tries split
tries packed --packed
[ "${TORTURE-}" = 1 ] || exit 0
tries split --no-indirect
tries packed --packed --no-indirect
