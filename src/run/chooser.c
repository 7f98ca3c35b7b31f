/* SPDX-License-Identifier: BSD-2-Clause */
#include "run/chooser.h"

#include <string.h>

#include "base/util.h"

#define MS 1000000ULL
#define S  (1000 * MS)

/*
 * A window is longer than what a scheduler gives to one of several that want a
 * CPU, so that its luck does not decide.
 */
#define LOOK_NS	  (5 * MS)
#define WINDOW_NS (20 * MS)

/* No entry is taken for so long: the thread had no CPU. */
#define STARVED_NS (15 * MS)

/*
 * Requests a second.  With fewer there is nothing to win, and too few in a
 * window to tell.
 */
#define WORTH 5000

/* The load is that of about so long; so many times as much is another one. */
#define SMOOTH_NS    (160 * MS)
#define UNLIKE_TIMES 2

/*
 * SQPOLL must gain so much, by so many standard errors, and is given up early
 * when it loses that much.
 */
#define MARGIN	  0.06
#define HOPELESS  0.5
#define CERTAIN	  2.0
#define PAIRS_MIN 4
#define PAIRS_MAX 12

/* A trial takes 50 ms for each pair, and longer with lulls. */
#define TRIAL_MAX_NS (2 * S)

#define PAUSE_MIN_NS (2 * S)
#define PAUSE_MAX_NS (64 * S)

/*
 * A guest that asks for nothing for so long does something else, which says
 * nothing of a ring; for so long, it has ended what it did.
 */
#define LULL_NS (40 * MS)
#define END_NS	(1 * S)

static void set_reason(struct chooser *c, enum chooser_reason reason)
{
	__atomic_store_n(&c->facts.reason, reason, __ATOMIC_RELAXED);
}

static void set_ring(struct chooser *c, enum uring_kind ring)
{
	uint64_t nr = c->facts.nr_switches + 1;

	if (c->facts.ring == ring)
		return;
	__atomic_store_n(&c->facts.ring, ring, __ATOMIC_RELAXED);
	__atomic_store_n(&c->facts.nr_switches, nr, __ATOMIC_RELAXED);
	c->is_settling = true;
}

void chooser_init(struct chooser *c, uint64_t now_ns)
{
	memset(c, 0, sizeof(*c));
	c->facts.ring = URING_DIRECT;
	c->facts.reason = CHOOSER_NO_LOAD;
	c->outcome = CHOOSER_NOT_TRIED;
	c->begin.now_ns = now_ns;
	c->moved.now_ns = now_ns;
}

void chooser_fix(struct chooser *c, enum uring_kind ring,
		 enum chooser_reason reason)
{
	memset(c, 0, sizeof(*c));
	c->facts.ring = ring;
	c->facts.reason = reason;
	c->due_ns = UINT64_MAX;
}

/* The load has become another one, so what is known says nothing of it. */
static void forget(struct chooser *c)
{
	c->outcome = CHOOSER_NOT_TRIED;
	c->pause_ns = PAUSE_MIN_NS;
}

static bool is_trying(const struct chooser *c)
{
	return c->facts.reason == CHOOSER_TRYING;
}

/*
 * The load is gone, so a trial has no outcome.  When it comes back, what has
 * won will be tried again; what has lost will not.
 */
static void rest(struct chooser *c, uint64_t now_ns)
{
	if (is_trying(c))
		c->ended_ns = now_ns;
	if (c->outcome == CHOOSER_WON)
		forget(c);
	c->load = 0;
	set_reason(c, CHOOSER_NO_LOAD);
	set_ring(c, URING_DIRECT);
}

/* -- trials ---------------------------------------------------------------- */

static void begin_trial(struct chooser *c, uint64_t now_ns)
{
	c->began_ns = now_ns;
	c->before = 0;
	c->nr_pairs = 0;
	c->gain = 0;
	c->gain2 = 0;
	c->direct = 0;
	set_reason(c, CHOOSER_TRYING);
	set_ring(c, URING_DIRECT);
}

