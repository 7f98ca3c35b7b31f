#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vringctl(8) names every member of every answer, and none that there is not.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

requires python3
make_file disk.img 8M
make_file more.img 8M
daemon_config <<EOF
targets:
  - {name: file, device: blk, backend: $T/disk.img, limits: {iops: 100k}}
  - {name: bad, device: blk, backend: $T/none.img}
EOF
daemon_start
"$VRINGBENCH" --socket "$T/file.sock" --rw randwrite --time 60 \
	>"$T/out" 2>&1 &
wait_until "a write was counted" sh -c \
	"'$VRINGCTL' -s '$control' stats file | grep -q '^  write  '"
for question in status list 'show file' 'show bad' stats 'stats -c 1' \
	'log-level -D all' selftest rescan; do
	# shellcheck disable=SC2086
	ctl --json $question >>"$T/answers"
done
ctl --json disconnect file >>"$T/answers"
cat >>"$T/vringd.yaml" <<EOF
  - {name: more, device: blk, backend: $T/more.img}
  - {name: worse, device: blk, backend: $T/none-2.img}
cpus: [0]
EOF
truncate -s 16M "$T/more.img"
ctl --json reload >>"$T/answers"
echo 'targets: many' >"$T/vringd.yaml"
ctl --json reload >>"$T/answers"
daemon_stop

sed -n '/^\.Ss Answers/,/^\.Ss Metrics/p' "$top_srcdir/man/vringctl.8" |
	awk '/^(\.It )?\.?Va / || /^\.It Va / {
		gsub(/^\.(It )?|Va|[,;:.]/, " ")
		for (i = 1; i <= NF; i++)
			print $i
	}' | sort -u >"$T/manual"
python3 - "$T/answers" >"$T/members" <<'EOF'
import json, sys

def names(value):
    if isinstance(value, dict):
        for name, v in value.items():
            yield name
            yield from names(v)
    elif isinstance(value, list):
        for v in value:
            yield from names(v)

text, seen = open(sys.argv[1]).read(), set()
while text.strip():
    value, end = json.JSONDecoder().raw_decode(text.lstrip())
    text = text.lstrip()[end:]
    seen.update(names(value))
print(*sorted(seen), sep='\n')
EOF
LC_ALL=C sort -o "$T/manual" "$T/manual"
LC_ALL=C sort -o "$T/members" "$T/members"
LC_ALL=C comm -23 "$T/members" "$T/manual" | sed 's/^/not in vringctl(8): /' \
	>"$T/wrong"
LC_ALL=C comm -13 "$T/members" "$T/manual" | sed 's/^/in no answer: /' \
	>>"$T/wrong"
[ -s "$T/members" ] && [ ! -s "$T/wrong" ] || fail "$(cat "$T/wrong")"
