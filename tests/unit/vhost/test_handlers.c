/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost/handlers: changes of running rings, memory, features, config. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/unixsock.h"
#include "base/util.h"
#include "iotest.h"
#include "sessionrig.h"
#include "vhost/handlers.h"

TestSuite(handlers, .timeout = 60);

/* ---- changes while rings run ---- */

RIG_TEST(handlers, refuses_to_change_a_running_ring)
{
	const struct vhost_user_vring_state s = {0, 16};
	struct vhost_user_vring_addr a = {.index = 0};

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_expect_refused(VHOST_USER_SET_VRING_NUM, &s, sizeof(s));
	rig_expect_refused(VHOST_USER_SET_VRING_BASE, &s, sizeof(s));
	a.desc = guestmem_uva(&rig.mem, rig.q1.ring.vring.desc);
	a.avail = guestmem_uva(&rig.mem, rig.q1.ring.vring.avail);
	a.used = guestmem_uva(&rig.mem, rig.q1.ring.vring.used);
	rig_expect_refused(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a));
	rig_tell_addr();
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

Test(handlers, tolerates_repeated_greetings)
{
	uint64_t other;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_SET_OWNER,
					  NULL, 0, NULL, 0),
			     0);
		cr_assert_eq(frontend_set_u64(&rig.t.vmm,
					      VHOST_USER_SET_FEATURES,
					      rig.t.vmm.features),
			     0);
		cr_assert_eq(frontend_set_u64(&rig.t.vmm,
					      VHOST_USER_SET_PROTOCOL_FEATURES,
					      rig.t.vmm.protocol_features),
			     0);
	}
	other = rig.t.vmm.features & ~(1ULL << VIRTIO_RING_F_EVENT_IDX);
	rig_expect_refused(VHOST_USER_SET_FEATURES, &other, sizeof(other));
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

RIG_TEST(handlers, takes_new_descriptors_while_the_ring_runs)
{
	int old_kick, old_call;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	old_kick = rig.q0.kick;
	old_call = rig.q0.call;
	rig.q0.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig.q0.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig_tell_kick();
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm,
					   VHOST_USER_SET_VRING_CALL, 0,
					   rig.q0.call),
		     0);
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm, VHOST_USER_SET_VRING_ERR,
					   0, -1),
		     0);
	close(old_kick);
	close(old_call);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

/* A socket pair that another process made, as a VMM does. */
static void make_foreign_pair(int sv[2])
{
	struct unixsock_fds fds = {0};
	int way[2];
	char c;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, way), 0);

	pid_t child = fork();

	if (child == 0) {
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv);
		unixsock_send(way[1], "", 1, sv, 2);
		_exit(0);
	}
	cr_assert_eq(unixsock_recv(way[0], &c, 1, &fds), 1);
	cr_assert_eq(fds.nr, 2);
	waitpid(child, NULL, 0);
	sv[0] = fds.fd[0];
	sv[1] = fds.fd[1];
	close(way[0]);
	close(way[1]);
}

Test(handlers, calls_through_a_socket_but_not_through_its_own)
{
	int sv[2];

	rig_open();
	rig_share();
	cr_assert_neq(frontend_set_vring_fd(&rig.t.vmm,
					    VHOST_USER_SET_VRING_CALL, 0,
					    rig.t.vmm.fd),
		      0);
	make_foreign_pair(sv);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm,
					   VHOST_USER_SET_VRING_CALL, 0, sv[0]),
		     0);
	close(sv[0]);
	close(rig.q0.call);
	rig.q0.call = sv[1];
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

RIG_TEST(handlers, serves_nothing_while_a_ring_is_disabled)
{
	struct guestring_used u;

	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(frontend_set_state(&rig.t.vmm, VHOST_USER_SET_VRING_ENABLE,
					0, 0),
		     0);
	rig_submit(&rig.q0, 0);
	cr_assert_eq(frontend_wait(&rig.q0, &u, 100), -ETIMEDOUT);
	rig_tell_enable();
	rig_expect_answer(&rig.q0);
	rig_expect_refused(VHOST_USER_SET_VRING_ENABLE,
			   &(struct vhost_user_vring_state){0, 2}, 8);
	rig_close();
}

