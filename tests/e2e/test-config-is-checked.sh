#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What is wrong with a configuration is said before anything is served, by -t
# and by the daemon alike; what is wrong with the world is a warning of -t.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

# check STATUS: vringd -t ends with it; what it says is in $T/said.
check()
{
	"$VRINGD" -t -c "$T/vringd.yaml" >"$T/said" 2>&1
	rc=$?
	[ "$rc" = "$1" ] || fail "-t ended with status $rc: $(cat "$T/said")"
}

said()
{
	grep -qF -- "$*" "$T/said" || fail "no \"$*\" in: $(cat "$T/said")"
}

make_file disk.img 16M
ln -s disk.img "$T/link.img"
mkdir "$T/conf.d"
echo "targets: [{name: b, backend: $T/link.img}]" >"$T/conf.d/b.yaml"
daemon_config <<YAML
include: conf.d/*.yaml
targets: [{name: a, backend: $T/disk.img}]
YAML

check 1
said "conf.d/b.yaml:1:30: targets[0].backend.path: $T/link.img is the same" \
	"file as $T/disk.img of targets[0] at $T/vringd.yaml:4:30"
daemon_spawn
wait_until "the daemon ends" is_gone "$daemon_pid"
wait "$daemon_pid"
rc=$?
[ "$rc" = 78 ] || fail "the daemon ended with status $rc"
daemon_pid=
logged 'is the same file as' || fail "the daemon did not say why"

# Without the conflict it is right, whatever is missing.
echo "targets: [{name: b, backend: $T/gone.img}]" >"$T/conf.d/b.yaml"
printf 'QFI\373' | dd of="$T/disk.img" conv=notrunc 2>/dev/null
check 0
said "conf.d/b.yaml:1:30: warning: targets[0].backend.path: $T/gone.img: No"
said "vringd.yaml:4:30: warning: targets[0].backend.path: $T/disk.img looks" \
	"like qcow2"

# What -T prints is one file that means the same.
"$VRINGD" -T -c "$T/vringd.yaml" >"$T/printed.yaml" || fail "-T failed"
grep -q include "$T/printed.yaml" && fail "-T printed an include"
"$VRINGD" -T -c "$T/printed.yaml" | cmp - "$T/printed.yaml" ||
	fail "-T prints something else when it is given its own output"
