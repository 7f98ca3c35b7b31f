/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile front-end and guest of a live target.  The input is a list of
 * actions: a byte that says what, then what that takes.
 *
 *	0-127	a message of that number: a byte with the number of descriptors
 *		(bits 0-3), their kind (4-5) and NEED_REPLY (7), a byte with
 *		the size of the payload, the payload
 *	128	raw bytes: their number, themselves
 *	129	a kick of ring (byte) & 3
 *	130	a write to guest memory: place / 16 (2 bytes), number, bytes
 *	131	read what was answered
 *	132	wait a moment
 *	133	hang up, and connect anew
 *	134	all that it takes to have two running queues
 *	135	a read request in ring (byte) & 1, to begin from
 *
 * Afterwards the target answers the next client, and nothing is left open.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/target.h"
#include "frontend.h"
#include "fuzz.h"
#include "guestblk.h"
#include "vhost/guard.h"

#define MEMORY	 (1u << 20)
#define NR_RINGS 4

/* A target that is not read from does not read, either: go on soon. */
#define PATIENCE_MS 50

enum action {
	RAW = 128,
	KICK,
	POKE,
	READ,
	WAIT,
	RECONNECT,
	RUN,
	REQUEST,
};

struct input {
	const uint8_t *data;
	size_t size;
};

/* What lives as long as the fuzzer does. */
static struct {
	struct config_target config;
	struct worker *worker;
	struct mailbox control;
	struct target *target;
	char socket[64]; /* by way of a descriptor: nothing stays in /tmp */
	int other_fds[3];
	unsigned fds;
} live;

/* The front-end of one input. */
static struct {
	struct frontend f;
	struct guestmem mem;
	struct frontend_queue q[NR_RINGS];
} us;

static void expect(bool promise)
{
	if (!promise)
		abort();
}

/* All but pipes: libFuzzer has some to its symbolizer. */
static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned nr = 0;

	expect(dir != NULL);
	while ((e = readdir(dir))) {
		char to[5] = "";

		if (readlinkat(dirfd(dir), e->d_name, to, 4) > 0)
			nr += strcmp(to, "pipe") != 0;
	}
	closedir(dir);
	return nr;
}

/* -- the target ----------------------------------------------------------- */

static void start_worker(void)
{
	struct worker_params p = {.cpu = -1, .sqpoll_cpu = -1, .io_workers = 4};

	expect(!guard_init());
	mailbox_init(&live.control, ev_loop_new(EVBACKEND_EPOLL));
	expect(!worker_new(&live.worker, &p));
	expect(!worker_start(live.worker));
}

static void target_changed(void *ctx, struct target *t)
{
	(void)ctx;
	(void)t;
}

static void start_target(const char *dir)
{
	static char name[] = "fuzz", path[64];
	struct target_params p = {
		.config = &live.config,
		.workers = &live.worker,
		.nr_workers = 1,
		.control = &live.control,
		.changed = target_changed,
	};

	snprintf(path, sizeof(path), "%s/s", dir);
	live.config = (struct config_target){
		.name = name,
		.backend = {.kind = CONFIG_KIND_MEM,
			    .size = 1 << 20,
			    .discard = true},
		.socket = path,
		.socket_mode = 0600,
		.queues = NR_RINGS,
		.queue_size = 256,
		.seg_max = 126,
		.serial = name,
	};
	expect(!target_new(&live.target, &p));
	target_open(live.target);
	while (target_is_busy(live.target))
		ev_run(live.control.loop, EVRUN_ONCE);
	expect(target_state(live.target) == TARGET_OPEN);
}

/* A socket can be connected to by a descriptor when its name is gone. */
static void hide_socket(const char *dir)
{
	int fd = open(live.config.socket, O_PATH | O_CLOEXEC);

	expect(fd >= 0);
	snprintf(live.socket, sizeof(live.socket), "/proc/self/fd/%d", fd);
	unlink(live.config.socket);
	rmdir(dir);
}

static void probe(void);

static void start(void)
{
	char dir[] = "/tmp/fuzz.XXXXXX";

	if (live.target)
		return;
	log_set(LOG_LEVEL_ERR, 0);
	expect(mkdtemp(dir) != NULL);
	start_worker();
	start_target(dir);
	hide_socket(dir);
	live.other_fds[0] = memfd_create("small", MFD_CLOEXEC);
	live.other_fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	live.other_fds[2] = eventfd(0, EFD_CLOEXEC);
	live.fds = UINT_MAX;
	probe();
	live.fds = count_fds();
}

/* -- the front-end -------------------------------------------------------- */

static void join(int timeout_ms)
{
	frontend_init(&us.f);
	us.f.timeout_ms = timeout_ms;
	expect(!frontend_connect(&us.f, live.socket));
}

