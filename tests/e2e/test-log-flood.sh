#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A client that does all the wrong things again and again cannot fill the log,
# nor keep others out of it; and how much there was is said when it is over.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3

daemon_config <<EOF
targets:
  - {name: vm1, backend: {kind: mem, size: 16MiB}}
  - {name: vm2, backend: {kind: mem, size: 16MiB}}
EOF
daemon_start
before=$(wc -l <"$daemon_log")
deeds=$(rude flood) || fail "the client failed"
[ "$deeds" -gt 100 ] || skip "only $deeds clients in two seconds"
said=$(($(wc -l <"$daemon_log") - before))

# Ten of each of the eight kinds that there are.
[ "$said" -le 80 ] || fail "$said lines about $deeds clients"
[ "$said" -ge 20 ] || fail "only $said lines about $deeds clients"
! logged forged || fail "a client wrote a line of its own"

"$VRINGBENCH" --socket "$T/vm2.sock" --rw randread --time 1 >"$T/bench" ||
	fail "another target is not served"
logged "vm2: client connected" || fail "another target has no line"

wait_until "the rest is said, without another client" \
	logged "info  vm1: client connected: [0-9]+ more in [0-9]+ s"
daemon_stop
more=$(sed -n 's/.*vm1: client connected: \([0-9]*\) more.*/\1/p' \
	"$daemon_log")
[ "$(echo "$more" | wc -l)" = 1 ] || fail "it is said more than once"
[ "$more" -gt 50 ] || fail "$more more, of $deeds clients"
lines_are_right . || fail "these lines are against the rules"
