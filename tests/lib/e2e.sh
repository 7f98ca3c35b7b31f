# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# Drives the real daemon from outside.  A test begins with
#
#	. "${top_srcdir:-.}/tests/lib/e2e.sh"
#
# and has from then on $T, a folder of its own, which goes away at the end
# together with everything the test started.  A test ends with status 0 when
# it passed, 77 when it was skipped, anything else when it failed; the
# daemon's log is then shown.  KEEP=1 keeps the folder.
#
# The programs under test come from the build folder; VRINGD, VRINGCTL and
# VRINGBENCH name others.  E2E_WAIT is how many seconds a wait may take.

set -u
PATH=$PATH:/usr/sbin:/sbin
top_srcdir=${top_srcdir:-$(pwd)}
top_builddir=${top_builddir:-$(pwd)}
VRINGD=${VRINGD:-$top_builddir/vringd}
VRINGCTL=${VRINGCTL:-$top_builddir/vringctl}
VRINGBENCH=${VRINGBENCH:-$top_builddir/vringbench}
E2E_WAIT=${E2E_WAIT:-20}

# Short, because a socket's path has 107 bytes.
T=$(mktemp -d "${TMPDIR:-/tmp}/vrt.XXXXXX") || exit 99
chmod 755 "$T"
daemon_pid=
daemon_log=$T/vringd.log
control=$T/control.sock
control_more=

cleanup()
{
	e2e_status=$?
	trap - EXIT
	if [ -n "$daemon_pid" ]; then
		kill -KILL "$daemon_pid" 2>/dev/null
		wait "$daemon_pid" 2>/dev/null
	fi
	case $e2e_status in
	0 | 77) ;;
	*)
		echo "--- status $e2e_status; the daemon's log:"
		tail -n 60 "$daemon_log" 2>/dev/null
		;;
	esac
	[ -n "${KEEP-}" ] && echo "kept: $T" || rm -rf "$T"
	exit "$e2e_status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# skip REASON...: this test cannot run here.
skip()
{
	echo "SKIP: $*"
	exit 77
}

# fail REASON...: the behaviour under test is wrong.
fail()
{
	echo "FAIL: $*"
	exit 1
}

# requires PROGRAM...: skips the test without one of them.
requires()
{
	for e2e_program; do
		command -v "$e2e_program" >/dev/null ||
			skip "no ${e2e_program##*/} here"
	done
}

# requires_root: skips the test for everybody else.
requires_root()
{
	[ "$(id -u)" = 0 ] || skip "only root can do this"
}

# wait_until WHAT COMMAND...: fails the test when the command does not
# succeed in time; WHAT names it then.
wait_until()
{
	e2e_what=$1
	shift
	e2e_end=$(($(date +%s) + E2E_WAIT))
	until "$@"; do
		[ "$(date +%s)" -lt "$e2e_end" ] ||
			fail "not within $E2E_WAIT s: $e2e_what"
		sleep 0.05
	done
}

# is_listening PATH: true when somebody accepts connections there.  Looks at
# the kernel's table, so nobody sees a connection.
is_listening()
{
	awk -v path="$1" '
		$8 == path && $4 == "00010000" { found = 1 }
		END { exit !found }' /proc/net/unix
}

# rude WHAT: a VMM that does something wrong to the target vm1; see there what
# there is.
rude()
{
	"$top_srcdir/tests/lib/rude-client" "$T/vm1.sock" "$1"
}

# is_gone PID: true when no such process runs (a zombie does not run).
is_gone()
{
	case $(cut -d ')' -f 2 "/proc/$1/stat" 2>/dev/null) in
	"" | " Z"*) return 0 ;;
	esac
	return 1
}

# logged REGEX: true when the daemon logged such a line.
logged()
{
	grep -qE -- "$1" "$daemon_log"
}

# two_cpus: "N, M", CPUs that we may run on; false where there is but one.
two_cpus()
{
	awk -F '\t' '$1 == "Cpus_allowed_list:" {
		nr_ranges = split($2, ranges, ",")
		for (i = 1; i <= nr_ranges; i++) {
			nr = split(ranges[i], ends, "-")
			for (c = ends[1]; c <= ends[nr]; c++)
				cpu[++found] = c
		}
		if (found < 2)
			exit 1
		print cpu[1] ", " cpu[2]
	}' /proc/self/status
}

# make_file NAME SIZE: a sparse file in $T.
make_file()
{
	truncate -s "$2" "$T/$1"
}

# daemon_config: writes $T/vringd.yaml from standard input, with paths inside
# $T put before it.  $control_more may add to the control socket's keys.
daemon_config()
{
	{
		echo "control: {path: $control${control_more:+, $control_more}}"
		echo "socket-dir: $T"
		cat
	} >"$T/vringd.yaml"
}

# daemon_spawn [ARG...]: starts the daemon on $T/vringd.yaml and does not
# wait.  It ends with this shell, however that ends.
daemon_spawn()
{
	[ -x "$VRINGD" ] || skip "no ${VRINGD##*/} was built"
	# The log has the lines of those before.
	e2e_starts=$(grep -c 'ready targets=' "$daemon_log" 2>/dev/null)
	setpriv --pdeathsig KILL "$VRINGD" -c "$T/vringd.yaml" "$@" \
		>>"$daemon_log" 2>&1 &
	daemon_pid=$!
}

