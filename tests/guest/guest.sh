# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# For tests that boot a Linux guest, on top of tests/lib/e2e.sh.  They take
# minutes and packages, so they are skipped unless GUESTS=1 asks for them
# (make check-guests).

guest_dir=${top_srcdir:?}/tests/guest

# can_run_uml: User-mode Linux 6.1 has room for the registers of processors up
# to AVX-512, and dies when it starts its init on one that has AMX as well.
can_run_uml()
{
	! grep -qw amx_tile /proc/cpuinfo
}

# guest_requires PROGRAM...: skips unless guests were asked for and what boots
# them is here, and makes the kernel and the archives when they are missing.
guest_requires()
{
	[ "${GUESTS-}" = 1 ] || skip "guests only with make check-guests"
	[ "$(uname -m)" = x86_64 ] || skip "the guests are x86-64 ones"
	case " $* " in
	*" linux.uml "*)
		can_run_uml || skip "User-mode Linux fails on a CPU with AMX" ;;
	esac
	requires busybox mke2fs debugfs fio python3 strip "$@"
	"$guest_dir/guest-build" --slim-fio >"$T/guest-build.log" 2>&1 || {
		cat "$T/guest-build.log"
		skip "the guest cannot be made"
	}
}

# guest_target SIZE: starts the daemon with a new file of SIZE as disk0.
guest_target()
{
	make_file disk.img "$1"
	daemon_config <<-YAML
		targets:
		  - name: disk0
		    backend: $T/disk.img
	YAML
	daemon_start
}

# guest_uml ARG...: boots User-mode Linux; uml-run --help tells the rest.
guest_uml()
{
	"$guest_dir/uml-run" --timeout 240 "$@"
}

# guest_qemu ARG...: boots QEMU with two CPUs; guest-run --help tells the rest.
guest_qemu()
{
	"$guest_dir/guest-run" --smp 2 --timeout 280 "$@"
}

# guest_qmp COMMAND...: has the QEMU that was booted with --qmp "$T/qmp" do it.
guest_qmp()
{
	PYTHONPATH=$guest_dir python3 -B -c '
import sys, vguest
q = vguest.Qmp(sys.argv[1])
for name in sys.argv[2:]:
    q.cmd(name)
' "$T/qmp" "$@" || fail "QEMU does not $*"
}

# guest_uses_disk BOOT BLOCK [ARG...]: the guest that BOOT starts does all
# there is to do with a disk of BLOCK-byte blocks, and what it wrote last is
# then found in the backend.  guest_packed=on has it use packed rings.
guest_uses_disk()
{
	boot=$1 block=$2
	shift 2
	size=$((128 << 20))
	make_file disk.img $size
	daemon_config <<-YAML
		targets:
		  - name: disk0
		    packed: ${guest_packed:-off}
		    backend: {path: $T/disk.img, block-size: $block}
	YAML
	daemon_start
	"$boot" --blk "$T/disk0.sock${guest_packed:+,packed=on}" \
		--script "$guest_dir/disk-use.sh" \
		--env "PACKED=${guest_packed:-off}" \
		--env SERIAL=disk0 --env SIZE=$size --env "BLOCK=$block" \
		--get "/root/digest:$T/digest" "$@" ||
		fail "the guest ended with status $?"
	daemon_stop
	debugfs -R 'cat /file' "$T/disk.img" 2>/dev/null | sha256sum |
		cut -d ' ' -f 1 | cmp - "$T/digest" ||
		fail "the backend does not hold what the guest wrote"
}

# guest_meets_read_only BOOT: the guest that BOOT starts reads a read-only
# target and fails to change it.
guest_meets_read_only()
{
	dd if=/dev/urandom of="$T/disk.img" bs=1M count=16 2>/dev/null
	before=$(sha256sum <"$T/disk.img")
	daemon_config <<-YAML
		targets:
		  - name: disk0
		    backend: {path: $T/disk.img, read-only: true}
	YAML
	daemon_start
	"$1" --blk "$T/disk0.sock" --get "/root/digest:$T/digest" \
		--script "$guest_dir/disk-refuses-writes.sh" ||
		fail "the guest ended with status $?"
	daemon_stop
	[ "$(sha256sum <"$T/disk.img")" = "$before" ] ||
		fail "the backend has changed"
	head -c 4M "$T/disk.img" | sha256sum | cut -d ' ' -f 1 |
		cmp - "$T/digest" || fail "the guest read something else"
}

# guest_disk_grows BOOT [ARG...]: the disk of the guest that BOOT starts grows
# three times while it is used, without a second connection.
guest_disk_grows()
{
	cat >"$T/grow" <<-EOS
		#!/bin/sh
		truncate -s "\$1" "$T/disk.img" &&
			"$VRINGCTL" -s "${control:?}" rescan disk0
	EOS
	chmod +x "$T/grow"
	guest_target 64M
	"$@" --blk "$T/disk0.sock" --on "grow=$T/grow \"\$@\"" \
		--script "$guest_dir/disk-grows.sh" ||
		fail "the guest ended with status $?"
	daemon_stop
	[ "$(grep -c 'disk0: client connected' "${daemon_log:?}")" = 1 ] ||
		fail "the guest's VMM has connected again"
	[ "$(grep -c 'disk0: grew .*client=told' "$daemon_log")" -ge 3 ] ||
		fail "the VMM was not told three times"
	debugfs -R 'cat /160' "$T/disk.img" 2>/dev/null | wc -c |
		grep -q "^$((28 << 20))\$" ||
		fail "the backend lacks what was added"
}
