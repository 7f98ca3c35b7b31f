#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# How long a worker looks for work before it sleeps is changed by reloads while
# a guest asks for something every two milliseconds, and counts at once.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3

configure()
{
	daemon_config <<EOF
$1
targets:
  - {name: disk, backend: {kind: null, size: 1GiB, delay: 2ms}}
EOF
}

change()
{
	configure "poll: $1"
	ctl reload >"$T/reload" 2>&1 || {
		cat "$T/reload"
		fail "the reload failed"
	}
	grep -q '^changed    poll$' "$T/reload" || fail "nothing was changed"
	is_poll "$1"
}

is_poll()
{
	ctl status | grep -q "^poll  *$1\$" || fail "poll is not $1"
}

# look: READS SLEEPS POLLED-US of the daemon so far.
look()
{
	ctl --json stats disk >"$T/stats"
	ctl --json status >"$T/status"
	python3 - "$T/stats" "$T/status" <<EOF
import json, sys
stats, status = [json.load(open(name)) for name in sys.argv[1:]]
worker = status["workers"][0]
print(stats[0]["counters"]["reads"], worker["sleeps"], worker["polled_us"])
EOF
}

# expect CONDITION: of so many reads, sleeps and polled microseconds in 2 s.
expect()
{
	sleep 0.3
	look >"$T/before"
	sleep 2
	look >"$T/after"
	cat "$T/before" "$T/after" | awk '
		NR == 1 { reads = $1; sleeps = $2; polled = $3 }
		END {
			reads = $1 - reads
			sleeps = $2 - sleeps
			polled = $3 - polled
			print reads " reads", sleeps " sleeps", polled " us"
			exit !(reads > 20 && ('"$1"'))
		}' || fail "not what poll asks for: $1"
}

configure ""
daemon_start
"$VRINGBENCH" --socket "$T/disk.sock" --rw randread --bs 4k --iodepth 1 \
	--eventfd --time 100 >"$T/bench.out" 2>&1 &
bench=$!
wait_until "the guest reads" sh -c \
	"'$VRINGCTL' --socket '$control' --json stats disk |
		grep -q '\"reads\": *[1-9]'"

is_poll auto
# A pause of 2 ms is too long to be awake for.
expect 'sleeps >= reads && polled < 200000'
change 10ms
expect 'sleeps < reads / 2 && polled > 500000'
ctl status | grep -Eq ' 10 ms +10 ms +[0-9]' || fail "the budgets are not shown"
ctl metrics >"$T/metrics"
grep -q '^vringd_worker_sleeps_total{worker="0"} [1-9]' "$T/metrics" &&
	grep -q '^vringd_worker_poll_seconds_total{worker="0"} [0-9.]*[1-9]' \
		"$T/metrics" || fail "there are no metrics of it"
change off
expect 'sleeps >= reads && polled < 20000'
change auto
expect 'sleeps >= reads && polled < 200000'
change 1us
expect 'sleeps >= reads && polled < 200000'

# A wrong value changes nothing, nor does the one that is there.
configure "poll: on"
! ctl reload >"$T/reload" 2>&1 || fail "poll is on"
grep -q 'poll: expected auto, off or a time 1us..10ms, got "on", did you mean' \
	"$T/reload" || fail "a wrong value is not explained"
is_poll 1us
configure "poll: 1us"
ctl reload >"$T/reload" 2>&1 || fail "the reload failed"
! grep -q '^changed' "$T/reload" || fail "the same is a change"
kill "$bench"
wait "$bench"
daemon_stop
