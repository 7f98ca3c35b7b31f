# SPDX-License-Identifier: BSD-2-Clause
EXTRA_DIST += \
	conf/examples/demo.yaml \
	contrib/check-all \
	contrib/demo \
	contrib/packages \
	contrib/test
