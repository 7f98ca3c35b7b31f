/* SPDX-License-Identifier: BSD-2-Clause */
/* run/mailbox: order, wakes, what is posted meanwhile. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/util.h"
#include "run/mailbox.h"

#define NR_POSTERS 4
#define NR_MAILS   5000

struct letter {
	struct mail mail;
	unsigned poster;
	unsigned n;
};

static struct ev_loop *loop;
static struct mailbox box;
static unsigned next_of[NR_POSTERS];
static unsigned delivered;

static void setup(void)
{
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	cr_assert_eq(mailbox_init(&box, loop), 0);
}

static void teardown(void)
{
	mailbox_fini(&box);
	ev_loop_destroy(loop);
}

TestSuite(mailbox, .init = setup, .fini = teardown);

static void deliver(struct mail *m)
{
	struct letter *l = container_of(m, struct letter, mail);

	cr_assert_eq(l->n, next_of[l->poster]);
	next_of[l->poster]++;
	delivered++;
}

static void post(struct letter *l, unsigned n)
{
	*l = (struct letter){.mail = {.deliver = deliver}, .n = n};
	mailbox_post(&box, &l->mail);
}

Test(mailbox, delivers_in_the_order_of_posting)
{
	struct letter l[3];

	for (unsigned i = 0; i < 3; i++)
		post(&l[i], i);
	cr_assert(mailbox_has_mail(&box));
	cr_assert(mailbox_deliver(&box));
	cr_assert_eq(delivered, 3);
	cr_assert_not(mailbox_has_mail(&box));
	cr_assert_not(mailbox_deliver(&box));
}

static void post_again(struct mail *m)
{
	if (++delivered < 2)
		mailbox_post(&box, m);
}

Test(mailbox, leaves_what_is_posted_meanwhile_for_the_next_call)
{
	struct mail m = {.deliver = post_again};

	mailbox_post(&box, &m);
	cr_assert(mailbox_deliver(&box));
	cr_assert_eq(delivered, 1);
	cr_assert(mailbox_has_mail(&box));
	ev_run(loop, EVRUN_ONCE);
	cr_assert_eq(delivered, 2);
}

Test(mailbox, delivers_the_rest_at_the_end)
{
	struct ev_loop *l = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	struct mailbox b;
	struct mail m = {.deliver = deliver};
	struct letter letter = {.mail = m};

	cr_assert_eq(mailbox_init(&b, l), 0);
	mailbox_post(&b, &letter.mail);
	mailbox_fini(&b);
	cr_assert_eq(delivered, 1);
	ev_loop_destroy(l);
}

static struct letter letters[NR_POSTERS][NR_MAILS];

static void *post_many(void *arg)
{
	unsigned poster = (uintptr_t)arg;

	for (unsigned i = 0; i < NR_MAILS; i++) {
		struct letter *l = &letters[poster][i];

		*l = (struct letter){{.deliver = deliver}, poster, i};
		mailbox_post(&box, &l->mail);
	}
	return NULL;
}

/* The test would time out if a wake were lost. */
Test(mailbox, wakes_the_loop_for_every_poster, .timeout = 20)
{
	pthread_t t[NR_POSTERS];

	for (uintptr_t i = 0; i < NR_POSTERS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, post_many, (void *)i),
			     0);
	while (delivered < NR_POSTERS * NR_MAILS)
		ev_run(loop, EVRUN_ONCE);
	for (unsigned i = 0; i < NR_POSTERS; i++) {
		pthread_join(t[i], NULL);
		cr_assert_eq(next_of[i], NR_MAILS);
	}
}
