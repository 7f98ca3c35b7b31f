# SPDX-License-Identifier: BSD-2-Clause
# An administrator's file is never overwritten, and never removed if changed.
EXTRA_DIST += conf/vringd.yaml
examplesdir = $(docdir)/examples
dist_examples_DATA = \
	conf/examples/block-device.yaml \
	conf/examples/demo.yaml \
	conf/examples/file.yaml \
	conf/examples/libvirt.yaml \
	conf/examples/limits.yaml \
	conf/examples/memory.yaml \
	conf/examples/shared.yaml \
	conf/examples/workers.yaml

installed_config = $(DESTDIR)$(sysconfdir)/vringd/vringd.yaml

install-data-local:
	@test -e '$(installed_config)' || { \
		$(MKDIR_P) '$(DESTDIR)$(sysconfdir)/vringd' && \
		$(INSTALL_DATA) '$(srcdir)/conf/vringd.yaml' \
			'$(installed_config)'; \
	}

uninstall-local:
	@if cmp -s '$(srcdir)/conf/vringd.yaml' '$(installed_config)'; then \
		rm -f '$(installed_config)'; \
	fi
