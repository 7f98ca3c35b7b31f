/* SPDX-License-Identifier: BSD-2-Clause */
/* Plays the VMM: the front-end's side of the vhost-user protocol. */
#include "frontend.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define SCM_MAX_FD 253

void frontend_init(struct frontend *f)
{
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	f->backend_fd = -1;
	f->timeout_ms = FRONTEND_TIMEOUT_MS;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void frontend_close(struct frontend *f)
{
	close_fd(&f->fd);
	close_fd(&f->backend_fd);
}

void frontend_attach(struct frontend *f, int fd)
{
	frontend_close(f);
	f->fd = fd;
	f->features = 0;
	f->protocol_features = 0;
}

int frontend_connect(struct frontend *f, const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		err = -errno;
		close(fd);
		return err;
	}
	frontend_attach(f, fd);
	return 0;
}

pid_t frontend_peer_pid(const struct frontend *f)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(f->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	return cred.pid;
}

bool frontend_is_gone(const struct frontend *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLRDHUP};

	return f->fd < 0 || poll(&p, 1, 0) == 1;
}

/* -- one message --------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Waits until @fd is ready for @events: 0, -ETIMEDOUT or -errno. */
static int wait_fd(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline_ms - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static void attach_fds(struct msghdr *mh, void *room, const int *fds,
		       unsigned nr_fds)
{
	struct cmsghdr *c;

	if (!nr_fds)
		return;
	mh->msg_control = room;
	mh->msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
}

int frontend_send_raw(struct frontend *f, const void *buf, size_t len,
		      const int *fds, unsigned nr_fds)
{
	_Alignas(
		struct cmsghdr) char room[CMSG_SPACE(SCM_MAX_FD * sizeof(int))];
	int64_t deadline = now_ms() + f->timeout_ms;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};

	if (nr_fds > SCM_MAX_FD)
		return -EINVAL;
	memset(room, 0, sizeof(room));
	while (iov.iov_len) {
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;
		int ret;

		attach_fds(&mh, room, fds, nr_fds);
		n = sendmsg(f->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == EPIPE ? -ECONNRESET : -errno;
		if (n > 0) {
			iov.iov_base = (char *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
			nr_fds = 0;
			continue;
		}
		ret = wait_fd(f->fd, POLLOUT, deadline);
		if (ret)
			return ret;
	}
	return 0;
}

int frontend_send(struct frontend *f, uint32_t request, uint32_t flags,
		  const void *payload, size_t size, const int *fds,
		  unsigned nr_fds)
{
	struct vhost_user_header hdr = {
		.request = request,
		.flags = VHOST_USER_VERSION | flags,
		.size = (uint32_t)size,
	};
	uint8_t buf[sizeof(hdr) + FRONTEND_PAYLOAD_MAX];

	if (size > FRONTEND_PAYLOAD_MAX)
		return -EINVAL;
	/* One write, so that the descriptors are read with the header. */
	memcpy(buf, &hdr, sizeof(hdr));
	if (size)
		memcpy(buf + sizeof(hdr), payload, size);
	return frontend_send_raw(f, buf, sizeof(hdr) + size, fds, nr_fds);
}

static void take_fds(struct msghdr *mh, struct frontend_msg *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&m->fds[m->nr_fds], CMSG_DATA(c), bytes);
		m->nr_fds += (unsigned)(bytes / sizeof(int));
	}
}

