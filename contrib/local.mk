# SPDX-License-Identifier: BSD-2-Clause
EXTRA_DIST += \
	contrib/check-all \
	contrib/demo \
	contrib/packages \
	contrib/test
