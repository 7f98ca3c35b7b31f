#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Reloads add, remove, replace, change and fail other targets while one is
# under verified load: it loses nothing, and no client is cut off.  RELOADS
# says how many.  How long the slowest request took is printed, not judged.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

RELOADS=${RELOADS:-200}
make_file load.img 256M
make_file grows.img 1M
null="{kind: null, size: 1MiB}"

# config N: the file before reload N.
config()
{
	daemon_config <<EOF
log-level: warn
poll: $([ $(($1 % 4)) = 0 ] && echo auto || echo $(($1 % 4))00us)
targets:
  - {name: load, backend: $T/load.img, queues: 2}
  - {name: live, backend: $null,
     socket-mode: 06$(($1 % 2 * 6))0, limits: {iops: $((1000 + $1))}}
  - {name: other, backend: {kind: mem, size: $((1 + $1 % 3))MiB}}
  - {name: grows, backend: $T/grows.img}
$([ $(($1 % 2)) = 0 ] || echo "  - {name: odd, backend: $T/odd.img}")
$([ $(($1 % 5)) = 0 ] || echo "  - {name: five, backend: $null}")
EOF
}

config 0
sed -i '/^log-level/d' "$T/vringd.yaml"
daemon_start
config 0
"$VRINGBENCH" --socket "$T/load.sock" --rw randrw --verify --bs 4k \
	--iodepth 16 --queues 2 --time 600 --json >"$T/load.out" 2>&1 &
load=$!
wait_until "the load runs" sh -c \
	"'$VRINGCTL' -s '$control' status | grep -q '^connected *1'"

# A client of its own that stays with a target which every reload changes.
"$VRINGBENCH" --socket "$T/live.sock" --idle --time 600 >/dev/null 2>&1 &
idle=$!

before=$(count_files)
n=0
while [ $n -lt "$RELOADS" ]; do
	n=$((n + 1))
	config $n
	truncate -s $((n + 1))M "$T/grows.img"
	# Every third time there is no such drive, and once it comes back.
	[ $((n % 3)) = 0 ] && rm -f "$T/odd.img" || truncate -s 1M "$T/odd.img"
	[ $((n % 10)) != 7 ] || kill -HUP "$daemon_pid"
	ctl reload >"$T/reload.out" 2>&1
	rc=$?
	case $rc in
	0) ;;
	2)
		grep -q '^added      odd (failed)\|^unchanged  odd (failed)' \
			"$T/reload.out" || {
			cat "$T/reload.out"
			fail "reload $n did not do all"
		}
		;;
	*)
		cat "$T/reload.out"
		fail "reload $n exits with $rc"
		;;
	esac
done
kill -0 "$load" || {
	cat "$T/load.out"
	fail "the load ended"
}
kill -0 "$idle" || fail "a client was cut off"
kill -INT "$load"
wait "$load" || {
	cat "$T/load.out"
	fail "data was lost, or the load was disturbed"
}
kill "$idle"
wait "$idle"
# What was opened is closed again; only the load's own files are gone.
config 0
ctl reload >/dev/null
after=$(count_files)
echo "$RELOADS reloads; before: $before; after: $after"
grep -o '"\(iops\|verified[a-z_]*\|lat[a-z_]*\|max[a-z_]*\)": *[0-9.]*' \
	"$T/load.out" | tr '\n' ' '
[ "${after%% *}" -le "${before%% *}" ] || fail "descriptors were left open"
daemon_stop
