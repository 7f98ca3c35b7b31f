#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Disks that hang with more requests in flight than the kernel would have
# threads for: a neighbour on the same worker is served as ever, with flushes,
# too, which need a thread.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "${top_srcdir:-.}/tests/lib/hangingdisk.sh"
requires "$VRINGBENCH"
hangingdisk_make
hangingdisk_device "${hangingdisk}3"

make_file well.img 64M
daemon_config <<EOF
targets:
  - {name: well, backend: $T/well.img}
  - {name: files, queues: 4, backend: $hangingdisk}
  - {name: zeroes, backend: ${hangingdisk}2}
  - {name: device, queues: 4, backend: $hangingdisk_loop}
EOF
daemon_start
hangingdisk_hang

# hang TARGET OPTION...: a client whose requests are not answered.
hang()
{
	hung=$1
	shift
	"$VRINGBENCH" --socket "$T/$hung.sock" --time 1 --eventfd "$@" \
		>"$T/$hung.out" 2>&1 &
	clients="$clients $!"
}

has_in_flight()
{
	ctl --json show "$1" | awk -F '[:,]' -v least="$2" '
		/"inflight":/ { n += $2 }
		END { exit n < least }'
}

clients=
hang files --rw randrw --queues 4 --iodepth 64
hang zeroes --rw write-zeroes --bs 64k --iodepth 12
hang device --rw randread --queues 4 --iodepth 128
wait_until "one hangs" has_in_flight files 256
wait_until "another hangs" has_in_flight zeroes 12
wait_until "a device hangs" has_in_flight device 512

# Who hangs is not answered for 30 seconds, which is an error.
for load in "flush --iodepth 4" "randrw --iodepth 64" "flush --iodepth 1"; do
	# shellcheck disable=SC2086
	"$VRINGBENCH" --socket "$T/well.sock" --time 1 --eventfd --rw $load \
		>"$T/out" 2>&1 || fail "$load: $(cat "$T/out")"
done
has_in_flight zeroes 12 || fail "it was only slow"

hangingdisk_go_on
for client in $clients; do
	wait "$client" || fail "it does not go on: $(cat "$T"/*.out)"
done
daemon_stop
