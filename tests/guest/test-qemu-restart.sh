#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A QEMU guest writes and verifies its disk while the daemon is killed and
# started again, several times; the guest is also paused, with requests in
# flight and while the daemon is dead.  With split and with packed rings.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
guest_requires qemu-system-x86_64
cat >"$T/script" <<'EOS'
set -eu
round=0
while [ "$(host more)" = yes ]; do
	round=$((round + 1))
	echo "guest: round $round"
	fio --name=verify --filename="$BLK0" --ioengine=io_uring --direct=1 \
		--rw=randwrite --bs=4k --size=16M --iodepth=64 \
		--randseed="$round" --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 --minimal >/root/fio.log 2>&1 ||
		{ cat /root/fio.log; exit 1; }
done
! dmesg | grep -E 'I/O error|critical .* error|blocked for more'
echo "guest: done after $round rounds"
EOS
cat >"$T/more" <<'EOS'
#!/bin/sh
[ -e "$1/enough" ] && echo no || echo yes
EOS
chmod +x "$T/more"

# is_back: the VMM has come as often as the daemon was started.
is_back()
{
	[ "$(grep -c 'ready targets=' "$daemon_log")" -le \
		"$(grep -c 'disk0: session started' "$daemon_log")" ]
}

# back: starts the daemon, and waits for the VMM and some load.
back()
{
	daemon_start
	wait_until "the VMM is back" is_back
	sleep 0.3
}

# survives RING PACKED
survives()
{
	: >"$daemon_log"
	rm -f "$T/enough" "$T/qmp" "$T/disk.img"
	make_file disk.img 64M
	daemon_config <<-YAML
		targets:
		  - name: disk0
		    packed: $2
		    backend: {path: $T/disk.img, delay: 10ms}
	YAML
	daemon_start
	guest_qemu --blk "$T/disk0.sock,num-queues=2,reconnect=1,packed=$2" \
		--qmp "$T/qmp" --on "more=$T/more $T" --script "$T/script" &
	guest=$!
	wait_until "the guest comes" logged 'disk0: client connected'
	sleep 3
	for _ in 1 2 3 4 5; do
		daemon_kill
		back
	done
	guest_qmp stop cont
	sleep 0.3
	daemon_kill
	# QEMU 7.2 never comes back when it is left while it is paused.
	sleep 0.3
	guest_qmp stop cont stop
	daemon_start
	sleep 1.5
	guest_qmp cont
	wait_until "the VMM is back" is_back
	sleep 0.3
	: >"$T/enough"
	wait $guest || fail "$1: the guest ended with status $?"
	daemon_stop
	again=$(requests_again)
	echo "$1: $again requests run again"
	[ "$again" -ge 20 ] || fail "$1: next to nothing was in flight"
}

survives split off
survives packed on
