#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
cd "$(dirname "$0")" && exec autoreconf --install --force "$@"
