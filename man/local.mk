# SPDX-License-Identifier: BSD-2-Clause
dist_man_MANS += \
	man/vringd-architecture.7 \
	man/vringd.8
