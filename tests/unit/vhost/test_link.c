/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/link: bytes and descriptors from a front-end that may be rude. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "sessiontest.h"

TestSuite(link, .timeout = 60);

static struct sessiontest t;

/* Header and payload of one message. */
struct bytes {
	struct vhost_user_header h;
	uint8_t payload[300];
};

static struct bytes make(uint32_t request, uint32_t flags, const void *payload,
			 uint32_t size)
{
	struct bytes b = {.h = {request, VHOST_USER_VERSION | flags, size}};

	if (payload)
		memcpy(b.payload, payload, size);
	return b;
}

static size_t length(const struct bytes *b)
{
	return sizeof(b->h) + b->h.size;
}

static uint64_t read_u64(struct frontend *f)
{
	struct frontend_msg m;

	cr_assert_eq(frontend_recv(f, f->fd, &m), 0);
	cr_assert_eq(m.hdr.size, 8);
	cr_assert_eq(m.hdr.flags, 5);
	return m.payload.u64;
}

static void expect_closed(struct frontend *f)
{
	struct frontend_msg m;

	cr_assert_eq(frontend_recv(f, f->fd, &m), -ECONNRESET);
}

static void expect_alive(struct frontend *f)
{
	uint64_t n;

	cr_assert_eq(frontend_get_u64(f, VHOST_USER_GET_QUEUE_NUM, &n), 0);
	cr_assert_eq(n, SESSIONTEST_QUEUES);
}

/* Descriptors are closed by another thread: give it a moment. */
static void expect_fds(unsigned n)
{
	for (int i = 0; i < 500 && sessiontest_count_fds() != n; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert_eq(sessiontest_count_fds(), n);
}

Test(link, reads_a_message_that_comes_byte_by_byte)
{
	const uint64_t bits = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	struct bytes b = make(VHOST_USER_SET_PROTOCOL_FEATURES,
			      VHOST_USER_NEED_REPLY_MASK, &bits, 8);

	sessiontest_open(&t);
	for (size_t i = 0; i < length(&b); i++) {
		cr_assert_eq(frontend_send_raw(&t.vmm, (uint8_t *)&b + i, 1,
					       NULL, 0),
			     0);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	cr_assert_eq(read_u64(&t.vmm), 0);
	sessiontest_close(&t);
}

Test(link, answers_many_messages_of_one_write_in_order)
{
	uint8_t all[100 * sizeof(struct vhost_user_header)];
	struct frontend_msg m;

	sessiontest_open(&t);
	for (unsigned i = 0; i < 100; i++) {
		struct bytes b = make(i % 2 ? VHOST_USER_GET_FEATURES
					    : VHOST_USER_GET_QUEUE_NUM,
				      0, NULL, 0);

		memcpy(all + i * sizeof(b.h), &b.h, sizeof(b.h));
	}
	cr_assert_eq(frontend_send_raw(&t.vmm, all, sizeof(all), NULL, 0), 0);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
		cr_assert_eq(m.hdr.request, i % 2 ? VHOST_USER_GET_FEATURES
						  : VHOST_USER_GET_QUEUE_NUM);
	}
	sessiontest_close(&t);
}

Test(link, keeps_one_reply_for_a_client_that_does_not_read)
{
	struct bytes b = make(VHOST_USER_GET_FEATURES, 0, NULL, 0);
	unsigned sent = 0;

	sessiontest_open(&t);
	while (send(t.vmm.fd, &b, sizeof(b.h), MSG_DONTWAIT) == sizeof(b.h)) {
		sent++;
		if (sent % 50 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	/* It stopped reading us, and goes on where it was when we read. */
	cr_assert_gt(sent, 100);
	for (unsigned i = 0; i < sent; i++)
		read_u64(&t.vmm);
	expect_alive(&t.vmm);
	sessiontest_close(&t);
}

Test(link, closes_on_what_is_no_message)
{
	const struct vhost_user_header bad[] = {
		{1, 0, 0},	    {1, 2, 0},		{1, 3, 0},
		{1, 5, 0},	    {1, 1, 0xffffffff}, {200, 1, 0x1000},
		{0xffffffff, 0, 0}, {24, 9, 273},
	};

	sessiontest_open(&t);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sessiontest other = {0};

		sessiontest_join(&other, &t);
		sessiontest_negotiate(&other);
		frontend_send_raw(&other.vmm, &bad[i], sizeof(bad[i]), NULL, 0);
		expect_closed(&other.vmm);
		sessiontest_leave(&other);
	}
	expect_alive(&t.vmm);
	sessiontest_close(&t);
}

Test(link, says_no_to_who_asked_and_closes_on_others)
{
	struct vhost_user_vring_state s = {.index = 0, .num = 3};

	sessiontest_open(&t);
	sessiontest_negotiate(&t);
	cr_assert_eq(frontend_set(&t.vmm, VHOST_USER_SET_VRING_NUM, &s,
				  sizeof(s), NULL, 0),
		     -EREMOTEIO);
	expect_alive(&t.vmm);
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_SET_VRING_NUM, 0, &s,
				   sizeof(s), NULL, 0),
		     0);
	expect_closed(&t.vmm);
	sessiontest_close(&t);
}

