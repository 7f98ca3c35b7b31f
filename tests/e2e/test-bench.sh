#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The programs in contrib/bench measure: their tables and JSON have numbers for
# all that was asked for, and nothing that they made is left.  How fast anything
# is does not matter here.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires pgrep python3 setpriv taskset "$VRINGD" "$VRINGBENCH"
cpus=$(two_cpus) || skip "needs two CPUs"
mkdir "$T/folder"
run=$top_srcdir/contrib/bench/run

"$run" --time 0.2 --rounds 2 --size 1m --folder "$T/folder" --out "$T/out" \
	--systems vringd,stub \
	null-read-32-packed null-read-1-event mem-mixed-128 null-idle \
	>"$T/said" 2>&1 ||
	{ cat "$T/said"; fail "it failed"; }

# row CELL SYSTEM REGEX: such a row is in the table, and matches.
row()
{
	awk -v cell="$1" -v system_="$2" '
		/^[^ ]/ { name = $1; sub(/^[^ ]+/, "") }
		name == cell && $1 == system_ { print }' "$T/out/table.txt" |
		grep -Eq -- "$3" ||
		{ cat "$T/said"; fail "no row of $1, $2, as it should be"; }
}
number='[1-9][0-9]*'
row null-read-32-packed vringd "vringd +$number( +[0-9.]+){5}( +-){2} +[0-9.]+"
row null-read-32-packed stub "stub +$number .* [0-9.]+ \([0-9.]+-[0-9.]+\)"
row mem-mixed-128 vringd "vringd +$number"
row null-idle vringd 'vringd( +-){6}( +[0-9.]+){3}'
grep -q 'the machine is ' "$T/said" || fail "says nothing of the machine"

"$run" --time 0.2 --rounds 1 --size 1m --folder "$T/folder" \
	--out "$T/other" --systems vringd,other \
	--other-key 'serial: "a disk"' --other-root-key 'poll: off' \
	--busy "${cpus%%,*}" mem-read-32 >"$T/said" 2>&1 ||
	{ cat "$T/said"; fail "it failed with another key"; }
grep -q '^ .* other ' "$T/other/table.txt" ||
	{ cat "$T/said"; fail "nothing of the other setting"; }

# Of two rounds: 3 cells and an idle one of vringd, 2 of the stub.
python3 - "$T/out/results.json" <<'PYTHON' || fail "the JSON lacks something"
import json
import sys

with open(sys.argv[1]) as f:
    found = json.load(f)
assert found["machine"]["systems"]["vringd"].startswith("vringd ")
rows = found["measurements"]
assert len(rows) == 12, len(rows)
for m in rows:
    assert m["rss_anon_mib"] > 0, m
    if m["cell"] == "null-idle":
        assert m["idle_cpu"] >= 0 and m["wakes_s"] >= 0, m
    else:
        assert m["iops"] > 0 and m["cpu_us"] > 0, m
        assert 0 < m["p50_us"] <= m["p99_us"] <= m["p999_us"], m
assert len(found["summary"]) == 6
PYTHON

# What it makes of figures: medians, ratios of the same round, and marks.
python3 - "$top_srcdir/contrib/bench" <<'PYTHON' || fail "wrong figures"
import collections
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import goals
import report

Cell = collections.namedtuple("Cell", "storage depth queues ring mode")
cells = {"n": Cell("null", 1, 1, "split", "poll"),
         "m": Cell("mem", 1, 1, "split", "poll"),
         "p": Cell("mem", 1, 1, "packed", "poll")}
found = []


def add(cell, system, waited, *iops):
    cpu_us = 4 if system == "qsd" else 1
    for number, value in enumerate(iops):
        found.append({"cell": cell, "system": system, "round": number,
                      "iops": value, "waited": waited, "cpu_us": cpu_us})


