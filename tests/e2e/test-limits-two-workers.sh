#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A limit is one for all queues of a target, also those of different workers,
# and each queue gets a share.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3
cpus=$(two_cpus) || skip "only one CPU"
daemon_config <<EOF
cpus: [$cpus]
targets:
  - name: disk
    cpus: [$cpus]
    backend: {kind: null, size: 1GiB}
    limits: {iops: 4000, burst: 50ms}
EOF
daemon_start
"$VRINGBENCH" --socket "$T/disk.sock" --rw randread --bs 4k --queues 4 \
	--iodepth 16 --eventfd --json --time 4 >"$T/disk.json" &
bench=$!

all_are_throttled()
{
	ctl --json show disk | python3 -c '
import json, sys
queues = (json.load(sys.stdin)["session"] or {}).get("queues", [])
waiting = [q["worker"] for q in queues if q["state"] == "throttled"]
sys.exit(sorted(waiting) != [0, 0, 1, 1])'
}
wait_until "two queues of each worker are throttled" all_are_throttled
wait "$bench" || fail "the load failed"
awk '
	$1 == "\"requests\":" { requests = $2 + 0 }
	$1 == "\"time_s\":" { time = $2 + 0 }
	$1 == "\"max\":" { max_s = $2 / 1e6 }
	END {
		allowed = 4000 * (time + 0.05)
		printf "%d of %d, at most %.3f s for one\n", requests, allowed,
			max_s
		# 64 requests are waiting at any time: 16 ms if all are equal
		# and the machine is idle.  A queue that starves waits for ever.
		exit requests > allowed * 1.02 || requests < allowed * 0.9 ||
			max_s > 3
	}' "$T/disk.json" || fail "not what the limit allows"
daemon_stop
