#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A disk on a network file system whose server hangs, with requests in flight:
# the worker serves its other targets all the same, and everything that can be
# asked is answered.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "${top_srcdir:-.}/tests/lib/hangingdisk.sh"
requires "$VRINGBENCH"
hangingdisk_make

make_file well.img 64M
hung="  - {name: hung, backend: $hangingdisk"

# config [LINE]: with the target on the file system, or without it.
config()
{
	daemon_config <<EOF
targets:
  - {name: well, backend: $T/well.img}
$*
EOF
}

is_state()
{
	ctl list | grep -q "^$1 *blk *$2 "
}

is_not_listed()
{
	! ctl list | grep -q "^$1 "
}

config "$hung}"
daemon_start
"$VRINGBENCH" --socket "$T/well.sock" --rw randrw --verify --rate 1000 \
	--time 600 >"$T/well.out" 2>&1 &
load=$!
"$VRINGBENCH" --socket "$T/hung.sock" --rw randrw --iodepth 8 --time 600 \
	>"$T/hung.out" 2>&1 &
client=$!
wait_until "a client uses it" is_state hung connected
sleep 0.5
hangingdisk_hang
sleep 0.5

# Its client is there, then gone; its requests are in flight.
timeout 5 "$VRINGCTL" -s "$control" show hung >/dev/null ||
	fail "a hung disk hangs the worker"
config
ctl reload >"$T/out" || fail "reload exits with $?"
grep -q 'removed  *hung (lingers)' "$T/out" || fail "it does not linger"
kill -KILL "$client"
wait "$client" 2>/dev/null
ctl list >/dev/null || fail "no list"
is_state hung lingering || fail "its requests are forgotten"
ctl disconnect hung >"$T/out" 2>&1 && fail "somebody was there"
grep -q 'its client has left, but the storage has not answered' "$T/out" ||
	fail "disconnect does not say what holds it: $(cat "$T/out")"
config "$hung}"
ctl reload >"$T/out" && fail "its name is given away: $(cat "$T/out")"

hangingdisk_go_on
wait_until "its requests end" is_not_listed hung
ctl reload || fail "it cannot be added again"
is_state hung listening || fail "it is not served again"
"$VRINGBENCH" --socket "$T/hung.sock" --rw randrw --verify --time 1 ||
	fail "it lost data"

kill -INT "$load"
wait "$load" || {
	cat "$T/well.out"
	fail "the other target was disturbed"
}
daemon_stop
