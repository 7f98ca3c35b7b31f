/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hostile VMM writes to its socket. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"

#define MAX_SENT 512

/*
 * Every message that has a number: the size of its payload by the protocol's
 * text, how many descriptors go with it, and what it needs.
 */
struct message {
	uint32_t id;
	uint16_t size;
	uint8_t fds;
	bool takes_fds;
	bool has_reply;	 /* of its own */
	bool is_offered; /* by what we negotiate here */
};

/* clang-format off */
static const struct message messages[] = {
	{VHOST_USER_GET_FEATURES, 0, 0, false, true, true},
	{VHOST_USER_SET_FEATURES, 8, 0, false, false, true},
	{VHOST_USER_SET_OWNER, 0, 0, false, false, true},
	{VHOST_USER_RESET_OWNER, 0, 0, false, false, true},
	{VHOST_USER_SET_MEM_TABLE, 40, 1, true, false, true},
	{VHOST_USER_SET_LOG_BASE, 16, 1, true, true, false},
	{VHOST_USER_SET_LOG_FD, 0, 1, true, false, false},
	{VHOST_USER_SET_VRING_NUM, 8, 0, false, false, true},
	{VHOST_USER_SET_VRING_ADDR, 40, 0, false, false, true},
	{VHOST_USER_SET_VRING_BASE, 8, 0, false, false, true},
	{VHOST_USER_GET_VRING_BASE, 8, 0, false, true, true},
	{VHOST_USER_SET_VRING_KICK, 8, 1, true, false, true},
	{VHOST_USER_SET_VRING_CALL, 8, 1, true, false, true},
	{VHOST_USER_SET_VRING_ERR, 8, 1, true, false, true},
	{VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0, false, true, true},
	{VHOST_USER_SET_PROTOCOL_FEATURES, 8, 0, false, false, true},
	{VHOST_USER_GET_QUEUE_NUM, 0, 0, false, true, true},
	{VHOST_USER_SET_VRING_ENABLE, 8, 0, false, false, true},
	{VHOST_USER_SEND_RARP, 8, 0, false, false, false},
	{VHOST_USER_NET_SET_MTU, 8, 0, false, false, false},
	{VHOST_USER_SET_BACKEND_REQ_FD, 0, 1, true, false, true},
	{VHOST_USER_IOTLB_MSG, 32, 0, false, false, false},
	{VHOST_USER_SET_VRING_ENDIAN, 8, 0, false, false, false},
	{VHOST_USER_GET_CONFIG, 16, 0, false, true, true},
	{VHOST_USER_SET_CONFIG, 16, 0, false, false, true},
	{VHOST_USER_CREATE_CRYPTO_SESSION, 64, 0, false, true, false},
	{VHOST_USER_CLOSE_CRYPTO_SESSION, 8, 0, false, false, false},
	{VHOST_USER_POSTCOPY_ADVISE, 0, 0, false, true, false},
	{VHOST_USER_POSTCOPY_LISTEN, 0, 0, false, false, false},
	{VHOST_USER_POSTCOPY_END, 0, 0, false, true, false},
	{VHOST_USER_GET_INFLIGHT_FD, 24, 0, false, true, false},
	{VHOST_USER_SET_INFLIGHT_FD, 24, 1, true, false, false},
	{VHOST_USER_GPU_SET_SOCKET, 0, 1, true, false, false},
	{VHOST_USER_RESET_DEVICE, 0, 0, false, false, true},
	{VHOST_USER_VRING_KICK, 8, 0, false, false, false},
	{VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0, false, true, true},
	{VHOST_USER_ADD_MEM_REG, 40, 1, true, false, true},
	{VHOST_USER_REM_MEM_REG, 40, 0, true, false, true},
	{VHOST_USER_SET_STATUS, 8, 0, false, false, true},
	{VHOST_USER_GET_STATUS, 0, 0, false, true, true},
	{VHOST_USER_GET_SHARED_OBJECT, 16, 0, false, true, false},
	{VHOST_USER_SET_DEVICE_STATE_FD, 8, 1, true, true, false},
	{VHOST_USER_CHECK_DEVICE_STATE, 0, 0, false, true, false},
	{VHOST_USER_GET_SHMEM_CONFIG, 0, 0, false, true, false},
	{VHOST_USER_NVME_ADMIN, 64, 0, false, true, false},
	{VHOST_USER_NVME_SET_CQ_CALL, 8, 1, true, false, false},
	{VHOST_USER_NVME_GET_CAP, 0, 0, false, true, false},
	{VHOST_USER_NVME_START_STOP, 8, 0, false, false, false},
	{VHOST_USER_NVME_IO_CMD, 12, 0, false, false, false},
	{VHOST_USER_NVME_SET_BAR_MR, 40, 1, true, false, false},
};
/* clang-format on */

