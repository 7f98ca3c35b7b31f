#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# SIGHUP before the daemon has read its file does not end it: it reloads as
# soon as it serves.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

# main() ignores SIGPIPE, its first step; the file takes some time after that.
has_begun()
{
	grep -q '^SigIgn:.*[13579bdf]...$' "/proc/$daemon_pid/status"
}

daemon_config <<EOF
targets:
  - {name: a, backend: {kind: null, size: 1MiB}}
EOF
yes '# long' | head -c 8000000 >>"$T/vringd.yaml"
daemon_spawn
while ! has_begun; do
	is_gone "$daemon_pid" && fail "the daemon ended at start"
done
kill -HUP "$daemon_pid"
wait_until "the daemon serves" daemon_is_up
wait_until "it reloads" logged 'vringd/reload: done added=0 .* unchanged=1 '
daemon_stop
