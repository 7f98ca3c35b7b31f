#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Sockets have the owner, group and mode that were asked for.  A stale one is
# replaced; one where somebody listens, or any other file, never is.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

gid=$(id -g)
[ "$(id -u)" = 0 ] && gid=1
# shellcheck disable=SC2034 # for daemon_config
control_more="group: $gid, mode: 0640"
daemon_config <<EOF
socket-group: $gid
targets:
  - {name: a, device: blk, backend: {kind: mem, size: 1MiB}}
  - {name: b, device: blk, socket-mode: 0606, socket: $T/own.sock,
     backend: {kind: mem, size: 1MiB}}
EOF
check_access()
{
	e2e_access=$(stat -c '%F %a %g' "$1")
	[ "$e2e_access" = "socket $2 $gid" ] ||
		fail "$1 is a $e2e_access, expected socket $2 $gid"
}

check_all()
{
	check_access "$control" 640
	check_access "$T/a.sock" 660
	check_access "$T/own.sock" 606
}

daemon_start
check_all
first=$(stat -c %i "$T/a.sock")

# A second daemon must leave them alone.
"$VRINGD" -c "$T/vringd.yaml" >"$T/second.log" 2>&1 &&
	fail "a second daemon ran beside the first"
grep -q 'another process listens' "$T/second.log" ||
	fail "the second daemon does not say why it ended"
[ "$(stat -c %i "$T/a.sock")" = "$first" ] ||
	fail "the second daemon took a socket away"
check_all
"$VRINGBENCH" --socket "$T/own.sock" --time 1 ||
	fail "the first daemon was disturbed"

daemon_kill
[ -S "$T/a.sock" ] || fail "a crash left no socket, nothing is tested"
: >"$daemon_log"
daemon_start
check_all
"$VRINGBENCH" --socket "$T/a.sock" --time 1 ||
	fail "the stale socket was not replaced"
daemon_stop

# Neither a file nor a link is a stale socket.
echo precious >"$T/a.sock"
ln -s nowhere "$T/own.sock"
: >"$daemon_log"
daemon_start
logged 'a: .*cannot listen on .*: a regular file is in the way' ||
	fail "nobody says that a file is in the way"
logged 'b: .*cannot listen on .*: a symbolic link is in the way' ||
	fail "nobody says that a link is in the way"
daemon_stop
[ "$(cat "$T/a.sock")" = precious ] || fail "the file is gone"
[ -L "$T/own.sock" ] || fail "the link is gone"
