#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# For minutes: everything that an administrator can do wrong, at random, while
# one target is under verified load: it is never cut off and loses nothing, no
# answer is wrong, and in the end nothing is left of all that.  Runs only with
# TORTURE=1 (contrib/check-all); TORTURE_SECONDS says how long, SEED repeats.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
[ "${TORTURE-}" = 1 ] || skip "only with TORTURE=1"
requires python3 "$VRINGBENCH"
seconds=${TORTURE_SECONDS:-150}
make_file load.img 256M

quiet()
{
	daemon_config <<-EOF
	log-level: warn
	targets:
	  - {name: load, backend: $T/load.img, queues: 2}
	EOF
}

# Anonymous memory in KiB.
memory()
{
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$daemon_pid/status"
}

# alone: true when only the load is left.
alone()
{
	ctl reload >/dev/null
	[ "$(ctl list | tail -n +2 | wc -l)" = 1 ]
}

quiet
sed -i '/^log-level/d' "$T/vringd.yaml"
daemon_start
quiet
"$VRINGBENCH" --socket "$T/load.sock" --rw randrw --verify --bs 4k \
	--iodepth 8 --queues 2 --rate 2000 --time 3600 >"$T/load.out" 2>&1 &
load=$!
wait_until "the load runs" sh -c \
	"'$VRINGCTL' -s '$control' status | grep -q '^connected *1'"

# Once for a moment: what is kept from then on is there.
for round in 5 "$seconds"; do
	before=$(count_files)
	was=$(memory)
	DAEMON=$daemon_pid VRINGCTL=$VRINGCTL VRINGBENCH=$VRINGBENCH \
		"$top_srcdir/tests/lib/reload-torture" "$T" "$round" \
		${SEED:+"$SEED"} || fail "the answers are wrong"
	kill -0 "$load" || {
		cat "$T/load.out"
		fail "the load ended"
	}
	quiet
	wait_until "all is as before" alone
done
after=$(count_files)
is=$(memory)
echo "before: $before, $was KiB; after: $after, $is KiB"
[ "${after%% *}" -le "${before%% *}" ] || fail "descriptors were left open"
grep -qE '__[at]san_init' "$VRINGD" || [ "$is" -le $((was + 4096)) ] ||
	fail "memory is kept"

kill -INT "$load"
wait "$load" || {
	cat "$T/load.out"
	fail "data was lost, or the load was disturbed"
}
daemon_stop
rm -f "$T/taken.sock"
[ -z "$(find "$T" -type s)" ] || fail "sockets are left"
