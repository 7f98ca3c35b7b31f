/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hostile VMM shares as memory, and takes away. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "base/util.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)

TestSuite(attacks_memory, .init = attack_suite_begin,
	  .fini = attack_suite_end);

/* -- memory ---------------------------------------------------------------- */

struct table_case {
	const char *what;
	unsigned nr;
	struct vhost_user_mem_region r[9];
};

/* The file has 1 MiB. */
static const struct table_case tables[] = {
	{"size 0", 1, {{0, 0, PAGE, 0}}},
	{"half of everything", 1, {{0, 1ULL << 63, PAGE, 0}}},
	{"a gap of one byte below everything", 1, {{0, UINT64_MAX, PAGE, 0}}},
	{"offset and size wrap", 1, {{0, MIB, PAGE, UINT64_MAX - PAGE + 1}}},
	{"guest address and size wrap", 1, {{UINT64_MAX - PAGE, MIB, PAGE, 0}}},
	{"user address and size wrap", 1, {{0, MIB, UINT64_MAX - PAGE, 0}}},
	{"beyond the file", 1, {{0, MIB, PAGE, PAGE}}},
	{"far beyond the file", 1, {{0, PAGE, PAGE, 1ULL << 40}}},
	{"a byte too long", 1, {{0, MIB + 1, PAGE, 0}}},
	{"the same guest addresses twice",
	 2,
	 {{0, MIB, MIB, 0}, {MIB - PAGE, MIB, 4 * MIB, 0}}},
	{"the same user addresses twice",
	 2,
	 {{0, MIB, MIB, 0}, {4 * MIB, MIB, 2 * MIB - PAGE, 0}}},
	{"nine regions",
	 9,
	 {{0, PAGE, 0x100000, 0},
	  {0x10000, PAGE, 0x110000, 0},
	  {0x20000, PAGE, 0x120000, 0},
	  {0x30000, PAGE, 0x130000, 0},
	  {0x40000, PAGE, 0x140000, 0},
	  {0x50000, PAGE, 0x150000, 0},
	  {0x60000, PAGE, 0x160000, 0},
	  {0x70000, PAGE, 0x170000, 0},
	  {0x80000, PAGE, 0x180000, 0}}},
};

static enum attack_reply send_table(const struct vhost_user_mem_region *r,
				    unsigned nr, const int *fds)
{
	struct {
		uint32_t nr, padding;
		struct vhost_user_mem_region r[9];
	} t = {.nr = nr};

	if (nr)
		memcpy(t.r, r, nr * sizeof(*r));
	return attack_send(&attack.g.f, VHOST_USER_SET_MEM_TABLE, &t,
			   8 + nr * sizeof(*r), fds, nr);
}

static enum attack_reply
send_region(uint32_t id, const struct vhost_user_mem_region *r, const int *fds)
{
	struct vhost_user_single_mem_region one = {.region = *r};

	return attack_send(&attack.g.f, id, &one, sizeof(one), fds,
			   fds ? 1 : 0);
}

/* What was refused changes nothing: the rings go on in the old memory. */
Test(attacks_memory, memory_tables_while_rings_run)
{
	int fds[9];

	for (unsigned i = 0; i < 9; i++)
		fds[i] = attack_make_file(MIB);
	attack.fds += 9;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		const struct table_case *c = &tables[i];
		enum attack_reply reply;

		attack_come(&attack);
		reply = send_table(c->r, c->nr, fds);
		attack_expect_no(reply, c->what, i);
		if (reply == ATTACK_REFUSED)
			attack_works(&attack, 0, c->what, i);
		attack_go(&attack, c->what, i);
	}
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
	attack.fds -= 9;
}

Test(attacks_memory, single_regions_while_rings_run)
{
	int fd = attack_make_file(MIB);

	attack.fds++;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		struct vhost_user_mem_region r = tables[i].r[0];
		enum attack_reply reply;

		if (tables[i].nr > 1)
			continue;
		attack_come(&attack);
		reply = send_region(VHOST_USER_ADD_MEM_REG, &r, &fd);
		attack_expect_no(reply, tables[i].what, i);
		if (reply == ATTACK_REFUSED)
			attack_works(&attack, 0, tables[i].what, i);
		/* And one that was never added cannot go. */
		if (reply == ATTACK_REFUSED)
			attack_expect(ATTACK_REFUSED,
				      send_region(VHOST_USER_REM_MEM_REG, &r,
						  NULL),
				      tables[i].what, i);
		attack_go(&attack, tables[i].what, i);
	}
	close(fd);
	attack.fds--;
}

