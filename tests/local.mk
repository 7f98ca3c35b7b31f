# SPDX-License-Identifier: BSD-2-Clause
# Unit tests are one program (suite = module), the rest are scripts.
# A leak ends a test with SIGABRT: Criterion looks at no other exit status.
asan_options = handle_sigbus=0:detect_stack_use_after_return=1:abort_on_error=1
AM_TESTS_ENVIRONMENT = \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	ASAN_OPTIONS="$${ASAN_OPTIONS:-$(asan_options)}"; \
	CC='$(CC)'; export CC; \
	MAKE='$(MAKE)'; export MAKE; \
	export ASAN_OPTIONS;
# No script may hang: five minutes, then SIGTERM.
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = timeout
AM_SH_LOG_FLAGS = -k 10 300

# The front-end: it plays the VMM and the guest, in tests and in vringbench.
noinst_LIBRARIES += libfrontend.a
libfrontend_a_SOURCES = \
	tests/lib/frontend.c \
	tests/lib/frontend.h \
	tests/lib/guestblk.c \
	tests/lib/guestblk.h \
	tests/lib/guestmem.c \
	tests/lib/guestmem.h \
	tests/lib/guestring.c \
	tests/lib/guestring.h \
	tests/lib/histogram.c \
	tests/lib/histogram.h \
	tests/lib/load.c \
	tests/lib/load.h \
	tests/lib/meter.c \
	tests/lib/meter.h \
	tests/lib/tick.h \
	tests/lib/verify.c \
	tests/lib/verify.h \
	tests/lib/workload.c \
	tests/lib/workload.h

if CRITERION
if !TSAN
unit_tests = unit-tests$(EXEEXT)
check_PROGRAMS += unit-tests
TESTS += $(unit_tests)
endif
endif

