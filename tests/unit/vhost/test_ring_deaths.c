/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost/ring: a successor goes on from whatever a death leaves.  A process
 * takes and answers requests an instruction at a time, and each state of the
 * ring and of the record of what is in flight that it passes through is given
 * to a successor; and so is each state that one leaves who dies while he finds
 * out.  Always each request must be answered once, and none be lost.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "deaths.h"
#include "ringrig.h"

#define SIZE	  8u
#define RING_LEN  8192u /* of guest memory, with all of the ring */
#define NR_CHAINS 5u
#define W	  VRING_DESC_F_WRITE

static struct ringmem *const rm = &ringrig.mem;
static struct ring *const r = &ringrig.ring;

TestSuite(ring_deaths, .init = rr_init, .fini = rr_fini, .timeout = 300);

/* They fill the ring. */
static const struct {
	unsigned head, len;
} chains[NR_CHAINS] = { { 0, 2 }, { 2, 1 }, { 3, 3 }, { 6, 1 }, { 7, 1 } };

static void make_available(unsigned i)
{
	rm_chain(rm, chains[i].head, rr_bytes(chains[i].len), chains[i].len);
}

/* ---- what the one does that dies ---- */

static struct chain held[SIZE];

static void take(unsigned i)
{
	static struct iovec iov[SIZE][RR_MAX_IOV];
	struct chain *c = &held[i];

	*c = (struct chain){ .iov = iov[i], .max_iov = RR_MAX_IOV };
	if (ring_pop(r, c) != 1 || c->id != chains[i].head)
		_exit(1);
}

static void push(unsigned i)
{
	ring_push(r, &held[i], 1);
}

static void serve(void *arg)
{
	(void)arg;
	take(0);
	take(1);
	take(2);
	push(1);
	push(0);
	/* new ones are taken while answers wait to be published */
	take(3);
	ring_publish(r);
	take(4);
	ring_unpop(r, &held[4]);
	push(2);
	ring_publish(r);
	take(4);
	push(4);
	push(3);
	ring_publish(r);
}

static void serve_whole_ring(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NR_CHAINS; i++)
		take(i);
	for (unsigned i = NR_CHAINS; i; i--)
		push(i - 1);
	ring_publish(r);
}

/* ---- what a successor must do, in a process of its own ---- */

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s (%s)\n", what, r->why);
	_exit(1);
}

/* Answers that the driver has seen, by the chain's head. */
static unsigned answers[SIZE];
static uint16_t nr_seen;

static void see_answers(void)
{
	uint16_t nr = rm_nr_used(rm);

	for (; nr_seen != nr; nr_seen++)
		answers[rm_used(rm, nr_seen).id % SIZE]++;
}

/* Take all there is: each is one that the driver waits for. */
static unsigned take_all(struct chain *taken, const bool *waits)
{
	static struct iovec iov[SIZE][RR_MAX_IOV];
	bool was_again = true, seen[SIZE] = { false };
	unsigned n = 0;

	for (;; n++) {
		struct chain *c = &taken[n];

		*c = (struct chain){ .iov = iov[n % SIZE],
				     .max_iov = RR_MAX_IOV };

		int got = ring_pop(r, c);

		must(got >= 0, "the driver is said to have broken a rule");
		if (!got)
			return n;
		must(n < SIZE && waits[c->id], "nobody waits for that");
		must(!seen[c->id], "it comes twice");
		must(was_again || !c->again, "an old one after a new one");
		must(!n || !c->again || c->id > c[-1].id, "not in their order");
		seen[c->id] = true;
		was_again = c->again;
	}
}

/*
 * The driver sees answers, and if @again, it makes the same chains available
 * once more, before anybody goes on.
 */
