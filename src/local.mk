# SPDX-License-Identifier: BSD-2-Clause
# Every module is in one convenience library, so unit tests link the real code.
noinst_LIBRARIES += libvringd.a
EXTRA_DIST += src/ORDER

libvringd_a_SOURCES = \
	src/base/list.h \
	src/base/util.h \
	src/vhost/vhost_user_spec.h

vringd_libs = libvringd.a $(EV_LIBS) $(URING_LIBS) $(YAML_LIBS) \
	$(JSON_LIBS) $(BLKID_LIBS) $(SYSTEMD_LIBS)