/* Whoever was there before has gone, and the next client is served. */
static void probe(void)
{
	uint64_t features;

	join(5000);
	expect(!frontend_get_u64(&us.f, VHOST_USER_GET_FEATURES, &features));
	frontend_close(&us.f);
}

/* Files are closed by another thread, some time after the session's end. */
static void expect_nothing_left(void)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (count_fds() <= live.fds)
			return;
		usleep(1000);
	}
	expect(false);
}

static void come(void)
{
	struct guestring_params p = {.size = 16};

	memset(&us, 0, sizeof(us));
	join(PATIENCE_MS);
	guestmem_init(&us.mem);
	expect(guestmem_add(&us.mem, 0, GUESTMEM_UVA_HOST, MEMORY) == 0);
	for (unsigned i = 0; i < NR_RINGS; i++)
		expect(!frontend_queue_init(&us.q[i], i, &us.mem, &p));
}

static void go(void)
{
	frontend_close(&us.f);
	for (unsigned i = 0; i < NR_RINGS; i++)
		frontend_queue_fini(&us.q[i]);
	guestmem_fini(&us.mem);
}

/* -- actions -------------------------------------------------------------- */

static size_t take(struct input *in, void *to, size_t len)
{
	size_t n = len < in->size ? len : in->size;

	memcpy(to, in->data, n);
	in->data += n;
	in->size -= n;
	return n;
}

static uint8_t take_byte(struct input *in)
{
	uint8_t byte = 0;

	take(in, &byte, 1);
	return byte;
}

static void gather_fds(int *fds, unsigned nr, unsigned kind)
{
	for (unsigned i = 0; i < nr; i++) {
		if (kind == 0)
			fds[i] = us.mem.regions[0].fd;
		else if (kind == 1)
			fds[i] = us.q[i % NR_RINGS].kick;
		else if (kind == 2)
			fds[i] = us.q[i % NR_RINGS].call;
		else
			fds[i] = live.other_fds[i % 3];
	}
}

static void send_message(struct input *in, uint8_t request)
{
	uint8_t how = take_byte(in), size = take_byte(in), payload[255];
	unsigned nr_fds = how & 15;
	int fds[15];

	size = (uint8_t)take(in, payload, size);
	gather_fds(fds, nr_fds, how >> 4 & 3);
	frontend_send(&us.f, request,
		      how & 128 ? VHOST_USER_NEED_REPLY_MASK : 0, payload, size,
		      fds, nr_fds);
}

static void send_bytes(struct input *in)
{
	uint8_t bytes[255];
	size_t len = take(in, bytes, take_byte(in));

	frontend_send_raw(&us.f, bytes, len, live.other_fds, len & 1);
}

static void poke(struct input *in)
{
	uint16_t place = 0;
	uint8_t bytes[255];
	size_t len;

	take(in, &place, sizeof(place));
	len = take(in, bytes, take_byte(in));
	place %= (MEMORY - sizeof(bytes)) / 16;
	memcpy(us.mem.regions[0].host + place * 16, bytes, len);
}

static void read_answers(void)
{
	struct frontend_msg m;

	us.f.timeout_ms = 0;
	while (!frontend_recv(&us.f, us.f.fd, &m))
		frontend_msg_close(&m);
	us.f.timeout_ms = PATIENCE_MS;
}

/* Without acknowledgements nothing here waits for anything. */
static void run_rings(void)
{
	struct frontend_params p = {
		.features = UINT64_MAX,
		.protocol_features = ~(1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK),
	};

	if (frontend_negotiate(&us.f, &p))
		return;
	frontend_share_memory(&us.f, &us.mem);
	for (unsigned i = 0; i < 2; i++)
		frontend_start_queue(&us.f, &us.q[i]);
}

static void post_request(struct input *in)
{
	struct frontend_queue *q = &us.q[take_byte(in) & 1];
	struct guestring_seg segs[3];
	struct guestblk_req r;

	if (guestblk_init(&r, &us.mem, VIRTIO_BLK_T_IN, 0, 4096))
		return;
	if (guestblk_segs(&r, &us.mem, NULL, segs, 3) == 3)
		frontend_submit(q, segs, 3, NULL);
}

static void act(struct input *in)
{
	uint8_t what = take_byte(in);

	switch (what) {
	case RAW:
		send_bytes(in);
		break;
	case KICK:
		frontend_kick(&us.q[take_byte(in) % NR_RINGS]);
		break;
	case POKE:
		poke(in);
		break;
	case READ:
		read_answers();
		break;
	case WAIT:
		usleep(200);
		break;
	case RECONNECT:
		frontend_close(&us.f);
		join(PATIENCE_MS);
		break;
	case RUN:
		run_rings();
		break;
	case REQUEST:
		post_request(in);
		break;
	default:
		send_message(in, what);
		break;
	}
}

int fuzz_session(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	start();
	come();
	while (in.size)
		act(&in);
	go();
	probe();
	expect_nothing_left();
	return 0;
}