static bool is_closing(const struct sessiontest_seen *seen)
{
	return seen->closing;
}

/* Send @send bytes of @b and leave. */
static uint64_t refused;

static struct sessiontest_seen leave_after(const struct bytes *b, size_t send)
{
	struct sessiontest other = {0};
	struct sessiontest_seen seen;

	sessiontest_join(&other, &t);
	sessiontest_negotiate(&other);
	frontend_send_raw(&other.vmm, b, send, NULL, 0);
	shutdown(other.vmm.fd, SHUT_WR);
	sessiontest_wait(&other, is_closing);
	seen = sessiontest_look(&other);
	sessiontest_leave(&other);
	refused = other.counters.protocol_errors;
	return seen;
}

Test(link, tells_why_a_session_ends)
{
	const uint64_t bits = UINT64_C(1) << 63;
	const struct bytes owner = make(VHOST_USER_SET_OWNER, 0, NULL, 0);
	const struct bytes bad = make(VHOST_USER_SET_FEATURES, 0, &bits, 8);
	const struct bytes alien = make(0x1234, 2, NULL, 0);
	struct sessiontest_seen seen;

	sessiontest_open(&t);
	seen = leave_after(&owner, length(&owner));
	cr_assert_eq(seen.how, SESSION_LEFT);
	cr_assert_str_eq(seen.why, "it closed the connection");
	seen = leave_after(&owner, 5);
	cr_assert_eq(seen.how, SESSION_LEFT);
	cr_assert_str_eq(seen.why, "in the middle of a message");
	cr_assert_eq(refused, 0);
	seen = leave_after(&bad, length(&bad));
	cr_assert_eq(seen.how, SESSION_CUT);
	cr_assert_str_eq(seen.why, "SET_FEATURES refused: feature bit 63 was "
				   "not offered");
	seen = leave_after(&alien, length(&alien));
	cr_assert_eq(seen.how, SESSION_CUT);
	cr_assert_str_eq(seen.why, "unknown message refused: version 3 of the "
				   "protocol, only 1 is known");
	cr_assert_eq(refused, 1);
	sessiontest_close(&t);
}

Test(link, does_not_say_yes_twice)
{
	struct frontend_msg m;

	sessiontest_open(&t);
	sessiontest_negotiate(&t);
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_GET_FEATURES,
				   VHOST_USER_NEED_REPLY_MASK, NULL, 0, NULL,
				   0),
		     0);
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_SET_OWNER,
				   VHOST_USER_NEED_REPLY_MASK, NULL, 0, NULL,
				   0),
		     0);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_GET_FEATURES);
	cr_assert_eq(frontend_recv(&t.vmm, t.vmm.fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_SET_OWNER);
	cr_assert_eq(m.payload.u64, 0);
	sessiontest_close(&t);
}

Test(link, acknowledges_the_message_that_negotiates_acknowledgements)
{
	const uint64_t bits = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;

	sessiontest_open(&t);
	cr_assert_eq(frontend_send(&t.vmm, VHOST_USER_SET_PROTOCOL_FEATURES,
				   VHOST_USER_NEED_REPLY_MASK, &bits, 8, NULL,
				   0),
		     0);
	cr_assert_eq(read_u64(&t.vmm), 0);
	sessiontest_close(&t);
}

