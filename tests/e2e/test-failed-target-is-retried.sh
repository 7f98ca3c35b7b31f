#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target whose storage is missing does not keep the others from being served,
# and is served itself soon after the storage is there.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

daemon_config <<EOF
targets:
  - {name: late, device: blk, backend: $T/late.img}
  - {name: mem, device: blk, backend: {kind: mem, size: 16MiB}}
EOF
daemon_start
ctl show late >"$T/show" || fail "nothing is shown of the failed target"
grep -q 'failed' "$T/show" || fail "the target is not called failed"
grep -q 'No such file' "$T/show" || fail "the reason is not shown"
[ ! -e "$T/late.sock" ] || fail "the failed target has a socket"
"$VRINGBENCH" --socket "$T/mem.sock" --time 1 ||
	fail "the other target is not served"
make_file late.img 16M
E2E_WAIT=7
wait_until "the target is served" is_listening "$T/late.sock"
"$VRINGBENCH" --socket "$T/late.sock" --rw randrw --verify --time 1 ||
	fail "the target that came late is not served well"
[ "$(grep -c 'late: .*cannot open' "$daemon_log")" = 1 ] ||
	fail "the failure was not said once"
daemon_stop