static void lengthen_pause(struct chooser *c, enum chooser_reason outcome)
{
	bool has_won = outcome == CHOOSER_WON;

	if (c->outcome == CHOOSER_NOT_TRIED ||
	    has_won != (c->outcome == CHOOSER_WON))
		c->pause_ns = PAUSE_MIN_NS;
	else
		c->pause_ns = MIN(2 * c->pause_ns, PAUSE_MAX_NS);
}

static void end_trial(struct chooser *c, enum chooser_reason outcome,
		      uint64_t now_ns)
{
	lengthen_pause(c, outcome);
	c->ended_ns = now_ns;
	c->outcome = outcome;
	set_reason(c, outcome);
	set_ring(c, outcome == CHOOSER_WON ? URING_SQPOLL : URING_DIRECT);
}

/* SQPOLL's window lies between two of direct. */
static void add_pair(struct chooser *c, double after)
{
	double direct = (c->before + after) / 2;
	double gain = c->sqpoll - direct;

	c->nr_pairs++;
	c->gain += gain;
	c->gain2 += gain * gain;
	c->direct += direct;
}

/* What the pairs so far say; CHOOSER_TRYING: nothing yet. */
static enum chooser_reason judge(const struct chooser *c)
{
	double n = c->nr_pairs;
	double mean = c->gain / n;
	double margin = MARGIN * c->direct / n;

	if (c->nr_pairs == 1)
		return CHOOSER_TRYING;

	/* The squares of the standard error and of distances as far as that. */
	double error2 = (c->gain2 - c->gain * mean) / (n - 1) / n;
	double certain2 = CERTAIN * CERTAIN * error2;
	double above = mean - margin;

	if (c->gain < -HOPELESS * c->direct)
		return CHOOSER_LOST;
	if (c->nr_pairs < PAIRS_MIN)
		return CHOOSER_TRYING;
	if (above > 0 && mean * mean >= certain2)
		return CHOOSER_WON;
	if (c->nr_pairs == PAIRS_MAX || (above < 0 && above * above > certain2))
		return CHOOSER_LOST;
	return CHOOSER_TRYING;
}

static void finish(struct chooser *c, enum chooser_reason outcome,
		   uint64_t now_ns)
{
	c->rates[URING_DIRECT] = c->direct / c->nr_pairs;
	c->rates[URING_SQPOLL] = (c->direct + c->gain) / c->nr_pairs;
	end_trial(c, outcome, now_ns);
	c->load = c->rates[c->facts.ring];
}

static void go_on_trying(struct chooser *c, double rate, uint64_t now_ns)
{
	enum chooser_reason outcome = CHOOSER_TRYING;

	if (c->facts.ring == URING_SQPOLL) {
		c->sqpoll = rate;
		set_ring(c, URING_DIRECT);
		return;
	}
	if (rate < WORTH) {
		rest(c, now_ns);
		return;
	}
	if (c->before) {
		add_pair(c, rate);
		outcome = judge(c);
	}
	c->before = rate;
	if (outcome == CHOOSER_TRYING)
		set_ring(c, URING_SQPOLL);
	else
		finish(c, outcome, now_ns);
}

/* What the storage did before is as near to the load as can be known. */
static void note_starved(struct chooser *c, uint64_t now_ns)
{
	end_trial(c, CHOOSER_STARVED, now_ns);
	c->rates[URING_DIRECT] = c->before;
	c->load = 0;
}

/* -- between trials -------------------------------------------------------- */

/* One that has just come is known at once, else it takes some windows. */
static void note_load(struct chooser *c, double rate, uint64_t ns)
{
	if (c->load)
		c->load += (rate - c->load) * MIN((double)ns / SMOOTH_NS, 1.);
	else
		c->load = rate;
}

static bool is_another(const struct chooser *c)
{
	double known = c->rates[c->facts.ring];

	return c->outcome != CHOOSER_NOT_TRIED &&
	       (c->load > known * UNLIKE_TIMES ||
		c->load < known / UNLIKE_TIMES);
}

