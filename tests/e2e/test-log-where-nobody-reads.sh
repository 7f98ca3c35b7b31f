#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The daemon serves, and ends, whatever becomes of its stderr: closed from the
# beginning, so that no disk may get its number; a pipe that nobody reads; one
# whose reader is gone.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

# spawn: the daemon, which logs to this shell's descriptor 8.
spawn()
{
	setpriv --pdeathsig KILL "$VRINGD" -c "$T/vringd.yaml" 2>&8 8>&- &
	daemon_pid=$!
	wait_until "it listens" is_listening "$control"
}

# serve: is the target served, and does the daemon end then?
serve()
{
	"$VRINGBENCH" --socket "$T/disk.sock" --rw randrw --time 1 \
		>"$T/out" 2>&1 || fail "not served: $(cat "$T/out")"
	kill -TERM "$daemon_pid"
	wait_until "the daemon ends" is_gone "$daemon_pid"
	wait "$daemon_pid" || fail "it ended with status $?"
	daemon_pid=
}

make_file disk.img 16M
daemon_config <<EOF
log-level: debug
targets:
  - {name: disk, backend: $T/disk.img}
EOF
setpriv --pdeathsig KILL "$VRINGD" -c "$T/vringd.yaml" <&- >&- 2>&- &
daemon_pid=$!
wait_until "it listens" is_listening "$control"
for fd in 0 1 2; do
	file=$(readlink "/proc/$daemon_pid/fd/$fd")
	[ "$file" = /dev/null ] || fail "descriptor $fd is $file"
done
serve
! grep -qa "vringd: ready" "$T/disk.img" || fail "the log is in the disk"

# A pipe that is full: its other end is held, and not read.
mkfifo "$T/pipe"
sleep 60 <>"$T/pipe" &
sleeper=$!
exec 8>"$T/pipe"
spawn
i=0
while [ $i -lt 500 ]; do
	ctl status >"$T/out" || fail "control does not answer"
	i=$((i + 1))
done
serve

# And one whose reader leaves.
spawn
kill "$sleeper"
wait "$sleeper" 2>/dev/null
serve
