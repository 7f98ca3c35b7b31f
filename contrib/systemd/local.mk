# SPDX-License-Identifier: BSD-2-Clause
# The service: its unit, its user and groups, its folder, what the journal says
# of its events.
EXTRA_DIST += contrib/systemd/vringd.service.in
CLEANFILES += contrib/systemd/vringd.service

nodist_systemdsystemunit_DATA = contrib/systemd/vringd.service
sysusersdir = $(prefix)/lib/sysusers.d
dist_sysusers_DATA = contrib/systemd/sysusers.d/vringd.conf
catalogdir = $(prefix)/lib/systemd/catalog
dist_catalog_DATA = contrib/systemd/vringd.catalog
tmpfilesdir = $(prefix)/lib/tmpfiles.d
dist_tmpfiles_DATA = contrib/systemd/tmpfiles.d/vringd.conf

contrib/systemd/vringd.service: contrib/systemd/vringd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd && \
		sed 's,[@]sbindir[@],$(sbindir),g' \
		$(srcdir)/contrib/systemd/vringd.service.in >$@.new && \
		mv $@.new $@
