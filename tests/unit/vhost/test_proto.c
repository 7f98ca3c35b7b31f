/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/proto: each row of the message table, one step to each side. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "vhost/proto.h"

/* Beyond the last message, and far enough to find the holes. */
#define IDS 300

static struct proto_why why;

static struct proto_peer any_peer(const struct proto_row *row)
{
	return (struct proto_peer){
		.device = row->devices & PROTO_BLK ? PROTO_BLK : PROTO_NVME,
		.nr_queues = 4,
		.protocol_features = ~0ULL,
		.owner = true,
	};
}

/* The smallest message that the row of @request allows. */
static struct proto_msg good_message(uint32_t request)
{
	const struct proto_row *row = proto_row(request);
	struct proto_msg m;

	memset(&m, 0, sizeof(m));
	m.header.request = request;
	m.header.flags = VHOST_USER_VERSION;
	m.header.size = row ? row->min : 0;
	m.nr_fds = row ? row->min_fds : 0;
	if (row && row->ring == PROTO_RING_FD)
		m.p.u64 = VHOST_USER_VRING_NOFD;
	return m;
}

static int check(const struct proto_msg *m, const struct proto_peer *peer)
{
	why.text[0] = 0;

	int err = proto_check(m, peer, &why);

	cr_assert(err == 0 || *why.text);
	return err;
}

#define for_each_row(id, row)                                          \
	for (uint32_t id = 0; id < IDS; id++)                          \
		for (const struct proto_row *row = proto_row(id); row; \
		     row = NULL)

Test(proto, has_a_row_for_every_message_of_the_protocol)
{
	unsigned n = 0;

	for_each_row(id, row) n++;
	cr_assert_eq(n, 44 + 6);
	for (uint32_t id = 1; id <= VHOST_USER_GET_SHMEM_CONFIG; id++)
		cr_assert_not_null(proto_row(id), "%u", id);
	for (uint32_t id = VHOST_USER_NVME_ADMIN; id < VHOST_USER_MAX; id++)
		cr_assert_not_null(proto_row(id), "%u", id);
	cr_assert_null(proto_row(0));
	cr_assert_null(proto_row(0xffffffff));
}

Test(proto, accepts_the_smallest_message_of_each_row_it_serves)
{
	for_each_row(id, row)
	{
		const struct proto_peer peer = any_peer(row);
		const struct proto_msg m = good_message(id);

		cr_assert_eq(check(&m, &peer), row->served ? 0 : -EOPNOTSUPP,
			     "%s: %s", row->name, why.text);
		if (!row->served)
			cr_assert_str_eq(why.text, "not offered");
	}
}

Test(proto, refuses_a_size_that_is_one_off)
{
	for_each_row(id, row)
	{
		const struct proto_peer peer = any_peer(row);

		if (!row->served)
			continue;
		for (int off = -1; off <= 1; off += 2) {
			struct proto_msg m = good_message(id);

			m.header.size += (uint32_t)off;
			if (row->size != PROTO_SIZE_TABLE || off < 0)
				cr_assert_eq(check(&m, &peer), -EBADMSG,
					     "%s %d", row->name, off);
			m.header.size = row->max + (off > 0);
			if (off > 0)
				cr_assert_eq(check(&m, &peer), -EBADMSG, "%s",
					     row->name);
		}
	}
}

Test(proto, takes_exactly_the_descriptors_that_belong_to_a_message)
{
	static const unsigned counts[] = {0, 1, 2, 8, 9, 32, 253};

	for_each_row(id, row)
	{
		const struct proto_peer peer = any_peer(row);

		for (size_t i = 0; row->served && i < ARRAY_SIZE(counts); i++) {
			struct proto_msg m = good_message(id);
			bool good = counts[i] >= row->min_fds &&
				    counts[i] <= row->max_fds;

			m.nr_fds = counts[i];
			if (row->ring == PROTO_RING_FD || id == 5)
				good = counts[i] == 0;
			cr_assert_eq(check(&m, &peer), good ? 0 : -EBADMSG,
				     "%s %u: %s", row->name, counts[i],
				     why.text);
			m.stray_fds = true;
			cr_assert_eq(check(&m, &peer), -EBADMSG);
		}
	}
}

/* UML's message has room for two regions, however many there are. */
Test(proto, takes_a_table_with_room_for_more_regions)
{
	struct proto_msg m = good_message(VHOST_USER_SET_MEM_TABLE);
	const struct proto_peer peer = any_peer(proto_row(5));

	m.p.table.nr_regions = 1;
	m.header.size = 8 + 2 * 32;
	m.nr_fds = 1;
	cr_assert_eq(check(&m, &peer), 0, "%s", why.text);
}

