/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads one virtio-blk target: makes requests, checks answers, counts. */
#include "load.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "workload.h"

#define PAGE	    4096
#define RING_MIN    128
#define RING_MAX    32768
#define SEGS	    3  /* header, data, status */
#define TABLE_SEGS  4  /* of a table: one cache line */
#define CONFIG_SIZE 60 /* up to the limits of write zeroes */
#define RETRY_MS    50
#define BIT(n)	    (1ULL << (n))

#define WANTED_FEATURES                                                  \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) | \
	 BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_RO) |              \
	 BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |          \
	 BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_MQ) |             \
	 BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

#define WANTED_PROTOCOL_FEATURES                \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) |        \
	 BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIG))

void load_complain(struct load *l, const char *fmt, ...)
{
	va_list ap;

	if (++l->stats.errors > LOAD_COMPLAINTS)
		return;
	fprintf(stderr, "%s: ", l->path);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (l->stats.errors == LOAD_COMPLAINTS)
		fprintf(stderr, "%s: more errors are only counted\n", l->path);
}

/* Nothing more can be done with this target; what it did still counts. */
static void give_up(struct load *l)
{
	if (l->phase == LOAD_RUN && !l->past_deadline)
		l->stats.run_ticks = l->last_progress - l->run_start;
	l->phase = LOAD_FAILED;
	frontend_close(&l->fe);
}

/* -- set-up -------------------------------------------------------------- */

/*
 * Says that @what did not succeed.  A target that went away again while we were
 * reconnecting is tried once more, and is no error yet.
 */
static int trouble(struct load *l, const char *what, int err)
{
	if (err && !(l->down && err == -ECONNRESET))
		load_complain(l, "%s: %s", what, strerror(-err));
	return err;
}

static int negotiate(struct load *l)
{
	struct frontend_params fp = {
		.features = WANTED_FEATURES,
		.protocol_features = WANTED_PROTOCOL_FEATURES,
		.required = BIT(VIRTIO_F_VERSION_1) |
			    BIT(VHOST_USER_F_PROTOCOL_FEATURES),
		.queues = l->p->queues,
	};
	int ret;

	if (!l->p->no_inflight)
		fp.protocol_features |=
			BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
	if (!l->p->no_indirect)
		fp.features |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (!l->p->no_event_idx)
		fp.features |= BIT(VIRTIO_RING_F_EVENT_IDX);
	if (l->p->packed)
		fp.features |= BIT(VIRTIO_F_RING_PACKED);
	fp.required |= fp.features & BIT(VIRTIO_F_RING_PACKED);
	ret = frontend_negotiate(&l->fe, &fp);
	if (ret != -EOPNOTSUPP)
		return trouble(l, "negotiation", ret);
	if (l->fe.max_queues < l->p->queues)
		load_complain(l, "offers %u queues, not %u", l->fe.max_queues,
			      l->p->queues);
	else
		load_complain(l, "does not offer %s",
			      l->p->packed ? "packed rings" : "VERSION_1");
	return ret;
}

static unsigned ranges_of(const struct load *l,
			  const struct virtio_blk_config *c)
{
	uint32_t sectors = UINT32_MAX;
	uint32_t segs = LOAD_RANGES_MAX;

	if (l->fe.features & BIT(VIRTIO_BLK_F_DISCARD)) {
		sectors = le32toh(c->max_discard_sectors);
		segs = MIN(segs, le32toh(c->max_discard_seg));
	}
	if (l->fe.features & BIT(VIRTIO_BLK_F_WRITE_ZEROES)) {
		sectors = MIN(sectors, le32toh(c->max_write_zeroes_sectors));
		segs = MIN(segs, le32toh(c->max_write_zeroes_seg));
	}
	segs = MIN(segs,
		   l->p->bs / (uint32_t)sizeof(
				      struct virtio_blk_discard_write_zeroes));
	return sectors < l->p->bs / VERIFY_BLOCK ? 0 : segs;
}

