# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# A block device that is slow for some processes: a loop device, and a control
# group whose members write to it at 256 KiB/s.  What they have in flight is
# held in the block layer and not over when they are killed.  After e2e.sh:
#
#	. "${top_srcdir:-.}/tests/lib/slowdisk.sh"
#	slowdisk_make 8M
#	slowdisk_slow $daemon_pid
#
# From then on $slowdisk is the device.  Skips the test where there is no such
# device or group.

slowdisk=
slowdisk_group=

slowdisk_end()
{
	slowdisk_status=$?
	if [ -n "$daemon_pid" ]; then
		kill -KILL "$daemon_pid" 2>/dev/null
		wait "$daemon_pid" 2>/dev/null
		daemon_pid=
	fi
	[ -n "$slowdisk" ] && losetup --detach "$slowdisk"
	for slowdisk_try in 1 2 3 4 5; do
		[ -d "$slowdisk_group" ] || break
		rmdir "$slowdisk_group" 2>/dev/null && break
		sleep "0.$slowdisk_try"
	done
	(exit $slowdisk_status)
	cleanup
}

# slowdisk_group_make RULE FILE FOLDER: a group in FOLDER, and the rule in its
# file; false where there is no such thing.
slowdisk_group_make()
{
	[ -d "$3" ] || return 1
	# The second version of groups has to be told, and may be used up.
	echo +io 2>/dev/null >"$3/cgroup.subtree_control"
	slowdisk_group=$3/vringd-test.$$
	mkdir "$slowdisk_group" 2>/dev/null &&
		[ -w "$slowdisk_group/$2" ] &&
		echo "$1" >"$slowdisk_group/$2" && return 0
	rmdir "$slowdisk_group" 2>/dev/null
	slowdisk_group=
	return 1
}

# slowdisk_make SIZE
slowdisk_make()
{
	requires_root
	requires losetup lsblk python3
	make_file slow.img "$1"
	slowdisk=$(losetup --find --show "$T/slow.img") || {
		slowdisk=
		skip "no loop device here"
	}
	trap slowdisk_end EXIT
	slowdisk_number=$(lsblk -dnro MAJ:MIN "$slowdisk")
	slowdisk_group_make "$slowdisk_number 262144" \
		blkio.throttle.write_bps_device /sys/fs/cgroup/blkio ||
		slowdisk_group_make "$slowdisk_number wbps=262144" io.max \
			/sys/fs/cgroup ||
		skip "no control group that slows a device down"
}

# slowdisk_slow PID: from now on, for what this process and its threads write.
slowdisk_slow()
{
	echo "$1" >"$slowdisk_group/cgroup.procs" ||
		skip "no process can be put into a control group"
}
