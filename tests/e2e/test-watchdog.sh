#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# systemd hears from the daemon while each of its workers answers: a worker
# that is stopped is logged, and nothing is heard until it goes on.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3
daemon_config <<YAML
targets:
  - {name: mem, backend: {kind: mem, size: 16MiB}}
YAML
cat >"$T/systemd.py" <<'PY'
import ctypes, glob, os, socket, sys, time
PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long] + [ctypes.c_void_p] * 2


def ptrace(request, tid):
    if libc.ptrace(request, tid, None, None):
        print("SKIP: no ptrace here:", os.strerror(ctypes.get_errno()))
        sys.exit(77)


def heard(seconds, stop_at=None):
    """What the daemon says in this time, or until it says that."""
    said, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        systemd.settimeout(max(end - time.monotonic(), 0.01))
        try:
            said += systemd.recv(4096).decode().split("\n")
        except TimeoutError:
            break
        if stop_at in said:
            break
    return said


def check(what, good):
    if not good:
        sys.exit("FAIL: " + what)


path, pid_file = sys.argv[1:]
systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
systemd.bind(path)
os.mkdir(path + ".bound")
while not os.path.exists(pid_file):
    time.sleep(0.02)
pid = int(open(pid_file).read())
check("never ready", "READY=1" in heard(20, "READY=1"))
pings = heard(1).count("WATCHDOG=1")
check("%d pings in a second, not 10" % pings, 4 <= pings <= 14)

tid = next(int(os.path.dirname(f).rsplit("/", 1)[1])
           for f in glob.glob("/proc/%d/task/*/comm" % pid)
           if open(f).read().startswith("vringd-w"))
ptrace(PTRACE_ATTACH, tid)
os.waitpid(tid, WALL)
heard(0.2)
check("pings while a worker is stopped", "WATCHDOG=1" not in heard(0.6))
ptrace(PTRACE_DETACH, tid)
check("no pings after it went on", heard(1).count("WATCHDOG=1") >= 4)
PY
timeout 60 python3 "$T/systemd.py" "$T/notify" "$T/pid" &
systemd=$!
wait_until "somebody listens" test -d "$T/notify.bound"
export NOTIFY_SOCKET="$T/notify" WATCHDOG_USEC=400000
daemon_spawn
echo "$daemon_pid" >"$T/pid.new"
mv "$T/pid.new" "$T/pid"
wait "$systemd"
rc=$?
[ $rc = 0 ] || exit $rc
logged 'err +vringd/worker0: does not answer' || fail "nobody said why"
logged 'vringd/worker0: answers again' || fail "nobody said that it is over"
daemon_stop
