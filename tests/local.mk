# SPDX-License-Identifier: BSD-2-Clause
# Unit tests are one program (suite = module), the rest are scripts.
AM_TESTS_ENVIRONMENT = \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	ASAN_OPTIONS="$${ASAN_OPTIONS:-handle_sigbus=0:detect_stack_use_after_return=1}"; \
	export ASAN_OPTIONS;

if CRITERION
if !TSAN
check_PROGRAMS += unit-tests
TESTS += unit-tests
endif
endif

unit_tests_SOURCES = \
	tests/unit/base/test_list.c
unit_tests_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS)
unit_tests_LDADD = $(vringd_libs) $(CRITERION_LIBS)

dist_check_SCRIPTS += \
	tests/lint/check-order
TESTS += $(dist_check_SCRIPTS)
