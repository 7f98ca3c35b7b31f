# SPDX-License-Identifier: BSD-2-Clause
dist_man_MANS += \
	man/vringbench.1 \
	man/vringd-architecture.7 \
	man/vringctl.8 \
	man/vringd.8 \
	man/vringd.yaml.5
