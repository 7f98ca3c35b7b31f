#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# disconnect cuts off whoever is connected, says who it was, and lets the next
# client in; without one it fails.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file disk.img 8M
daemon_config <<EOF
targets:
  - {name: file, device: blk, backend: $T/disk.img}
  - {name: bad, device: blk, backend: $T/none.img}
EOF
daemon_start

# refused NAME TEXT: disconnect fails, and says so.
refused()
{
	! ctl disconnect "$1" 2>"$T/err" || fail "$1 was disconnected"
	grep -qx "vringctl: $2" "$T/err" || fail "$(cat "$T/err")"
}

# counted COUNTER: its value for file.
counted()
{
	ctl metrics | sed -n "s/^vringd_$1{target=\"file\"} //p"
}

refused file 'nobody is connected to file'
refused bad 'nobody is connected to bad'
refused none 'no target is called none'

"$VRINGBENCH" --socket "$T/file.sock" --rw randrw --verify --reconnect \
	--time 3 >"$T/out" 2>&1 &
client=$!
wait_until "a queue runs" sh -c \
	"'$VRINGCTL' -s '$control' show file | grep -q running"
ctl --json disconnect file >"$T/said" || fail "it is not cut off"
grep -q "\"peer_pid\": $client,\$" "$T/said" || fail "$(cat "$T/said")"
logged "file: client cut off pid=$client .*: the administrator wants it" ||
	fail "nothing is logged"
wait $client || fail "data was lost: $(cat "$T/out")"
[ "$(counted sessions_total) $(counted reconnects_total)" = "2 1" ] ||
	fail "$(counted sessions_total) sessions, $(counted reconnects_total)"
[ "$(counted protocol_errors_total)" = 0 ] || fail "there were errors"

"$VRINGBENCH" --socket "$T/file.sock" --idle --time 60 >"$T/out" 2>&1 &
client=$!
wait_until "a queue runs" sh -c \
	"'$VRINGCTL' -s '$control' show file | grep -q running"
ctl disconnect file >"$T/said"
! wait $client || fail "the client did not notice"
wait_until "nobody is connected" sh -c \
	"'$VRINGCTL' -s '$control' list | grep -q 'file .* listening'"
refused file 'nobody is connected to file'
[ "$(counted sessions_total) $(counted reconnects_total)" = "3 1" ] ||
	fail "$(counted sessions_total) sessions, $(counted reconnects_total)"
daemon_stop
