#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The self-test is the daemon's own while it runs, and vringctl's otherwise; it
# fails when a target cannot be served.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file disk.img 8M
daemon_config <<EOF
targets:
  - {name: file, device: blk, backend: $T/disk.img}
EOF
daemon_start
ctl selftest >"$T/out" || fail "it fails: $(cat "$T/out")"
grep -qx "ok    target file    $T/disk.img" "$T/out" || fail "$(cat "$T/out")"
grep -q '^ok    io_uring       rings are in use' "$T/out" ||
	fail "$(cat "$T/out")"
daemon_stop

daemon_config <<EOF
targets:
  - {name: file, device: blk, backend: $T/none.img}
EOF
daemon_start
ctl --json selftest >"$T/out"
[ $? = 1 ] || fail "it does not fail: $(cat "$T/out")"
grep -q '"detail": "cannot open the backend: .*none.img: No such file' \
	"$T/out" || fail "$(cat "$T/out")"
daemon_stop

ctl selftest >"$T/out" 2>"$T/err"
status=$?
[ $status -le 1 ] || fail "without a daemon it exits with $status"
grep -q 'is vringd running' "$T/err" || fail "$(cat "$T/err")"
grep -q '^warn  daemon  *vringd was not asked' "$T/out" ||
	fail "$(cat "$T/out")"
grep -q '^ok    io_uring  *a ring can be made' "$T/out" ||
	fail "$(cat "$T/out")"
