#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A daemon that crashed starts again although the file has become wrong
# meanwhile; one that was stopped on purpose does not.  The service manager is
# told of a reload.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3

RUNTIME_DIRECTORY=$T/run
export RUNTIME_DIRECTORY
mkdir "$RUNTIME_DIRECTORY"
good=$RUNTIME_DIRECTORY/last-good.yaml

# What systemd would hear.
NOTIFY_SOCKET=$T/notify.sock
export NOTIFY_SOCKET
setpriv --pdeathsig KILL python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
	for line in s.recv(4096).decode().splitlines():
		print(line, flush=True)
' "$NOTIFY_SOCKET" >>"$T/notified" &
wait_until "somebody listens" grep -q listening "$T/notified"

notified()
{
	grep -qx -- "$1" "$T/notified"
}

daemon_config <<EOF
targets:
  - {name: a, backend: {kind: mem, size: 1MiB}}
EOF
daemon_start
wait_until "systemd is told" notified READY=1
wait_until "systemd is told" notified \
	'STATUS=1 targets, 0 connected, 0 failed'
[ -e "$good" ] || fail "the configuration was not kept"
[ "$(stat -c %a "$good")" = 600 ] || fail "everybody may read it"

daemon_config <<EOF
targets:
  - {name: a, backend: {kind: mem, size: 1MiB}}
  - {name: b, backend: {kind: mem, size: 1MiB}}
EOF
: >"$T/notified"
ctl reload || fail "no reload"
wait_until "systemd is told" notified 'STATUS=2 targets, 0 connected, 0 failed'
wait_until "systemd hears of the end" notified READY=1
grep -q '^RELOADING=1' "$T/notified" || fail "systemd heard of no reload"
"$VRINGD" -t -c "$good" || fail "what was kept cannot be read"
grep -q 'name: b' "$good" || fail "the reload was not kept"
ctl status || fail "status exits with $?"

# Somebody breaks the file, and is told, but does not look.
echo "targets: [{name: b, queues: many}]" | daemon_config
ctl reload && fail "the reload accepts a wrong file"
grep -q 'name: a' "$good" || fail "what was good is gone"

daemon_kill
: >"$daemon_log"
daemon_start
logged 'err +vringd: restarted after a crash with the configuration accepted' ||
	fail "nobody says what runs"
logged "targets\[0\].queues: expected" || fail "nobody says what is wrong"
[ -S "$T/a.sock" ] && [ -S "$T/b.sock" ] || fail "the disks are not served"
ctl status >"$T/out"
[ $? = 2 ] || fail "status does not exit with 2"
grep -q 'last good *yes' "$T/out" || fail "status does not say why"

# Mended: all is well again.
daemon_config <<EOF
targets:
  - {name: a, backend: {kind: mem, size: 1MiB}}
EOF
ctl reload || fail "no reload"
ctl status || fail "status exits with $?"

# Stopped on purpose: nothing is left, and a wrong file is an error.
daemon_stop
[ ! -e "$good" ] || fail "the last good configuration outlives a stop"
echo "targets: [{name: b, queues: many}]" | daemon_config
"$VRINGD" -c "$T/vringd.yaml" && fail "it starts with a wrong file"

# Nor when the stop comes while it is being stored, which a pipe holds up.
daemon_config <<EOF
targets:
  - {name: a, backend: {kind: mem, size: 1MiB}}
EOF
: >"$daemon_log"
daemon_start
mkfifo "$good.new"
ctl reload >/dev/null 2>&1 &
wait_until "the reload begins" logged 'reading file='
sleep 0.3
kill -TERM "$daemon_pid"
wait_until "the stop begins" logged 'stopping: SIGTERM'
sleep 0.3
cat "$good.new" >/dev/null
stopped=$daemon_pid
wait_until "the daemon ends" is_gone "$stopped"
wait "$stopped" || fail "the daemon ended with status $?"
daemon_pid=
daemon_is_clean
[ ! -e "$good" ] || fail "what was stored during the stop outlives it"
exit 0