Test(proto, wants_one_descriptor_for_each_region)
{
	for (unsigned n = 0; n <= 10; n++) {
		struct proto_msg m = good_message(VHOST_USER_SET_MEM_TABLE);
		const struct proto_peer peer = any_peer(proto_row(5));

		m.p.table.nr_regions = n;
		m.header.size = 8 + 32 * n;
		m.nr_fds = n;
		cr_assert_eq(check(&m, &peer), n <= 8 ? 0 : -EBADMSG, "%u", n);
		m.nr_fds = n + 1;
		cr_assert_eq(check(&m, &peer), -EBADMSG);
		m.nr_fds = n;
		m.p.table.nr_regions = n + 1;
		cr_assert_eq(check(&m, &peer), -EBADMSG);
		m.nr_fds = n + 1;
		cr_assert_eq(check(&m, &peer), -EBADMSG);
		m.nr_fds = n;
		m.p.table.nr_regions = n | 0x08000000;
		cr_assert_eq(check(&m, &peer), -EBADMSG);
	}
}

Test(proto, wants_a_kick_unless_told_that_none_comes)
{
	const struct proto_peer peer = any_peer(proto_row(5));

	for (uint32_t id = VHOST_USER_SET_VRING_KICK;
	     id <= VHOST_USER_SET_VRING_ERR; id++) {
		struct proto_msg m = good_message(id);

		m.p.u64 = 3;
		cr_assert_eq(check(&m, &peer), -EBADMSG);
		m.nr_fds = 1;
		cr_assert_eq(check(&m, &peer), 0);
		m.p.u64 |= VHOST_USER_VRING_NOFD;
		cr_assert_eq(check(&m, &peer), -EBADMSG);
		m.nr_fds = 0;
		cr_assert_eq(check(&m, &peer), 0);
		for (int bit = 9; bit < 64; bit++) {
			m.p.u64 = VHOST_USER_VRING_NOFD | 1ULL << bit;
			cr_assert_eq(check(&m, &peer), -EINVAL, "%d", bit);
		}
	}
}

Test(proto, bounds_the_length_of_config_accesses)
{
	for (uint32_t id = VHOST_USER_GET_CONFIG; id <= VHOST_USER_SET_CONFIG;
	     id++) {
		const struct proto_peer peer = any_peer(proto_row(id));
		struct proto_msg m = good_message(id);

		for (uint32_t len = 0; len <= 258; len++) {
			m.p.config.size = len;
			m.header.size = 12 + len;
			cr_assert_eq(check(&m, &peer),
				     len <= 256 ? 0 : -EBADMSG);
			m.p.config.size = len - 12;
			cr_assert_eq(check(&m, &peer), -EBADMSG);
		}
	}
}

Test(proto, refuses_each_ring_that_there_is_not)
{
	static const uint32_t bad[] = {4,	   5,	      0x100,
				       0x104,	   0x10000,   0x10003,
				       0x80000000, 0xffffffff};

	for_each_row(id, row)
	{
		const struct proto_peer peer = any_peer(row);

		if (row->ring != PROTO_RING_U32 || !row->served)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			struct proto_msg m = good_message(id);

			m.p.state.index = bad[i];
			cr_assert_eq(check(&m, &peer), -EINVAL, "%s 0x%x",
				     row->name, bad[i]);
		}
	}
}

Test(proto, names_the_likely_mistake_behind_a_queue_too_many)
{
	struct proto_peer peer = {.device = PROTO_BLK,
				  .nr_queues = 1,
				  .owner = true};
	struct proto_msg m = good_message(VHOST_USER_SET_VRING_CALL);

	m.p.u64 |= 1;
	cr_assert_eq(check(&m, &peer), -EINVAL);
	cr_assert_str_eq(why.text,
			 "client asked for queue 1 of a 1-queue vhost-user-blk "
			 "target; is the VMM configured with vhost-user-scsi?");
	peer.nr_queues = 4;
	m.p.u64 = VHOST_USER_VRING_NOFD | 4;
	cr_assert_eq(check(&m, &peer), -EINVAL);
	cr_assert_not_null(strstr(why.text, "queue 4 of a 4-queue"));
	cr_assert_not_null(strstr(why.text, "num-queues"));
	peer.device = PROTO_SCSI;
	cr_assert_eq(check(&m, &peer), -EINVAL);
	cr_assert_not_null(strstr(why.text, "num_queues"));
}