/* The disk must be what the load needs, also when it comes back. */
static int read_disk(struct load *l)
{
	struct virtio_blk_config c = {0};
	int ret = frontend_get_config(&l->fe, 0, &c, CONFIG_SIZE);
	uint64_t size = le64toh(c.capacity) * VERIFY_BLOCK;
	uint32_t block = VERIFY_BLOCK;

	if (ret)
		return trouble(l, "configuration", ret);
	if (l->fe.features & BIT(VIRTIO_BLK_F_BLK_SIZE))
		block = MAX(block, le32toh(c.blk_size));
	if (l->p->bs % block) {
		load_complain(l, "needs blocks of %u bytes", block);
		return -EINVAL;
	}
	if (l->fe.features & BIT(VIRTIO_BLK_F_RO) &&
	    (l->p->writes || l->p->verify)) {
		load_complain(l, "is read-only");
		return -EROFS;
	}
	if (l->p->size > size || size < l->p->bs ||
	    (l->nr_chunks && size < l->nr_chunks * l->p->bs)) {
		load_complain(l, "has only %llu bytes",
			      (unsigned long long)size);
		return -ENOSPC;
	}
	if (l->nr_chunks)
		return 0;
	l->max_ranges = ranges_of(l, &c);
	l->features = l->fe.features;
	if (!l->max_ranges)
		l->features &= ~(BIT(VIRTIO_BLK_F_DISCARD) |
				 BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	if (!workload_is_offered(l, l->p->only)) {
		load_complain(l, "offers no %s of %u bytes",
			      workload_type_name(l->p->only), l->p->bs);
		return -EOPNOTSUPP;
	}
	l->nr_chunks = (l->p->size ? l->p->size : size) / l->p->bs;
	return 0;
}

static unsigned ring_size(const struct load *l)
{
	bool indirect = l->features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	unsigned need = l->p->iodepth * (indirect ? 1 : SEGS);
	unsigned size = RING_MIN;

	while (size < need)
		size *= 2;
	return size;
}

static int make_slot(struct load *l, struct load_queue *q, unsigned i)
{
	struct load_slot *s = &q->slots[i];
	int id = guestring_prepare(&q->fq.ring, SEGS);

	if (id < 0)
		return id;
	s->id = (unsigned)id;
	s->index = i;
	s->shared = guestmem_alloc(&l->mem, sizeof(*s->shared), 64);
	s->data = guestmem_alloc(&l->mem, l->p->bs, PAGE);
	if (!s->shared || !s->data)
		return -ENOMEM;
	/* Data that neither compress nor repeat. */
	for (uint32_t at = 0; at < l->p->bs; at += 8) {
		l->random = l->random * 6364136223846793005 + 1;
		memcpy(s->data + at, &l->random, 8);
	}
	q->idle[q->nr_idle++] = i;
	return 0;
}

static int make_queue(struct load *l, unsigned index)
{
	struct load_queue *q = &l->queues[index];
	struct guestring_params rp = {
		.size = ring_size(l),
		.packed = l->features & BIT(VIRTIO_F_RING_PACKED),
		.indirect = l->features & BIT(VIRTIO_RING_F_INDIRECT_DESC),
		.event_idx = l->features & BIT(VIRTIO_RING_F_EVENT_IDX),
		.indirect_max = TABLE_SEGS,
	};
	int ret;

	q->slots = calloc(l->p->iodepth, sizeof(*q->slots));
	q->idle = calloc(l->p->iodepth, sizeof(*q->idle));
	if (!q->slots || !q->idle)
		return -ENOMEM;
	ret = frontend_queue_init(&q->fq, index, &l->mem, &rp);
	for (unsigned i = 0; i < l->p->iodepth && !ret; i++)
		ret = make_slot(l, q, i);
	guestring_disarm(&q->fq.ring);
	return ret;
}

static int make_memory(struct load *l)
{
	uint64_t entry = 64 * TABLE_SEGS; /* of a ring, more than enough */
	uint64_t slot = l->p->bs + 2 * PAGE;
	uint64_t each = ring_size(l) * entry + l->p->iodepth * slot + PAGE;
	int ret;

	ret = guestmem_add(&l->mem, 0, GUESTMEM_UVA_HOST,
			   align_up(l->p->queues * each, PAGE));
	if (ret < 0)
		return ret;
	l->queues = calloc(l->p->queues, sizeof(*l->queues));
	if (!l->queues)
		return -ENOMEM;
	ret = 0;
	for (unsigned i = 0; i < l->p->queues && !ret; i++)
		ret = make_queue(l, i);
	if (ret || !l->p->verify)
		return ret;
	l->busy = calloc(l->nr_chunks / 8 + 1, 1);
	if (!l->busy)
		return -ENOMEM;
	return verify_init(&l->verify, l->nr_chunks * (l->p->bs / VERIFY_BLOCK),
			   (uint32_t)(l->p->seed ^ l->p->seed >> 32));
}

static int get_record(struct load *l)
{
	int ret;

	if (!frontend_has(&l->fe, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	ret = frontend_get_inflight(&l->fe, l->p->queues, ring_size(l),
				    &l->inflight);
	l->is_recorded = !ret;
	return trouble(l, "record of what is in flight", ret);
}

/* Whether a target that was lost gets the rings as they are. */
static bool keeps_rings(const struct load *l)
{
	return l->is_recorded || l->p->keep_rings;
}

static int start_queues(struct load *l)
{
	bool resume = l->down && keeps_rings(l);
	int ret = 0;

	if (l->is_recorded)
		ret = frontend_set_inflight(&l->fe, &l->inflight);
	if (!ret)
		ret = frontend_share_memory(&l->fe, &l->mem);
	for (unsigned i = 0; i < l->p->queues && !ret; i++) {
		struct frontend_queue *fq = &l->queues[i].fq;

		ret = resume ? frontend_resume_queue(&l->fe, fq)
			     : frontend_start_queue(&l->fe, fq);
	}
	return trouble(l, "start of the queues", ret);
}

static int connect_target(struct load *l)
{
	int ret = frontend_connect(&l->fe, l->path);
	pid_t pid;

	if (ret)
		return ret;
	pid = frontend_peer_pid(&l->fe);
	l->pid = pid > 0 ? pid : 0;
	return 0;
}

int load_open(struct load *l, const char *path, const struct load_params *p)
{
	int ret;

	memset(l, 0, sizeof(*l));
	l->p = p;
	l->path = path;
	l->epfd = -1;
	l->inflight.fd = -1;
	for (const char *c = path; *c; c++)
		l->random = (l->random ^ (uint8_t)*c) * 0x100000001b3;
	l->random = (l->random ^ p->seed) * 0x9e3779b97f4a7c15 | 1;
	frontend_init(&l->fe);
	guestmem_init(&l->mem);
	ret = connect_target(l);
	if (ret)
		return trouble(l, "connect", ret);
	ret = negotiate(l);
	if (!ret)
		ret = read_disk(l);
	if (!ret)
		ret = trouble(l, "memory", make_memory(l));
	if (!ret)
		ret = get_record(l);
	return ret ? ret : start_queues(l);
}

/* The target must have come as far as we have, and have nothing more for us. */
static void stop_queue(struct load *l, struct frontend_queue *fq)
{
	struct guestring_used u;
	unsigned base;
	int ret = frontend_stop_queue(&l->fe, fq, &base);

	if (ret)
		load_complain(l, "queue %u does not stop: %s", fq->index,
			      strerror(-ret));
	else if ((base ^ guestring_base(&fq->ring)) & 0xffff)
		load_complain(l, "queue %u stops at %#x, not at %#x", fq->index,
			      base, guestring_base(&fq->ring));
	else if (guestring_pop(&fq->ring, &u))
		load_complain(l, "queue %u has an answer too many", fq->index);
}

void load_close(struct load *l)
{
	for (unsigned i = 0; l->queues && i < l->p->queues; i++) {
		struct load_queue *q = &l->queues[i];

		if (l->phase == LOAD_DONE)
			stop_queue(l, &q->fq);
		frontend_queue_fini(&q->fq);
		free(q->slots);
		free(q->idle);
	}
	frontend_close(&l->fe);
	frontend_inflight_close(&l->inflight);
	free(l->queues);
	free(l->busy);
	l->queues = NULL;
	l->busy = NULL;
	verify_fini(&l->verify);
	guestmem_fini(&l->mem);
}

/* -- calls --------------------------------------------------------------- */

static int watch(int epfd, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events | EPOLLET};

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

int load_watch(struct load *l, int epfd)
{
	int ret = watch(epfd, l->fe.fd, EPOLLRDHUP);

	l->epfd = epfd;
	for (unsigned i = 0; i < l->p->queues && !ret; i++)
		ret = watch(epfd, l->queues[i].fq.call, EPOLLIN);
	return ret;
}

bool load_arm(struct load *l)
{
	bool work = false;

	for (unsigned i = 0; i < l->p->queues; i++)
		work |= guestring_arm(&l->queues[i].fq.ring);
	return work;
}

void load_disarm(struct load *l)
{
	for (unsigned i = 0; i < l->p->queues; i++)
		guestring_disarm(&l->queues[i].fq.ring);
}

/* -- requests ------------------------------------------------------------ */

/* Tells the ring of what the request consists, if it is not as last time. */
static void fill_buffer(struct load *l, struct load_queue *q,
			struct load_slot *s)
{
	uint32_t len = (uint32_t)workload_bytes(l, s);
	struct guestring_seg segs[SEGS];
	unsigned n = 0;

	if (!len && s->nr_chunks)
		len = s->nr_chunks *
		      (uint32_t)sizeof(struct virtio_blk_discard_write_zeroes);
	if (s->filled == ((uint64_t)len << 32 | (s->type + 1)))
		return;
	segs[n++] = (struct guestring_seg){
		.gpa = guestmem_gpa(&l->mem, &s->shared->hdr),
		.len = sizeof(s->shared->hdr),
	};
	if (len)
		segs[n++] = (struct guestring_seg){
			.gpa = guestmem_gpa(&l->mem, s->data),
			.len = len,
			.device_writes = s->type == VIRTIO_BLK_T_IN,
		};
	segs[n++] = (struct guestring_seg){
		.gpa = guestmem_gpa(&l->mem, &s->shared->status),
		.len = 1,
		.device_writes = true,
	};
	guestring_fill(&q->fq.ring, s->id, segs, n);
	s->filled = (uint64_t)len << 32 | (s->type + 1);
}

static void post(struct load_queue *q, struct load_slot *s)
{
	s->shared->status = GUESTBLK_NO_STATUS;
	guestring_post(&q->fq.ring, s->id, s);
}

static void publish(struct load_queue *q)
{
	/* A full eventfd is as good as a kick. */
	if (guestring_publish(&q->fq.ring))
		(void)frontend_kick(&q->fq);
}

/* How many requests the rate allows now. */
static uint64_t allowance(struct load *l, uint64_t now)
{
	uint64_t step;

	if (!l->p->rate || l->phase != LOAD_RUN)
		return UINT64_MAX;
	if (now < l->next_due)
		return 0;
	/* Who was late for more than 0.1 s does not catch up on all of it. */
	if (now - l->next_due > l->p->tick.hz / 10)
		l->next_due = now - l->p->tick.hz / 10;
	step = l->p->tick.hz / l->p->rate;
	return (now - l->next_due) / step + 1;
}

static unsigned submit(struct load *l, struct load_queue *q, uint64_t now)
{
	uint64_t allowed = allowance(l, now);
	unsigned n = 0;

	while (q->nr_idle && n < allowed) {
		struct load_slot *s = &q->slots[q->idle[q->nr_idle - 1]];

		if (!workload_make(l, s))
			break;
		q->nr_idle--;
		fill_buffer(l, q, s);
		s->start = now;
		s->in_flight = true;
		post(q, s);
		n++;
	}
	if (!n)
		return 0;
	if (!l->in_flight)
		l->last_progress = now;
	l->in_flight += n;
	if (l->p->rate)
		l->next_due += n * (l->p->tick.hz / l->p->rate);
	publish(q);
	return n;
}

static void finish(struct load *l, struct load_queue *q, struct load_slot *s,
		   uint64_t now)
{
	s->in_flight = false;
	q->idle[q->nr_idle++] = s->index;
	if (l->phase == LOAD_RUN && !l->past_deadline) {
		histogram_add(&l->stats.lat, now - s->start);
		l->stats.bytes += workload_bytes(l, s);
	}
	workload_judge(l, s);
}

static unsigned reap(struct load *l, struct load_queue *q, uint64_t now)
{
	struct guestring_used u;
	unsigned n = 0;
	int ret;

	while ((ret = guestring_pop(&q->fq.ring, &u)) > 0) {
		finish(l, q, u.token, now);
		n++;
	}
	if (n) {
		l->in_flight -= n;
		l->last_progress = now;
	}
	if (ret < 0) {
		load_complain(l, "returned a buffer that it did not have");
		give_up(l);
	}
	return n;
}

static unsigned next_queue(const struct load *l, unsigned i)
{
	return i + 1 < l->p->queues ? i + 1 : 0;
}

unsigned load_turn(struct load *l, uint64_t now)
{
	unsigned first = l->first_queue;
	unsigned i = first;
	unsigned n = 0;

	if (l->down || l->phase >= LOAD_DONE)
		return 0;
	/* Each is first in its turn: what a rate allows may not do for all. */
	l->first_queue = next_queue(l, first);
	do {
		n += reap(l, &l->queues[i], now);
		n += submit(l, &l->queues[i], now);
		i = next_queue(l, i);
	} while (i != first && l->phase < LOAD_DONE);
	return n;
}

/* -- phases -------------------------------------------------------------- */

static void enter(struct load *l, enum load_phase phase, uint64_t now)
{
	l->phase = phase;
	l->cursor = 0;
	l->last_progress = now;
	if (phase != LOAD_RUN)
		return;
	l->run_start = now;
	/* Many targets are not to be due all at once. */
	l->next_due = now;
	if (l->p->rate)
		l->next_due += l->random % (l->p->tick.hz / l->p->rate);
	l->deadline = now + tick_from_ms(&l->p->tick, l->p->time_ms);
}

void load_start(struct load *l, uint64_t now)
{
	bool fill = l->p->verify && !l->p->writes;

	enter(l, fill ? LOAD_FILL : LOAD_RUN, now);
}

static void next_phase(struct load *l, uint64_t now)
{
	if (l->phase == LOAD_FILL)
		enter(l, LOAD_RUN, now);
	else if (l->phase == LOAD_RUN && l->p->verify)
		enter(l, LOAD_READBACK, now);
	else
		enter(l, LOAD_DONE, now);
}

/* -- a target that goes away --------------------------------------------- */

static void went_away(struct load *l, uint64_t now)
{
	/* What it answered before it went is answered. */
	for (unsigned i = 0; i < l->p->queues && l->phase < LOAD_DONE; i++)
		reap(l, &l->queues[i], now);
	if (l->phase >= LOAD_DONE)
		return;
	if (!l->p->reconnect) {
		load_complain(l, "closed the connection");
		give_up(l);
		return;
	}
	frontend_close(&l->fe);
	l->pid = 0;
	l->down = true;
	l->last_progress = now;
	l->next_try = now;
}

static void post_again(struct load_queue *q, unsigned iodepth)
{
	guestring_reset(&q->fq.ring);
	guestring_disarm(&q->fq.ring);
	for (unsigned i = 0; i < iodepth; i++)
		if (q->slots[i].in_flight)
			post(q, &q->slots[i]);
}

static bool offers_less(const struct load *l)
{
	return l->features & ~l->fe.features ||
	       (l->is_recorded &&
		!frontend_has(&l->fe, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD));
}

static int set_up_again(struct load *l)
{
	int ret = negotiate(l);

	if (!ret && offers_less(l)) {
		load_complain(l, "offers less than before");
		ret = -EOPNOTSUPP;
	}
	if (!ret)
		ret = read_disk(l);
	for (unsigned i = 0; i < l->p->queues && !ret; i++)
		if (!keeps_rings(l))
			post_again(&l->queues[i], l->p->iodepth);
	if (!ret)
		ret = start_queues(l);
	if (!ret && l->epfd >= 0)
		ret = watch(l->epfd, l->fe.fd, EPOLLRDHUP);
	return ret;
}

static void try_again(struct load *l, uint64_t now)
{
	int ret;

	if (now < l->next_try)
		return;
	l->next_try = now + tick_from_ms(&l->p->tick, RETRY_MS);
	if (connect_target(l))
		return;
	ret = set_up_again(l);
	if (ret == -ECONNRESET) {
		frontend_close(&l->fe);
		return;
	}
	if (ret) {
		give_up(l);
		return;
	}
	l->down = false;
	l->stats.reconnects++;
	l->last_progress = now;
	for (unsigned i = 0; i < l->p->queues; i++)
		publish(&l->queues[i]);
}

bool load_check(struct load *l, uint64_t now, enum load_stop stop)
{
	l->stop = stop;
	if (l->phase >= LOAD_DONE)
		return false;
	if (l->phase == LOAD_RUN && !l->past_deadline &&
	    (now >= l->deadline || stop != LOAD_GO_ON)) {
		l->past_deadline = true;
		l->stats.run_ticks = now - l->run_start;
	}
	if (l->down)
		try_again(l, now);
	else if (frontend_is_gone(&l->fe))
		went_away(l, now);
	if (l->phase >= LOAD_DONE)
		return false;
	if ((l->in_flight || l->down) &&
	    now - l->last_progress >
		    tick_from_ms(&l->p->tick, LOAD_PROGRESS_S * 1000)) {
		load_complain(l, "no answer for %d s, %u requests in flight",
			      LOAD_PROGRESS_S, l->in_flight);
		give_up(l);
	} else if (!l->in_flight && !l->down && workload_is_over(l)) {
		next_phase(l, now);
	}
	return l->phase < LOAD_DONE;
}