RIG_TEST(handlers, adds_memory_without_waiting_for_requests)
{
	int index;

	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	index = guestmem_add(&rig.mem, 2ULL << 30, 0x7f0080000000,
			     RIG_REGION_SIZE);
	cr_assert_eq(frontend_add_region(&rig.t.vmm, &rig.mem.regions[index]),
		     0);
	cr_assert_eq(rig_facts().nr_regions, 3);
	cr_assert_eq(rig_facts().memory_bytes, 3 * RIG_REGION_SIZE);
	sessiontest_release(&rig.t);
	rig_expect_answer(&rig.q0);
	rig_submit(&rig.q0, 2);
	rig_expect_answer(&rig.q0);
	rig_close();
}

RIG_TEST(handlers, removes_memory_when_no_request_is_in_it)
{
	const struct guestmem_region *r;
	struct vhost_user_single_mem_region one = {0};
	struct frontend_msg m;

	rig.t.hold = true;
	rig_open();
	rig_share();
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 1);
	rig_wait_for_request();
	r = &rig.mem.regions[1];
	one.region = (struct vhost_user_mem_region){r->gpa, r->size, r->uva, 9};
	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_REM_MEM_REG,
				   VHOST_USER_NEED_REPLY_MASK, &one,
				   sizeof(one), NULL, 0),
		     0);
	rig_expect_silence();
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert_eq(m.payload.u64, 0);
	cr_assert_eq(rig_facts().nr_regions, 1);
	rig_expect_answer(&rig.q0);

	rig_expect_refused(VHOST_USER_REM_MEM_REG, &one, sizeof(one));
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

static struct vhost_user_mem_table table_of(unsigned nr, int *fds)
{
	struct vhost_user_mem_table table = {.nr_regions = nr};

	for (unsigned i = 0; i < nr; i++) {
		const struct guestmem_region *r = &rig.mem.regions[i];

		table.regions[i] =
			(struct vhost_user_mem_region){r->gpa, r->size, r->uva,
						       r->fd_offset};
		fds[i] = r->fd;
	}
	return table;
}

static int set_table(unsigned nr)
{
	int fds[8];
	const struct vhost_user_mem_table table = table_of(nr, fds);

	return frontend_set(&rig.t.vmm, VHOST_USER_SET_MEM_TABLE, &table,
			    8 + 32 * nr, fds, nr);
}

RIG_TEST(handlers, takes_a_new_table_of_memory_while_rings_run)
{
	rig.t.hold = true;
	rig_open();
	cr_assert_eq(set_table(1), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	/* Nothing is taken away: no wait for the request. */
	cr_assert_eq(set_table(2), 0);
	sessiontest_release(&rig.t);
	rig_expect_answer(&rig.q0);
	rig_submit(&rig.q0, 1);
	rig_expect_answer(&rig.q0);
	cr_assert_eq(set_table(1), 0);
	cr_assert_eq(rig_facts().nr_regions, 1);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	rig_close();
}

RIG_TEST(handlers, waits_when_a_new_table_takes_memory_away)
{
	int fds[8];
	struct vhost_user_mem_table table;
	struct frontend_msg m;

	rig.t.hold = true;
	rig_open();
	table = table_of(1, fds);
	cr_assert_eq(set_table(2), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_wait_for_request();
	cr_assert_eq(frontend_send(&rig.t.vmm, VHOST_USER_SET_MEM_TABLE,
				   VHOST_USER_NEED_REPLY_MASK, &table, 40, fds,
				   1),
		     0);
	rig_expect_silence();
	sessiontest_release(&rig.t);
	cr_assert_eq(frontend_recv(&rig.t.vmm, rig.t.vmm.fd, &m), 0);
	cr_assert_eq(m.payload.u64, 0);
	rig_close();
}

Test(handlers, takes_an_empty_table)
{
	rig_open();
	cr_assert_eq(set_table(0), 0);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 0);
	rig_share();
	cr_assert_eq(sessiontest_look(&rig.t).ready[0], 1);
	rig_close();
}

Test(handlers, refuses_memory_that_makes_no_sense_and_keeps_the_old)
{
	const struct vhost_user_mem_region bad[] = {
		{0, 0, 0x1000, 0},
		{0, 1ULL << 63, 0x1000, 0},
		{0, RIG_REGION_SIZE, 0x1000, ~0xfffULL},
		{~0xfffULL, RIG_REGION_SIZE, 0x1000, 0},
		{0, RIG_REGION_SIZE, ~0xfffULL, 0},
		{0, 2 * RIG_REGION_SIZE, 0x1000, 0},
		{1 << 30, RIG_REGION_SIZE, 0x10000000, 0},
		{5ULL << 30, RIG_REGION_SIZE, 0x7f0000001000, 0},
	};
	unsigned before;

	rig_open();
	rig_share();
	before = sessiontest_count_fds();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct vhost_user_single_mem_region one = {
			.region = bad[i]};

		cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_ADD_MEM_REG,
					  &one, sizeof(one),
					  &rig.mem.regions[0].fd, 1),
			     -EREMOTEIO, "%zu", i);
		cr_assert_eq(rig_facts().nr_regions, 2);
	}
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
	rig_submit(&rig.q0, 0);
	rig_expect_answer(&rig.q0);
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
	/* two of the queue's, and our own region of requests in flight */
	for (int i = 0; i < 500 && sessiontest_count_fds() > before + 3; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	cr_assert_leq(sessiontest_count_fds(), before + 3);
	rig_close();
}

