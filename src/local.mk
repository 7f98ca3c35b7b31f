# SPDX-License-Identifier: BSD-2-Clause
# Every module is in one convenience library, so unit tests link the real code.
noinst_LIBRARIES += libvringd.a
EXTRA_DIST += src/ORDER

libvringd_a_SOURCES = \
	src/backend/backend.c \
	src/backend/backend.h \
	src/backend/blocking.c \
	src/backend/blocking.h \
	src/backend/bounce.c \
	src/backend/bounce.h \
	src/backend/denied.c \
	src/backend/denied.h \
	src/backend/file.c \
	src/backend/file_io.c \
	src/backend/file_io.h \
	src/backend/file_probe.c \
	src/backend/file_probe.h \
	src/backend/inuse.c \
	src/backend/inuse.h \
	src/backend/io.h \
	src/backend/kinds.c \
	src/backend/kinds.def \
	src/backend/kinds.h \
	src/backend/look.c \
	src/backend/look.h \
	src/backend/magic.c \
	src/backend/magic.h \
	src/backend/mem.c \
	src/backend/null.c \
	src/backend/sysblock.c \
	src/backend/sysblock.h \
	src/base/counters.c \
	src/base/counters.def \
	src/base/counters.h \
	src/base/events.def \
	src/base/fdkind.c \
	src/base/fdkind.h \
	src/base/iov.c \
	src/base/iov.h \
	src/base/journal.c \
	src/base/journal.h \
	src/base/list.h \
	src/base/log.c \
	src/base/log.h \
	src/base/logline.h \
	src/base/printable.c \
	src/base/printable.h \
	src/base/ratelimit.c \
	src/base/ratelimit.h \
	src/base/sink.c \
	src/base/sink.h \
	src/base/unixsock.c \
	src/base/unixsock.h \
	src/base/util.h \
	src/ctl/args.c \
	src/ctl/args.h \
	src/ctl/ask.c \
	src/ctl/ask.h \
	src/ctl/complain.c \
	src/ctl/complain.h \
	src/ctl/iostat.c \
	src/ctl/iostat.h \
	src/ctl/diff.c \
	src/ctl/diff.h \
	src/ctl/print.c \
	src/ctl/print.h \
	src/daemon/aliases.def \
	src/daemon/command.c \
	src/daemon/command.h \
	src/daemon/commands.def \
	src/daemon/config.c \
	src/daemon/config.h \
	src/daemon/config_check.c \
	src/daemon/config_check.h \
	src/daemon/config_disks.c \
	src/daemon/config_disks.h \
	src/daemon/config_errors.c \
	src/daemon/config_errors.h \
	src/daemon/config_keys.c \
	src/daemon/config_keys.h \
	src/daemon/config_print.c \
	src/daemon/config_print.h \
	src/daemon/config_read.c \
	src/daemon/config_read.h \
	src/daemon/control.c \
	src/daemon/control.h \
	src/daemon/hint.c \
	src/daemon/hint.h \
	src/daemon/include.c \
	src/daemon/include.h \
	src/daemon/keys.def \
	src/daemon/lastgood.c \
	src/daemon/lastgood.h \
	src/daemon/loans.c \
	src/daemon/loans.h \
	src/daemon/logwriter.c \
	src/daemon/logwriter.h \
	src/daemon/member.c \
	src/daemon/member.h \
	src/daemon/metrics.c \
	src/daemon/metrics.def \
	src/daemon/metrics.h \
	src/daemon/options.c \
	src/daemon/options.def \
	src/daemon/options.h \
	src/daemon/plan.c \
	src/daemon/plan.h \
	src/daemon/reload.c \
	src/daemon/reload.h \
	src/daemon/report.c \
	src/daemon/report.h \
	src/daemon/roster.c \
	src/daemon/roster.h \
	src/daemon/server.c \
	src/daemon/server.h \
	src/daemon/show.c \
	src/daemon/show.h \
	src/daemon/stats.c \
	src/daemon/stats.h \
	src/daemon/single.c \
	src/daemon/single.h \
	src/daemon/suggest.c \
	src/daemon/suggest.h \
	src/daemon/survey.c \
	src/daemon/survey.h \
	src/daemon/target.c \
	src/daemon/target.h \
	src/daemon/usage.c \
	src/daemon/usage.h \
	src/daemon/value.c \
	src/daemon/value.h \
	src/daemon/watchdog.c \
	src/daemon/watchdog.h \
	src/daemon/yamldoc.c \
	src/daemon/yamldoc.h \
	src/device/device.c \
	src/device/device.h \
	src/device/models.c \
	src/device/models.def \
	src/device/models.h \
	src/device/vblk.c \
	src/device/vblk.h \
	src/run/alarms.c \
	src/run/alarms.h \
	src/run/mailbox.c \
	src/run/mailbox.h \
	src/run/offload.c \
	src/run/offload.h \
	src/run/thread.c \
	src/run/thread.h \
	src/run/uring.c \
	src/run/uring.h \
	src/run/worker.c \
	src/run/worker.h \
	src/vhost/backchannel.c \
	src/vhost/backchannel.h \
	src/vhost/call.c \
	src/vhost/call.h \
	src/vhost/gate.c \
	src/vhost/gate.h \
	src/vhost/handlers.c \
	src/vhost/handlers.h \
	src/vhost/limits.c \
	src/vhost/limits.h \
	src/vhost/link.c \
	src/vhost/link.h \
	src/vhost/memmap.c \
	src/vhost/memmap.h \
	src/vhost/proto.c \
	src/vhost/proto.h \
	src/vhost/queue.c \
	src/vhost/queue.h \
	src/vhost/ring.h \
	src/vhost/session.c \
	src/vhost/session.h \
	src/vhost/slots.c \
	src/vhost/slots.h \
	src/vhost/split.c \
	src/vhost/split.h \
	src/vhost/vhost_user_spec.h

vringd_libs = libvringd.a $(EV_LIBS) $(URING_LIBS) $(YAML_LIBS) \
	$(JSON_LIBS) $(BLKID_LIBS) $(SYSTEMD_LIBS)

bin_PROGRAMS += vringbench
vringbench_SOURCES = src/vringbench.c
vringbench_LDADD = libfrontend.a $(vringd_libs)
sbin_PROGRAMS += vringctl vringd
vringctl_SOURCES = src/vringctl.c
vringctl_LDADD = libvringd.a $(JSON_LIBS)
vringd_SOURCES = src/main.c
vringd_LDADD = $(vringd_libs)