daemon_is_up()
{
	is_gone "$daemon_pid" && fail "the daemon ended at start"
	is_said $((${e2e_starts:-0} + 1)) 'ready targets='
}

# daemon_start [ARG...]: starts the daemon and comes back when it says that it
# is ready, which it does at log-level info: every socket then listens.
daemon_start()
{
	daemon_spawn "$@"
	wait_until "the daemon serves" daemon_is_up
}

# daemon_stop: SIGTERM; fails the test unless the daemon ends with status 0
# and no sanitizer complained.
daemon_stop()
{
	e2e_pid=$daemon_pid
	kill -TERM "$e2e_pid" || fail "the daemon is gone already"
	wait_until "the daemon ends on SIGTERM" is_gone "$e2e_pid"
	wait "$e2e_pid"
	e2e_rc=$?
	daemon_pid=
	[ "$e2e_rc" = 0 ] || fail "the daemon ended with status $e2e_rc"
	daemon_is_clean
}

# daemon_died: it was killed, as if by a crash.
daemon_died()
{
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
	# SIGKILL may come amidst a line, when that lies on two pages.
	[ -z "$(tail -c 1 "$daemon_log")" ] || sed -i '$d' "$daemon_log"
	daemon_is_clean
}

# daemon_kill: SIGKILL.
daemon_kill()
{
	kill -KILL "$daemon_pid" || fail "the daemon is gone already"
	daemon_died
}

# is_said COUNT REGEX: true when that many lines of the log match.
is_said()
{
	[ "$(grep -cE -- "$2" "$daemon_log")" -ge "$1" ]
}

# requests_again: how many requests of daemons that died were run again.
requests_again()
{
	awk -F 'requests=' '
		/ requests found in flight are run again / { n += $2 }
		END { print n + 0 }' "$daemon_log"
}

# count_files: how many descriptors the daemon has, and how many mappings of
# memory that was passed to it.
count_files()
{
	e2e_fds=$(find "/proc/$daemon_pid/fd" -type l | wc -l)
	e2e_maps=$(grep -c ' /memfd:' "/proc/$daemon_pid/maps")
	echo "$e2e_fds descriptors, $e2e_maps mappings"
}

# worker_switches: sleeps and wakes of all the daemon's workers since its start.
worker_switches()
{
	for e2e_task in /proc/"$daemon_pid"/task/*; do
		case $(cat "$e2e_task/comm") in
		vringd-w*) grep ctxt "$e2e_task/status" ;;
		esac
	done
}

# daemon_is_clean: fails the test when a sanitizer complained, or when a line
# of the log is against the rules.
daemon_is_clean()
{
	! logged 'Sanitizer|runtime error:' || fail "a sanitizer complained"
	lines_are_right '^[0-9-]*T[0-9:]*[+-][0-9]* ' ||
		fail "these lines of the log are against the rules"
}

# lines_are_right REGEX: looks at those lines of the log that match: time,
# level, tag, what happened.  Prints what is wrong; traces may say what they
# like, and check-log looks at the rest.
lines_are_right()
{
	LC_ALL=C awk -v which="$1" '
	function say(what) { print what ": " $0; bad = 1 }
	$0 !~ which || / debug / { next }
	/[\001-\037\177]/ { say("a control character") }
	length($0) > 1100 { say("too long") }
	/\.$/ && !/\.\.\.$/ { say("a full stop") }
	{
		rest = $0
		if (!sub(/^....-..-..T..:..:..[+-][0-9][0-9][0-9][0-9] /, "",
			 rest))
			say("no time")
		if (!sub(/^(err  |warn |info ) /, "", rest)) say("no level")
		if (!sub(/^[A-Za-z0-9][A-Za-z0-9._-]*(\/[a-z0-9-]+)?: /, "",
			 rest))
			say("no tag")
		if (rest !~ /^[a-z]/) say("not in lower case")
	}
	END { exit bad }' "$daemon_log"
}

# ctl ARG...: vringctl on this test's daemon.
ctl()
{
	"$VRINGCTL" --socket "$control" "$@"
}

# peer_start BLOCKDEV [QUEUES]: qemu-storage-daemon serves $T/peer.sock, as
# another implementation to try our front-end on.  It takes the daemon's place
# in this file.  BLOCKDEV is the value of its --blockdev, without node-name.
peer_start()
{
	e2e_export=type=vhost-user-blk,id=disk,node-name=disk,writable=on
	e2e_export=$e2e_export,num-queues=${2:-1}
	setpriv --pdeathsig KILL qemu-storage-daemon \
		--blockdev "node-name=disk,$1" \
		--export "$e2e_export,addr.type=unix,addr.path=$T/peer.sock" \
		>>"$daemon_log" 2>&1 &
	daemon_pid=$!
	wait_until "the peer listens" is_listening "$T/peer.sock"
}
