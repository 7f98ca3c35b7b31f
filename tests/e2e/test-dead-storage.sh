#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Storage that does not answer at all, as that of a dead network file system,
# holds up its own target: no other one, no reload, no answer, no stop.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires_root
requires python3

make_file good.img 16M
setpriv --pdeathsig TERM python3 "$top_srcdir/tests/lib/silentmount.py" \
	>"$T/mount.out" 2>&1 &
mounted=$!
wait_until "the file system is mounted" grep -q . "$T/mount.out"
silent=$(cat "$T/mount.out")
[ "${silent#/}" != "$silent" ] || skip "no FUSE: $silent"

# config TARGET...: the file with these lines of targets.
config()
{
	{
		echo targets:
		printf '  - %s\n' "$@"
	} | daemon_config
}

dead="{name: dead, backend: $silent/disk.img}"
good="{name: good, backend: $T/good.img}"
more="{name: more, backend: {kind: mem, size: 1MiB}}"

config "$dead" "$good"
daemon_spawn
wait_until "the good disk is served" is_listening "$T/good.sock"
"$VRINGBENCH" --socket "$T/good.sock" --verify --time 1 >/dev/null ||
	fail "the good disk does not work"
ctl list | grep -q '^dead .* opening ' || fail "nobody sees what is going on"
wait_until "the daemon says that it is ready" daemon_is_up

config "$dead" "$good" "$more"
ctl reload >"$T/out"
[ $? = 2 ] || fail "the reload does not say that a disk is missing"
grep -q '^added      more$' "$T/out" || fail "nothing was added"

# It may be given up, and added again.
config "$good"
ctl reload >"$T/out"
grep -q '^removed    dead$' "$T/out" || fail "it could not be removed"
ctl show dead 2>/dev/null && fail "it is still there"
config "$dead" "$good"
ctl reload >/dev/null
[ $? = 2 ] || fail "the reload does not say that a disk is missing"

daemon_stop
kill "$mounted"
wait "$mounted"
