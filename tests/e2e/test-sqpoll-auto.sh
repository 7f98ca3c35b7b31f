#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# With sqpoll: auto a worker changes the ring under load, and no data is lost;
# the kernel's thread sleeps afterwards.  Where no CPU is left for it there is
# none, and the reason is told.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3
cpus=$(two_cpus) || skip "only one CPU"
# Not a sparse file, where each write would need a thread first.
dd if=/dev/zero of="$T/disk.img" bs=1M count=64 2>"$T/dd.out" ||
	fail "$(cat "$T/dd.out")"

# serve KEY...: the daemon with these keys.
serve()
{
	{
		printf '%s\n' "$@"
		echo "targets:"
		echo "  - {name: file, backend: $T/disk.img}"
	} | daemon_config
	daemon_start
}

# engine PYTHON: what the expression makes of the first worker's, called e.
engine()
{
	ctl --json status | python3 -c "
import json, sys
e = json.load(sys.stdin)['engine']
print($1)"
}

# is PYTHON EXPECTED
is()
{
	is_said=$(engine "$1")
	[ "$is_said" = "$2" ] || fail "$1 is $is_said, not $2"
}

# load SECONDS: verifies; $iops is how fast it was.
load()
{
	"$VRINGBENCH" --socket "$T/file.sock" --rw randrw --bs 4k \
		--iodepth 32 --queues 2 --verify --time "$1" >"$T/load.out" ||
		fail "data was lost or corrupted: $(cat "$T/load.out")"
	iops=$(sed -n 's/.* \([0-9]*\) IOPS.*/\1/p' "$T/load.out")
}

# The time of the kernel's threads for SQPOLL, in ticks.
thread_time()
{
	cat /proc/"$daemon_pid"/task/*/stat 2>/dev/null | awk '
		/\(iou-sqp-/ { sub(".*\\) ", ""); n += $12 + $13 }
		END { print n + 0 }'
}

nr_threads()
{
	cat /proc/"$daemon_pid"/task/*/stat 2>/dev/null |
		grep -c '(iou-sqp-'
}

# One worker, and a CPU for the thread.
serve "cpus: [${cpus%%,*}]"
is 'e["ring"], e["why"], e["switches"]' \
	"direct there is too little to do for sqpoll 0"
[ "$(nr_threads)" = 1 ] || fail "there are $(nr_threads) threads for sqpoll"
rounds=0
while [ "$(engine 'e["switches"] < 4')" = True ]; do
	rounds=$((rounds + 1))
	load 2
	[ "$iops" -gt 15000 ] || skip "the disk is too slow: $iops IOPS"
	[ "$rounds" -le 8 ] || fail "sqpoll was not tried: $(ctl status)"
done
ctl metrics | grep -E '^vringd_worker_ring_switches_total\{worker="0"\}' |
	grep -vq ' [0-3]$' || fail "the metric does not count the switches"
# A request now and then is no reason to wake the thread.
sleep 1
"$VRINGBENCH" --socket "$T/file.sock" --rate 50 --iodepth 1 --time 3 \
	--eventfd >"$T/slow.out" 2>&1 || fail "$(cat "$T/slow.out")"
is 'e["ring"], e["sqpoll"]' "direct asleep"
before=$(thread_time)
"$VRINGBENCH" --socket "$T/file.sock" --rate 50 --iodepth 1 --time 1 \
	--eventfd >"$T/slow.out" 2>&1 || fail "$(cat "$T/slow.out")"
[ "$(thread_time)" = "$before" ] || fail "the thread took CPU time"
daemon_stop

# A worker on each CPU that we may use.
serve "cpus: $(awk '$1 == "Cpus_allowed_list:" { print $2 }' \
	/proc/self/status)" "sqpoll: auto"
is 'e["ring"], e["sqpoll"], e["switches"], e["why"]' \
	"direct None 0 no CPU is left for a thread of sqpoll"
[ "$(nr_threads)" = 0 ] || fail "there is a thread for sqpoll"
load 1
is 'e["ring"], e["switches"]' "direct 0"
daemon_stop

# A CPU that is not there: that is an error only for who insists on it.
serve "cpus: [${cpus%%,*}]" "sqpoll-cpu: 1023"
is 'e["ring"], e["why"]' "direct sqpoll is not possible here, see the log"
is_said 1 'warn .*worker0: goes without sqpoll: .*sqpoll-cpu' ||
	fail "the log does not say why"
load 1
daemon_stop

serve "sqpoll: off"
is 'e["ring"], e["why"]' "direct sqpoll is off in the configuration"
[ "$(nr_threads)" = 0 ] || fail "there is a thread for sqpoll"
daemon_stop
