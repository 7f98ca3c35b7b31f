/* SPDX-License-Identifier: BSD-2-Clause */
/* tests/lib/frontend: messages, answers, and how it tells what went wrong. */
#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "frontend.h"

static struct frontend front;
static struct frontend target; /* the other end, with the same tools */

static void setup(void)
{
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	frontend_init(&front);
	frontend_init(&target);
	frontend_attach(&front, sv[0]);
	frontend_attach(&target, sv[1]);
	front.timeout_ms = 50;
}

static void teardown(void)
{
	frontend_close(&front);
	frontend_close(&target);
}

TestSuite(frontend, .init = setup, .fini = teardown);

/* An answer may wait in the socket before its question is asked. */
static void answer(uint32_t request, uint64_t u64)
{
	cr_assert_eq(frontend_send(&target, request, VHOST_USER_REPLY_MASK,
				   &u64, sizeof(u64), NULL, 0),
		     0);
}

static void expect(uint32_t request, uint32_t flags, struct frontend_msg *m)
{
	cr_assert_eq(frontend_recv(&target, target.fd, m), 0);
	cr_assert_eq(m->hdr.request, request);
	cr_assert_eq(m->hdr.flags, VHOST_USER_VERSION | flags);
}

Test(frontend, carries_a_message_with_its_descriptors)
{
	struct frontend_msg m;
	int fds[2] = {0, 1};
	uint32_t word = 4711;

	cr_assert_eq(frontend_send(&front, 37, VHOST_USER_NEED_REPLY_MASK,
				   &word, sizeof(word), fds, 2),
		     0);
	expect(37, VHOST_USER_NEED_REPLY_MASK, &m);
	cr_assert_eq(m.hdr.size, 4);
	cr_assert_eq(memcmp(m.payload.bytes, &word, 4), 0);
	cr_assert_eq(m.nr_fds, 2);
	frontend_msg_close(&m);
	cr_assert_eq(m.nr_fds, 0);
}

Test(frontend, asks_and_gets_a_value)
{
	uint64_t value;

	answer(VHOST_USER_GET_FEATURES, 0x123456789abcdef0);
	cr_assert_eq(frontend_get_u64(&front, VHOST_USER_GET_FEATURES, &value),
		     0);
	cr_assert_eq(value, 0x123456789abcdef0);
}

Test(frontend, waits_for_an_ack_only_if_that_was_negotiated)
{
	struct frontend_msg m;

	cr_assert_eq(frontend_set_u64(&front, VHOST_USER_SET_FEATURES, 1), 0);
	expect(VHOST_USER_SET_FEATURES, 0, &m);
	front.protocol_features = 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	answer(VHOST_USER_SET_FEATURES, 0);
	cr_assert_eq(frontend_set_u64(&front, VHOST_USER_SET_FEATURES, 1), 0);
	expect(VHOST_USER_SET_FEATURES, VHOST_USER_NEED_REPLY_MASK, &m);
	answer(VHOST_USER_SET_FEATURES, 1);
	cr_assert_eq(frontend_set_u64(&front, VHOST_USER_SET_FEATURES, 1),
		     -EREMOTEIO);
}

Test(frontend, tells_silence_from_an_end_and_from_nonsense)
{
	uint64_t value;

	cr_assert_eq(frontend_get_u64(&front, VHOST_USER_GET_FEATURES, &value),
		     -ETIMEDOUT);
	answer(VHOST_USER_GET_QUEUE_NUM, 1);
	cr_assert_eq(frontend_get_u64(&front, VHOST_USER_GET_FEATURES, &value),
		     -EPROTO);
	cr_assert_not(frontend_is_gone(&front));
	shutdown(target.fd, SHUT_RDWR);
	cr_assert(frontend_is_gone(&front));
	cr_assert_lt(frontend_get_u64(&front, VHOST_USER_GET_FEATURES, &value),
		     0);
}

Test(frontend, takes_what_both_want_and_no_more)
{
	struct frontend_params p = {
		.features = 1ULL << VHOST_USER_F_PROTOCOL_FEATURES | 6,
		.protocol_features = 1ULL << VHOST_USER_PROTOCOL_F_MQ,
		.required = 4,
		.queues = 3,
	};
	struct frontend_msg m;

	answer(VHOST_USER_GET_FEATURES,
	       1ULL << VHOST_USER_F_PROTOCOL_FEATURES | 12);
	answer(VHOST_USER_GET_PROTOCOL_FEATURES, 0xff);
	answer(VHOST_USER_GET_QUEUE_NUM, 4);
	cr_assert_eq(frontend_negotiate(&front, &p), 0);
	cr_assert_eq(front.max_queues, 4);
	expect(VHOST_USER_SET_OWNER, 0, &m);
	expect(VHOST_USER_GET_FEATURES, 0, &m);
	expect(VHOST_USER_GET_PROTOCOL_FEATURES, 0, &m);
	expect(VHOST_USER_SET_PROTOCOL_FEATURES, 0, &m);
	cr_assert_eq(m.payload.u64, 1ULL << VHOST_USER_PROTOCOL_F_MQ);
	expect(VHOST_USER_GET_QUEUE_NUM, 0, &m);
	expect(VHOST_USER_SET_FEATURES, 0, &m);
	cr_assert_eq(m.payload.u64, 1ULL << VHOST_USER_F_PROTOCOL_FEATURES | 4);
}