/* Reads exactly @len bytes, and the descriptors that come with the first. */
static int recv_exactly(int fd, void *buf, size_t len, int64_t deadline,
			struct frontend_msg *m)
{
	_Alignas(struct cmsghdr) char
		room[CMSG_SPACE(FRONTEND_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = len};

	while (iov.iov_len) {
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;
		int ret = wait_fd(fd, POLLIN, deadline);

		if (ret)
			return ret;
		if (!m->nr_fds) {
			mh.msg_control = room;
			mh.msg_controllen = sizeof(room);
		}
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		take_fds(&mh, m);
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
	}
	return 0;
}

int frontend_recv(struct frontend *f, int fd, struct frontend_msg *m)
{
	int64_t deadline = now_ms() + f->timeout_ms;
	int ret;

	m->nr_fds = 0;
	ret = recv_exactly(fd, &m->hdr, sizeof(m->hdr), deadline, m);
	if (!ret && m->hdr.size > sizeof(m->payload))
		ret = -EPROTO;
	if (!ret)
		ret = recv_exactly(fd, &m->payload, m->hdr.size, deadline, m);
	if (ret)
		frontend_msg_close(m);
	return ret;
}

void frontend_msg_close(struct frontend_msg *m)
{
	while (m->nr_fds)
		close(m->fds[--m->nr_fds]);
}

/* -- question and answer ------------------------------------------------- */

bool frontend_has(const struct frontend *f, unsigned bit)
{
	return f->protocol_features >> bit & 1;
}

/* Reads the answer to @request. */
static int recv_reply(struct frontend *f, uint32_t request,
		      struct frontend_msg *m)
{
	int ret = frontend_recv(f, f->fd, m);