/* Descriptors of all kinds in the place of memory, kick and call. */
Test(handlers, survives_descriptors_that_are_something_else)
{
	const struct vhost_user_single_mem_region one = {
		.region = {5ULL << 30, 4096, 0x10000000, 0}};
	int fds[9], ends[2];
	size_t n = 0;

	rig_open();
	rig_share();
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	fds[n++] = ends[0];
	fds[n++] = ends[1];
	fds[n++] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[n++] = open("/", O_PATH | O_CLOEXEC);
	fds[n++] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	fds[n++] = epoll_create1(EPOLL_CLOEXEC);
	fds[n++] = rig.t.vmm.fd;
	fds[n++] = memfd_create("test", MFD_CLOEXEC);
	cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q1), 0);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(frontend_set(&rig.t.vmm, VHOST_USER_ADD_MEM_REG,
					  &one, sizeof(one), &fds[i], 1),
			     -EREMOTEIO, "%zu", i);
		for (uint32_t id = VHOST_USER_SET_VRING_KICK;
		     id <= VHOST_USER_SET_VRING_ERR; id++)
			cr_assert_eq(frontend_set_vring_fd(&rig.t.vmm, id, 1,
							   fds[i]),
				     -EREMOTEIO);
		rig_submit(&rig.q1, 0);
		cr_assert_eq(frontend_start_queue(&rig.t.vmm, &rig.q0), 0);
		rig_submit(&rig.q0, 0);
		rig_expect_answer(&rig.q0);
		cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, NULL), 0);
		if (fds[i] != rig.t.vmm.fd)
			close(fds[i]);
	}
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q1, NULL), 0);
	rig_close();
}

/* ---- features and config ---- */

Test(handlers, has_a_handler_for_what_is_served_and_nothing_else)
{
	for (uint32_t id = 0; id < 300; id++) {
		const struct proto_row *row = proto_row(id);

		cr_assert_eq(row && row->served, handlers_has(id), "%u", id);
	}
}

Test(handlers, offers_what_it_can_do)
{
	uint64_t n;

	rig_open();
	cr_assert_eq(rig.t.vmm.offered_features,
		     1ULL << 32 | 1 << 30 | 1 << 29 | 1 << 28 | 1 << 27 |
			     1 << 12 | 1 << 11 | 1 << 9);
	cr_assert_eq(rig.t.vmm.offered_protocol_features,
		     1 << VHOST_USER_PROTOCOL_F_MQ |
			     1 << VHOST_USER_PROTOCOL_F_REPLY_ACK |
			     1 << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
			     1 << VHOST_USER_PROTOCOL_F_CONFIG |
			     1 << VHOST_USER_PROTOCOL_F_BACKEND_REQ |
			     1 << VHOST_USER_PROTOCOL_F_RESET_DEVICE |
			     1 << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
			     1 << VHOST_USER_PROTOCOL_F_STATUS);
	cr_assert_eq(frontend_get_u64(&rig.t.vmm, VHOST_USER_GET_MAX_MEM_SLOTS,
				      &n),
		     0);
	cr_assert_eq(n, 512);
	cr_assert_eq(sessiontest_look(&rig.t).accepted,
		     rig.t.vmm.offered_features);
	rig_close();
}

Test(handlers, refuses_bits_that_were_not_offered)
{
	rig_open();
	rig.t.refuse = 1 << 12;
	for (int bit = 0; bit < 64; bit++) {
		uint64_t f = rig.t.vmm.offered_features | 1ULL << bit;

		if (f != rig.t.vmm.offered_features)
			rig_expect_refused(VHOST_USER_SET_FEATURES, &f, 8);
		f = rig.t.vmm.offered_protocol_features | 1ULL << bit;
		if (f != rig.t.vmm.offered_protocol_features)
			rig_expect_refused(VHOST_USER_SET_PROTOCOL_FEATURES, &f,
					   8);
	}
	/* The device has a say, too. */
	rig_expect_refused(VHOST_USER_SET_FEATURES, &rig.t.vmm.offered_features,
			   8);
	rig_close();
}

