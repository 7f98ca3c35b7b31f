/* SPDX-License-Identifier: BSD-2-Clause */
/* backend/magic: images of other formats are known by their first bytes. */
#include <criterion/criterion.h>
#include <string.h>

#include "backend/magic.h"

static const char *name_at(size_t offset, const char *bytes, size_t len)
{
	char head[MAGIC_LEN] = {0};

	memcpy(head + offset, bytes, len);
	return magic_name(head, sizeof(head));
}

Test(magic, knows_images_of_other_formats)
{
	cr_expect_str_eq(name_at(0, "QFI\xfb\0\0\0\3", 8), "qcow2");
	cr_expect_str_eq(name_at(0, "KDMV", 4), "vmdk");
	cr_expect_str_eq(name_at(0, "vhdxfile", 8), "vhdx");
	cr_expect_str_eq(name_at(64, "\x7f\x10\xda\xbe", 4), "vdi");
	cr_expect_str_eq(name_at(0, "LUKS\xba\xbe\0\2", 8), "LUKS");
}

Test(magic, says_nothing_of_a_disk)
{
	char head[MAGIC_LEN] = {0};

	cr_expect_null(magic_name(head, sizeof(head)));
	head[510] = 0x55;
	head[511] = (char)0xaa;
	cr_expect_null(magic_name(head, sizeof(head)));
	cr_expect_null(name_at(1, "QFI\xfb", 4));
}

Test(magic, does_not_look_past_the_end)
{
	static const char vdi[64] = {0};

	cr_expect_null(magic_name("QFI", 3));
	cr_expect_null(magic_name(vdi, sizeof(vdi)));
	cr_expect_null(magic_name("", 0));
}
