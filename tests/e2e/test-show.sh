#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# show tells all of a target, of its client and of each of its queues.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3
make_file disk.img 8M
daemon_config <<EOF
targets:
  - {name: file, device: blk, queues: 4, backend: $T/disk.img}
  - {name: bad, device: blk, backend: $T/none.img}
EOF
daemon_start

# value NAME PYTHON: what the expression makes of NAME's answer, called s.
value()
{
	ctl --json show "$1" | python3 -c "
import json, sys
s = json.load(sys.stdin)
print($2)"
}

# is NAME PYTHON EXPECTED
is()
{
	is_said=$(value "$1" "$2")
	[ "$is_said" = "$3" ] || fail "$2 of $1 is $is_said, not $3"
}

is file 's["state"], s["session"], s["reason"]' "listening None None"
is file 's["backend"]["claim"], s["backend"]["size"]' "none 8388608"
is bad 's["state"], "No such file" in s["reason"]' "failed True"

"$VRINGBENCH" --socket "$T/file.sock" --queues 2 --idle --time 60 \
	>"$T/out" 2>&1 &
client=$!
wait_until "two queues run" sh -c \
	"'$VRINGCTL' -s '$control' show file | grep -c running | grep -qx 2"
is file 's["state"], s["backend"]["claim"]' "connected held"
is file 's["session"]["peer_pid"]' $client
is file 's["session"]["peer_command"]' vringbench
is file 's["session"]["peer_uid"]' "$(id -u)"
is file '{"flush", "version-1"} <= set(s["session"]["feature_names"])' True
is file 'int(s["session"]["features"], 16) >> 32 & 1' 1
is file 's["session"]["inflight_region"]' front-end
is file '"config" in s["session"]["protocol_feature_names"]' True
is file 's["session"]["engine"]["ring"], s["session"]["engine"]["switches"]' \
	"direct 0"
is file 's["session"]["engine"]["sqpoll"] in (None, "awake", "asleep")' True
is file '{q["ring"] for q in s["session"]["queues"]}' "{'direct'}"
is file '"defer-taskrun" in s["session"]["engine"]["setup"]' True
is file 'sum(r["bytes"] for r in s["session"]["memory"]["regions"]) ==
	s["session"]["memory"]["bytes"] > 0' True
is file '{r["page_size"] for r in s["session"]["memory"]["regions"]}' \
	"{$(getconf PAGESIZE)}"
is file '[(q["index"], q["state"], q["kick"], q["pending"], q["inflight"])
	for q in s["session"]["queues"]]' \
	"[(0, 'running', 'eventfd', 0, 0), (1, 'running', 'eventfd', 0, 0)]"
ctl list | grep -q "^file .* connected .* $client  *2 " ||
	fail "list does not name the client: $(ctl list)"
kill $client
wait_until "the client has left" sh -c \
	"'$VRINGCTL' -s '$control' list | grep -q 'file .* listening'"
is file 's["session"]' None
daemon_stop
