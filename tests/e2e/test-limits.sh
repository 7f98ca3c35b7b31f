#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A guest gets what each kind of limit allows: not more, and, as it always asks
# for more, not much less.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

# Key, limit in a second, its number, load, size of a request.
kinds="
	iops 3k 3000 randrw 4096
	read-iops 2k 2000 randread 512
	write-iops 1777 1777 randwrite 8192
	bandwidth 20MiB 20971520 randrw 16384
	read-bandwidth 8MiB 8388608 randread 4096
	write-bandwidth 12345678 12345678 randwrite 65536"
{
	echo "targets:"
	echo "$kinds" | while read -r key limit _; do
		[ -z "$key" ] || cat <<EOF
  - name: $key
    backend: {kind: null, size: 1GiB}
    limits: {$key: $limit, burst: 50ms}
EOF
	done
} | daemon_config
daemon_start

load()
{
	"$VRINGBENCH" --socket "$T/$1.sock" --rw "$2" --bs "$3" --queues 2 \
		--iodepth 8 --eventfd --json --time 4 >"$T/$1.json" &
}
echo "$kinds" | {
	while read -r key _ _ rw bs; do
		[ -z "$key" ] || load "$key" "$rw" "$bs"
	done
	wait
}

# The burst comes on top; a debt, and what a noisy machine loses, go off.
echo "$kinds" | while read -r key _ limit _ bs; do
	[ -z "$key" ] || awk -v key="$key" -v limit="$limit" -v bs="$bs" '
		$1 == "\"requests\":" { requests = $2 + 0 }
		$1 == "\"time_s\":" { time = $2 + 0 }
		END {
			got = key ~ /iops/ ? requests : requests * bs
			allowed = limit * (time + 0.05)
			most = allowed * 1.02 + (key ~ /iops/ ? 1 : bs)
			printf "%s: %d of %d, %.1f %%\n", key, got, allowed,
				100 * got / allowed
			exit got > most || got < allowed * 0.9
		}' "$T/$key.json" || exit 1
done || fail "more or much less than a limit allows"
ctl --json show read-bandwidth | tr -d ' \n' |
	grep -q '"limits":{"iops":null.*"read_bandwidth":8388608,' ||
	fail "show does not tell the limits"
ctl --json stats iops | grep -q '"throttled_us": *[1-9]' ||
	fail "nobody counts for how long the guest was throttled"
daemon_stop
