#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A daemon that is killed leaves a write in the block layer.  The next one
# serves nothing before that is over, and says so: else the old write would land
# on what the guest has written since.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "${top_srcdir:-.}/tests/lib/slowdisk.sh"
guest=$top_srcdir/tests/lib/small-guest

slowdisk_make 8M

# configure KEYS
configure()
{
	daemon_config <<EOF
targets:
  - {name: disk, backend: {path: $slowdisk, direct: on, $1}}
EOF
}

is_in_flight()
{
	ctl --json show disk | grep -q 'inflight": 1'
}

# one KEYS REASON [NEW-KEYS]: the keys of the backend, also of the next daemon
# unless it has new ones.
one()
{
	rm -f "$daemon_log"
	configure "$1"
	daemon_start
	slowdisk_slow "$daemon_pid"
	"$guest" "$T/disk.sock" write:0:1048576:o >"$T/old" 2>&1 &
	wait_until "the old write is in flight" is_in_flight
	sleep 0.3
	daemon_kill

	configure "${3-$1}"
	daemon_start
	"$guest" "$T/disk.sock" write:0:1048576:n >"$T/new" 2>&1 &
	new=$!
	wait_until "the daemon says for whom it waits" logged \
		"disk: waits for its backend.*$2"
	[ "$(cat "$T/new")" = sent ] ||
		fail "it is served already: $(cat "$T/new")"
	ctl --json show disk >"$T/out"
	grep -q '"claim": "waiting"' "$T/out" ||
		fail "show lacks the claim: $(cat "$T/out")"
	grep -q "\"reason\": \".*$2" "$T/out" ||
		fail "show does not say for whom: $(cat "$T/out")"
	ctl --json status | grep -q '"waiting": 1' ||
		fail "status does not count it: $(ctl --json status)"
	wait "$new" || fail "the new write failed: $(cat "$T/new")"
	[ "$(tail -n 1 "$T/new")" = 0 ] || fail "its status is $(cat "$T/new")"
	logged "disk: has its backend" || fail "nobody says that it goes on"
	grep -q 0 "$T/old" && fail "the old write was over before: no test"

	# As long as the old write takes as a whole, should it be on its way
	# still.
	sleep 4.5
	dd "if=$slowdisk" bs=1M count=1 iflag=direct 2>/dev/null |
		tr -d n >"$T/left"
	[ ! -s "$T/left" ] || fail "the old write has landed on the new one"
	daemon_stop
}

one "shared: off" "requests of a process that has ended"
one "shared: on" "requests of the vringd that was here before"
one "shared: on" "requests of the vringd that was here before" \
	"shared: on, discard: off, delay: 1ms"
