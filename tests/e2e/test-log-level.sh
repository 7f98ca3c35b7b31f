#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What is logged can be shown and set while the daemon runs.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

daemon_config <<EOF
targets: []
EOF
daemon_start
level() { ctl --json log-level "$@" | tr -d ' \n'; }
[ "$(level)" = '{"level":"info","debug":[]}' ] || fail "not at info"
[ "$(level -D control,io)" = '{"level":"info","debug":["io","control"]}' ] ||
	fail "the categories are not set"
ctl status >"$T/out"
logged 'debug control vringd/control: command=status' ||
	fail "no trace of a command"
[ "$(level warn)" = '{"level":"warn","debug":[]}' ] || fail "not at warn"
! ctl log-level loud 2>"$T/err" || fail "loud is a level"
grep -q 'use err, warn, info or debug' "$T/err" || fail "no help with levels"
! ctl log-level -D all,x 2>"$T/err" || fail "x is a category"
grep -q 'use proto, queue, io, control, or all' "$T/err" ||
	fail "no help with categories"
[ "$(level)" = '{"level":"warn","debug":[]}' ] || fail "an error was applied"
daemon_stop
