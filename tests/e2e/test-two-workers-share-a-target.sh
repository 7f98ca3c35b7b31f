#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target with two CPUs lends its queues to both workers, and no data is lost.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

cpus=$(two_cpus) || skip "only one CPU"
make_file disk.img 8M
daemon_config <<EOF
cpus: [$cpus]
targets:
  - {name: file, device: blk, cpus: [$cpus], backend: $T/disk.img}
  - {name: mem, device: blk, cpus: [$cpus], backend: {kind: mem, size: 8MiB}}
EOF

serves_both()
{
	ctl --json show "$1" >"$T/show" && [ "$(tr -d ' \n' <"$T/show" |
		grep -oE '"worker":[01]' | sort | uniq -c | tr -d ' \n')" = \
		'2"worker":02"worker":1' ]
}

daemon_start
for target in file mem; do
	"$VRINGBENCH" --socket "$T/$target.sock" --rw randrw --bs 8k \
		--iodepth 16 --queues 4 --verify --eventfd --time 1 \
		>"$T/$target.out" 2>&1 &
	bench=$!
	wait_until "each worker has two queues of $target" serves_both $target
	wait $bench || {
		cat "$T/$target.out"
		fail "$target lost or corrupted data"
	}
done
daemon_stop