Test(frontend, refuses_a_target_that_offers_too_little)
{
	struct frontend_params p = {.features = 6, .required = 2};

	answer(VHOST_USER_GET_FEATURES, 4);
	cr_assert_eq(frontend_negotiate(&front, &p), -EOPNOTSUPP);
	p = (struct frontend_params){.queues = 2};
	answer(VHOST_USER_GET_FEATURES, 4);
	cr_assert_eq(frontend_negotiate(&front, &p), -EOPNOTSUPP);
}

Test(frontend, shares_each_region_with_its_descriptor)
{
	struct guestmem mem;
	struct frontend_msg m;
	struct vhost_user_mem_table t;

	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0x10000000, 4096), 0);
	cr_assert_eq(guestmem_add(&mem, 1 << 20, 0x20000000, 8192), 1);
	cr_assert_eq(frontend_share_memory(&front, &mem), 0);
	expect(VHOST_USER_SET_MEM_TABLE, 0, &m);
	cr_assert_eq(m.hdr.size, 8 + 2 * 32);
	cr_assert_eq(m.nr_fds, 2);
	memcpy(&t, m.payload.bytes, m.hdr.size);
	cr_assert_eq(t.nr_regions, 2);
	cr_assert_eq(t.regions[1].guest_addr, 1 << 20);
	cr_assert_eq(t.regions[1].user_addr, 0x20000000);
	cr_assert_eq(t.regions[1].size, 8192);
	frontend_msg_close(&m);
	guestmem_fini(&mem);
}

Test(frontend, tells_where_the_ring_is_before_it_enables_the_queue)
{
	static const uint32_t order[] = {
		VHOST_USER_SET_VRING_NUM,    VHOST_USER_SET_VRING_BASE,
		VHOST_USER_SET_VRING_ADDR,   VHOST_USER_SET_VRING_ERR,
		VHOST_USER_SET_VRING_KICK,   VHOST_USER_SET_VRING_CALL,
		VHOST_USER_SET_VRING_ENABLE,
	};
	struct guestring_params p = {.size = 16};
	struct guestmem mem;
	struct frontend_queue q;
	struct frontend_msg m;

	guestmem_init(&mem);
	cr_assert_eq(guestmem_add(&mem, 0, 0, 1 << 20), 0);
	cr_assert_eq(frontend_queue_init(&q, 5, &mem, &p), 0);
	front.features = 1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
	cr_assert_eq(frontend_start_queue(&front, &q), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		expect(order[i], 0, &m);
		cr_assert_eq(m.payload.state.index, 5);
		frontend_msg_close(&m);
	}
	frontend_queue_fini(&q);
	guestmem_fini(&mem);
}

/* Answers GET_INFLIGHT_FD, which is asked then, with @nr_fds descriptors. */
static int ask_for_inflight(uint64_t mmap_size, size_t size, unsigned nr_fds,
			    struct frontend_inflight *in)
{
	struct vhost_user_inflight where = {
		.mmap_size = mmap_size,
		.mmap_offset = 4096,
	};
	int fds[2] = {0, 1};
	struct frontend_msg m;
	int ret;

	cr_assert_eq(frontend_send(&target, VHOST_USER_GET_INFLIGHT_FD,
				   VHOST_USER_REPLY_MASK, &where, size, fds,
				   nr_fds),
		     0);
	ret = frontend_get_inflight(&front, 2, 128, in);
	expect(VHOST_USER_GET_INFLIGHT_FD, 0, &m);
	cr_assert_eq(m.hdr.size, 24);
	cr_assert_eq(m.payload.inflight.num_queues, 2);
	cr_assert_eq(m.payload.inflight.queue_size, 128);
	return ret;
}

Test(frontend, gives_back_the_record_that_it_was_given)
{
	struct frontend_inflight in;
	struct frontend_msg m;

	cr_assert_eq(frontend_get_inflight(&front, 2, 128, &in), -EOPNOTSUPP);
	front.protocol_features = 1ULL << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	cr_assert_eq(ask_for_inflight(8192, 24, 1, &in), 0);
	cr_assert_eq(frontend_set_inflight(&front, &in), 0);
	expect(VHOST_USER_SET_INFLIGHT_FD, 0, &m);
	cr_assert_eq(m.hdr.size, 24);
	cr_assert_eq(m.payload.inflight.mmap_size, 8192);
	cr_assert_eq(m.payload.inflight.mmap_offset, 4096);
	cr_assert_eq(m.payload.inflight.num_queues, 2);
	cr_assert_eq(m.payload.inflight.queue_size, 128);
	cr_assert_eq(m.nr_fds, 1);
	frontend_msg_close(&m);
	frontend_inflight_close(&in);
	cr_assert_eq(in.fd, -1);
}

