#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Bash completes commands, options, names of targets and VMMs, from what the
# programs and the daemon say; without a daemon it is silent.
. "${top_srcdir:-.}/tests/lib/e2e.sh"

PATH=$top_builddir:$PATH
# shellcheck source=../../contrib/completion/vringctl
. "$top_srcdir/contrib/completion/vringctl"
# shellcheck source=../../contrib/completion/vringd
. "$top_srcdir/contrib/completion/vringd"

# completes WORD... EXPECTED: the last word but one is being typed.
completes()
{
	local expected=${*: -1} function
	COMP_WORDS=("${@:1:$#-1}")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	function=$(complete -p "${COMP_WORDS[0]}" |
		sed 's/.*-F \([^ ]*\).*/\1/')
	"$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" \
		"${COMP_WORDS[COMP_CWORD - 1]}" 2>"$T/err"
	[ "${COMPREPLY[*]}" = "$expected" ] ||
		fail "${COMP_WORDS[*]}: ${COMPREPLY[*]}, not $expected"
	[ ! -s "$T/err" ] || fail "${COMP_WORDS[*]}: $(cat "$T/err")"
}

make_file disk.img 8M
daemon_config <<EOF
targets:
  - {name: db1, device: blk, backend: $T/disk.img}
  - {name: db-2.x, device: blk, backend: {kind: mem, size: 8MiB}}
  - {name: web, device: blk, backend: $T/none.img}
EOF
daemon_start
export VRINGD_SOCKET=$control

commands=$(vringctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\).*/\1/p' |
	xargs)
completes vringctl '' "$commands"
completes vringctl s 'status show stats selftest'
completes vringctl show '' 'db1 db-2.x web'
completes vringctl show db 'db1 db-2.x'
completes vringctl show db1 '' ''
completes vringctl status '' ''
completes vringctl stats -i 1 d 'db1 db-2.x'
completes vringctl stats --interval = 1 d 'db1 db-2.x'
completes vringctl stats -i '' ''
completes vringctl client '' 'db1 db-2.x web'
completes vringctl client web c 'cloud-hypervisor crosvm'
completes vringctl log-level '' 'err warn info debug'
completes vringctl log-level -D 'p' 'proto'
completes vringctl log-level --debug = '' 'proto queue io control all'
completes vringctl log-level -D io w 'warn'
completes vringctl stats -- \
	'--socket --json --help --version --interval --count'
completes vringctl '-/$[' sh show
completes vringctl 'sh/ow[' '' ''
completes vringctl status --j '--json'
completes vringctl reload --d '--dry-run'
completes vringctl status --d ''
completes vringctl --s '--socket'
completes vringctl nonsense '' ''

unset VRINGD_SOCKET
completes vringctl show '' ''
completes vringctl -s "$control" show w 'web'
completes vringctl --socket = "$control" show w 'web'
completes vringctl -s "$control" show '' 'db1 db-2.x web'
cd "$T" || exit 1
completes vringctl -s dis disk.img
completes vringd -c dis disk.img
completes vringd '-/[' --che --check
completes vringd --pr '--print-config --print-capabilities'
completes vringd --debug = q 'queue'
completes vringd -D '' 'proto queue io control all'
completes vringbench --rw = rand 'randread randwrite randrw'
completes vringbench --i '--iodepth --idle'
daemon_stop
completes vringctl -s "$control" show '' ''

# What is written down here and in the programs.
vmms=$(sed -n 's/^CLIENT([a-z_]*, "\(.*\)")$/\1/p' \
	"$top_srcdir/src/daemon/clients.def" | xargs)
completes vringctl client web '' "$vmms"