Test(handlers, has_no_config_space_for_scsi)
{
	rig.t.device = PROTO_SCSI;
	rig_open();
	cr_assert_not(frontend_has(&rig.t.vmm, VHOST_USER_PROTOCOL_F_CONFIG));
	rig_close();
}

Test(handlers, counts_queues_for_who_did_not_ask_for_several)
{
	uint64_t n;

	rig_open();
	cr_assert_eq(frontend_set_u64(&rig.t.vmm,
				      VHOST_USER_SET_PROTOCOL_FEATURES,
				      1 << VHOST_USER_PROTOCOL_F_REPLY_ACK),
		     0);
	cr_assert_eq(frontend_get_u64(&rig.t.vmm, VHOST_USER_GET_QUEUE_NUM, &n),
		     0);
	cr_assert_eq(n, SESSIONTEST_QUEUES);
	rig_close();
}

Test(handlers, reads_config_at_any_offset_and_length)
{
	static const struct {
		uint32_t off, size, flags;
		int from; /* or -1: refused */
	} reads[] = {
		{0, 60, 0, 0},		{0, 256, 0, 0},
		{8, 4, 0, 8},		{255, 1, 0, 255},
		{0, 60, 1, 0},		{0, 60, 2, -1},
		{255, 2, 0, -1},	{1, 256, 0, -1},
		{0, 0, 0, 0},		{0x100, 60, 1, 0},
		{0x108, 8, 0, 8},	{0x100, 256, 0, 0},
		{0x101, 256, 0, -1},	{0x200, 1, 0, -1},
		{0xffffffff, 2, 0, -1}, {0xffffff00, 256, 0, -1},
		{0x1ff, 1, 0, 255},
	};
	struct vhost_user_config c;

	rig_open();
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++) {
		uint32_t size = rig_get_config(reads[i].off, reads[i].size,
					       reads[i].flags, &c);

		if (reads[i].from < 0) {
			cr_assert_eq(size, 0, "%zu", i);
			continue;
		}
		cr_assert_eq(size, 12 + reads[i].size, "%zu", i);
		cr_assert_eq(c.offset, reads[i].off);
		cr_assert_eq(c.size, reads[i].size);
		cr_assert_eq(c.flags, reads[i].flags);
		cr_assert_eq(memcmp(c.payload, rig.t.config + reads[i].from,
				    reads[i].size),
			     0);
	}
	rig_close();
}

Test(handlers, writes_config_where_the_device_allows_it)
{
	const uint8_t one = 1;

	rig_open();
	for (uint32_t flags = 0; flags < 2; flags++) {
		rig.t.config[32] = 0;
		cr_assert_eq(frontend_set_config(&rig.t.vmm, 32, &one, 1,
						 flags),
			     0);
		cr_assert_eq(rig.t.config[32], 1);
	}
	cr_assert_eq(frontend_set_config(&rig.t.vmm, 0x120, &one, 1, 1), 0);
	cr_assert_eq(frontend_set_config(&rig.t.vmm, 32, &one, 1, 2),
		     -EREMOTEIO);
	cr_assert_eq(frontend_set_config(&rig.t.vmm, 0, &one, 1, 0),
		     -EREMOTEIO);
	cr_assert_eq(frontend_set_config(&rig.t.vmm, 33, &one, 1, 0),
		     -EREMOTEIO);
	rig_close();
}

Test(handlers, refuses_sizes_that_no_ring_has)
{
	static const uint32_t bad[] = {0,     3,   24,	  512,
				       65536, 257, 32769, 0xffffffff};

	rig_open();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		rig_expect_refused(VHOST_USER_SET_VRING_NUM,
				   &(struct vhost_user_vring_state){0, bad[i]},
				   8);
	rig_expect_refused(VHOST_USER_SET_VRING_BASE,
			   &(struct vhost_user_vring_state){0, 0x10000}, 8);
	for (uint32_t n = 1; n <= 256; n *= 2)
		cr_assert_eq(frontend_set_state(&rig.t.vmm,
						VHOST_USER_SET_VRING_NUM, 0, n),
			     0);
	rig_close();
}

