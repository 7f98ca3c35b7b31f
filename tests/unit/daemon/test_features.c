/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon/features: the names of bits that the headers know. */
#include <criterion/criterion.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/util.h"
#include "daemon/features.h"
#include "vhost/vhost_user_spec.h"

static const struct {
	enum features_set set;
	unsigned bit;
	const char *name;
} cases[] = {
	{FEATURES_DEVICE, VIRTIO_BLK_F_SEG_MAX, "seg-max"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_RO, "read-only"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_BLK_SIZE, "block-size"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_FLUSH, "flush"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_TOPOLOGY, "topology"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_CONFIG_WCE, "config-wce"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_MQ, "multi-queue"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_DISCARD, "discard"},
	{FEATURES_DEVICE, VIRTIO_BLK_F_WRITE_ZEROES, "write-zeroes"},
	{FEATURES_DEVICE, VHOST_USER_F_LOG_ALL, "log-all"},
	{FEATURES_DEVICE, VIRTIO_RING_F_INDIRECT_DESC, "indirect"},
	{FEATURES_DEVICE, VIRTIO_RING_F_EVENT_IDX, "event-index"},
	{FEATURES_DEVICE, VHOST_USER_F_PROTOCOL_FEATURES, "protocol-features"},
	{FEATURES_DEVICE, VIRTIO_F_VERSION_1, "version-1"},
	{FEATURES_DEVICE, VIRTIO_F_RING_PACKED, "packed"},
	{FEATURES_PROTOCOL, VHOST_USER_PROTOCOL_F_MQ, "mq"},
	{FEATURES_PROTOCOL, VHOST_USER_PROTOCOL_F_REPLY_ACK, "reply-ack"},
	{FEATURES_PROTOCOL, VHOST_USER_PROTOCOL_F_CONFIG, "config"},
	{FEATURES_PROTOCOL, VHOST_USER_PROTOCOL_F_STATUS, "status"},
};

Test(features, have_names)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_str_eq(features_name(cases[i].set, cases[i].bit),
				 cases[i].name);
	for (unsigned bit = 0; bit < VHOST_USER_PROTOCOL_F_MAX; bit++)
		cr_assert_not_null(features_name(FEATURES_PROTOCOL, bit));
}

Test(features, may_have_none)
{
	cr_assert_null(features_name(FEATURES_DEVICE, 0));
	cr_assert_null(features_name(FEATURES_DEVICE, 63));
	cr_assert_null(features_name(FEATURES_DEVICE, 64));
	cr_assert_null(
		features_name(FEATURES_PROTOCOL, VHOST_USER_PROTOCOL_F_MAX));
}