static struct frontend f;
static int fds[253]; /* a memory file, again and again */

static void begin(void)
{
	attack_init(&attack);
	attack_begin(&attack);
	fds[0] = memfd_create("attack", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(fds[0], 1 << 20), 0);
	for (unsigned i = 1; i < ARRAY_SIZE(fds); i++)
		fds[i] = fds[0];
	attack.fds++;
}

static void end(void)
{
	frontend_close(&f);
	attack_settle(&attack, "the last", 0);
	close(fds[0]);
	attack_end(&attack);
}

TestSuite(attacks_socket, .init = begin, .fini = end);

/* A payload that the message would be content with. */
static void fill_payload(const struct message *m, uint8_t *buf)
{
	struct vhost_user_mem_region r = {.size = 1 << 20};

	memset(buf, 0, MAX_SENT);
	if (m->id == VHOST_USER_SET_MEM_TABLE) {
		buf[0] = 1;
		memcpy(buf + 8, &r, sizeof(r));
	}
	if (m->id == VHOST_USER_ADD_MEM_REG || m->id == VHOST_USER_REM_MEM_REG)
		memcpy(buf + 8, &r, sizeof(r));
	if (m->id == VHOST_USER_GET_CONFIG || m->id == VHOST_USER_SET_CONFIG)
		buf[4] = 4;
}

/* What was refused was read to its end: the next message is understood. */
static void expect_in_step(const struct message *m, unsigned nr)
{
	uint64_t value;

	cr_assert_eq(frontend_get_u64(&f, VHOST_USER_GET_FEATURES, &value), 0,
		     "message %u case %u", m->id, nr);
}

/* A number that is no error must not come back from a refused question. */
static void expect_no(enum attack_reply reply, const struct message *m,
		      unsigned nr)
{
	cr_assert(reply == ATTACK_CLOSED ||
			  (reply == ATTACK_REFUSED &&
			   (!m->has_reply || m->id == VHOST_USER_GET_CONFIG)),
		  "message %u case %u: %s", m->id, nr,
		  attack_reply_name(reply));
	if (reply == ATTACK_REFUSED)
		expect_in_step(m, nr);
	frontend_close(&f);
}

static enum attack_reply send_sized(const struct message *m, uint32_t said,
				    uint32_t sent)
{
	uint8_t buf[sizeof(struct vhost_user_header) + MAX_SENT];
	struct vhost_user_header h = {
		.request = m->id,
		.flags = VHOST_USER_VERSION | VHOST_USER_NEED_REPLY_MASK,
		.size = said,
	};

	memcpy(buf, &h, sizeof(h));
	fill_payload(m, buf + sizeof(h));
	if (frontend_send_raw(&f, buf, sizeof(h) + sent, fds, m->fds))
		return ATTACK_CLOSED;
	return attack_recv(&f);
}

Test(attacks_socket, payloads_that_are_too_short_or_too_long)
{
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct message *m = &messages[i];
		uint32_t wrong[] = {m->size - 1u,  m->size + 1u,
				    m->size + 64u, 0,
				    0x7fffffff,	   0xffffffff};

		for (unsigned n = 0; n < ARRAY_SIZE(wrong); n++) {
			uint32_t sent = wrong[n] > MAX_SENT ? 8 : wrong[n];

			if (wrong[n] == m->size || (n == 3 && !m->size))
				continue;
			/* User-mode Linux leaves room for more regions. */
			if (m->id == VHOST_USER_SET_MEM_TABLE && n < 3 && n)
				continue;
			attack_connect(&attack, &f);
			expect_no(send_sized(m, wrong[n], sent), m, n);
		}
		attack_check(&attack, "size of message", m->id);
	}
}

