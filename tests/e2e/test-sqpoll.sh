#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# With sqpoll a kernel thread takes the requests of all workers; the data is
# right, and everything ends when the daemon does.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

cpus=$(two_cpus) || skip "only one CPU"
make_file disk.img 8M
daemon_config <<EOF
cpus: [$cpus]
sqpoll: on
sqpoll-idle: 20ms
targets:
  - {name: file, device: blk, cpus: [$cpus], backend: $T/disk.img}
  - {name: mem, device: blk, backend: {kind: mem, size: 8MiB}}
EOF
daemon_start
[ "$(ctl status | grep -cE '^ +[0-9]+ +[0-9]+ +sqpoll')" = 2 ] ||
	fail "the rings are not sqpoll"
for target in file mem; do
	"$VRINGBENCH" --socket "$T/$target.sock" --rw randrw --bs 8k \
		--iodepth 16 --queues 2 --verify --time 1 ||
		fail "$target lost or corrupted data"
	# The kernel thread sleeps between these, and must be woken.
	"$VRINGBENCH" --socket "$T/$target.sock" --rw randwrite --bs 4k \
		--iodepth 1 --rate 20 --eventfd --verify --time 1 ||
		fail "$target was not served after a pause"
done
"$VRINGBENCH" --socket "$T/file.sock" --rw randwrite --time 60 \
	>"$T/last.out" 2>&1 &
wait_until "a client is served" sh -c \
	"'$VRINGCTL' --socket '$control' show file | grep -q running"
daemon_stop