Test(frontend, takes_no_record_that_qemu_would_not_take)
{
	static const struct {
		uint64_t mmap_size;
		size_t size;
		unsigned nr_fds;
		int ret;
	} answers[] = {
		{0, 24, 0, -EREMOTEIO}, /* there is none */
		{8192, 20, 1, -EPROTO}, /* as the text has it */
		{8192, 24, 0, -EPROTO},
		{8192, 24, 2, -EPROTO},
	};
	struct frontend_inflight in = {.fd = -1};

	front.protocol_features = 1ULL << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		cr_expect_eq(ask_for_inflight(answers[i].mmap_size,
					      answers[i].size,
					      answers[i].nr_fds, &in),
			     answers[i].ret, "answer %u", i);
		cr_expect_eq(in.fd, -1, "answer %u", i);
	}
}

/* The number in the SET_VRING_BASE that comes next. */
static uint32_t expect_base(void)
{
	struct frontend_msg m;

	expect(VHOST_USER_SET_VRING_NUM, 0, &m);
	expect(VHOST_USER_SET_VRING_BASE, 0, &m);
	return m.payload.state.num;
}

static void forget_messages(unsigned n)
{
	struct frontend_msg m;

	while (n--) {
		cr_assert_eq(frontend_recv(&target, target.fd, &m), 0);
		frontend_msg_close(&m);
	}
}

Test(frontend, resumes_a_queue_where_qemu_would)
{
	static const struct {
		bool packed;
		uint32_t start, resume;
	} rings[] = {
		{false, 0, 3},
		{true, 0x80008000, 0x80008000},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		struct guestring_params p = {
			.size = 16,
			.packed = rings[i].packed,
		};
		struct guestmem mem;
		struct frontend_queue q;
		eventfd_t kicks;

		guestmem_init(&mem);
		cr_assert_eq(guestmem_add(&mem, 0, 0, 1 << 20), 0);
		cr_assert_eq(frontend_queue_init(&q, 0, &mem, &p), 0);
		cr_assert_eq(frontend_start_queue(&front, &q), 0);
		cr_expect_eq(expect_base(), rings[i].start, "ring %u", i);
		forget_messages(4);
		cr_expect_eq(eventfd_read(q.kick, &kicks), -1);
		if (p.packed) /* The driver has come further. */
			q.ring.next_used.idx = 3;
		else
			q.ring.vring.used->idx = htole16(3);
		cr_assert_eq(frontend_resume_queue(&front, &q), 0);
		cr_expect_eq(expect_base(), rings[i].resume, "ring %u", i);
		forget_messages(4);
		cr_expect_eq(eventfd_read(q.kick, &kicks), 0);
		frontend_queue_fini(&q);
		guestmem_fini(&mem);
	}
}

Test(frontend, tells_a_refused_config_from_an_empty_one)
{
	struct frontend_msg m;
	uint8_t buf[8];

	cr_assert_eq(frontend_get_config(&front, 0, buf, 8), -EOPNOTSUPP);
	front.protocol_features = 1ULL << VHOST_USER_PROTOCOL_F_CONFIG;
	frontend_send(&target, VHOST_USER_GET_CONFIG, VHOST_USER_REPLY_MASK,
		      NULL, 0, NULL, 0);
	cr_assert_eq(frontend_get_config(&front, 0, buf, 8), -EREMOTEIO);
	expect(VHOST_USER_GET_CONFIG, 0, &m);
	cr_assert_eq(m.hdr.size, 20);
	cr_assert_eq(m.payload.config.size, 8);
}

Test(frontend, hears_the_target_on_the_back_end_channel)
{
	struct frontend_msg m;
	struct frontend back;

	cr_assert_eq(frontend_open_backend_channel(&front), 0);
	expect(VHOST_USER_SET_BACKEND_REQ_FD, 0, &m);
	cr_assert_eq(m.nr_fds, 1);
	frontend_init(&back);
	frontend_attach(&back, m.fds[0]);
	cr_assert_eq(frontend_send(&back, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
				   0, NULL, 0, NULL, 0),
		     0);
	cr_assert_eq(frontend_recv(&front, front.backend_fd, &m), 0);
	cr_assert_eq(m.hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	frontend_close(&back);
	cr_assert_eq(frontend_recv(&front, front.backend_fd, &m), -ECONNRESET);
}