Test(attacks_socket, messages_that_are_not_offered)
{
	uint8_t buf[MAX_SENT];

	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct message *m = &messages[i];

		if (m->is_offered)
			continue;
		attack_connect(&attack, &f);
		fill_payload(m, buf);
		expect_no(attack_send(&f, m->id, buf, m->size, fds, m->fds), m,
			  0);
		attack_check(&attack, "message", m->id);
	}
}

Test(attacks_socket, numbers_that_no_message_has)
{
	static const uint32_t ids[] = {0,   45,	      46,	64,	   79,
				       86,  100,      255,	256,	   257,
				       999, 1u << 16, 1u << 31, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		struct message m = {.id = ids[i]};

		attack_connect(&attack, &f);
		expect_no(attack_send(&f, ids[i], NULL, 0, NULL, 0), &m, 0);
		attack_connect(&attack, &f);
		expect_no(attack_send(&f, ids[i], &m, 8, fds, 3), &m, 1);
	}
	attack_check(&attack, "unknown numbers", 0);
}

Test(attacks_socket, flags_that_no_message_has)
{
	static const uint32_t flags[] = {0, 2, 3, 5, 0xd, 0xfffffffd};

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct vhost_user_header h = {VHOST_USER_GET_FEATURES, flags[i],
					      0};

		attack_connect(&attack, &f);
		cr_assert_eq(frontend_send_raw(&f, &h, sizeof(h), fds, 1), 0);
		cr_assert_eq(attack_recv(&f), ATTACK_CLOSED, "flags 0x%x",
			     flags[i]);
		frontend_close(&f);
	}
}

/* Nothing was agreed on: what needs it ends the session. */
Test(attacks_socket, messages_before_anything_was_agreed_on)
{
	uint8_t buf[MAX_SENT];

	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct message *m = &messages[i];
		bool gated = !m->is_offered || m->id == VHOST_USER_GET_CONFIG ||
			     m->id == VHOST_USER_SET_CONFIG ||
			     m->id == VHOST_USER_SET_BACKEND_REQ_FD ||
			     m->id >= VHOST_USER_GET_MAX_MEM_SLOTS;
		enum attack_reply reply;

		frontend_init(&f);
		cr_assert_eq(frontend_connect(&f, attack.t.socket), 0);
		f.timeout_ms = gated || m->has_reply ? 2000 : 2;
		fill_payload(m, buf);
		reply = attack_send(&f, m->id, buf, m->size, fds, m->fds);
		if (gated && m->id != VHOST_USER_GET_CONFIG)
			cr_assert_eq(reply, ATTACK_CLOSED, "message %u: %s",
				     m->id, attack_reply_name(reply));
		cr_assert(!gated || reply != ATTACK_ACCEPTED);
		frontend_close(&f);
	}
	attack_check(&attack, "early messages", 0);
}

Test(attacks_socket, any_number_of_descriptors_on_any_message)
{
	static const unsigned numbers[] = {0, 1, 2, 9, 253};
	uint8_t buf[MAX_SENT];

	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct message *m = &messages[i];

		for (unsigned n = 0; n < ARRAY_SIZE(numbers); n++) {
			enum attack_reply reply;

			attack_connect(&attack, &f);
			fill_payload(m, buf);
			reply = attack_send(&f, m->id, buf, m->size, fds,
					    numbers[n]);
			if (numbers[n] > 1 || (numbers[n] && !m->takes_fds) ||
			    numbers[n] < m->fds)
				expect_no(reply, m, numbers[n]);
			frontend_close(&f);
		}
		attack_check(&attack, "descriptors on message", m->id);
		attack_settle(&attack, "descriptors on message", m->id);
	}
}