Test(proto, refuses_what_was_not_negotiated_by_the_features_name)
{
	for_each_row(id, row)
	{
		struct proto_peer peer = any_peer(row);
		const struct proto_msg m = good_message(id);

		if (!row->needs || !row->served)
			continue;
		peer.protocol_features = ~(uint64_t)row->needs;
		cr_assert_eq(check(&m, &peer), -EOPNOTSUPP, "%s", row->name);
		cr_assert_not_null(
			strstr(why.text,
			       proto_feature_name(
				       (unsigned)__builtin_ctz(row->needs))));
	}
}

Test(proto, wants_an_owner_before_memory_and_rings)
{
	unsigned n = 0;

	for_each_row(id, row)
	{
		struct proto_peer peer = any_peer(row);
		const struct proto_msg m = good_message(id);

		if (!row->served)
			continue;
		peer.owner = false;
		cr_assert_eq(check(&m, &peer), row->needs_owner ? -EPERM : 0,
			     "%s", row->name);
		n += row->needs_owner;
	}
	cr_assert_eq(n, 11);
}

Test(proto, keeps_device_types_apart)
{
	for_each_row(id, row)
	{
		struct proto_peer peer = any_peer(row);
		const struct proto_msg m = good_message(id);

		peer.device = PROTO_NVME;
		if (!(row->devices & PROTO_NVME))
			cr_assert_eq(check(&m, &peer), -EOPNOTSUPP);
		peer.device = PROTO_SCSI;
		if (!(row->devices & PROTO_SCSI))
			cr_assert_eq(check(&m, &peer), -EOPNOTSUPP);
	}
}

Test(proto, refuses_unknown_messages_by_number)
{
	const struct proto_peer peer = any_peer(proto_row(1));

	for (uint32_t id = 0; id < IDS; id++) {
		struct proto_msg m = good_message(id);

		if (proto_row(id))
			continue;
		cr_assert_eq(check(&m, &peer), -EOPNOTSUPP);
		cr_assert_str_eq(proto_name(id), "unknown message");
	}
}

Test(proto, reads_a_header_of_version_1_that_is_no_reply)
{
	for (uint32_t flags = 0; flags < 16; flags++) {
		const struct vhost_user_header h = {1, flags, 0};
		bool good = (flags & 7) == 1;

		cr_assert_eq(proto_check_header(&h, &why), good ? 0 : -EPROTO,
			     "0x%x", flags);
	}
}

Test(proto, takes_no_payload_beyond_the_largest)
{
	struct vhost_user_header h = {1, VHOST_USER_VERSION, 0};

	h.size = sizeof(union proto_payload);
	cr_assert_eq(proto_check_header(&h, &why), 0);
	h.size++;
	cr_assert_eq(proto_check_header(&h, &why), -EPROTO);
	h.size = 0xffffffff;
	cr_assert_eq(proto_check_header(&h, &why), -EPROTO);
}

Test(proto, acknowledges_only_when_asked_and_negotiated)
{
	struct proto_msg m = good_message(VHOST_USER_SET_OWNER);
	struct proto_peer peer = {.device = PROTO_BLK};

	cr_assert_not(proto_wants_ack(&m, &peer));
	m.header.flags |= VHOST_USER_NEED_REPLY_MASK;
	cr_assert_not(proto_wants_ack(&m, &peer));
	peer.protocol_features = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	cr_assert(proto_wants_ack(&m, &peer));
	m.header.flags &= ~VHOST_USER_NEED_REPLY_MASK;
	cr_assert_not(proto_wants_ack(&m, &peer));
}

Test(proto, writes_a_reply_as_the_standard_has_it)
{
	const struct proto_msg m = {.header = {11, 9, 8}};
	const uint32_t payload[2] = {3, 4242};
	const uint32_t want[5] = {11, 5, 8, 3, 4242};
	uint8_t buf[PROTO_REPLY_MAX];

	cr_assert_eq(proto_encode_reply(&m, payload, 8, buf), 20);
	cr_assert_arr_eq(buf, want, 20);
	cr_assert_eq(proto_encode_reply(&m, NULL, 0, buf), 12);
}

Test(proto, survives_its_corpus)
{
	cr_assert_geq(fuzz_corpus("proto", fuzz_proto), 25);
}