unit_tests_SOURCES = \
	tests/fuzz/corpus.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_config.c \
	tests/fuzz/fuzz_inflight.c \
	tests/fuzz/fuzz_proto.c \
	tests/fuzz/fuzz_ring.c \
	tests/fuzz/fuzz_session.c \
	tests/lib/attack.c \
	tests/lib/attack.h \
	tests/lib/clientscript.c \
	tests/lib/clientscript.h \
	tests/lib/deaths.c \
	tests/lib/deaths.h \
	tests/lib/iotest.c \
	tests/lib/iotest.h \
	tests/lib/loopdev.c \
	tests/lib/loopdev.h \
	tests/lib/prove.c \
	tests/lib/prove.h \
	tests/lib/ringmem.c \
	tests/lib/ringmem.h \
	tests/lib/ringrig.c \
	tests/lib/ringrig.h \
	tests/lib/runner.c \
	tests/lib/sessionrig.c \
	tests/lib/sessionrig.h \
	tests/lib/sessiontest.c \
	tests/lib/sessiontest.h \
	tests/lib/silentfuse.c \
	tests/lib/silentfuse.h \
	tests/lib/testclient.c \
	tests/lib/testclient.h \
	tests/lib/testtarget.c \
	tests/lib/testtarget.h \
	tests/unit/backend/test_backend.c \
	tests/unit/backend/test_bounce.c \
	tests/unit/backend/test_file.c \
	tests/unit/backend/test_file_io.c \
	tests/unit/backend/test_inuse.c \
	tests/unit/backend/test_kinds.c \
	tests/unit/backend/test_look.c \
	tests/unit/backend/test_magic.c \
	tests/unit/backend/test_mem.c \
	tests/unit/backend/test_null.c \
	tests/unit/base/test_counters.c \
	tests/unit/base/test_fdkind.c \
	tests/unit/base/test_iov.c \
	tests/unit/base/test_journal.c \
	tests/unit/base/test_list.c \
	tests/unit/base/test_log.c \
	tests/unit/base/test_printable.c \
	tests/unit/base/test_ratelimit.c \
	tests/unit/base/test_unixsock.c \
	tests/unit/ctl/test_iostat.c \
	tests/unit/daemon/test_attacks_channel.c \
	tests/unit/daemon/test_attacks_fuzz.c \
	tests/unit/daemon/test_attacks_hang.c \
	tests/unit/daemon/test_attacks_kicks.c \
	tests/unit/daemon/test_attacks_memory.c \
	tests/unit/daemon/test_attacks_race.c \
	tests/unit/daemon/test_attacks_reset.c \
	tests/unit/daemon/test_attacks_ring.c \
	tests/unit/daemon/test_attacks_setup.c \
	tests/unit/daemon/test_attacks_socket.c \
	tests/unit/daemon/test_client.c \
	tests/unit/daemon/test_clients.c \
	tests/unit/daemon/test_clients_qemu.c \
	tests/unit/daemon/test_config.c \
	tests/unit/daemon/test_config_disks.c \
	tests/unit/daemon/test_control.c \
	tests/unit/daemon/test_features.c \
	tests/unit/daemon/test_growth.c \
	tests/unit/daemon/test_hint.c \
	tests/unit/daemon/test_include.c \
	tests/unit/daemon/test_metrics.c \
	tests/unit/daemon/test_options.c \
	tests/unit/daemon/test_plan.c \
	tests/unit/daemon/test_restarts.c \
	tests/unit/daemon/test_selftest.c \
	tests/unit/daemon/test_rescan.c \
	tests/unit/daemon/test_single.c \
	tests/unit/daemon/test_roster.c \
	tests/unit/daemon/test_suggest.c \
	tests/unit/daemon/test_value.c \
	tests/unit/daemon/test_vringctl.c \
	tests/unit/daemon/test_watchdog.c \
	tests/unit/device/test_device.c \
	tests/unit/device/test_vblk.c \
	tests/unit/lib/test_frontend.c \
	tests/unit/lib/test_guestblk.c \
	tests/unit/lib/test_guestmem.c \
	tests/unit/lib/test_guestring.c \
	tests/unit/lib/test_histogram.c \
	tests/unit/lib/test_load.c \
	tests/unit/lib/test_meter.c \
	tests/unit/lib/test_verify.c \
	tests/unit/lib/test_workload.c \
	tests/unit/run/test_alarms.c \
	tests/unit/run/test_budget.c \
	tests/unit/run/test_chooser.c \
	tests/unit/run/test_kernel.c \
	tests/unit/run/test_mailbox.c \
	tests/unit/run/test_offload.c \
	tests/unit/run/test_uring.c \
	tests/unit/run/test_worker.c \
	tests/unit/vhost/test_backchannel.c \
	tests/unit/vhost/test_fixed.c \
	tests/unit/vhost/test_gate.c \
	tests/unit/vhost/test_guard.c \
	tests/unit/vhost/test_handlers.c \
	tests/unit/vhost/test_handlers_inflight.c \
	tests/unit/vhost/test_handlers_reset.c \
	tests/unit/vhost/test_inflight.c \
	tests/unit/vhost/test_inflight_packed.c \
	tests/unit/vhost/test_inflight_split.c \
	tests/unit/vhost/test_limits.c \
	tests/unit/vhost/test_link.c \
	tests/unit/vhost/test_mapping.c \
	tests/unit/vhost/test_memmap.c \
	tests/unit/vhost/test_packed.c \
	tests/unit/vhost/test_proto.c \
	tests/unit/vhost/test_queue.c \
	tests/unit/vhost/test_ring.c \
	tests/unit/vhost/test_ring_deaths.c \
	tests/unit/vhost/test_session.c \
	tests/unit/vhost/test_slots.c \
	tests/unit/vhost/test_split.c \
	tests/unit/vhost/test_state.c
unit_tests_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/fuzz
unit_tests_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS)
unit_tests_LDADD = libfrontend.a $(vringd_libs) $(CRITERION_LIBS)

# What crosses threads, without Criterion, so that it runs under TSan too; a
# client that reconnects, which needs a daemon.
stress_programs = \
	stress-limits$(EXEEXT) \
	stress-queue$(EXEEXT) \
	stress-run$(EXEEXT)
check_PROGRAMS += stress-limits stress-queue stress-reconnect stress-run
TESTS += $(stress_programs)
stress_limits_SOURCES = tests/stress/stress-limits.c
stress_limits_LDADD = $(vringd_libs)
stress_queue_SOURCES = tests/stress/stress-queue.c tests/lib/ringmem.c \
	tests/lib/ringmem.h
stress_queue_LDADD = $(vringd_libs)
stress_reconnect_SOURCES = tests/stress/stress-reconnect.c
stress_reconnect_LDADD = libfrontend.a $(vringd_libs)
stress_run_SOURCES = tests/stress/stress-run.c
stress_run_LDADD = $(vringd_libs)

# The daemon with crash points compiled into the files that have them.  Those
# come before the library, so the linker takes no other of that name.
check_PROGRAMS += vringd-crash
vringd_crash_SOURCES = \
	src/device/vblk.c \
	src/main.c \
	src/run/worker.c \
	src/vhost/inflight_packed.c \
	src/vhost/inflight_split.c \
	src/vhost/packed.c \
	src/vhost/queue.c \
	src/vhost/split.c \
	tests/lib/crash.c