/* All slots there are, and one more; all from one descriptor. */
Test(attacks_memory, more_regions_than_there_are_slots)
{
	int fd = attack_make_file(PAGE);
	uint64_t slots;
	struct vhost_user_mem_region r = {.size = PAGE};

	attack.fds++;
	attack_come(&attack);
	cr_assert_eq(frontend_get_u64(&attack.g.f, VHOST_USER_GET_MAX_MEM_SLOTS,
				      &slots),
		     0);
	for (unsigned i = 1; i < slots; i++) {
		r.guest_addr = r.user_addr = 1ULL << 48 | i * PAGE;
		attack_expect(ATTACK_ACCEPTED,
			      send_region(VHOST_USER_ADD_MEM_REG, &r, &fd),
			      "slot", i);
	}
	r.guest_addr = r.user_addr = 1ULL << 49;
	attack_expect(ATTACK_REFUSED,
		      send_region(VHOST_USER_ADD_MEM_REG, &r, &fd), "slot",
		      (unsigned)slots);
	attack_works(&attack, 0, "slots", 0);
	/* A part of a region, and with a wrong address. */
	r.guest_addr = r.user_addr = 1ULL << 48 | PAGE;
	r.size = PAGE / 2;
	attack_expect(ATTACK_REFUSED,
		      send_region(VHOST_USER_REM_MEM_REG, &r, NULL), "part", 0);
	r.size = PAGE;
	r.user_addr++;
	attack_expect(ATTACK_REFUSED,
		      send_region(VHOST_USER_REM_MEM_REG, &r, NULL), "address",
		      0);
	r.user_addr--;
	attack_expect(ATTACK_ACCEPTED,
		      send_region(VHOST_USER_REM_MEM_REG, &r, NULL), "slot", 1);
	attack_go(&attack, "slots", 0);
	close(fd);
	attack.fds--;
}

/* The memory of running rings goes away, properly announced. */
Test(attacks_memory, memory_taken_from_running_rings)
{
	struct vhost_user_mem_region r;

	for (unsigned i = 0; i < 2; i++) {
		struct guestmem_region *mine;
		enum attack_reply reply;

		attack_come(&attack);
		mine = &attack.g.mem.regions[0];
		r = (struct vhost_user_mem_region){mine->gpa, mine->size,
						   mine->uva, 0};
		attack_works(&attack, 0, "memory", i);
		if (i)
			reply = send_region(VHOST_USER_REM_MEM_REG, &r, NULL);
		else
			reply = send_table(NULL, 0, NULL);
		cr_assert_neq(reply, ATTACK_SILENT);
		frontend_kick(&attack.g.q[0]);
		frontend_kick(&attack.g.q[1]);
		attack_check(&attack, "memory", i);
		attack_go(&attack, "memory", i);
	}
}

Test(attacks_memory, memory_files_of_any_kind)
{
	int pipes[2], sockets[2], fds[12];
	unsigned nr = 0;
	struct vhost_user_mem_region r = {1ULL << 48, PAGE, 1ULL << 48, 0};
	char path[] = "/tmp/attack.XXXXXX";

	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	fds[nr++] = open("/", O_RDONLY | O_DIRECTORY);
	fds[nr++] = open("/dev/null", O_RDWR);
	fds[nr++] = open("/dev/zero", O_RDWR);
	fds[nr++] = open("/", O_PATH);
	fds[nr++] = mkstemp(path);
	fds[nr++] = eventfd(0, 0);
	fds[nr++] = epoll_create1(0);
	fds[nr++] = pipes[0];
	fds[nr++] = pipes[1];
	fds[nr++] = sockets[0];
	/* A memory file that may not be written to. */
	fds[nr++] = attack_make_file(MIB);
	cr_assert_eq(fcntl(fds[nr - 1], F_ADD_SEALS, F_SEAL_WRITE), 0);
	unlink(path);
	attack.fds += nr + 1;
	for (unsigned i = 0; i < nr; i++) {
		cr_assert_geq(fds[i], 0);
		attack_come(&attack);
		attack_expect(ATTACK_REFUSED,
			      send_region(VHOST_USER_ADD_MEM_REG, &r, &fds[i]),
			      "kind of memory", i);
		attack_works(&attack, 0, "kind of memory", i);
		attack_go(&attack, "kind of memory", i);
	}
	attack.fds -= nr + 1;
	for (unsigned i = 0; i < nr; i++)
		close(fds[i]);
	close(sockets[1]);
}

/* The CPU meets it as SIGBUS, the kernel as EFAULT; only this guest does. */
Test(attacks_memory, memory_that_is_truncated_in_use)
{
	static const off_t left[] = {0, PAGE, TESTTARGET_MEM / 2};

	for (unsigned i = 0; i < 12; i++) {
		struct guestring_seg seg[3];
		struct guestblk_req r;

		attack_come(&attack);
		cr_assert_eq(guestblk_init(&r, &attack.g.mem, VIRTIO_BLK_T_IN,
					   0, 512 * 1024),
			     0);
		cr_assert_eq(guestblk_segs(&r, &attack.g.mem, NULL, seg, 3), 3);
		for (unsigned n = 0; n < 32; n++)
			frontend_submit(&attack.g.q[n % 2], seg, 3, NULL);
		usleep(i * 20);
		/* We may not look at it any more ourselves. */
		cr_assert_eq(ftruncate(attack.g.mem.regions[0].fd, left[i % 3]),
			     0);
		frontend_kick(&attack.g.q[0]);
		frontend_kick(&attack.g.q[1]);
		attack_check(&attack, "truncated", i);
		attack_go(&attack, "truncated", i);
	}
}