	if (ret)
		return ret;
	if (m->hdr.request == request &&
	    m->hdr.flags == (VHOST_USER_VERSION | VHOST_USER_REPLY_MASK))
		return 0;
	frontend_msg_close(m);
	return -EPROTO;
}

int frontend_set(struct frontend *f, uint32_t request, const void *payload,
		 size_t size, const int *fds, unsigned nr_fds)
{
	bool ack = frontend_has(f, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	struct frontend_msg m;
	int ret;

	ret = frontend_send(f, request, ack ? VHOST_USER_NEED_REPLY_MASK : 0,
			    payload, size, fds, nr_fds);
	if (ret || !ack)
		return ret;
	ret = recv_reply(f, request, &m);
	if (ret)
		return ret;
	frontend_msg_close(&m);
	if (m.hdr.size != sizeof(uint64_t))
		return -EPROTO;
	return m.payload.u64 ? -EREMOTEIO : 0;
}

int frontend_set_u64(struct frontend *f, uint32_t request, uint64_t value)
{
	return frontend_set(f, request, &value, sizeof(value), NULL, 0);
}

int frontend_set_state(struct frontend *f, uint32_t request, unsigned index,
		       unsigned num)
{
	struct vhost_user_vring_state s = {.index = index, .num = num};

	return frontend_set(f, request, &s, sizeof(s), NULL, 0);
}

int frontend_get(struct frontend *f, uint32_t request, const void *payload,
		 size_t size, struct frontend_msg *m)
{
	int ret = frontend_send(f, request, 0, payload, size, NULL, 0);

	return ret ? ret : recv_reply(f, request, m);
}

int frontend_get_u64(struct frontend *f, uint32_t request, uint64_t *value)
{
	struct frontend_msg m;
	int ret = frontend_get(f, request, NULL, 0, &m);

	if (ret)
		return ret;
	frontend_msg_close(&m);
	if (m.hdr.size != sizeof(uint64_t))
		return -EPROTO;
	*value = m.payload.u64;
	return 0;
}

/* -- a well-behaved VMM -------------------------------------------------- */

static int negotiate_protocol(struct frontend *f,
			      const struct frontend_params *p)
{
	uint64_t queues = 1;
	int ret;

	f->max_queues = 1;
	if (!(f->offered_features & p->features &
	      1ULL << VHOST_USER_F_PROTOCOL_FEATURES))
		return 0;
	ret = frontend_get_u64(f, VHOST_USER_GET_PROTOCOL_FEATURES,
			       &f->offered_protocol_features);
	if (ret)
		return ret;
	/* Of no effect on this very message: it may not want an ack yet. */
	ret = frontend_set_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES,
			       f->offered_protocol_features &
				       p->protocol_features);
	if (ret)
		return ret;
	f->protocol_features =
		f->offered_protocol_features & p->protocol_features;
	if (frontend_has(f, VHOST_USER_PROTOCOL_F_MQ))
		ret = frontend_get_u64(f, VHOST_USER_GET_QUEUE_NUM, &queues);
	f->max_queues = (unsigned)queues;
	return ret;
}

int frontend_negotiate(struct frontend *f, const struct frontend_params *p)
{
	int ret;

	f->protocol_features = 0;
	ret = frontend_set(f, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
	if (!ret)
		ret = frontend_get_u64(f, VHOST_USER_GET_FEATURES,
				       &f->offered_features);
	if (!ret)
		ret = negotiate_protocol(f, p);
	if (ret)
		return ret;
	if ((f->offered_features & p->required) != p->required ||
	    f->max_queues < p->queues)
		return -EOPNOTSUPP;
	f->features = f->offered_features & p->features;
	return frontend_set_u64(f, VHOST_USER_SET_FEATURES, f->features);
}

/* With GPA_ADDRESSES what goes over the wire are guest addresses. */
static uint64_t wire_addr(const struct frontend *f, const struct guestmem *m,
			  const void *ptr)
{
	return frontend_has(f, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES)
		       ? guestmem_gpa(m, ptr)
		       : guestmem_uva(m, ptr);
}

static struct vhost_user_mem_region wire_region(const struct frontend *f,
						const struct guestmem_region *r)
{
	return (struct vhost_user_mem_region){
		.guest_addr = r->gpa,
		.size = r->size,
		.user_addr =
			frontend_has(f, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES)
				? r->gpa
				: r->uva,
		.mmap_offset = r->fd_offset,
	};
}

int frontend_add_region(struct frontend *f, const struct guestmem_region *r)
{
	struct vhost_user_single_mem_region one = {
		.region = wire_region(f, r),
	};

	return frontend_set(f, VHOST_USER_ADD_MEM_REG, &one, sizeof(one),
			    &r->fd, 1);
}

int frontend_remove_region(struct frontend *f, const struct guestmem_region *r)
{
	struct vhost_user_single_mem_region one = {
		.region = wire_region(f, r),
	};

	return frontend_set(f, VHOST_USER_REM_MEM_REG, &one, sizeof(one), NULL,
			    0);
}

int frontend_share_memory(struct frontend *f, const struct guestmem *m)
{
	struct vhost_user_mem_table t = {.nr_regions = m->nr_regions};
	int fds[VHOST_USER_MEM_REGIONS_MAX];
	int ret = 0;

	if (m->nr_regions > VHOST_USER_MEM_REGIONS_MAX) {
		for (unsigned i = 0; i < m->nr_regions && !ret; i++)
			ret = frontend_add_region(f, &m->regions[i]);
		return ret;
	}
	for (unsigned i = 0; i < m->nr_regions; i++) {
		t.regions[i] = wire_region(f, &m->regions[i]);
		fds[i] = m->regions[i].fd;
	}
	return frontend_set(f, VHOST_USER_SET_MEM_TABLE, &t,
			    offsetof(struct vhost_user_mem_table, regions) +
				    m->nr_regions * sizeof(t.regions[0]),
			    fds, m->nr_regions);
}

int frontend_get_config(struct frontend *f, unsigned offset, void *buf,
			unsigned size)
{
	struct vhost_user_config c = {.offset = offset, .size = size};
	struct frontend_msg m;
	int ret;

	if (size > sizeof(c.payload))
		return -EINVAL;
	if (!frontend_has(f, VHOST_USER_PROTOCOL_F_CONFIG))
		return -EOPNOTSUPP;
	ret = frontend_get(f, VHOST_USER_GET_CONFIG, &c,
			   VHOST_USER_CONFIG_HEADER_SIZE + size, &m);
	if (ret)
		return ret;
	frontend_msg_close(&m);
	if (!m.hdr.size)
		return -EREMOTEIO;
	if (m.hdr.size != VHOST_USER_CONFIG_HEADER_SIZE + size)
		return -EPROTO;
	memcpy(buf, m.payload.config.payload, size);
	return 0;
}

int frontend_set_config(struct frontend *f, unsigned offset, const void *buf,
			unsigned size, uint32_t flags)
{
	struct vhost_user_config c = {
		.offset = offset,
		.size = size,
		.flags = flags,
	};

	if (size > sizeof(c.payload))
		return -EINVAL;
	memcpy(c.payload, buf, size);
	return frontend_set(f, VHOST_USER_SET_CONFIG, &c,
			    VHOST_USER_CONFIG_HEADER_SIZE + size, NULL, 0);
}

/* The child shares our descriptors, and so leaves the sockets to us. */
int frontend_socketpair(int type, int sv[2])
{
	int status, result[2];
	pid_t pid;

	if (pipe(result))
		return -errno;
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sv))
			_exit(errno);
		_exit(write(result[1], sv, 2 * sizeof(sv[0])) < 0 ? EIO : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		status = errno << 8;
	if (status == 0 && read(result[0], sv, 2 * sizeof(sv[0])) < 0)
		status = EIO << 8;
	close(result[0]);
	close(result[1]);
	return -(status >> 8);
}

int frontend_open_backend_channel(struct frontend *f)
{
	int sv[2], ret = frontend_socketpair(SOCK_STREAM, sv);

	if (ret)
		return ret;
	ret = frontend_set(f, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &sv[1],
			   1);
	close(sv[1]);
	close_fd(&f->backend_fd);
	if (ret)
		close(sv[0]);
	else
		f->backend_fd = sv[0];
	return ret;
}

/* -- the record of what is in flight ------------------------------------- */

int frontend_get_inflight(struct frontend *f, unsigned queues,
			  unsigned queue_size, struct frontend_inflight *i)
{
	struct vhost_user_inflight ask = {
		.num_queues = (uint16_t)queues,
		.queue_size = (uint16_t)queue_size,
	};
	struct frontend_msg m;
	int ret;

	if (!frontend_has(f, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return -EOPNOTSUPP;
	ret = frontend_get(f, VHOST_USER_GET_INFLIGHT_FD, &ask, sizeof(ask),
			   &m);
	if (ret)
		return ret;
	if (m.hdr.size != sizeof(ask))
		ret = -EPROTO;
	else if (!m.payload.inflight.mmap_size)
		ret = -EREMOTEIO;
	else if (m.nr_fds != 1)
		ret = -EPROTO;
	if (ret) {
		frontend_msg_close(&m);
		return ret;
	}
	i->where = m.payload.inflight;
	i->where.num_queues = ask.num_queues;
	i->where.queue_size = ask.queue_size;
	i->fd = m.fds[0];
	return 0;
}

int frontend_set_inflight(struct frontend *f, const struct frontend_inflight *i)
{
	return frontend_set(f, VHOST_USER_SET_INFLIGHT_FD, &i->where,
			    sizeof(i->where), &i->fd, 1);
}

void frontend_inflight_close(struct frontend_inflight *i)
{
	close_fd(&i->fd);
}

/* -- queues -------------------------------------------------------------- */

int frontend_queue_init(struct frontend_queue *q, unsigned index,
			struct guestmem *mem, const struct guestring_params *p)
{
	int ret;

	memset(q, 0, sizeof(*q));
	q->index = index;
	q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick < 0 || q->call < 0 || q->err < 0)
		ret = -EMFILE;
	else
		ret = guestring_init(&q->ring, mem, p);
	if (ret)
		frontend_queue_fini(q);
	return ret;
}

void frontend_queue_fini(struct frontend_queue *q)
{
	/* A zeroed queue has none. */
	if (q->kick > 0)
		close(q->kick);
	if (q->call > 0)
		close(q->call);
	if (q->err > 0)
		close(q->err);
	guestring_fini(&q->ring);
	memset(q, 0, sizeof(*q));
}

int frontend_set_vring_addr(struct frontend *f, const struct frontend_queue *q,
			    uint32_t flags)
{
	const struct guestmem *mem = q->ring.mem;
	struct vhost_user_vring_addr a = {.index = q->index, .flags = flags};
	const void *desc, *device, *driver;

	guestring_areas(&q->ring, &desc, &device, &driver);
	a.desc = wire_addr(f, mem, desc);
	a.used = wire_addr(f, mem, device);
	a.avail = wire_addr(f, mem, driver);
	/* Of a packed ring it is the descriptors that the device writes. */
	a.log = guestmem_gpa(mem, q->ring.packed ? desc : device);
	return frontend_set(f, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), NULL,
			    0);
}

int frontend_set_vring_fd(struct frontend *f, uint32_t request, unsigned index,
			  int fd)
{
	uint64_t u64 = index | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);

