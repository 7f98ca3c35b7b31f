# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# Files on a file system whose server hangs when it is told to.  After e2e.sh:
#
#	. "${top_srcdir:-.}/tests/lib/hangingdisk.sh"
#	hangingdisk_make
#	hangingdisk_hang
#	hangingdisk_go_on
#
# $hangingdisk is then one of 16 MiB; there are ${hangingdisk}2 and
# ${hangingdisk}3, too.  Skips the test where there is no FUSE.

hangingdisk_server=
hangingdisk_loop=

hangingdisk_end()
{
	hangingdisk_status=$?
	# First of all, or the daemon could not be ended.
	kill "$hangingdisk_server" 2>/dev/null
	if [ -n "$daemon_pid" ]; then
		kill -KILL "$daemon_pid" 2>/dev/null
		wait "$daemon_pid" 2>/dev/null
		daemon_pid=
	fi
	[ -z "$hangingdisk_loop" ] || losetup --detach "$hangingdisk_loop"
	(exit $hangingdisk_status)
	cleanup
}

hangingdisk_is_decided()
{
	[ -s "$T/mounted" ] || is_gone "$hangingdisk_server"
}

hangingdisk_make()
{
	requires_root
	requires python3
	setpriv --pdeathsig TERM python3 \
		"${top_srcdir:-.}/tests/lib/hangingmount.py" \
		>"$T/mounted" 2>"$T/mount.out" &
	hangingdisk_server=$!
	trap hangingdisk_end EXIT
	wait_until "something is mounted" hangingdisk_is_decided
	[ -s "$T/mounted" ] || skip "no FUSE here: $(cat "$T/mount.out")"
	# shellcheck disable=SC2034 # for who reads this file
	hangingdisk=$(cat "$T/mounted")/disk
}

# hangingdisk_device FILE: $hangingdisk_loop is then a device made of the file.
# Skips the test where there are none.
hangingdisk_device()
{
	requires losetup
	hangingdisk_loop=$(losetup --find --show "$1") || {
		hangingdisk_loop=
		skip "no loop device here"
	}
}

hangingdisk_hang()
{
	kill -USR1 "$hangingdisk_server"
}

hangingdisk_go_on()
{
	kill -USR2 "$hangingdisk_server"
}