vringd_crash_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS
vringd_crash_LDADD = $(vringd_libs)

# Fuzzers: one for each parser of foreign bytes.  Their corpora run as unit
# tests; check-fuzz looks for more (configure --enable-fuzz CC=clang).
EXTRA_DIST += \
	tests/fuzz/corpus

FUZZ_SECONDS = 60
fuzzers =
if FUZZ
fuzzers += \
	fuzz-config \
	fuzz-inflight \
	fuzz-packed \
	fuzz-proto \
	fuzz-session \
	fuzz-split
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_config_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_config.c
fuzz_config_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_config
fuzz_config_LDFLAGS = $(fuzz_ldflags)
fuzz_config_LDADD = $(vringd_libs)
fuzz_inflight_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_inflight.c tests/lib/ringmem.c tests/lib/ringmem.h
fuzz_inflight_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_inflight
fuzz_inflight_LDFLAGS = $(fuzz_ldflags)
fuzz_inflight_LDADD = $(vringd_libs)
fuzz_packed_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_ring.c tests/lib/ringmem.c tests/lib/ringmem.h
fuzz_packed_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_packed
fuzz_packed_LDFLAGS = $(fuzz_ldflags)
fuzz_packed_LDADD = $(vringd_libs)
fuzz_proto_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_proto.c
fuzz_proto_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_proto
fuzz_proto_LDFLAGS = $(fuzz_ldflags)
fuzz_proto_LDADD = $(vringd_libs)
fuzz_session_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_session.c
fuzz_session_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_session
fuzz_session_LDFLAGS = $(fuzz_ldflags)
fuzz_session_LDADD = libfrontend.a $(vringd_libs)
fuzz_split_SOURCES = tests/fuzz/entry.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_ring.c tests/lib/ringmem.c tests/lib/ringmem.h
fuzz_split_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_TARGET=fuzz_split
fuzz_split_LDFLAGS = $(fuzz_ldflags)
fuzz_split_LDADD = $(vringd_libs)
noinst_PROGRAMS += $(fuzzers)
endif

