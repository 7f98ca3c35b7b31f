#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What reading a large file takes, the daemon gives back, however often and by
# whichever thread it is read.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
! grep -qE '__[at]san_init' "$VRINGD" || skip "a sanitizer keeps memory"

# In KiB, guest memory and files not counted.
memory()
{
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$daemon_pid/status"
}

daemon_config <<EOF
targets:
  - {name: a, backend: {kind: null, size: 1MiB}}
EOF
daemon_start
ctl reload >/dev/null || fail "no reload"
before=$(memory)

# A comment of 4 MB, and a wrong file of 9.
cp "$T/vringd.yaml" "$T/small"
yes '# long' | head -c 4000000 >>"$T/vringd.yaml"
cp "$T/vringd.yaml" "$T/large"
yes '# long' | head -c 5000000 >>"$T/vringd.yaml"
mv "$T/vringd.yaml" "$T/wrong"
for round in 1 2 3 4 5 6; do
	cp "$T/large" "$T/vringd.yaml"
	ctl reload >/dev/null || fail "no reload"
	cp "$T/wrong" "$T/vringd.yaml"
	ctl reload >/dev/null 2>&1
	[ $? = 1 ] || fail "round $round: a file of 9 MB is read"
done
cp "$T/small" "$T/vringd.yaml"
ctl reload >/dev/null || fail "no reload"
after=$(memory)
echo "before: $before KiB, after: $after KiB"
[ "$after" -le $((before + 2048)) ] || fail "memory is kept"
daemon_stop
