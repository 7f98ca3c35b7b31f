#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The journal's own tools find lines by target, event, level and client, and
# explain events.  A journal of our own, in a mount namespace of our own.
journald=/lib/systemd/systemd-journald
if [ -z "${JOURNAL_NAMESPACE-}" ]; then
	. "${top_srcdir:-.}/tests/lib/e2e.sh"
	requires_root
	requires $journald journalctl python3 systemd-cat unshare
	unshare --mount true 2>/dev/null || skip "no mount namespace"
	JOURNAL_NAMESPACE=$T unshare --mount "$0"
	exit $?
fi
. "${top_srcdir:-.}/tests/lib/e2e.sh"

# found REGEX FILTER...: the journal has such a line among those.
found()
{
	e2e_regex=$1
	shift
	journalctl --no-pager -q -o cat "$@" 2>&1 | grep -qE -- "$e2e_regex"
}

# finds REGEX FILTER...: it has, or will have soon.
finds()
{
	wait_until "journalctl $*: $1" found "$@"
}

# service COMMAND...: as a service, whose stderr systemd connects to the
# journal.  It sets $JOURNAL_STREAM, as newer versions of systemd-cat do.
service()
{
	# shellcheck disable=SC2016
	exec setpriv --pdeathsig KILL systemd-cat sh -c '
		JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
		export JOURNAL_STREAM
		exec "$@"' sh "$@"
}

daemon_spawn_in_journal()
{
	service "$VRINGD" -c "$T/vringd.yaml" &
	daemon_pid=$!
	wait_until "it listens" is_listening "$control"
}

# daemon_end: the daemon ends, and says so.
daemon_end()
{
	kill -TERM "$daemon_pid"
	wait_until "the daemon ends" is_gone "$daemon_pid"
	finds '^vringd: stopping' PRIORITY=6 _PID="$daemon_pid"
	daemon_pid=
}

mount -t tmpfs journal /run || skip "no tmpfs here"
mkdir -p /run/systemd/journal /run/log/journal
setpriv --pdeathsig KILL $journald 2>"$T/journald" &
wait_until "the journal listens" test -S /run/systemd/journal/socket
daemon_config <<EOF
targets:
  - {name: vm1, backend: {kind: mem, size: 16MiB}}
  - {name: worker0, backend: {kind: mem, size: 16MiB}}
  - {name: late, backend: $T/late.img}
EOF
daemon_spawn_in_journal
ready=69e13852687a4356932b2e0f37c5d0c9
left=aa0eb3cc1dbd44838a93061252b5b3f2
finds '^vringd: ready targets=3' MESSAGE_ID=$ready SYSLOG_IDENTIFIER=vringd \
	PRIORITY=6 VRINGD_FAILED=1 _PID=$daemon_pid
finds '^worker0: listening' TARGET=worker0 VRINGD_SOCKET="$T/worker0.sock"
! found . TARGET=vringd || fail "the daemon is taken for a target"
finds '^late: cannot be served' -p err TARGET=late ERRNO=2
! found . -p err TARGET=vm1 || fail "info is taken for err"

"$top_srcdir/tests/lib/rude-client" "$T/vm1.sock" broken-ring &
rude=$!
wait "$rude" || fail "the client failed"
finds '^vm1: client connected' TARGET=vm1 PEER_PID=$rude PEER_UID="$(id -u)"
finds '^vm1: client left' MESSAGE_ID=$left
finds '^vm1/q0: broken' TARGET=vm1 QUEUE=0 PRIORITY=4
rude garbage
finds '^vm1: client cut off' -p warning TARGET=vm1
finds 'process=rude' VRINGD_PROCESS='rude??1??pid?7'
! found . PEER_PID=7 || fail "a client made a field"
nr=$(journalctl -q -o cat TARGET=vm1 | grep -c ^vm1)
[ "$(journalctl -q -o cat _PID=$daemon_pid | grep -c '^vm1')" = "$nr" ] ||
	fail "a line of vm1 lacks its target"

# What journalctl -x says.
mkdir -p "$T/root/usr/lib/systemd/catalog" "$T/root/var/lib/systemd/catalog"
cp "$top_srcdir/contrib/systemd/vringd.catalog" \
	"$T/root/usr/lib/systemd/catalog"
journalctl --root="$T/root" --update-catalog || fail "the catalog is wrong"
nr=$(journalctl --root="$T/root" --list-catalog | wc -l)
[ "$nr" = "$(grep -c '^-- ' "$top_srcdir/contrib/systemd/vringd.catalog")" ] ||
	fail "the catalog has $nr entries"
journalctl --root="$T/root" --dump-catalog $left | grep -q "^Subject: .*left" ||
	fail "the catalog does not know who left"

# Why a service did not start.
echo "targets: [{name: vm1}]" >"$T/bad.yaml"
(service "$VRINGD" -c "$T/bad.yaml") && fail "it takes a wrong configuration"
finds "bad.yaml:1:11: targets\[0\].backend: a backend is needed" -p err

# Without the socket, lines take the stream.
daemon_end
rm /run/systemd/journal/socket
daemon_spawn_in_journal
rude feature
finds '^vm1: client cut off .* feature bit 35' PRIORITY=4 \
	_TRANSPORT=stdout _PID="$daemon_pid"
daemon_end
