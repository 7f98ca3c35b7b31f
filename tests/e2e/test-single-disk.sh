#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One disk without a configuration file, by QEMU's conventions for programs
# that are a back-end: a socket that is made, inherited, or already connected;
# an end on SIGTERM or when the only client leaves; failure at once.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3
[ -x "$VRINGD" ] || skip "no ${VRINGD##*/} was built"

# single ARG...: starts the program, which ends with this shell.
single()
{
	: >"$daemon_log"
	setpriv --pdeathsig KILL "$VRINGD" "$@" >>"$daemon_log" 2>&1 &
	daemon_pid=$!
}

# single_with HOW ARG...: the same with --fd, a socket at $T/s.sock; HOW is
# listening, or connected: the first client of that socket.
single_with()
{
	: >"$daemon_log"
	setpriv --pdeathsig KILL python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[2])
s.listen()
given = s if sys.argv[1] == "listening" else s.accept()[0]
fd = os.dup(given.fileno())
os.set_inheritable(fd, True)
args = sys.argv[3:]
os.execv(args[0], args + ["--fd=%d" % fd])' \
		"$1" "$T/s.sock" "$VRINGD" "$2" >>"$daemon_log" 2>&1 &
	daemon_pid=$!
	wait_until "the socket is there" is_listening "$T/s.sock"
}

# ends STATUS: the program has ended by itself, like that.
ends()
{
	wait_until "the program ends" is_gone "$daemon_pid"
	wait "$daemon_pid"
	rc=$?
	daemon_pid=
	[ "$rc" = "$1" ] || fail "status $rc instead of $1"
	daemon_is_clean
}

load()
{
	"$VRINGBENCH" --socket "$T/s.sock" --size 8m --time 1 "$@" \
		>"$T/bench.log" 2>&1
}

make_file disk.img 64M
cd "$T" || exit 99

# What it can do, whatever else is said.
"$VRINGD" --print-capabilities --no-such-option -c "$T/none" >caps.json ||
	fail "--print-capabilities failed"
python3 -c '
import json
caps = json.load(open("caps.json"))
assert caps["type"] == "block", caps
assert sorted(caps["features"]) == ["blk-file", "read-only"], caps' ||
	fail "capabilities: $(cat caps.json)"

# A socket of its own, and paths from the current folder.
single --socket-path=s.sock --blk-file=disk.img
wait_until "the program listens" is_listening "$T/s.sock"
load --verify || fail "the load failed: $(cat bench.log)"
daemon_stop
[ ! -e s.sock ] || fail "the socket was left behind"

# Read-only.
single --socket-path="$T/s.sock" --blk-file="$T/disk.img" --read-only
wait_until "the program listens" is_listening "$T/s.sock"
load --rw randread || fail "reading failed: $(cat bench.log)"
load --rw randwrite && fail "the disk can be written"
daemon_stop

# A socket that listens already; its node stays.
single_with listening --blk-file=disk.img
load --verify || fail "the load failed: $(cat bench.log)"
load --rw randread || fail "no second client is served"
daemon_stop
[ -S s.sock ] || fail "the socket of somebody else was removed"
rm s.sock

# A client that is there already: when it leaves, that is the end.
single_with connected --blk-file=disk.img
load --verify || fail "the load failed: $(cat bench.log)"
ends 0
rm s.sock

# The same, ended while its client is there.
single_with connected --blk-file=disk.img
"$VRINGBENCH" --socket "$T/s.sock" --time 30 >bench.log 2>&1 &
bench_pid=$!
wait_until "the client is served" logged 'session started'
daemon_stop
wait "$bench_pid" && fail "the client did not notice the end"
rm s.sock

# Failure is at once, and says why.
single --socket-path=s.sock --blk-file=gone.img
ends 1
logged "cannot open the backend: $T/gone.img: No such file" ||
	fail "not said what is missing"
single --fd=9 --blk-file=disk.img
ends 1
logged '^vringd: --fd=9: it is not open' || fail "not said that 9 is no socket"
single --socket-path=s.sock --blk-file=disk.img -c "$T/vringd.yaml"
ends 1
