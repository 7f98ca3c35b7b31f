/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages from any thread to the thread that runs a libev loop. */
#include "run/mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * A stack that posters push to and that the receiver takes as a whole and turns
 * round.  Nobody takes single messages out, so there is no ABA problem.
 */

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	eventfd_t value;

	(void)loop;
	(void)events;
	eventfd_read(io->fd, &value);
	mailbox_deliver(io->data);
}

int mailbox_init(struct mailbox *b, struct ev_loop *loop)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	atomic_init(&b->head, NULL);
	b->loop = loop;
	ev_io_init(&b->io, on_readable, fd, EV_READ);
	b->io.data = b;
	if (fd < 0)
		return -errno;
	ev_io_start(loop, &b->io);
	return 0;
}

void mailbox_fini(struct mailbox *b)
{
	if (b->io.fd < 0)
		return;
	while (mailbox_deliver(b))
		;
	ev_io_stop(b->loop, &b->io);
	close(b->io.fd);
	b->io.fd = -1;
}

void mailbox_post(struct mailbox *b, struct mail *m)
{
	struct mail *head =
		atomic_load_explicit(&b->head, memory_order_relaxed);

	/*
	 * Release: what the poster wrote into the message and what it is about
	 * is there before the message.  Pairs with the exchange in
	 * mailbox_deliver().
	 */
	do {
		m->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->head, &head, m, memory_order_release,
		memory_order_relaxed));

	/* Whoever posted to the empty box has woken the loop already. */
	if (!head)
		eventfd_write(b->io.fd, 1);
}

static struct mail *reverse(struct mail *m)
{
	struct mail *first = NULL;

	while (m) {
		struct mail *next = m->next;

		m->next = first;
		first = m;
		m = next;
	}
	return first;
}

bool mailbox_deliver(struct mailbox *b)
{
	/* A message that is posted meanwhile waits for the next call. */
	struct mail *m = reverse(atomic_exchange_explicit(
		&b->head, NULL, memory_order_acquire));
	bool any = m;

	while (m) {
		struct mail *next = m->next;

		/* The message may be freed or posted again in here. */
		m->deliver(m);
		m = next;
	}
	return any;
}