static void tell(uint32_t request, uint32_t num)
{
	cr_assert_eq(frontend_set_state(&rig.t.vmm, request, 0, num), 0,
		     "%u of %u", request, num);
}

static void expect_state_refused(uint32_t request, uint32_t num)
{
	rig_expect_refused(request, &(struct vhost_user_vring_state){0, num},
			   8);
}

static void copy_why(void *arg)
{
	strcpy(arg, rig.t.session->why.text);
}

static void expect_why(const char *why)
{
	char text[sizeof(rig.t.session->why.text)];

	iotest_call(rig.t.home, copy_why, text);
	cr_assert_str_eq(text, why);
}

Test(handlers, names_the_feature_that_was_not_offered)
{
	static const struct {
		unsigned bit;
		const char *why;
	} bits[] = {
		{26, "feature bit 26 (LOG_ALL, for live migration) was not "
		     "offered"},
		{34, "feature bit 34 (RING_PACKED) was not offered; set "
		     "packed: on of the target, or restart the guest without "
		     "them"},
		{35, "feature bit 35 (IN_ORDER) was not offered"},
		{50, "feature bit 50 was not offered"},
	};

	rig_open();
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		uint64_t f = rig.t.vmm.features | 1ULL << bits[i].bit;

		rig_expect_refused(VHOST_USER_SET_FEATURES, &f, 8);
		expect_why(bits[i].why);
	}
	rig_close();
}

Test(handlers, offers_packed_rings_only_where_that_is_configured)
{
	rig.t.packed = true;
	rig_open();
	cr_assert_eq(rig.t.vmm.offered_features,
		     1ULL << 34 | 1ULL << 32 | 1 << 30 | 1 << 29 | 1 << 28 |
			     1 << 27 | 1 << 12 | 1 << 11 | 1 << 9);
	cr_assert_eq(sessiontest_look(&rig.t).accepted,
		     rig.t.vmm.offered_features);
	rig_close();
}

Test(handlers, takes_any_size_for_a_packed_ring)
{
	static const uint32_t bad[] = {0, 257, 32769, 65536 + 3, 0xffffffff};

	rig.t.packed = true;
	rig_open();
	for (uint32_t n = 1; n <= 256; n++)
		tell(VHOST_USER_SET_VRING_NUM, n);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_state_refused(VHOST_USER_SET_VRING_NUM, bad[i]);
	rig_close();
}

/* Who stores it and tells it again gets a ring that works. */
RIG_TEST(handlers, answers_where_a_driver_begins_when_never_told)
{
	unsigned base = 1;

	rig_open();
	cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base), 0);
	cr_assert_eq(base, rig.t.packed ? 0x80008000 : 0);
	rig_close();
}

Test(handlers, takes_both_places_of_a_packed_ring_as_its_base)
{
	static const uint32_t bases[] = {0, 0x8000, 0x80008000, 0x80038003,
					 0xffffffff, 0x12345678};
	unsigned base;

	rig.t.packed = true;
	rig_open();
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		tell(VHOST_USER_SET_VRING_BASE, bases[i]);
		cr_assert_eq(frontend_stop_queue(&rig.t.vmm, &rig.q0, &base),
			     0);
		cr_assert_eq(base, bases[i]);
	}
	rig_close();
}

static void set_features(uint64_t features)
{
	cr_assert_eq(frontend_set_u64(&rig.t.vmm, VHOST_USER_SET_FEATURES,
				      features),
		     0);
}

/* They may be told before the features, which settle it. */
Test(handlers, knows_what_a_split_ring_has_once_that_is_agreed_on)
{
	struct sessiontest workers;

	rig.t.packed = true;
	rig_open();
	set_features(rig.t.vmm.features & ~(1ULL << 34));
	expect_state_refused(VHOST_USER_SET_VRING_NUM, 100);
	expect_why("size 100 is no power of two, as a split ring has it");
	expect_state_refused(VHOST_USER_SET_VRING_BASE, 0x80008000);
	expect_why("0x80008000 is no index into a split ring");

	workers = rig.t;
	sessiontest_leave(&rig.t);
	sessiontest_join(&rig.t, &workers);
	rig_greet();
	tell(VHOST_USER_SET_VRING_NUM, 100);
	tell(VHOST_USER_SET_VRING_BASE, 0x80008000);
	rig_tell_addr();
	rig_share();
	rig_tell_kick();
	set_features(1ULL << 32 | 1ULL << 30);
	rig_tell_enable();
	cr_assert_eq(sessiontest_look(&rig.t).started[0], -EINVAL);
	rig_close();
}
