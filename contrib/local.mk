# SPDX-License-Identifier: BSD-2-Clause
EXTRA_DIST += \
	contrib/check-all \
	contrib/packages \
	contrib/test