Test(attacks_socket, descriptors_behind_the_first_byte)
{
	uint8_t buf[sizeof(struct vhost_user_header) + 8] = {0};
	struct vhost_user_header h = {VHOST_USER_SET_VRING_KICK, 9, 8};
	struct message m = {.id = h.request};

	memcpy(buf, &h, sizeof(h));
	for (unsigned at = 1; at < sizeof(buf); at++) {
		attack_connect(&attack, &f);
		cr_assert_eq(frontend_send_raw(&f, buf, at, NULL, 0), 0);
		usleep(200);
		if (frontend_send_raw(&f, buf + at, sizeof(buf) - at, fds, 1))
			frontend_close(&f);
		else
			expect_no(attack_recv(&f), &m, at);
	}
	attack_check(&attack, "late descriptors", 0);
}

/* The kernel drops descriptors that no number is left for. */
Test(attacks_socket, descriptors_when_no_more_may_be_open)
{
	struct rlimit rl, low;
	int highest;
	uint64_t ring = 0;

	attack_connect(&attack, &f);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	low = rl;
	highest = dup(fds[0]);
	low.rlim_cur = (rlim_t)highest + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	attack_send(&f, VHOST_USER_SET_VRING_CALL, &ring, 8, fds, 1);
	attack_send(&f, VHOST_USER_SET_VRING_KICK, &ring, 8, fds, 9);
	attack_check(&attack, "no more descriptors", 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	close(highest);
	attack_check(&attack, "no more descriptors", 1);
}

/* It can be accepted, but there is none for its state. */
Test(attacks_socket, a_client_that_takes_the_last_descriptor)
{
	struct rlimit rl, low;
	struct frontend_msg m;
	int more[64];

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	low = rl;
	/* The last of them has no gap below it. */
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		more[i] = dup(fds[0]);
	low.rlim_cur = (rlim_t)more[ARRAY_SIZE(more) - 1] + 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	frontend_init(&f);
	cr_assert_eq(frontend_connect(&f, attack.t.socket), 0);
	cr_assert_eq(frontend_recv(&f, f.fd, &m), -ECONNRESET);
	frontend_close(&f);
	attack_check(&attack, "no more descriptors", 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		close(more[i]);
	attack_connect(&attack, &f);
}

Test(attacks_socket, rings_that_do_not_exist)
{
	static const uint32_t wrong[] = {4,	  5,	      255,
					 0x100,	  0x10000,    0x10003,
					 1 << 31, 0x80000001, 0xffffffff};
	static const uint32_t ids[] = {VHOST_USER_SET_VRING_NUM,
				       VHOST_USER_SET_VRING_ADDR,
				       VHOST_USER_SET_VRING_BASE,
				       VHOST_USER_GET_VRING_BASE,
				       VHOST_USER_SET_VRING_ENABLE};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		for (unsigned n = 0; n < ARRAY_SIZE(wrong); n++) {
			struct vhost_user_vring_addr a = {.index = wrong[n]};
			struct message m = {
				.id = ids[i],
				.has_reply =
					ids[i] == VHOST_USER_GET_VRING_BASE,
			};

			attack_connect(&attack, &f);
			expect_no(attack_send(&f, ids[i], &a,
					      ids[i] == 9 ? 40 : 8, NULL, 0),
				  &m, n);
		}
	attack_check(&attack, "ring numbers", 0);
}

Test(attacks_socket, rings_that_do_not_exist_given_a_descriptor)
{
	static const uint64_t wrong[] = {4,
					 255,
					 0x200,
					 0x10000,
					 1ULL << 32,
					 1ULL << 63,
					 UINT64_MAX & ~0x1ffULL,
					 UINT64_MAX};

	for (uint32_t id = VHOST_USER_SET_VRING_KICK;
	     id <= VHOST_USER_SET_VRING_ERR; id++)
		for (unsigned n = 0; n < ARRAY_SIZE(wrong); n++) {
			struct message m = {.id = id};

			attack_connect(&attack, &f);
			expect_no(attack_send(&f, id, &wrong[n], 8, fds, 1), &m,
				  n);
		}
	attack_check(&attack, "ring numbers", 0);
}

/* -- time and order ------------------------------------------------------- */

Test(attacks_socket, a_message_byte_by_byte)
{
	struct {
		struct vhost_user_header h;
		struct vhost_user_vring_state s;
	} m = {{VHOST_USER_SET_VRING_NUM, 9, 8}, {1, 64}};

	attack_connect(&attack, &f);
	for (unsigned i = 0; i < sizeof(m); i++) {
		cr_assert_eq(frontend_send_raw(&f, (char *)&m + i, 1, NULL, 0),
			     0);
		attack_check(&attack, "byte", i);
	}
	cr_assert_eq(attack_recv(&f), ATTACK_ACCEPTED);
}

Test(attacks_socket, messages_that_end_early)
{
	static const uint32_t m[5] = {VHOST_USER_SET_VRING_CALL, 9, 8, 0, 0};

	for (unsigned i = 0; i < sizeof(m); i++)
		for (unsigned half = 0; half < 2; half++) {
			attack_connect(&attack, &f);
			cr_assert_eq(frontend_send_raw(&f, m, i, fds, i > 0),
				     0);
			if (half) {
				shutdown(f.fd, SHUT_WR);
				cr_assert_eq(attack_recv(&f), ATTACK_CLOSED);
			}
			frontend_close(&f);
		}
	attack_check(&attack, "an early end", 0);
}

/* Half-open clients of one target are no matter to another. */
Test(attacks_socket, clients_that_say_nothing)
{
	struct frontend silent[20];

	for (unsigned i = 0; i < ARRAY_SIZE(silent); i++) {
		frontend_init(&silent[i]);
		cr_assert_eq(frontend_connect(&silent[i], attack.t.socket), 0);
		attack_check(&attack, "silent client", i);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(silent); i++)
		frontend_close(&silent[i]);
	attack_connect(&attack, &f);
}

/* Whoever is served stays so, whoever else comes. */
Test(attacks_socket, more_clients_than_one)
{
	struct frontend more[20];
	uint64_t value;

	attack_connect(&attack, &f);
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++) {
		frontend_init(&more[i]);
		cr_assert_eq(frontend_connect(&more[i], attack.t.socket), 0);
		frontend_send(&more[i], VHOST_USER_SET_OWNER, 0, NULL, 0, fds,
			      5);
		cr_assert_eq(frontend_get_u64(&f, VHOST_USER_GET_FEATURES,
					      &value),
			     0);
	}
	attack_check(&attack, "twenty clients", 0);
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		frontend_close(&more[i]);
	cr_assert_eq(frontend_get_u64(&f, VHOST_USER_GET_FEATURES, &value), 0);
}

/* Questions whose answers nobody reads are not piled up in memory. */
Test(attacks_socket, a_flood_of_questions)
{
	struct vhost_user_header h = {VHOST_USER_GET_FEATURES, 1, 0};
	struct rusage before, after;
	unsigned sent = 0;

	attack_connect(&attack, &f);
	f.timeout_ms = 20;
	getrusage(RUSAGE_SELF, &before);
	while (!frontend_send_raw(&f, &h, sizeof(h), NULL, 0) && sent < 1000000)
		if (++sent % 1000 == 0)
			attack_check(&attack, "flood", sent);
	cr_assert_lt(sent, 1000000, "it stops reading some time");
	getrusage(RUSAGE_SELF, &after);
	cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 4096);
	attack_check(&attack, "flood", sent);
	/* Once they are read, all is well again. */
	f.timeout_ms = 2000;
	for (unsigned i = 0; i < sent; i++)
		cr_assert_eq(attack_recv(&f), ATTACK_REFUSED, "answer %u", i);
}

/* Each message is the last one, with requests in flight or not. */
Test(attacks_socket, hanging_up_after_any_message)
{
	uint8_t buf[MAX_SENT];

	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct message *m = &messages[i];
		struct testguest g;
		struct guestring_seg seg[3];
		struct guestblk_req r;

		testguest_start(&g, &attack.t, 2, UINT64_MAX);
		cr_assert_eq(guestblk_init(&r, &g.mem, VIRTIO_BLK_T_IN, 0,
					   65536),
			     0);
		cr_assert_eq(guestblk_segs(&r, &g.mem, NULL, seg, 3), 3);
		for (unsigned n = 0; n < 16; n++)
			frontend_submit(&g.q[n % 2], seg, 3, NULL);
		fill_payload(m, buf);
		frontend_send(&g.f, m->id, 0, buf, m->size, fds, m->fds);
		testguest_stop(&g);
		attack_check(&attack, "hanging up after message", m->id);
	}
}
