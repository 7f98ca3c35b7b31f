#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# With --reconnect a verified load survives that its target is killed again and
# again; without, the end of the connection is an error.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires qemu-storage-daemon setpriv "$VRINGBENCH"

make_file disk.img 16M
disk="driver=file,filename=$T/disk.img,discard=unmap"
peer_start "$disk" 2
"$VRINGBENCH" -s "$T/peer.sock" --rw randrw --verify --queues 2 --time 30 \
	--reconnect --eventfd --iodepth 8 --json >"$T/out" 2>"$T/err" &
bench_pid=$!
for _ in 1 2 3; do
	sleep 0.3
	daemon_kill
	rm "$T/peer.sock"
	peer_start "$disk" 2
done
sleep 0.3
kill -INT $bench_pid
wait $bench_pid || { cat "$T/out" "$T/err"; fail "the load failed"; }
grep -q '"reconnects": 3' "$T/out" || { cat "$T/out"; fail "reconnects"; }

# Half a second of CPU time is more than it takes to get connected.
is_under_way()
{
	[ "$(awk '{ print $14 + $15 }' "/proc/$bench_pid/stat")" -gt 50 ]
}
"$VRINGBENCH" -s "$T/peer.sock" --time 30 --json >"$T/out" 2>"$T/err" &
bench_pid=$!
wait_until "the load is under way" is_under_way
daemon_kill
wait $bench_pid && fail "ends well without its target"
grep -q "closed the connection" "$T/err" || fail "does not say why"
awk '$1 == "\"iops\":" { ok = $2 + 0 > 0 }
	END { exit !ok }' "$T/out" || fail "what it did is not reported"
exit 0
