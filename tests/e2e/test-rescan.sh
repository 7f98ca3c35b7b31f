#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Storage grows under verified load and is looked at: VMMs are told, the load
# is not disturbed, and what was added is used.  Storage that shrank, that has
# failed or that nobody knows is said to be so.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires python3

MiB=1048576
shared="{path: $T/shared.img, shared: true}"
make_file load.img 64M
make_file shared.img 8M
make_file alone.img 8M
daemon_config <<EOF
targets:
  - {name: load, backend: $T/load.img, queues: 2}
  - {name: one, backend: $shared}
  - {name: two, backend: $shared}
  - {name: alone, backend: $T/alone.img}
  - {name: late, backend: $T/late.img}
  - {name: mem, backend: {kind: mem, size: 1MiB}}
EOF
daemon_start

# watch TARGET [WHAT]: its sizes go to $T/TARGET.sizes.
watch()
{
	"$top_srcdir/tests/lib/size-watcher" "$T/$1.sock" "${2-}" \
		>"$T/$1.sizes" 2>&1 &
	watchers="${watchers-} $!"
	wait_until "$1 has a size" test -s "$T/$1.sizes"
}

# saw TARGET SIZE...: so many MiB, and nothing else, were the sizes so far.
saw()
{
	saw_sizes=$T/$1.sizes
	shift
	for saw_size; do
		echo $((saw_size * MiB))
	done >"$T/want"
	cmp -s "$saw_sizes" "$T/want"
}

# rescan STATUS [TARGET]: the answer goes to $T/answer.
rescan()
{
	ctl --json rescan ${2+"$2"} >"$T/answer" 2>&1
	rescan_status=$?
	[ $rescan_status = "$1" ] || {
		cat "$T/answer"
		fail "rescan ${2-} ends with $rescan_status, not $1"
	}
}

# answer TARGET OLD NEW TOLD: in MiB; that is what it says.
answer()
{
	python3 - "$@" "$T/answer" <<-'PY' || fail "the answer is wrong: $1"
		import json, sys
		name, old, new, told, path = sys.argv[1:]
		old, new = int(old) << 20, int(new) << 20
		with open(path) as f:
		    (row,) = [r for r in json.load(f) if r["name"] == name]
		want = {"name": name, "old_size": old, "size": new,
		        "changed": old != new, "told": told == "told",
		        "error": None}
		got = {key: row[key] for key in want}
		if got != want:
		    sys.exit(f"{got} is not {want}")
	PY
}

"$VRINGBENCH" --socket "$T/load.sock" --rw randrw --verify --queues 2 \
	--iodepth 16 --time 600 --json >"$T/load.out" 2>&1 &
load=$!
watch one
watch two
watch alone no-channel
wait_until "all are served" sh -c \
	"'$VRINGCTL' -s '$control' status | grep -q '^connected *4'"

rescan 2 # for the target that has failed
grep -q 'late.*No such file' "$T/answer" || fail "the failure is not said"
answer load 64 64 no
answer one 8 8 no
answer mem 1 1 no

n=64
while [ $n -lt 84 ]; do
	truncate -s $((n + 1))M "$T/load.img"
	rescan 0 load
	answer load $n $((n + 1)) no
	n=$((n + 1))
done
truncate -s 16M "$T/shared.img"
rescan 0 one
answer one 8 16 told
wait_until "one was told" saw one 8 16
wait_until "two was told" saw two 8 16
rescan 0 two
answer two 16 16 no
logged 'two: grew size=16777216 was=8388608 client=told' ||
	fail "nobody says that two has grown"

truncate -s 16M "$T/alone.img"
rescan 0 alone
answer alone 8 16 no
logged 'alone: grew .*client=not-told' || fail "nobody says who is not told"

# A reload looks, too.
truncate -s 24M "$T/shared.img" "$T/alone.img"
ctl reload >"$T/reload.out" || [ $? = 2 ] || fail "the reload failed"
wait_until "one was told by the reload" saw one 8 16 24
wait_until "two was told by the reload" saw two 8 16 24
grep -q '^grew  *one: 16 MiB -> 24 MiB' "$T/reload.out" || {
	cat "$T/reload.out"
	fail "the reload does not say what has grown"
}
rescan 0 alone
answer alone 24 24 no

truncate -s 8M "$T/alone.img"
rescan 2 alone
grep -q 'shrunk to 8388608 bytes' "$T/answer" || fail "the answer is wrong"
rescan 2 alone
[ "$(grep -c 'alone: cannot shrink' "$daemon_log")" = 1 ] ||
	fail "the shrinking was not said once"
truncate -s 24M "$T/alone.img"
rescan 0 alone
answer alone 24 24 no

rescan 1 nobody
grep -q 'no target is called nobody' "$T/answer" || fail "nobody is known"
ctl rescan one >"$T/text"
grep -q '^NAME  *OLD-SIZE  *SIZE  *CHANGED' "$T/text" || fail "no table"
grep -q '^one  *24 MiB  *24 MiB  *no' "$T/text" || fail "no row"

saw one 8 16 24 && saw two 8 16 24 && saw alone 8 ||
	fail "somebody was told too much"
kill -0 "$load" 2>/dev/null || {
	cat "$T/load.out"
	fail "the load ended"
}
kill -INT "$load"
wait "$load" || {
	cat "$T/load.out"
	fail "the load was disturbed"
}
# shellcheck disable=SC2086
kill $watchers

# Another client sees all of the disk, and it holds what is written there.
watch load
saw load 84 || fail "who comes later sees the old size"
# shellcheck disable=SC2086
kill $watchers 2>/dev/null
"$VRINGBENCH" --socket "$T/load.sock" --rw randwrite --verify --bs 64k \
	--time 2 >"$T/after.out" 2>&1 || {
	cat "$T/after.out"
	fail "the disk is no good after it grew"
}
daemon_stop
