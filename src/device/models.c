/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a device model by its name in the configuration. */
#include "device/models.h"

#include <string.h>

#include "device/vblk.h"

static const struct device_ops *const models[] = {
#define MODEL(table) &table,
#include "device/models.def"
#undef MODEL
};

const struct device_ops *models_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (strcmp(models[i]->name, name) == 0)
			return models[i];
	return NULL;
}
