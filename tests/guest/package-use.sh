# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# Runs in a Debian guest, as root: installs the package in /run/vguest, uses it
# as its own tests do, purges it, and looks for what is left.
set -u
export DEBIAN_FRONTEND=noninteractive PAGER=cat
cd /root || exit 1

say()
{
	echo "=== $*"
}

fail()
{
	echo "FAIL: $*"
	journalctl --no-pager -b | tail -n 40
	exit 1
}

# All that is in the file system, but what changes by itself.
list_files()
{
	find / /run -xdev \( -path /root -o -path /run/vguest -o \
		-path /run/log -o -path /run/systemd/inaccessible -o \
		-path /run/systemd/journal -o -path /run/systemd/units \) \
		-prune -o -printf '%p %y %l\n' | sort
}

list_units()
{
	systemctl --no-pager --no-legend --all list-units | awk '{ print $1 }'
	systemctl --no-pager --no-legend list-unit-files
}

say "before"
list_files >files.before
list_units | sort >units.before

say "install"
apt-get -qq -y install /run/vguest/vringd.deb ||
	fail "the package cannot be installed"
systemctl --no-pager status vringd || fail "the service does not run"
dpkg-query -W -f '${Conffiles}\n' vringd
id vringd
ls -la /run/vringd /etc/vringd

for test in smoke service; do
	say "test $test"
	sh "/run/vguest/tests/$test" || fail "test $test: status $?"
done

say "an upgrade leaves the daemon alone"
pid=$(systemctl show --property MainPID --value vringd)
apt-get -qq -y install --reinstall /run/vguest/vringd.deb || fail "upgrade"
[ "$(systemctl show --property MainPID --value vringd)" = "$pid" ] ||
	fail "the daemon was restarted"

say "the journal"
journalctl --no-pager -b -u vringd -o short-monotonic
# The errors are those of the tests that make mistakes in the configuration.
mistakes='/conf.d/(broken|autopkgtest).yaml:1:|restarted after a crash with'
mistakes="$mistakes|^missing: "
errors=$(journalctl --no-pager -q -b -p err -o cat _SYSTEMD_UNIT=vringd.service)
echo "$errors" | grep -q 'restarted after a crash with' ||
	fail "the mistake at the restart is no error in the journal"
errors=$(echo "$errors" | grep -vE "$mistakes") &&
	fail "there are other errors in the journal: $errors"
! journalctl --no-pager -b -k | grep -E 'vringd.*(segfault|trap)' ||
	fail "the kernel has seen a crash"

say "purge"
echo 'log-level: info' >/etc/vringd/conf.d/mine.yaml
apt-get -qq -y purge vringd || fail "the package cannot be purged"
systemctl --no-pager --failed --no-legend | grep . &&
	fail "there are failed units"
list_files >files.after
list_units | sort >units.after
# What apt, dpkg and systemd-sysusers keep of every package: logs, what they
# know, copies of the last state, and the user.
theirs='var/(log|cache|lib)/(apt|dpkg|man)|etc/(passwd|group|g?shadow)- '
left=$(comm -13 files.before files.after | grep -vE "^/($theirs)")
[ -z "$left" ] || fail "these files are left:
$left"
left=$(comm -13 units.before units.after)
[ -z "$left" ] || fail "these units are left:
$left"
say "nothing is left"
