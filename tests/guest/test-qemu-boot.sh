#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# SeaBIOS boots from the disk: its own driver finds the boot sector, and the
# boot sector has it read one more.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64 as objcopy
cat >"$T/boot.s" <<'EOS'
	.code16
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	$packet + 0x7c00, %si
	movb	$0x42, %ah		# read by block number, from drive %dl
	int	$0x13
	jc	bad
	cmpl	$0x676e6972, 0x8000
	jne	bad
	movb	$0x15, %al
	jmp	out
bad:	movb	$0x1, %al
out:	outb	%al, $0xf4		# QEMU ends with status 2 * %al + 1
	hlt
	.balign	4
packet:	.byte	16, 0
	.word	1, 0x8000, 0		# one block to 0:8000
	.quad	7			# block 7
	.org	510
	.word	0xaa55
	.org	7 * 512
	.ascii	"ring"
	.org	8 * 512
EOS
as --32 -o "$T/boot.o" "$T/boot.s" &&
	objcopy -O binary -j .text "$T/boot.o" "$T/disk.img" ||
	fail "no boot sector"
truncate -s 16M "$T/disk.img"
daemon_config <<YAML
targets:
  - name: disk0
    backend: $T/disk.img
YAML
daemon_start
timeout 120 qemu-system-x86_64 -nodefaults -no-user-config -display none \
	-machine q35,memory-backend=mem -m 128M -no-reboot \
	-object memory-backend-memfd,id=mem,size=128M,share=on \
	-device isa-debug-exit,iobase=0xf4,iosize=4 \
	-chardev socket,id=disk,path="$T/disk0.sock" \
	-device vhost-user-blk-pci,chardev=disk,num-queues=1,bootindex=1
status=$?
[ $status = 43 ] || fail "QEMU ended with status $status"
daemon_stop
