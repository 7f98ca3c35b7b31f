#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A VMM that is killed leaves a write in flight.  The next one is held until it
# is over, and show, status and the log say for what it waits.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "${top_srcdir:-.}/tests/lib/slowdisk.sh"
guest=$top_srcdir/tests/lib/small-guest

slowdisk_make 8M
daemon_config <<EOF
targets:
  - {name: disk, backend: {path: $slowdisk, direct: on}}
EOF
daemon_start
slowdisk_slow "$daemon_pid"
"$guest" "$T/disk.sock" write:0:1048576:o >"$T/old" 2>&1 &
old=$!
wait_until "the old write is in flight" sh -c \
	"'$VRINGCTL' -s '$control' --json show disk | grep -q 'inflight\": 1'"
kill -KILL $old
wait $old 2>/dev/null
wait_until "show says what is in flight" sh -c \
	"'$VRINGCTL' -s '$control' show disk |
	grep -q '1 request of pid $old, which has left, is not over'"

# The new write is short, as this daemon's are slow.
"$guest" "$T/disk.sock" write:983040:65536:n >"$T/new" 2>&1 &
new=$!
wait_until "the log says that it waits" logged \
	"disk: client waits pid=$new requests=1 last-pid=$old: the storage has"
ctl show disk >"$T/out"
grep -q "pid $new has connected and waits: 1 request of pid $old" "$T/out" ||
	fail "show does not say who waits: $(cat "$T/out")"
ctl --json status | grep -q '"waiting": 1' ||
	fail "status does not count it: $(ctl --json status)"
logged "client connected pid=$new" && fail "it is served beside the old one"
wait $new || fail "the new write failed: $(cat "$T/new")"
[ "$(tail -n 1 "$T/new")" = 0 ] || fail "its status is $(cat "$T/new")"
logged "client connected pid=$new" || fail "nobody says that it is served"

dd "if=$slowdisk" bs=64k iflag=direct count=16 of="$T/is" 2>/dev/null
{
	head -c 983040 /dev/zero | tr '\0' o
	head -c 65536 /dev/zero | tr '\0' n
} >"$T/should"
cmp "$T/is" "$T/should" || fail "the old write did not land before the new one"
daemon_stop
