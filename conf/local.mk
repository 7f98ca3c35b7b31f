# SPDX-License-Identifier: BSD-2-Clause
# An administrator's file is never overwritten, and never removed if changed.
EXTRA_DIST += conf/vringd.yaml
examplesdir = $(docdir)/examples
dist_examples_DATA = \
	conf/examples/block-device.yaml \
	conf/examples/demo.yaml \
	conf/examples/file.yaml \
	conf/examples/fixed-buffers.yaml \
	conf/examples/libvirt.yaml \
	conf/examples/limits.yaml \
	conf/examples/memory.yaml \
	conf/examples/one-file-per-guest.yaml \
	conf/examples/packed.yaml \
	conf/examples/shared.yaml \
	conf/examples/workers.yaml
examples_confdir = $(examplesdir)/conf.d
dist_examples_conf_DATA = \
	conf/examples/conf.d/web1.yaml \
	conf/examples/conf.d/web2.yaml

# Where managers of VMs look for programs that are a back-end.
EXTRA_DIST += conf/50-vringd-block.json.in
CLEANFILES += conf/50-vringd-block.json
vhostuserdir = $(datadir)/qemu/vhost-user
nodist_vhostuser_DATA = conf/50-vringd-block.json

conf/50-vringd-block.json: conf/50-vringd-block.json.in Makefile
	$(AM_V_GEN)$(MKDIR_P) conf && sed 's,[@]sbindir[@],$(sbindir),' \
		$(srcdir)/conf/50-vringd-block.json.in >$@.new && \
		mv $@.new $@

installed_config = $(DESTDIR)$(sysconfdir)/vringd/vringd.yaml

install-data-local:
	@$(MKDIR_P) '$(DESTDIR)$(sysconfdir)/vringd/conf.d'
	@test -e '$(installed_config)' || \
		$(INSTALL_DATA) '$(srcdir)/conf/vringd.yaml' \
			'$(installed_config)'

uninstall-local:
	@if cmp -s '$(srcdir)/conf/vringd.yaml' '$(installed_config)'; then \
		rm -f '$(installed_config)'; \
	fi
	@rmdir '$(DESTDIR)$(sysconfdir)/vringd/conf.d' 2>/dev/null || :