static void watch(struct chooser *c, double rate, uint64_t ns, uint64_t now_ns)
{
	bool is_sqpoll = c->facts.ring == URING_SQPOLL;
	bool is_due = now_ns - c->ended_ns >= c->pause_ns;

	note_load(c, rate, ns);
	/* Around the limit, SQPOLL is not dropped for each window. */
	if (c->load < (is_sqpoll ? WORTH / 2 : WORTH)) {
		rest(c, now_ns);
		return;
	}
	if (is_another(c)) {
		forget(c);
		/* Or it is the same, and the thread has to share its CPU. */
		is_due |= is_sqpoll;
	}
	set_reason(c, c->outcome);
	if (is_due)
		begin_trial(c, now_ns);
}

/* -- samples --------------------------------------------------------------- */

static void begin_window(struct chooser *c, const struct chooser_sample *s)
{
	c->is_settling = false;
	c->begin = *s;
}

static void end_window(struct chooser *c, const struct chooser_sample *s)
{
	uint64_t ns = s->now_ns - c->begin.now_ns;
	double rate = (double)(s->nr_done - c->begin.nr_done) * S / ns;

	if (is_trying(c))
		go_on_trying(c, rate, s->now_ns);
	else
		watch(c, rate, ns, s->now_ns);
	c->begin = *s;
}

static bool is_starved(const struct chooser *c, const struct chooser_sample *s)
{
	return c->facts.ring == URING_SQPOLL &&
	       s->now_ns - c->moved.now_ns >= STARVED_NS;
}

/* The owner slept, and not because of storage that is slow. */
static bool had_lull(const struct chooser *c, const struct chooser_sample *s)
{
	return !s->nr_in_flight && s->now_ns - c->begin.now_ns >= LULL_NS;
}

static bool has_ended(const struct chooser *c, const struct chooser_sample *s)
{
	return had_lull(c, s) &&
	       (s->now_ns - c->begin.now_ns >= END_NS ||
		(is_trying(c) && s->now_ns - c->began_ns >= TRIAL_MAX_NS));
}

void chooser_look(struct chooser *c, const struct chooser_sample *s)
{
	c->due_ns = s->now_ns + LOOK_NS;
	if (!s->nr_waiting || s->nr_taken != c->moved.nr_taken)
		c->moved = *s;
	if (is_starved(c, s)) {
		note_starved(c, s->now_ns);
		begin_window(c, s);
	} else if (has_ended(c, s)) {
		rest(c, s->now_ns);
		begin_window(c, s);
	} else if (c->is_settling || (had_lull(c, s) && is_trying(c))) {
		begin_window(c, s);
	} else if (s->now_ns - c->begin.now_ns >= WINDOW_NS) {
		end_window(c, s);
	}
}

/* -- what is said of it ---------------------------------------------------- */

void chooser_read(const struct chooser *c, struct chooser_facts *f)
{
	const struct chooser_facts *now = &c->facts;

	f->ring = __atomic_load_n(&now->ring, __ATOMIC_RELAXED);
	f->reason = __atomic_load_n(&now->reason, __ATOMIC_RELAXED);
	f->nr_switches = __atomic_load_n(&now->nr_switches, __ATOMIC_RELAXED);
}

const char *chooser_explain(enum chooser_reason reason)
{
	static const char *const sentences[] = {
		[CHOOSER_OFF] = "sqpoll is off in the configuration",
		[CHOOSER_ON] = "sqpoll is on in the configuration",
		[CHOOSER_NO_CPU] = "no CPU is left for a thread of sqpoll",
		[CHOOSER_NO_RING] = "sqpoll is not possible here, see the log",
		[CHOOSER_NO_LOAD] = "there is too little to do for sqpoll",
		[CHOOSER_NOT_TRIED] = "sqpoll was not tried with this load yet",
		[CHOOSER_TRYING] = "sqpoll and direct are tried in turns",
		[CHOOSER_LOST] = "sqpoll was no faster when it was tried",
		[CHOOSER_WON] = "sqpoll was faster when it was tried",
		[CHOOSER_STARVED] = "the thread of sqpoll got no CPU",
	};

	_Static_assert(ARRAY_SIZE(sentences) == CHOOSER_NR_REASONS, "one each");
	return sentences[reason];
}