static void go_on(bool again)
{
	struct chain taken[SIZE + 1];
	bool waits[SIZE] = { false };
	unsigned nr_waits = 0, n;

	see_answers();
	for (unsigned i = 0; i < NR_CHAINS; i++) {
		unsigned head = chains[i].head;

		must(answers[head] <= 1, "answered twice before");
		if (answers[head] && again)
			make_available(i);
		waits[head] = !answers[head] || again;
		nr_waits += waits[head];
		answers[head] = 0;
	}
	must(rr_resume() == 0, "it does not go on");
	n = take_all(taken, waits);
	must(n == nr_waits, "some are lost");
	/* One by one, so that the driver looks at each place in between. */
	while (n) {
		ring_push(r, &taken[--n], 1);
		ring_publish(r);
		see_answers();
	}
	for (unsigned i = 0; i < SIZE; i++)
		must(answers[i] == waits[i], "not answered once");
	/* and on */
	for (n = 0; n < 3 * SIZE; n++)
		rr_answer(1 + n % 3);
}

static void go_on_as_it_is(void *arg)
{
	(void)arg;
	go_on(false);
}

static void go_on_with_more(void *arg)
{
	(void)arg;
	go_on(true);
}

static void resume_only(void *arg)
{
	(void)arg;
	must(rr_resume() == 0, "it does not go on");
}

/* ---- all of it ---- */

static struct deaths areas_of_ring(void)
{
	return (struct deaths){
		.areas = { { rm_at(rm, RM_A), RING_LEN },
			   { ringrig.part, 32 + 32 * SIZE } },
	};
}

static void check_state(const struct deaths *d, unsigned i, const char *what)
{
	deaths_restore(d, i);
	cr_assert(deaths_try(go_on_as_it_is, NULL), "%s %u of %u", what, i,
		  d->nr);
	deaths_restore(d, i);
	cr_assert(deaths_try(go_on_with_more, NULL), "%s %u of %u, more", what,
		  i, d->nr);
}

/* The successor, too, dies after each change that he makes. */
static unsigned check_successors(const struct deaths *d, unsigned i)
{
	struct deaths second = areas_of_ring();
	unsigned nr = 0;

	/* At full speed: does he make any? */
	deaths_restore(d, i);
	cr_assert(deaths_try(resume_only, NULL));
	if (!deaths_is_now(d, i)) {
		deaths_restore(d, i);
		cr_assert_eq(deaths_collect(&second, resume_only, NULL), 0);
		nr = second.nr - 1;
		for (unsigned k = 1; k <= nr; k++)
			check_state(&second, k, "second death");
	}
	deaths_free(&second);
	return nr;
}

static void check(void (*serves)(void *arg), uint16_t base, bool twice,
		  unsigned least)
{
	struct deaths d = areas_of_ring();
	unsigned nr_second = 0;
	int err;

	rr_start_at(SIZE, base);
	/* Nothing is as it was at first. */
	rr_answer(SIZE);
	nr_seen = rm_nr_used(rm);
	for (unsigned i = 0; i < NR_CHAINS; i++)
		make_available(i);
	err = deaths_collect(&d, serves, NULL);
	if (err == -EPERM)
		cr_skip("no process can be traced here");
	cr_assert_eq(err, 0, "%d", err);
	cr_assert_geq(d.nr, least, "only %u states", d.nr);
	for (unsigned i = 0; i < d.nr; i++) {
		check_state(&d, i, "death");
		if (twice)
			nr_second += check_successors(&d, i);
	}
	cr_assert(!twice || nr_second > d.nr / 4, "only %u of successors",
		  nr_second);
	deaths_free(&d);
}

static void check_split(void)
{
	check(serve, 65533, true, 40);
	check(serve_whole_ring, 0, false, 30);
}

Test(ring_deaths, lose_nothing_in_a_split_ring)
{
	rr_with(&rr_split, check_split);
}

static void check_packed(void)
{
	check(serve, 5, true, 60);
	check(serve, 0x8000, false, 60);
	check(serve_whole_ring, 0x8000, false, 50);
	check(serve_whole_ring, 3, false, 50);
}

Test(ring_deaths, lose_nothing_in_a_packed_ring)
{
	rr_with(&rr_packed, check_packed);
}
