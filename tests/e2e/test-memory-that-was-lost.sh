#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A disk in memory that comes back empty under its guest gives errors and not
# zeroes, until a guest begins anew; one that is still there gives its data.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3
guest=$top_srcdir/tests/lib/small-guest
why='the guest has used this disk before, and what was on it is lost'

daemon_config <<EOF
targets:
  - {name: mem, packed: on, backend: {kind: mem, size: 16MiB}}
EOF
daemon_start
"$guest" "$T/mem.sock" write:0:4096:x >"$T/out" || fail "$(cat "$T/out")"
daemon_kill
daemon_start
for _ in 1 2; do
	[ "$("$guest" "$T/mem.sock" --used 1 read:0:4096 | tail -n 1)" = \
		"1 '?'" ] || fail "a guest that lost its data is served"
done
"$guest" "$T/mem.sock" --used 1 write:0:4096:x read:0:4096 sleep:60 >"$T/out" &
guest_pid=$!
wait_until "it has answers" sh -c "grep -c sent '$T/out' | grep -qx 2"
sleep 0.2
[ "$(grep -v sent "$T/out")" = "1
1 '?'" ] || fail "it writes to a disk that is another: $(cat "$T/out")"
ctl show mem | grep -q "$why" || fail "show does not say why"
kill $guest_pid
said='mem: answers every request with an error backend=mem:16777216'
is_said 3 "err  *$said: $why" ||
	fail "not every session is told"

# One with requests in flight, which goes on with its rings.
crash_under_load()
{
	"$VRINGBENCH" -s "$T/mem.sock" --rw randrw --verify --reconnect "$@" \
		--time 60 >"$T/bench" 2>&1 &
	bench=$!
	wait_until "a load runs" sh -c "'$VRINGCTL' -s '$control' --json \
		stats mem | grep -q '\"reads\": [1-9]'"
	daemon_kill
	e2e_said=$(grep -c "$said" "$daemon_log")
	daemon_start
	wait_until "the loss is noticed" is_said $((e2e_said + 1)) "$said"
	sleep 0.2
	kill -INT $bench
	wait $bench && fail "nothing was lost: $(head "$T/bench")"
	grep -q "status 1" "$T/bench" || fail "no errors: $(head "$T/bench")"
	grep -q " found " "$T/bench" &&
		fail "it read what was never there: $(head "$T/bench")"
}
daemon_kill
daemon_start
crash_under_load --no-inflight --keep-rings
daemon_kill
daemon_start
crash_under_load --iodepth 64 --queues 4
daemon_kill
daemon_start
crash_under_load --packed

# One that boots begins anew, and its VMM need not leave for that.
"$guest" "$T/mem.sock" --used 1 read:0:4096 boot read:0:4096 >"$T/out" ||
	fail "$(cat "$T/out")"
[ "$(tr '\n' ' ' <"$T/out")" = "sent 1 '?' sent 0 '\\x00' " ] ||
	fail "a guest that boots is not served: $(cat "$T/out")"
is_said $((e2e_said + 2)) "$why" || fail "it was not told first"
ctl --json status | grep -q '"errors": [1-9]' || fail "the errors do not count"
daemon_kill
daemon_start

# A fresh one is served, and then everybody who comes again.
[ "$("$guest" "$T/mem.sock" write:0:4096:x | tail -n 1)" = 0 ] ||
	fail "a new guest is not served"
[ "$("$guest" "$T/mem.sock" --used 1 read:0:4096 | tail -n 1)" = "0 'x'" ] ||
	fail "a guest that comes again does not get its data"
is_said $((e2e_said + 3)) "$why" && fail "it is said again"

daemon_stop
