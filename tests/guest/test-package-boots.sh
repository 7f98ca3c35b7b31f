#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Debian package that DEB names, in a Debian with systemd: installed,
# used, and purged without a trace.  package-use.sh does that in the guest.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
[ -n "${DEB-}" ] || skip "no package: contrib/check-all makes one"
guest_requires debootstrap
image=$(dirname "$DEB")/root.img
# What the package needs, the first where there is a choice, and what tries it.
needs=$(dpkg-deb -f "$DEB" Depends | tr , '\n' | awk '{ print $1 }')
# shellcheck disable=SC2086
"$guest_dir/guest-root" "$image" $needs man-db >"$T/guest-root.log" 2>&1 || {
	tail -n 20 "$T/guest-root.log"
	skip "the guest's system cannot be made"
}
guest_qemu --accel tcg,thread=multi --mem 1G --root "$image" \
	--put "$DEB:/run/vguest/vringd.deb" \
	--put "$top_srcdir/contrib/debian/tests:/run/vguest/tests" \
	--script "$guest_dir/package-use.sh" || fail "the guest ended with $?"
