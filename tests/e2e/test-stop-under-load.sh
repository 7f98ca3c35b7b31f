#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# SIGTERM ends the daemon while a client is busy: requests finish, sockets
# are removed, the exit status is 0.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file disk.img 64M
daemon_config <<EOF
targets:
  - {name: file, device: blk, backend: $T/disk.img}
  - {name: mem, device: blk, backend: {kind: mem, size: 64MiB}}
EOF
daemon_start
for target in file mem; do
	"$VRINGBENCH" --socket "$T/$target.sock" --rw randwrite --bs 4k \
		--iodepth 32 --queues 2 --time 60 >"$T/$target.out" 2>&1 &
done
wait_until "both clients are connected" sh -c \
	"'$VRINGCTL' --socket '$control' status | grep -q 'connected.*2'"
sleep 1
daemon_stop
for target in file mem; do
	[ ! -e "$T/$target.sock" ] || fail "socket of $target is still there"
	logged "$target: .*client" || fail "nobody says that $target was cut"
done
[ ! -e "$control" ] || fail "the control socket is still there"
