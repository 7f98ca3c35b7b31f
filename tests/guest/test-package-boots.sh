#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Debian package that DEB names, in a Debian with systemd: installed,
# used, and purged without a trace.  package-use.sh does that in the guest.
. "${top_srcdir:-.}/tests/lib/e2e.sh"
. "$top_srcdir/tests/guest/guest.sh"
[ -n "${DEB-}" ] || skip "no package: contrib/check-all makes one"
guest_requires debootstrap
image=$(dirname "$DEB")/root.img
# What the package needs, and the programs that try it.
"$guest_dir/guest-root" "$image" libblkid1 libev4 libjson-c5 libsystemd0 \
	liburing2 libyaml-0-2 man-db >"$T/guest-root.log" 2>&1 || {
	tail -n 20 "$T/guest-root.log"
	skip "the guest's system cannot be made"
}
guest_qemu --accel tcg,thread=multi --mem 1G --root "$image" \
	--put "$DEB:/run/vguest/vringd.deb" \
	--put "$top_srcdir/contrib/debian/tests:/run/vguest/tests" \
	--script "$guest_dir/package-use.sh" || fail "the guest ended with $?"