	return frontend_set(f, request, &u64, sizeof(u64), &fd, fd >= 0);
}

static int start_at(struct frontend *f, const struct frontend_queue *q,
		    uint32_t base)
{
	unsigned i = q->index;
	int ret;

	ret = frontend_set_state(f, VHOST_USER_SET_VRING_NUM, i, q->ring.size);
	if (!ret)
		ret = frontend_set_state(f, VHOST_USER_SET_VRING_BASE, i, base);
	if (!ret)
		ret = frontend_set_vring_addr(f, q, 0);
	if (!ret)
		ret = frontend_set_vring_fd(f, VHOST_USER_SET_VRING_ERR, i,
					    q->err);
	if (!ret)
		ret = frontend_set_vring_fd(f, VHOST_USER_SET_VRING_KICK, i,
					    q->kick);
	if (!ret)
		ret = frontend_set_vring_fd(f, VHOST_USER_SET_VRING_CALL, i,
					    q->call);
	/* Without protocol features the queue is enabled from the start. */
	if (!ret && f->features & 1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
		ret = frontend_set_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	return ret;
}

int frontend_start_queue(struct frontend *f, struct frontend_queue *q)
{
	q->base = guestring_base(&q->ring);
	return start_at(f, q, q->base);
}

int frontend_resume_queue(struct frontend *f, struct frontend_queue *q)
{
	int ret;

	if (!q->ring.packed)
		q->base = le16toh(q->ring.vring.used->idx);
	ret = start_at(f, q, q->base);
	return ret ? ret : frontend_kick(q);
}

int frontend_stop_queue(struct frontend *f, const struct frontend_queue *q,
			unsigned *base)
{
	struct vhost_user_vring_state s = {.index = q->index};
	struct frontend_msg m;
	int ret = frontend_get(f, VHOST_USER_GET_VRING_BASE, &s, sizeof(s), &m);

	if (ret)
		return ret;
	frontend_msg_close(&m);
	if (m.hdr.size != sizeof(s) || m.payload.state.index != q->index)
		return -EPROTO;
	if (base)
		*base = m.payload.state.num;
	return 0;
}

int frontend_kick(const struct frontend_queue *q)
{
	return eventfd_write(q->kick, 1) ? -errno : 0;
}

int frontend_submit(struct frontend_queue *q, const struct guestring_seg *segs,
		    unsigned nr_segs, void *token)
{
	int id = guestring_add(&q->ring, segs, nr_segs, token);
	int ret = 0;

	if (id < 0)
		return id;
	if (guestring_publish(&q->ring))
		ret = frontend_kick(q);
	return ret ? ret : id;
}

int frontend_wait(struct frontend_queue *q, struct guestring_used *u,
		  int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		eventfd_t count;
		int ret = guestring_pop(&q->ring, u);

		if (ret)
			return ret < 0 ? ret : 0;
		if (guestring_arm(&q->ring))
			continue;
		ret = wait_fd(q->call, POLLIN, deadline);
		if (ret)
			return ret;
		(void)eventfd_read(q->call, &count);
	}
}
