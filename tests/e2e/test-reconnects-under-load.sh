#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A client comes and goes ten thousand times, at any step of its set-up and with
# requests in flight, beside another target under verified load: that loses
# nothing, and the daemon is left with as many descriptors and mappings and as
# much memory as before.  RECONNECTS says how often.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

RECONNECT=${RECONNECT:-$top_builddir/stress-reconnect}
requires "$VRINGBENCH" "$RECONNECT"
times=10000
slack=1024
# A sanitizer takes longer and keeps what was freed; it sees leaks itself.
if grep -aq '__[at]san_init' "$VRINGD"; then
	times=4000
	slack=1000000
fi
times=${RECONNECTS:-$times}

make_file come.img 16M
make_file load.img 64M
daemon_config <<YAML
targets:
  - {name: come, queues: 4, packed: on,
     backend: {path: $T/come.img, delay: 300us}}
  - {name: load, queues: 2, backend: $T/load.img}
YAML

# Anonymous memory in KiB.
memory()
{
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$daemon_pid/status"
}

# reconnect COUNT SEED
reconnect()
{
	"$RECONNECT" "$T/come.sock" "$1" "$2" || fail "the client is not served"
}

is_as_before()
{
	[ "$(count_files)" = "$before" ]
}

# connected COUNT: true when so many clients are there.
connected()
{
	ctl status | grep -q "^connected  *$1\$"
}

daemon_start
"$VRINGBENCH" --socket "$T/load.sock" --rw randrw --verify --bs 4k \
	--iodepth 8 --queues 2 --rate 2000 --time 3600 >"$T/load.out" 2>&1 &
load=$!
wait_until "the load runs" connected 1

# What is kept from the first ones on is there for good.
reconnect $((times / 20 + 64)) 7
wait_until "the client is gone" connected 1
sleep 0.5
before=$(count_files)
was=$(memory)

began=$(date +%s)
reconnect "$times" "${SEED:-1}"
echo "in $(($(date +%s) - began)) s"
wait_until "the client is gone" connected 1
wait_until "again $before, not $(count_files)" is_as_before
is=$(memory)
echo "$before; $was KiB before, $is KiB after"
[ "$is" -le $((was + slack)) ] || fail "memory is kept"
ctl stats come >"$T/stats"
served=$(awk '$1 == "sessions" { print $2 }' "$T/stats")
[ "${served:-0}" -ge $((times / 2)) ] ||
	fail "only ${served:-none} of $times clients were served"

kill -0 "$load" || {
	cat "$T/load.out"
	fail "the load ended"
}
kill -INT "$load"
wait "$load" || {
	cat "$T/load.out"
	fail "the load is not right"
}
"$VRINGBENCH" --socket "$T/come.sock" --rw randrw --bs 4k --verify --time 1 \
	--queues 4 || fail "a client after those is not served"
daemon_stop
