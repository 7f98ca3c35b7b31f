#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The examples of vringd(8) have the lines that vringctl client prints.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

daemon_config <<EOF
targets:
  - {name: vm1, device: blk, backend: {kind: mem, size: 8MiB}}
EOF
daemon_start
sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$top_srcdir/man/vringd.8" |
	sed 's/\\e$/\\/; s/^ *//; s/^\$ //' >"$T/manual"
for vmm in qemu libvirt cloud-hypervisor firecracker; do
	ctl client vm1 $vmm >"$T/lines" || fail "nothing for $vmm"
	sed "s|$T|/run/vringd|; s/^[ 	]*//; /^#/d; /<!--/,/-->/d" "$T/lines" |
		grep . >"$T/$vmm"
	[ "$(wc -l <"$T/$vmm")" -ge 3 ] || fail "only $(cat "$T/$vmm")"
	while IFS= read -r line; do
		grep -qxF -- "$line" "$T/manual" ||
			fail "vringd(8) lacks for $vmm: $line"
	done <"$T/$vmm"
done
daemon_stop