add("n", "stub", 0, 1000, 1100, 900)
add("m", "vringd", 0, 600, 300, 900)
add("m", "qsd", 9, 300, 200, 225)
add("p", "vringd", 0, 850, 850, 850)
add("n", "vringd", 0, 801, 801, 801)
rows = report.summarize(found, "vringd", cells)
assert [r["iops"] for r in rows] == [1000, 600, 225, 850, 801]
assert rows[2]["ratio"] == {"median": 2, "min": 1.5, "max": 4}
lines = report.table(rows, "vringd").splitlines()[1:]
assert "2.00 (1.50-4.00)    4.00 (4.00-4.00) " in lines[2], lines[2]
assert "! CPUs were short 9%" in lines[2], lines[2]
assert ["!" in line for line in lines] == [False, False, True, False, True]
assert lines[4].endswith("! of 1000 that the front-end can show")

goals.read()
Goal = goals.Goal
judged = goals.judge([Goal("m", "iops", "q*", "least", 2.0),
                      Goal("m", "iops", "q*", "most", 1.9),
                      Goal("*", "iops_per_cpu", "qsd", "least", 4.1),
                      Goal("p", "iops", "-", "least", 851),
                      Goal("p", "iops", "qsd", "least", 1)], found, "vringd")
assert [j["is_kept"] for j in judged] == [True, False, False, False], judged
assert "MISSED m" in goals.table(judged).splitlines()[1]
PYTHON

# The small table has what was measured.
"$top_srcdir/contrib/bench/readme" "$T/out/results.json" "$T/plot.svg" \
	>"$T/said" 2>&1 || ! command -v gnuplot >/dev/null ||
	{ cat "$T/said"; fail "readme failed"; }
grep -Eq '^wakeups a second +[0-9.]+$' "$T/said" ||
	{ cat "$T/said"; fail "readme: no idle target"; }
! command -v gnuplot >/dev/null || grep -q '<svg' "$T/plot.svg" ||
	fail "readme: no plot"

# What many targets cost; whether a limit is missed does not matter here.
"$top_srcdir/contrib/bench/scale" --targets 3 --rounds 1 --time 0.2 \
	--idle 0.2 --settle 0 --folder "$T/folder" --out "$T/out" \
	>"$T/said" 2>&1
[ $? -le 1 ] || { cat "$T/said"; fail "scale failed"; }
grep -Eq '^start until all targets listen +[1-9][0-9]* ms' "$T/said" &&
	grep -Eq '^file-read-32( +[1-9][0-9]*){2} +[0-9.]+ \(' "$T/said" ||
	{ cat "$T/said"; fail "no figures of many targets"; }
python3 - "$T/out/scale.json" <<'PYTHON' || fail "the JSON lacks something"
import json
import sys

with open(sys.argv[1]) as f:
    found = json.load(f)
assert found["targets"] == 3 and found["findings"]["rss_anon_kib"] > 0
assert found["busy"]["null-read-1"][0]["beside"]["iops"] > 0
PYTHON

# Whichever of auto, on and off is better.
"$top_srcdir/contrib/bench/sqpoll" --rounds 2 --time 0.2 --size 1 --busy 2 \
	--folder "$T/folder" file-32 file-1-event >"$T/said" 2>&1
[ $? -le 1 ] || { cat "$T/said"; fail "sqpoll failed"; }
figures="( +[1-9][0-9]*){3}( +[0-9.]+){3} +[0-9]+"
for load in file-32 file-1-event; do
	grep -Eq "^$load$figures  (direct|sqpoll): " "$T/said" || {
		cat "$T/said"
		fail "no figures of $load"
	}
done

# What is wrong is said.
"$run" no-such-cell >"$T/said" 2>&1 && fail "a cell that is none"
grep -q 'no cell no-such-cell' "$T/said" || fail "no word of the cell"
"$run" --other "$T/none" null-idle >"$T/said" 2>&1 &&
	fail "a build that is none"
grep -q "other: $T/none: No such" "$T/said" || fail "no word of the build"
[ -z "$(ls "$T/folder")" ] || fail "left: $(ls "$T/folder")"
! pgrep -f "$T/folder" >/dev/null || fail "something still runs"
exit 0