check-fuzz: $(fuzzers)
	@for f in $(fuzzers); do \
		mkdir -p fuzz-found/$$f && \
		./$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
			-artifact_prefix=fuzz-found/$$f- fuzz-found/$$f \
			$(top_srcdir)/tests/fuzz/corpus/$${f#fuzz-} || exit 1; \
	done

EXTRA_DIST += \
	tests/lib/check-metrics \
	tests/lib/e2e.sh \
	tests/lib/hangingdisk.sh \
	tests/lib/hangingmount.py \
	tests/lib/reload-torture \
	tests/lib/rude-client \
	tests/lib/silentmount.py \
	tests/lib/size-watcher \
	tests/lib/slowdisk.sh \
	tests/lib/small-guest

lint_tests = \
	tests/lint/check-discovery \
	tests/lint/check-dist \
	tests/lint/check-docs \
	tests/lint/check-headers \
	tests/lint/check-log \
	tests/lint/check-man \
	tests/lint/check-options \
	tests/lint/check-order \
	tests/lint/check-shell \
	tests/lint/check-style \
	tests/lint/check-unit

# The real daemon, driven from outside.
e2e_tests = \
	tests/e2e/test-answers-are-documented.sh \
	tests/e2e/test-bench.sh \
	tests/e2e/test-cache-stays-off-over-a-crash.sh \
	tests/e2e/test-claim-one-daemon.sh \
	tests/e2e/test-claim-waits-for-dead-predecessor.sh \
	tests/e2e/test-client-waits-for-stuck-requests.sh \
	tests/e2e/test-config-is-checked.sh \
	tests/e2e/test-client-lines-in-manual.sh \
	tests/e2e/test-completion.sh \
	tests/e2e/test-crash-points.sh \
	tests/e2e/test-disconnect.sh \
	tests/e2e/test-dead-storage.sh \
	tests/e2e/test-delay.sh \
	tests/e2e/test-failed-target-is-retried.sh \
	tests/e2e/test-fixed-buffers.sh \
	tests/e2e/test-hung-storage.sh \
	tests/e2e/test-idle-workers-sleep.sh \
	tests/e2e/test-kill-torture.sh \
	tests/e2e/test-killed-clients-leave-nothing.sh \
	tests/e2e/test-limits-change-live.sh \
	tests/e2e/test-limits-do-not-hold-up-the-end.sh \
	tests/e2e/test-limits-two-workers.sh \
	tests/e2e/test-limits-wake-nobody-when-idle.sh \
	tests/e2e/test-limits.sh \
	tests/e2e/test-log-flood.sh \
	tests/e2e/test-log-journal.sh \
	tests/e2e/test-log-level.sh \
	tests/e2e/test-log-lines.sh \
	tests/e2e/test-log-where-nobody-reads.sh \
	tests/e2e/test-many-idle-targets.sh \
	tests/e2e/test-memory-that-was-lost.sh \
	tests/e2e/test-metrics.sh \
	tests/e2e/test-neighbours-of-hung-disks.sh \
	tests/e2e/test-no-descriptors-left.sh \
	tests/e2e/test-poll-changes-live.sh \
	tests/e2e/test-reconnects-under-load.sh \
	tests/e2e/test-reload-changes-targets.sh \
	tests/e2e/test-reload-returns-memory.sh \
	tests/e2e/test-reload-under-load.sh \
	tests/e2e/test-reload-while-it-starts.sh \
	tests/e2e/test-rescan-block-device.sh \
	tests/e2e/test-rescan.sh \
	tests/e2e/test-restart-after-crash-uses-last-good.sh \
	tests/e2e/test-second-client.sh \
	tests/e2e/test-serve-verified-load.sh \
	tests/e2e/test-selftest.sh \
	tests/e2e/test-show.sh \
	tests/e2e/test-single-disk.sh \
	tests/e2e/test-sockets.sh \
	tests/e2e/test-sqpoll.sh \
	tests/e2e/test-sqpoll-auto.sh \
	tests/e2e/test-status-while-busy.sh \
	tests/e2e/test-stop-under-load.sh \
	tests/e2e/test-torture-reload.sh \
	tests/e2e/test-torture.sh \
	tests/e2e/test-two-workers-share-a-target.sh \
	tests/e2e/test-vringbench-against-qemu-storage-daemon.sh \
	tests/e2e/test-vringbench-reconnects-and-loses-nothing.sh \
	tests/e2e/test-vringbench-verify-finds-corruption.sh \
	tests/e2e/test-watchdog.sh

# Linux guests that use the real daemon; skipped unless GUESTS=1.
guest_tests = \
	tests/guest/test-package-boots.sh \
	tests/guest/test-qemu-boot.sh \
	tests/guest/test-qemu-client-lines.sh \
	tests/guest/test-qemu-disk-4096.sh \
	tests/guest/test-qemu-disk-packed.sh \
	tests/guest/test-qemu-disk.sh \
	tests/guest/test-qemu-hotplug.sh \
	tests/guest/test-qemu-read-only.sh \
	tests/guest/test-qemu-reboot.sh \
	tests/guest/test-qemu-resize.sh \
	tests/guest/test-qemu-restart-reset.sh \
	tests/guest/test-qemu-restart.sh \
	tests/guest/test-uml-client-lines.sh \
	tests/guest/test-uml-disk-4096.sh \
	tests/guest/test-uml-disk.sh \
	tests/guest/test-uml-read-only.sh \
	tests/guest/test-uml-resize.sh
EXTRA_DIST += \
	tests/guest/client-lines.sh \
	tests/guest/disk-grows.sh \
	tests/guest/disk-refuses-writes.sh \
	tests/guest/disk-use.sh \
	tests/guest/guest-build \
	tests/guest/guest-host \
	tests/guest/guest-init \
	tests/guest/guest-root \
	tests/guest/guest-run \
	tests/guest/guest.sh \
	tests/guest/package-use.sh \
	tests/guest/uml-run \
	tests/guest/vguest.py \
	tests/guest/vu-trace

dist_check_SCRIPTS += $(lint_tests) $(e2e_tests) $(guest_tests)
TESTS += $(lint_tests) $(e2e_tests) $(guest_tests)

# One kind of test alone.
check-units: all
	$(MAKE) $(AM_MAKEFLAGS) check \
		TESTS='$(unit_tests) $(stress_programs)'
check-lint: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(lint_tests)'
check-e2e: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(e2e_tests)'
check-guests: all
	GUESTS=1 $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(guest_tests)'
# For check-dist.
print-dist:
	@for f in $(DISTFILES); do echo "$$f"; done
.PHONY: check-e2e check-fuzz check-guests check-lint check-units print-dist
