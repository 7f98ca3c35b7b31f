#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A guest turns its write cache off, and the daemon dies.  Its VMM does not say
# it to the next one, which serves it without a cache all the same: else writes
# that it was promised are stable would not be.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3

make_file disk.img 8M
daemon_config <<EOF
targets:
  - {name: disk, backend: $T/disk.img}
EOF
daemon_start

# expect_after EXPECTED POSITION...: the switch is turned so, and stands there
# before the daemon dies and afterwards.
expect_after()
{
	expected=$1
	shift
	turns=
	for position; do
		turns="$turns cache:$position"
	done
	# shellcheck disable=SC2086
	"$top_srcdir/tests/lib/small-guest" "$T/disk.sock" write:0:4096:x \
		$turns cache reconnect cache write:0:4096:y read:0:4096 \
		>"$T/out" 2>&1 &
	guest=$!
	wait_until "the guest has told" sh -c "[ \$(wc -l <'$T/out') = 3 ]"
	daemon_kill
	daemon_start
	wait $guest || fail "the guest failed: $(cat "$T/out")"
	[ "$(tr '\n' ' ' <"$T/out")" = \
		"sent 0 $expected $expected sent 0 sent 0 'y' " ] ||
		fail "it was turned to $*: $(cat "$T/out")"
}

expect_after 1
expect_after 0 0
expect_after 1 1
expect_after 0 1 0
expect_after 1 0 1
expect_after 0 0 1 0
daemon_stop