/* Two writes that are read at once are one to the reader. */
static void wait_until_read(void)
{
	int left = 1;

	for (int i = 0; i < 5000 && left; i++) {
		cr_assert_eq(ioctl(t.vmm.fd, SIOCOUTQ, &left), 0);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	cr_assert_eq(left, 0);
}

Test(link, takes_descriptors_with_the_first_byte_only)
{
	uint64_t zero = 0;
	struct bytes b = make(VHOST_USER_SET_VRING_KICK,
			      VHOST_USER_NEED_REPLY_MASK, &zero, 8);
	int fd = eventfd(0, EFD_CLOEXEC);
	unsigned at_first = sessiontest_count_fds(), before;

	sessiontest_open(&t);
	sessiontest_negotiate(&t);
	before = sessiontest_count_fds();
	for (size_t at = 1; at < length(&b); at += 3) {
		frontend_send_raw(&t.vmm, &b, at, NULL, 0);
		wait_until_read();
		frontend_send_raw(&t.vmm, (uint8_t *)&b + at, length(&b) - at,
				  &fd, 1);
		cr_assert_neq(read_u64(&t.vmm), 0, "at byte %zu", at);
	}
	expect_fds(before);
	frontend_send_raw(&t.vmm, &b, 1, &fd, 1);
	wait_until_read();
	frontend_send_raw(&t.vmm, (uint8_t *)&b + 1, length(&b) - 1, NULL, 0);
	cr_assert_eq(read_u64(&t.vmm), 0);
	expect_fds(before + 1);
	sessiontest_close(&t);
	expect_fds(at_first);
	close(fd);
}

Test(link, closes_descriptors_that_nobody_asked_for)
{
	static const unsigned counts[] = {1, 2, 8, 9, 32, 253};
	unsigned before;
	int fds[253];

	sessiontest_open(&t);
	sessiontest_negotiate(&t);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = t.vmm.fd;
	before = sessiontest_count_fds();
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct bytes b = make(VHOST_USER_SET_OWNER,
				      VHOST_USER_NEED_REPLY_MASK, NULL, 0);

		cr_assert_eq(frontend_send_raw(&t.vmm, &b, length(&b), fds,
					       counts[i]),
			     0);
		cr_assert_neq(read_u64(&t.vmm), 0, "%u", counts[i]);
	}
	expect_fds(before);
	sessiontest_close(&t);
}

Test(link, ends_only_the_session_whose_descriptors_were_lost)
{
	struct sessiontest other = {0};
	struct bytes b = make(VHOST_USER_GET_FEATURES, 0, NULL, 0);
	struct rlimit old, low;

	sessiontest_open(&t);
	sessiontest_join(&other, &t);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	frontend_send_raw(&other.vmm, &b, sizeof(b.h), &t.vmm.fd, 1);
	expect_closed(&other.vmm);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	expect_alive(&t.vmm);
	sessiontest_leave(&other);
	sessiontest_close(&t);
}

Test(link, is_not_held_up_by_half_a_message_of_another)
{
	struct sessiontest half = {0};
	struct bytes b = make(VHOST_USER_GET_FEATURES, 0, NULL, 0);

	sessiontest_open(&t);
	sessiontest_join(&half, &t);
	frontend_send_raw(&half.vmm, &b, 7, NULL, 0);
	for (int i = 0; i < 20; i++)
		expect_alive(&t.vmm);
	sessiontest_leave(&half);
	expect_alive(&t.vmm);
	sessiontest_close(&t);
}

/* Whatever came: an answer that says no, a message of its own, or the end. */
static void expect_refusal(struct frontend *f, uint32_t request)
{
	struct frontend_msg m;
	int err = frontend_recv(f, f->fd, &m);

	if (err == -ECONNRESET)
		return;
	cr_assert_eq(err, 0, "%u: %d", request, err);
	cr_assert_eq(m.hdr.request, request);
	if (request == VHOST_USER_GET_CONFIG)
		cr_assert_eq(m.hdr.size, 0);
	else
		cr_assert_neq(m.payload.u64, 0, "%u", request);
}

