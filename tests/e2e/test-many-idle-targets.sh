#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Many targets that are connected and idle take little memory and no time: no
# thread wakes, and a busy one beside them makes no more system calls for a
# request than alone.
# shellcheck disable=SC3045 # dash has ulimit -H and -S
. "${top_srcdir:-.}/tests/lib/e2e.sh"

nr=200
most_kib=64
case $(ulimit -Hn) in
unlimited) ;;
*) [ "$(ulimit -Hn)" -ge $((nr * 32)) ] || skip "too few files may be open" ;;
esac

{
	echo "targets:"
	echo "  - {name: busy, backend: {kind: null, size: 1GiB}}"
	n=0
	while [ $n -lt $nr ]; do
		make_file "$n.img" 16M
		echo "  - {name: t$n, backend: {kind: null, size: 1GiB}}"
		echo "  - {name: t$((n + 1)), backend: $T/$n.img}"
		n=$((n + 2))
	done
} | daemon_config
# As in a shell.  The daemon takes what it needs, as far as it may.
ulimit -Sn 256
daemon_start

# worker: the thread's id.
worker()
{
	for task in /proc/"$daemon_pid"/task/*; do
		[ "$(cat "$task/comm")" != vringd-w0 ] || echo "${task##*/}"
	done
}

# reads: of the busy target.
reads()
{
	ctl --json stats busy | awk -F '[:,]' '/"reads":/ { print $2 + 0 }'
}

is_busy()
{
	[ "$(reads)" -gt "$1" ]
}

# count_calls: $calls becomes what the worker makes of system calls for 100
# requests of the busy target; nothing where threads cannot be traced.
count_calls()
{
	before=$(reads)
	"$VRINGBENCH" --socket "$T/busy.sock" --iodepth 1 --eventfd \
		--time 600 >"$T/busy.out" 2>&1 &
	busy=$!
	wait_until "the busy target is busy" is_busy "$before"
	before=$(reads)
	before=$(reads)
	rm -f "$T/calls"
	timeout -s INT 1 strace -c -o "$T/calls" -p "$(worker)" 2>/dev/null
	after=$(reads)
	kill "$busy"
	wait "$busy" || fail "the busy target: $(cat "$T/busy.out")"
	calls=$(awk -v requests=$((after - before)) '
		$NF == "total" { printf "%.0f\n", 100 * $4 / requests }
	' "$T/calls" 2>/dev/null)
}

is_crowded()
{
	ctl --json status | grep -qx "  \"connected\": $nr,"
}

# all_sleeps: how often each thread went to sleep.
all_sleeps()
{
	grep ^voluntary /proc/"$daemon_pid"/task/*/status
}

count_calls
alone=$calls

sockets=
n=0
while [ $n -lt $nr ]; do
	sockets="$sockets --socket $T/t$n.sock"
	n=$((n + 1))
done
# shellcheck disable=SC2086
"$VRINGBENCH" $sockets --idle --queues 4 --time 600 >"$T/idle.out" 2>&1 &
crowd=$!
wait_until "all guests are connected" is_crowded
sleep 1
# It looks after its targets all the time; we want none of that.
kill -STOP "$crowd"

before=$(all_sleeps)
sleep 3
after=$(all_sleeps)
# ThreadSanitizer has a thread of its own, which wakes.
[ "$before" = "$after" ] || grep -q __tsan_init "$VRINGD" ||
	fail "a thread woke:
$before
$after"

rss_kib=$(awk '$1 == "RssAnon:" { print $2 }' "/proc/$daemon_pid/status")
if ! grep -qE '__[at]san_init' "$VRINGD"; then
	[ $((rss_kib / nr)) -lt $most_kib ] ||
		fail "$((rss_kib / nr)) KiB for each target"
fi

count_calls
echo "$((rss_kib / nr)) KiB for each target;" \
	"calls for 100 requests: ${alone:-?} alone, ${calls:-?} beside"
# A call for each of the others would be many times as much.
[ "${calls:-0}" -le $((2 * ${alone:-0} + 100)) ] ||
	fail "a busy target makes more system calls beside idle ones"

kill -KILL "$crowd"
wait "$crowd" 2>/dev/null
daemon_stop
