#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Limits are set, raised, lowered and lifted by a reload, while the guest goes
# on, and count at once, even where it would have had to wait for minutes.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

configure()
{
	daemon_config <<EOF
targets:
  - {name: disk, backend: {kind: null, size: 1GiB}$1}
EOF
}

change()
{
	configure "$1"
	ctl reload >"$T/reload" 2>&1 || {
		cat "$T/reload"
		fail "the reload failed"
	}
	grep -q ' 1 changed' "$T/reload" || fail "nothing was changed"
}

reads()
{
	ctl --json stats disk | sed -n 's/.*"reads": *\([0-9]*\).*/\1/p'
}

# expect LEAST MOST: so many reads in a second, after a moment for the burst.
expect()
{
	sleep 0.3
	expect_began=$(date +%s.%N)
	expect_before=$(reads)
	sleep 2
	expect_reads=$(($(reads) - expect_before))
	awk -v began="$expect_began" -v ended="$(date +%s.%N)" \
		-v reads="$expect_reads" -v least="$1" -v most="$2" '
		BEGIN {
			rate = reads / (ended - began)
			printf "%.0f, %d to %d expected\n", rate, least, most
			exit rate < least || rate > most
		}' || fail "not what the limits allow"
}

configure ""
daemon_start
"$VRINGBENCH" --socket "$T/disk.sock" --rw randread --bs 4k --iodepth 8 \
	--eventfd --time 100 >"$T/bench.out" 2>&1 &
bench=$!
wait_until "the guest reads" sh -c \
	"'$VRINGCTL' --socket '$control' --json stats disk |
		grep -q '\"reads\": *[1-9]'"
expect 5000 100000000
change ", limits: {iops: 500, burst: 50ms}"
expect 400 520
change ", limits: {read-iops: 2000, burst: 50ms}"
expect 1600 2080
# One request and then a minute of nothing.
change ", limits: {bandwidth: 4KiB, burst: 60s}"
sleep 1
change ", limits: {bandwidth: 4KiB, burst: 1ms}"
expect 0 2
change ", limits: {bandwidth: 8MiB, burst: 50ms}"
expect 1600 2100
change ""
expect 5000 100000000
ctl --json show disk | grep -q '"limits": *null' || fail "there are limits"
kill "$bench"
wait "$bench"
daemon_stop
