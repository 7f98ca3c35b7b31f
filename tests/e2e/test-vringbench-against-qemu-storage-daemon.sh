#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vringbench loads and verifies another implementation's target, in every mode
# it has, and finds nothing wrong with it.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires qemu-storage-daemon setpriv "$VRINGBENCH"

# bench ARG...: one run, which must end well and have done something.
bench()
{
	"$VRINGBENCH" -s "$T/peer.sock" --json "$@" >"$T/out" 2>&1 ||
		{ cat "$T/out"; fail "vringbench $*"; }
	grep -q '"errors": 0' "$T/out" || fail "errors: vringbench $*"
	awk '$1 == "\"requests\":" { done = $2 + 0 > 0 }
		END { exit !done }' "$T/out" || fail "no requests: $*"
}

peer_start driver=null-co,size=1073741824 2
for rw in read write randread randwrite randrw; do
	bench --rw $rw --time 0.1 --queues 2 --poll
	bench --rw $rw --time 0.1 --queues 2 --eventfd
done
bench --time 0.1 --no-indirect
bench --time 0.1 --no-event-idx
bench --time 0.1 --no-indirect --no-event-idx --eventfd --bs 64k
bench --time 0.5 --rate 1000 --eventfd
awk '$1 == "\"iops\":" { ok = $2 + 0 > 500 && $2 + 0 < 1100 }
	END { exit !ok }' "$T/out" || fail "--rate 1000: $(grep iops "$T/out")"
"$VRINGBENCH" -s "$T/peer.sock" --queues 3 --time 0.1 2>"$T/out" &&
	fail "more queues than there are"
grep -q "offers 2 queues, not 3" "$T/out" || fail "says nothing about queues"
"$VRINGBENCH" -s "$T/peer.sock" --packed --time 0.1 2>"$T/out" &&
	fail "packed rings where there are none"
grep -q "does not offer packed rings" "$T/out" || fail "nothing about packed"
daemon_kill

make_file disk.img 64M
peer_start "driver=file,filename=$T/disk.img,discard=unmap" 2
for rw in read randread write randwrite randrw; do
	bench --rw $rw --time 0.2 --size 4M --verify --queues 2 --poll
	bench --rw $rw --time 0.2 --size 4M --verify --queues 2 --eventfd \
		--bs 16k --iodepth 4
	awk '$1 == "\"verified\":" { ok = $2 + 0 > 0 }
		END { exit !ok }' "$T/out" || fail "nothing verified: $rw"
done
"$VRINGBENCH" -s "$T/peer.sock" --size 65M --time 0.1 2>/dev/null &&
	fail "more bytes than there are"
exit 0
