# SPDX-License-Identifier: BSD-2-Clause
EXTRA_DIST += \
	contrib/apparmor/libvirt-qemu \
	contrib/bench/cells \
	contrib/bench/goals \
	contrib/bench/goals.py \
	contrib/bench/limits \
	contrib/bench/machine.py \
	contrib/bench/neighbours \
	contrib/bench/readme \
	contrib/bench/report.py \
	contrib/bench/run \
	contrib/bench/scale \
	contrib/bench/sqpoll \
	contrib/bench/systems.py \
	contrib/check-all \
	contrib/debian/README.Debian \
	contrib/debian/build \
	contrib/debian/changelog \
	contrib/debian/control \
	contrib/debian/copyright \
	contrib/debian/needrestart/vringd.conf \
	contrib/debian/rules \
	contrib/debian/source/format \
	contrib/debian/source/lintian-overrides \
	contrib/debian/tests/control \
	contrib/debian/tests/service \
	contrib/debian/tests/smoke \
	contrib/debian/upstream/metadata \
	contrib/debian/vringd.docs \
	contrib/debian/vringd.examples \
	contrib/debian/vringd.install \
	contrib/debian/vringd.lintian-overrides \
	contrib/debian/vringd.postrm \
	contrib/debian/watch \
	contrib/demo \
	contrib/packages \
	contrib/test

# The disk that contrib/bench/run measures vringbench by.
noinst_PROGRAMS += bench-stub
bench_stub_SOURCES = contrib/bench/stub.c
bench_stub_LDADD = libfrontend.a $(vringd_libs)

# Bash looks for a completion by the name of the command.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = \
	contrib/completion/vringctl \
	contrib/completion/vringd
install-data-hook:
	cd '$(DESTDIR)$(bashcompletiondir)' && ln -sf vringd vringbench
uninstall-hook:
	rm -f '$(DESTDIR)$(bashcompletiondir)/vringbench'
