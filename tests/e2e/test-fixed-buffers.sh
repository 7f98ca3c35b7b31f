#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# With fixed-buffers a guest's memory is pinned while it is connected, as far as
# the limits allow, and no data is lost: in one piece or several, on one worker
# or two, over a crash of the daemon, and where nothing can be pinned.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3
cpus=$(two_cpus) || cpus=auto
make_file disk.img 64M
make_file twice.img 64M
daemon_config <<EOC
cpus: [$cpus]
targets:
  - {name: file, backend: $T/disk.img, fixed-buffers: on}
  - name: twice
    backend: $T/twice.img
    fixed-buffers: on
    cpus: [$cpus]
  - {name: plain, backend: {kind: mem, size: 1MiB}}
EOC
[ "$cpus" != auto ] || sed -i '/cpus:/d' "$T/vringd.yaml"

# value NAME PYTHON: what the expression makes of what show tells of NAME's
# memory, called m.
value()
{
	ctl --json show "$1" | python3 -c "
import json, sys
m = (json.load(sys.stdin)['session'] or {}).get('memory', {})
print($2)"
}

is_value()
{
	[ "$(value "$1" "$2")" = "$3" ]
}

# Each worker has all of it, or says why it has no more.
all_pinned='len(m.get("fixed") or []) == WORKERS and all(
	f["bytes"] == m["bytes"] or f["reason"] for f in m["fixed"])'

fixed_requests()
{
	ctl metrics | awk -v of="target=\"$1\"" \
		'/^vringd_fixed_buffer_requests_total/ && index($0, of) {
			print $NF }'
}

pinned_kib()
{
	awk '/^VmPin:/ { print $2 }' "/proc/$daemon_pid/status"
}

is_unpinned()
{
	[ "$(pinned_kib)" = 0 ]
}

daemon_start
is_unpinned || fail "something is pinned before a guest comes"

# load NAME WORKERS OPTION...: while its memory is pinned.
load()
{
	load_name=$1 load_workers=$2
	shift 2
	before=$(fixed_requests "$load_name")
	"$VRINGBENCH" --socket "$T/$load_name.sock" --rw randrw --verify \
		--time 60 "$@" >"$T/out" 2>&1 &
	bench=$!
	wait_until "the memory of $load_name is pinned" is_value "$load_name" \
		"$(echo "$all_pinned" | sed "s/WORKERS/$load_workers/")" True
	sleep 0.3
	kill -INT $bench
	wait $bench || {
		cat "$T/out"
		fail "$load_name lost or corrupted data: $*"
	}
	[ "$(fixed_requests "$load_name")" -gt "$before" ] ||
		logged "$load_name: goes on without fixed buffers" ||
		fail "no request of $load_name was made with a fixed buffer"
	wait_until "the memory of $load_name is let go" is_unpinned
}

load file 1 --bs 4k --iodepth 32 --queues 2
load file 1 --bs 128k --iodepth 8 --eventfd
# Two pieces, and requests that lie in both.
load file 1 --bs 1000k --iodepth 40
[ "$cpus" = auto ] || load twice 2 --bs 8k --iodepth 16 --queues 4

"$VRINGBENCH" --socket "$T/plain.sock" --idle --time 60 >"$T/out" 2>&1 &
bench=$!
wait_until "a guest is there" is_value plain 'm.get("bytes", 0) > 0' True
is_value plain 'm["fixed"]' None || fail "plain has pinned memory"
kill $bench
wait $bench

# A crash, with the memory of the guest pinned, and another daemon.
"$VRINGBENCH" --socket "$T/file.sock" --rw randrw --verify --reconnect \
	--time 60 >"$T/out" 2>&1 &
bench=$!
once=$(echo "$all_pinned" | sed "s/WORKERS/1/")
for _ in 1 2; do
	wait_until "the memory is pinned" is_value file "$once" True
	daemon_kill
	daemon_start
done
wait_until "the memory is pinned again" is_value file "$once" True
kill -INT $bench
wait $bench || {
	cat "$T/out"
	fail "data was lost or corrupted at a crash"
}
daemon_stop

# Where nothing can be pinned the disk works the same, and the log says why.
# The limit has room for the rings.
cat >"$T/limited" <<EOC
#!/bin/sh
ulimit -l 1024 && exec $(
	[ "$(id -u)" != 0 ] ||
		echo setpriv --bounding-set=-ipc_lock
) '$VRINGD' "\$@"
EOC
chmod +x "$T/limited"
VRINGD=$T/limited
: >"$daemon_log"
daemon_start
"$VRINGBENCH" --socket "$T/file.sock" --rw randrw --verify --time 60 \
	--bs 128k >"$T/out" 2>&1 &
bench=$!
wait_until "the log says that it is too much" logged \
	'warn .*file: goes on without fixed buffers .*: raise LimitMEMLOCK'
is_value file '"LimitMEMLOCK" in m["fixed"][0]["reason"]' True ||
	fail "show does not say why"
sleep 0.3
kill -INT $bench
wait $bench || {
	cat "$T/out"
	fail "data was lost or corrupted without fixed buffers"
}
[ "$(fixed_requests file)" = 0 ] || fail "who made them with fixed buffers?"
daemon_stop
