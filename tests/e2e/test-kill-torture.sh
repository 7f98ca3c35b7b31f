#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Verified loads with many requests in flight, on split and packed rings with
# one queue and with four, with tables and without, go on while the daemon is
# killed at random moments, its start too.  No request may be lost or answered
# twice, no block differ.
# KILLS says how often, SEED when: the same seed, the same pauses.
#
# With PEER=qemu-storage-daemon that one is killed, under a load like the first,
# to compare; it has neither packed rings nor delays.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
requires setpriv "$VRINGBENCH" ${PEER:+"$PEER"}
[ "${TORTURE-}" = 1 ] && KILLS=${KILLS:-200}
kills=${KILLS:-20}
seed=${SEED:-$(date +%s)}
echo "seed $seed"

# load NAME [ARG...]: loads the target NAME until told to stop.
load()
{
	name=$1
	shift
	"$VRINGBENCH" -s "$T/$name.sock" --rw randrw --verify --reconnect \
		--keep-rings --iodepth 128 --eventfd --time 280 --json "$@" \
		>"$T/$name.out" 2>&1 &
	loads="$loads $!:$name"
}

# number NAME MEMBER: what the load of NAME reports.
number()
{
	awk -F '[:,]' -v key="\"$2\"" '$1 ~ key { print $2 + 0 }' "$T/$1.out"
}

# start: the daemon or the peer, without waiting for the first.
start()
{
	if [ -n "${PEER-}" ]; then
		rm -f "$T/peer.sock"
		peer_start "driver=file,filename=$T/peer.img,discard=unmap"
	else
		daemon_spawn
	fi
}

# pauses: one in each line, from a twentieth of a second to eight.
pauses()
{
	awk -v n="$kills" -v seed="$seed" 'BEGIN {
		srand(seed)
		while (n-- > 0)
			printf "%.3f\n", 0.05 + rand() * 0.35
	}'
}

loads=
if [ -n "${PEER-}" ]; then
	make_file peer.img 64M
	start
	load peer
else
	for name in split1 split4 packed1 packed4; do
		make_file $name.img 64M
	done
	cpus=$(two_cpus)
	daemon_config <<-YAML
		${cpus:+cpus: [$cpus]}
		targets:
		  - {name: split1, backend: {path: $T/split1.img, delay: 2ms}}
		  - {name: split4, backend: {path: $T/split4.img, delay: 10ms}}
		  - name: packed1
		    packed: on
		    backend: {path: $T/packed1.img, delay: 2ms}
		  - name: packed4
		    packed: on
		    backend: {path: $T/packed4.img, delay: 10ms}
	YAML
	daemon_start
	load split1
	load split4 --queues 4 --no-indirect
	load packed1 --packed
	load packed4 --packed --queues 4 --no-indirect
fi
sleep 0.5
for pause in $(pauses); do
	sleep "$pause"
	daemon_kill
	start
done
sleep 1

verified=0
for load in $loads; do
	name=${load#*:}
	# One that has given up is gone already.
	kill -INT "${load%:*}" 2>/dev/null
	wait "${load%:*}" || { cat "$T/$name.out"; fail "$name: see above"; }
	[ "$(number "$name" errors)" = 0 ] || fail "$name: errors"
	[ "$(number "$name" reconnects)" -gt 0 ] || fail "$name: never back"
	verified=$((verified + $(number "$name" verified)))
done
again=$(requests_again)
echo "$kills kills, $verified blocks verified, $again requests run again"
[ -n "${PEER-}" ] && exit 0
daemon_stop
[ "$again" -ge $((kills * 10)) ] || fail "next to nothing was in flight"
