/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/magic.h"

#include <string.h>

#include "base/util.h"

static const struct {
	const char *name;
	size_t offset;
	const char *bytes;
	size_t len;
} formats[] = {
	{"qcow2", 0, "QFI\xfb", 4},
	{"vmdk", 0, "KDMV", 4},
	{"vmdk", 0, "COWD", 4},
	{"vmdk", 0, "# Disk DescriptorFile", 21},
	{"vhdx", 0, "vhdxfile", 8},
	{"vhd", 0, "conectix", 8},
	{"vdi", 64, "\x7f\x10\xda\xbe", 4},
	{"LUKS", 0, "LUKS\xba\xbe", 6},
	{"gzip", 0, "\x1f\x8b\x08", 3},
	{"xz", 0, "\xfd" "7zXZ", 5},
	{"zstd", 0, "\x28\xb5\x2f\xfd", 4},
};

const char *magic_name(const void *head, size_t len)
{
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i].offset + formats[i].len <= len &&
		    !memcmp((const char *)head + formats[i].offset,
			    formats[i].bytes, formats[i].len))
			return formats[i].name;
	return NULL;
}
