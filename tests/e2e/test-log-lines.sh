#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Whatever happens to a target has its line, with what an administrator needs:
# who, why, and what to do.  One line for each event, all by the same rules.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3

# says COUNT REGEX: so many lines are like this behind their time.
says()
{
	e2e_found=$(grep -cE -- "^[^ ]* $2\$" "$daemon_log")
	[ "$e2e_found" = "$1" ] || fail "$e2e_found instead of $1 lines: $2"
}

daemon_config <<EOF
targets:
  - {name: vm1, backend: {kind: mem, size: 16MiB}, queues: 4}
  - {name: disk, backend: $T/disk.img}
  - {name: late, backend: $T/late.img}
  - {name: other, backend: {kind: mem, size: 1MiB}}
EOF
make_file disk.img 16M
daemon_start
says 1 "info  vm1: listening socket=$T/vm1.sock backend=mem:16777216 \
size=16777216"
says 1 "err   late: cannot be served as configured: .*$T/late.img: \
No such file or directory"
says 1 "info  vringd: ready targets=4 failed=1 workers=1"

# Who has another view of its memory is told, but not at once.
"$top_srcdir/tests/lib/rude-client" "$T/other.sock" private &
private=$!

# One deed, one end.
for deed in leave half garbage no-memory silent many-queues feature \
	broken-ring; do
	rude $deed || fail "$deed"
done
who="pid=[0-9]+ requests=0 errors=0"
wait_until "the last one is gone" is_said 8 "vm1: client (left|cut off)"
says 8 "info  vm1: client connected pid=[0-9]+ uid=$(id -u)\
( process=rude\?\?1\?\?pid\?7)?"
says 4 "info  vm1: client left $who: it closed the connection"
says 1 "info  vm1: client left $who: in the middle of a message"
says 3 "warn  vm1: client cut off $who: .* refused: .*"
says 1 "warn  vm1: client cut off $who: SET_VRING_NUM refused: client asked \
for queue 200 of a 4-queue vhost-user-blk target; lower num-queues of the \
VMM's device or raise queues of the target"
says 1 "warn  vm1: client cut off $who: SET_FEATURES refused: feature bit 35 \
\(IN_ORDER\) was not offered"
says 2 "warn  vm1: no guest memory is shared pid=[0-9]+: add share=on to the \
VMM's memory backend"
says 1 "info  vm1: session started features=0x100000000 \
protocol-features=0x0 memory=1048576 inflight-region=own pid=[0-9]+"
says 1 "warn  vm1/q0: broken, guest must reset: head 300 in a ring of 16"
! logged forged || fail "a client wrote a line of its own"

# A target that comes back.
make_file late.img 1M
wait_until "it is tried again" logged "info  late: listening socket="
says 1 "err   late: .*"

# Storage that somebody else has: a lock as other programs take it.
mkfifo "$T/hold"
python3 -c '
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
lock = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)
fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
print("locked", flush=True)
sys.stdin.read()' "$T/disk.img" <"$T/hold" >"$T/holder" &
exec 9>"$T/hold"
wait_until "the file is locked" grep -q locked "$T/holder"
"$VRINGBENCH" --socket "$T/disk.sock" --rw randread --time 1 \
	>"$T/bench" 2>&1 9>&- &
bench=$!
wait_until "the claim is waited for" logged "warn  disk: waits for its backend"
exec 9>&-
wait "$bench" || fail "the client was not served"
wait_until "it is gone" logged "disk: client left"
says 1 "warn  disk: waits for its backend, no request is served meanwhile: .*"
says 1 "info  disk: has its backend path=$T/disk.img"
says 1 "info  disk: client left pid=$bench requests=[1-9][0-9]* errors=0: .*"

# Storage that fails, for many requests: it was made smaller.
truncate -s 0 "$T/disk.img"
"$VRINGBENCH" --socket "$T/disk.sock" --rw randread --time 1 \
	>"$T/bench" 2>&1 && fail "there were no errors"
says 1 "err   disk/q0: storage failed op=read: Input/output error"

wait_until "its kicks are noticed" logged "info  other: kicked, but"
says 1 "info  other: kicked, but no request was seen seconds=10: if the disk \
hangs, add share=on to the VMM's memory backend"
kill "$private"
wait_until "it has left" logged "info  other: client left"
! logged "disk: kicked, but" || fail "one that was served is told, too"

# A second client, and a stop with clients.
"$VRINGBENCH" --socket "$T/vm1.sock" --rw randread --time 60 \
	>"$T/bench" 2>&1 &
bench=$!
wait_until "it is served" is_said 2 "vm1: session started"
rude garbage
wait_until "the second one is turned away" logged "second client turned away"
says 1 "warn  vm1: second client turned away pid=[0-9]+ uid=$(id -u): the \
target serves another one"
daemon_stop
says 1 "info  vringd: stopping: SIGTERM"
says 1 "warn  vm1: client cut off pid=$bench requests=[1-9][0-9]* errors=0: \
the target is closing"
lines_are_right . || fail "these lines are against the rules"
