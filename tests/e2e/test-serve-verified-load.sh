#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Data written through a target is read back as it was, whatever the backend,
# the number of queues and the format of their rings, and a file holds it when
# the daemon has ended.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file disk.img 64M
daemon_config <<EOF
targets:
  - {name: file, device: blk, backend: $T/disk.img}
  - {name: mem, device: blk, backend: {kind: mem, size: 64MiB}}
  - name: big
    device: blk
    backend: {kind: mem, size: 64MiB, block-size: 4096}
  - {name: packed, packed: on, backend: {kind: mem, size: 64MiB}}
EOF
daemon_start
for target in file mem big; do
	for queues in 1 4; do
		"$VRINGBENCH" --socket "$T/$target.sock" --rw randrw --bs 4k \
			--iodepth 32 --queues "$queues" --time 2 --verify ||
			fail "target $target with $queues queues"
	done
	"$VRINGBENCH" --socket "$T/$target.sock" --rw randrw --bs 128k \
		--iodepth 8 --queues 2 --time 1 --verify --eventfd ||
		fail "target $target with large requests"
done
for ways in "" --no-indirect --no-event-idx \
	"--no-indirect --no-event-idx --eventfd"; do
	# shellcheck disable=SC2086 # several words
	"$VRINGBENCH" --socket "$T/packed.sock" --rw randrw --bs 4k --packed \
		--iodepth 32 --queues 2 --time 1 --verify $ways ||
		fail "packed rings $ways"
done
"$VRINGBENCH" --socket "$T/mem.sock" --packed --time 1 2>"$T/err" &&
	fail "packed rings are offered by default"
grep -q "does not offer packed rings" "$T/err" || fail "does not say why"
daemon_stop
[ "$(od -An -tx1 -N 67108864 "$T/disk.img" | head -n 3 | wc -l)" = 3 ] ||
	fail "the file holds nothing but one byte"
