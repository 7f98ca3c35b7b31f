/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of a hostile front-end.  The input is what is known of it (five
 * bytes: device, queues, two of protocol features, owner), then messages, each
 * after a byte that says how many descriptors come and, in bit 7, whether they
 * come too late.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "vhost/proto.h"

struct input {
	const uint8_t *data;
	size_t size;
};

static size_t take(struct input *in, void *to, size_t len)
{
	size_t n = len < in->size ? len : in->size;

	memcpy(to, in->data, n);
	in->data += n;
	in->size -= n;
	return n;
}

static void expect(bool promise)
{
	if (!promise)
		abort();
}

/* All that handlers rely on. */
static void check_accepted(const struct proto_msg *m,
			   const struct proto_peer *peer)
{
	const struct proto_row *row = proto_row(m->header.request);
	uint8_t reply[PROTO_REPLY_MAX];

	expect(row && row->served && row->devices & peer->device);
	expect(!(row->needs & ~peer->protocol_features));
	expect(m->header.size >= row->min && m->header.size <= row->max);
	expect(m->nr_fds <= PROTO_MAX_FDS && !m->stray_fds);
	if (row->ring != PROTO_RING_NONE)
		expect(proto_ring_index(m) < peer->nr_queues);
	if (row->size == PROTO_SIZE_TABLE)
		expect(m->p.table.nr_regions <= VHOST_USER_MEM_REGIONS_MAX &&
		       m->p.table.nr_regions == m->nr_fds);
	if (row->size == PROTO_SIZE_CONFIG)
		expect(m->p.config.size <= VHOST_USER_CONFIG_SPACE_MAX);
	expect(proto_encode_reply(m, &m->p, m->header.size, reply) <=
	       sizeof(reply));
}

/* Returns false when the rest of the input cannot be told from garbage. */
static bool one_message(struct input *in, const struct proto_peer *peer)
{
	struct proto_why why = {.text = ""};
	struct proto_msg m;
	uint8_t fds = 0;

	memset(&m, 0, sizeof(m));
	take(in, &fds, 1);
	m.nr_fds = fds & 0x7f;
	m.stray_fds = fds & 0x80;
	if (take(in, &m.header, sizeof(m.header)) < sizeof(m.header))
		return false;
	if (proto_check_header(&m.header, &why) < 0) {
		expect(*why.text);
		return false;
	}
	if (take(in, &m.p, m.header.size) < m.header.size)
		return false;
	if (proto_check(&m, peer, &why) < 0)
		expect(*why.text);
	else
		check_accepted(&m, peer);
	return true;
}

int fuzz_proto(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t known[5] = {0};

	take(&in, known, sizeof(known));

	const struct proto_peer peer = {
		.device = 1 << known[0] % 3,
		.nr_queues = known[1] ? known[1] : 256,
		.protocol_features = known[2] | known[3] << 8,
		.owner = known[4] & 1,
	};

	while (in.size && one_message(&in, &peer))
		;
	return 0;
}
