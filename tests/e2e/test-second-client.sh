#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target serves one client.  A second one is turned away while the first is
# there, and served when the first has left.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

daemon_config <<EOF
targets:
  - {name: mem, device: blk, backend: {kind: mem, size: 16MiB}}
EOF
daemon_start
"$VRINGBENCH" --socket "$T/mem.sock" --rw randread --bs 4k --iodepth 4 \
	--time 4 >"$T/first.out" 2>&1 &
first=$!
wait_until "the first client is served" sh -c \
	"'$VRINGCTL' --socket '$control' status | grep -q 'connected.*1'"
"$VRINGBENCH" --socket "$T/mem.sock" --rw randread --bs 4k --time 1 &&
	fail "the second client was served beside the first"
logged "mem: second client turned away pid=[0-9]+" ||
	fail "nobody says who was turned away"
wait "$first" || fail "the first client was disturbed"
"$VRINGBENCH" --socket "$T/mem.sock" --rw randread --bs 4k --time 1 ||
	fail "nobody is served after the first has left"
daemon_stop
