#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What a reload does to each kind of change, to targets with and without a
# client, and how vringctl tells it.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

make_file a.img 16M
make_file b.img 16M

# reload STATUS [ARG...]: vringctl reload exits with STATUS; $T/out has what
# it printed.
reload()
{
	reload_want=$1
	shift
	ctl reload "$@" >"$T/out" 2>&1
	reload_got=$?
	[ "$reload_got" = "$reload_want" ] || {
		cat "$T/out"
		fail "reload exits with $reload_got, not with $reload_want"
	}
}

# said REGEX: vringctl printed such a line.
said()
{
	grep -qE -- "$1" "$T/out" || {
		cat "$T/out"
		fail "reload does not say: $1"
	}
}

is_state()
{
	is_state_now=$(ctl --json show "$1" |
		sed -n '/"state"/{s/.*: "\(.*\)",*$/\1/p;q}')
	[ "$is_state_now" = "$2" ]
}

# use NAME: a client that stays with the target until unuse.
use()
{
	"$VRINGBENCH" --socket "$T/$1.sock" --idle --time 60 \
		>"$T/client.out" 2>&1 &
	client=$!
	wait_until "$1 has a client" is_state "$1" connected
}

unuse()
{
	kill "$client"
	wait "$client"
	wait_until "$1 has no client" is_state "$1" listening
}

first='targets:
  - {name: a, backend: '$T'/a.img}
  - {name: mem, backend: {kind: mem, size: 16MiB}}'

echo "$first" | daemon_config
daemon_start
reload 0
said '^0 added, 0 removed, 0 replaced, 0 changed, .* 2 unchanged$'

# Added; a dry run only says so.
{
	echo "$first"
	echo "  - {name: b, backend: $T/b.img}"
} | daemon_config
reload 0 --dry-run
said '^added      b$'
said '^this was a dry run'
[ ! -e "$T/b.sock" ] || fail "a dry run made a socket"
reload 0
said '^added      b$'
[ -S "$T/b.sock" ] || fail "there is no socket of the new target"
"$VRINGBENCH" --socket "$T/b.sock" --verify --time 1 >/dev/null ||
	fail "the new target does not work"

# Nobody uses it: replaced.
{
	echo "$first"
	echo "  - {name: b, backend: $T/b.img, queues: 3}"
} | daemon_config
reload 0
said '^replaced   b: queues$'

# Somebody uses it: refused, and it goes on; others are changed all the same.
use b
{
	echo "$first"
	echo "  - {name: b, backend: $T/b.img, queues: 5}"
	echo "  - {name: c, backend: {kind: null, size: 1MiB}}"
} | daemon_config
reload 2
said '^replaced   b \(refused\): cannot change queues while a client is'
said '^added      c$'
logged 'b: target not replaced: cannot change queues' || fail "the log lacks it"
kill -0 "$client" || fail "the client of b was disturbed"
unuse b
reload 0
said '^replaced   b: queues$'

# A live change, while somebody uses it.
use b
{
	echo "$first"
	echo "  - {name: b, backend: $T/b.img, queues: 5, socket-mode: 0600}"
} | daemon_config
reload 0
said '^changed    b: socket-mode$'
said '^removed    c$'
[ "$(stat -c %a "$T/b.sock")" = 600 ] || fail "the mode did not change"
[ ! -e "$T/c.sock" ] || fail "the socket of c is still there"

# Removed while it is used: lingers without a socket; its name cannot be added.
echo "$first" | daemon_config
reload 0
said '^removed    b \(lingers\)'
[ ! -e "$T/b.sock" ] || fail "the socket of b is still there"
is_state b lingering || fail "b does not linger"
kill -0 "$client" || fail "the client of b was disturbed"
{
	echo "$first"
	echo "  - {name: b, backend: {kind: null, size: 1MiB}}"
} | daemon_config
reload 2
said '^added      b \(refused\): a removed target of this name still serves'
kill "$client"
wait "$client"
wait_until "b is gone" sh -c "! '$VRINGCTL' -s '$control' show b 2>/dev/null"

# A disk moves to a target with another name in one step.
echo "$first" | sed 's/name: a,/name: renamed,/' | daemon_config
reload 0
echo "$first" | daemon_config
reload 0
said '^added      a$'
said '^removed    renamed$'
[ ! -e "$T/renamed.sock" ] || fail "the old socket is still there"

# Two targets swap their disks and sockets.
daemon_config <<YAML
targets:
  - {name: x, backend: $T/a.img, socket: one.sock}
  - {name: y, backend: $T/b.img, socket: two.sock}
YAML
reload 0
daemon_config <<YAML
targets:
  - {name: x, backend: $T/b.img, socket: two.sock}
  - {name: y, backend: $T/a.img, socket: one.sock}
YAML
reload 0
said '^replaced   x: backend.path, socket$'
is_state x listening && is_state y listening || fail "they did not swap"

# A drive that is missing: the target has failed, the others go on, and a
# reload tries again at once.
{
	echo "$first"
	echo "  - {name: late, backend: $T/late.img}"
} | daemon_config
reload 2
said '^added      late \(failed\): .*late.img.*No such file'
is_state a listening || fail "the others do not go on"
make_file late.img 1M
reload 0
is_state late listening || fail "the reload did not try again"

# Text that is wrong: nothing changes.
{
	echo "$first"
	echo "  - {name: more, backend: {kind: mem, size: 1MiB}, queues: many}"
} | daemon_config
reload 1
said 'vringd.yaml:[0-9]+:[0-9]+: targets\[2\].queues: expected .*"many"'
said '^nothing changed$'
is_state late listening || fail "something changed"
[ ! -e "$T/more.sock" ] || fail "something was added"

# A key that takes a restart is named each time, and keeps its value.
{
	echo "$first"
	echo "io-workers: 7"
} | daemon_config
reload 2
said '^refused    io-workers: restart vringd'
said '^removed    late$'
reload 2
said '^refused    io-workers'

# One that counts at once is named once.
{
	echo "$first"
	echo "log-level: debug"
} | daemon_config
reload 0
said '^changed    log-level$'
reload 0
! grep -q '^changed    log-level$' "$T/out" || fail "it was changed twice"

# SIGHUP does the same.
{
	echo "$first"
	echo "  - {name: b, backend: $T/b.img}"
} | daemon_config
kill -HUP "$daemon_pid"
wait_until "SIGHUP adds b" test -S "$T/b.sock"
daemon_stop