/* One hostile message on a session of its own. */
static void attack(const struct bytes *b, unsigned nr_fds, bool negotiated)
{
	struct sessiontest other = {0};
	int fds[9];

	sessiontest_join(&other, &t);
	if (negotiated)
		sessiontest_negotiate(&other);
	for (unsigned i = 0; i < 9; i++)
		fds[i] = t.vmm.fd;
	frontend_send_raw(&other.vmm, b, length(b), fds, nr_fds);
	expect_refusal(&other.vmm, b->h.request);
	sessiontest_leave(&other);
}

Test(link, survives_each_message_with_a_size_that_is_one_off)
{
	unsigned before;

	sessiontest_open(&t);
	before = sessiontest_count_fds();
	for (uint32_t id = 0; id < 90; id++) {
		const struct proto_row *row = proto_row(id);

		for (int off = -1; row && off <= 1; off++) {
			struct bytes b =
				make(id, VHOST_USER_NEED_REPLY_MASK, NULL, 0);

			if (off == 0 || (off < 0 && !row->min))
				continue;
			b.h.size =
				(off < 0 ? row->min : row->max) + (uint32_t)off;
			attack(&b, row->min_fds, true);
		}
	}
	expect_alive(&t.vmm);
	expect_fds(before);
	sessiontest_close(&t);
}

Test(link, survives_each_message_with_a_wrong_number_of_descriptors)
{
	static const unsigned counts[] = {0, 1, 2, 8, 9};
	unsigned before;

	sessiontest_open(&t);
	before = sessiontest_count_fds();
	for (uint32_t id = 0; id < 90; id++) {
		const struct proto_row *row = proto_row(id);

		for (size_t i = 0; row && i < ARRAY_SIZE(counts); i++) {
			struct bytes b =
				make(id, VHOST_USER_NEED_REPLY_MASK, NULL, 0);
			bool table = row->size == PROTO_SIZE_TABLE;

			if (counts[i] >= row->min_fds &&
			    counts[i] <= row->max_fds && !table)
				continue;
			if (table && !counts[i])
				continue;
			b.h.size = row->min;
			attack(&b, counts[i], true);
		}
	}
	expect_alive(&t.vmm);
	expect_fds(before);
	sessiontest_close(&t);
}

Test(link, survives_each_message_before_anything_was_negotiated)
{
	sessiontest_open(&t);
	for (uint32_t id = 0; id < 90; id++) {
		const struct proto_row *row = proto_row(id);
		struct bytes b = make(id, 0, NULL, 0);

		if (row && row->served && !row->needs_owner && !row->needs)
			continue;
		b.h.size = row ? row->min : 0;
		attack(&b, row ? row->min_fds : 0, false);
	}
	expect_alive(&t.vmm);
	sessiontest_close(&t);
}

Test(link, survives_unknown_messages)
{
	static const uint32_t ids[] = {0,   45,	 79,	86,	    100,
				       255, 256, 65537, 0x80000001, 0xffffffff};

	sessiontest_open(&t);
	sessiontest_negotiate(&t);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		uint64_t x = 0;
		struct bytes b =
			make(ids[i], VHOST_USER_NEED_REPLY_MASK, &x, 8);

		frontend_send_raw(&t.vmm, &b, length(&b), NULL, 0);
		cr_assert_neq(read_u64(&t.vmm), 0);
	}
	expect_alive(&t.vmm);
	sessiontest_close(&t);
}

Test(link, ends_the_session_at_each_byte_of_a_message)
{
	uint64_t zero = 0;
	struct bytes b = make(VHOST_USER_SET_VRING_KICK, 0, &zero, 8);
	unsigned before;

	sessiontest_open(&t);
	before = sessiontest_count_fds();
	for (size_t n = 0; n < length(&b); n++) {
		struct sessiontest other = {0};

		sessiontest_join(&other, &t);
		if (n)
			frontend_send_raw(&other.vmm, &b, n, &t.vmm.fd, 1);
		sessiontest_leave(&other);
	}
	expect_fds(before);
	expect_alive(&t.vmm);
	sessiontest_close(&t);
}

Test(link, leaves_nothing_behind_after_many_clients)
{
	unsigned before;

	sessiontest_open(&t);
	before = sessiontest_count_fds();
	for (int i = 0; i < 300; i++) {
		struct sessiontest other = {0};

		sessiontest_join(&other, &t);
		if (i % 2)
			sessiontest_negotiate(&other);
		sessiontest_leave(&other);
	}
	expect_fds(before);
	sessiontest_close(&t);
}
