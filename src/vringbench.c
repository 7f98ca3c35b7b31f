/* SPDX-License-Identifier: BSD-2-Clause */
/* vringbench: a vhost-user front-end that loads and verifies targets. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"
#include "load.h"
#include "meter.h"

#define CHECK_MS   10 /* how often a thread looks after its targets */
#define SAMPLE_MS  100
#define QUEUES_MAX 256
#define DEPTH_MAX  8192
#define BS_MAX	   (64u << 20)

struct bench_thread {
	pthread_t id;
	struct bench *bench;
	int cpu; /* -1: any */
	int epfd;
	struct load **loads;
	unsigned nr_loads;
};

struct bench {
	struct load_params params;
	const char *rw;
	bool json;
	char **paths;
	unsigned nr_paths;
	int *cpus;
	unsigned nr_cpus;

	struct load *loads;
	struct bench_thread *threads;
	unsigned nr_threads;
	_Atomic int stop;	  /* enum load_stop */
	_Atomic unsigned running; /* threads */
	struct meter meter;
};

/* -- options -------------------------------------------------------------- */

static const char help[] =
	"usage: vringbench --socket PATH [--socket PATH ...] [OPTION ...]\n"
	"\n"
	"Loads vhost-user-blk targets and measures them.\n"
	"\n"
	"  -s, --socket=PATH      a target's socket; may be given several "
	"times\n"
	"  -w, --rw=KIND          read, write, randread, randwrite, randrw,\n"
	"                         flush, discard or write-zeroes (randread)\n"
	"  -b, --bs=SIZE          bytes of a request (4k)\n"
	"  -d, --iodepth=N        requests in flight on each queue (32)\n"
	"  -q, --queues=N         queues of each target (1)\n"
	"  -t, --time=SECONDS     how long to load (10)\n"
	"  -S, --size=SIZE        use only the first bytes of the disk\n"
	"  -r, --rate=IOPS        at most so many requests a second and "
	"target\n"
	"  -i, --idle             set up the queues and do nothing\n"
	"  -v, --verify           check all data, mix in flush, discard and\n"
	"                         write zeroes, read everything back at the "
	"end\n"
	"  -R, --reconnect        go on when the target closes and comes back\n"
	"  -p, --poll             poll the rings (default)\n"
	"  -e, --eventfd          sleep until the target calls\n"
	"  -c, --cpus=LIST        a thread on each of these CPUs\n"
	"  -n, --seed=N           seed of offsets and data (the time)\n"
	"  -P, --packed           use packed rings\n"
	"  -I, --no-indirect      put descriptors in the ring itself\n"
	"  -E, --no-event-idx     do without event indexes\n"
	"  -N, --no-inflight      have the target record nothing, and after a\n"
	"                         reconnect make unanswered requests again\n"
	"  -K, --keep-rings       make none again, as no VMM could\n"
	"  -j, --json             print one JSON object\n"
	"  -h, --help             print this\n"
	"  -V, --version          print the version\n";

static const struct option options[] = {
	{"socket", required_argument, NULL, 's'},
	{"rw", required_argument, NULL, 'w'},
	{"bs", required_argument, NULL, 'b'},
	{"iodepth", required_argument, NULL, 'd'},
	{"queues", required_argument, NULL, 'q'},
	{"time", required_argument, NULL, 't'},
	{"size", required_argument, NULL, 'S'},
	{"rate", required_argument, NULL, 'r'},
	{"idle", no_argument, NULL, 'i'},
	{"verify", no_argument, NULL, 'v'},
	{"reconnect", no_argument, NULL, 'R'},
	{"poll", no_argument, NULL, 'p'},
	{"eventfd", no_argument, NULL, 'e'},
	{"cpus", required_argument, NULL, 'c'},
	{"seed", required_argument, NULL, 'n'},
	{"packed", no_argument, NULL, 'P'},
	{"no-indirect", no_argument, NULL, 'I'},
	{"no-event-idx", no_argument, NULL, 'E'},
	{"no-inflight", no_argument, NULL, 'N'},
	{"keep-rings", no_argument, NULL, 'K'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

static const char short_options[] = "s:w:b:d:q:t:S:r:ivRpec:n:PIENKjhV";

static _Noreturn void usage_error(const char *what, const char *value)
{
	fprintf(stderr, "vringbench: %s: %s\n", what, value);
	exit(2);
}

/* A number with an optional k, M, G or T (powers of 1024), as in 4k or 1GiB. */
static uint64_t parse_size(const char *what, const char *s, uint64_t min,
			   uint64_t max)
{
	static const char units[] = "kmgt";
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || end == s || *s == '-')
		usage_error(what, s);
	if (*end) {
		const char *u = strchr(units, *end | 0x20);
		unsigned shift = u ? 10 * (unsigned)(u - units + 1) : 0;

		if (!u || n > UINT64_MAX >> shift)
			usage_error(what, s);
		n <<= shift;
		end++;
		if (strcmp(end, "") != 0 && strcmp(end, "iB") != 0)
			usage_error(what, s);
	}
	if (n < min || n > max)
		usage_error(what, s);
	return n;
}

static uint64_t parse_seconds(const char *s)
{
	char *end;
	double n = strtod(s, &end);

	if (end == s || (*end && strcmp(end, "s") != 0) || !(n > 0) || n > 1e7)
		usage_error("--time", s);
	return (uint64_t)(n * 1000);
}

static void parse_rw(struct bench *b, const char *s)
{
	static const struct {
		const char *name;
		bool reads, writes, random;
		uint32_t only;
	} kinds[] = {
		{"read", true, false, false, 0},
		{"write", false, true, false, 0},
		{"randread", true, false, true, 0},
		{"randwrite", false, true, true, 0},
		{"randrw", true, true, true, 0},
		{"flush", false, false, false, VIRTIO_BLK_T_FLUSH},
		{"discard", false, true, false, VIRTIO_BLK_T_DISCARD},
		{"write-zeroes", false, true, false, VIRTIO_BLK_T_WRITE_ZEROES},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(s, kinds[i].name) != 0)
			continue;
		b->rw = kinds[i].name;
		b->params.reads = kinds[i].reads;
		b->params.writes = kinds[i].writes;
		b->params.random = kinds[i].random;
		b->params.only = kinds[i].only;
		return;
	}
	usage_error("--rw", s);
}

/* 0,2-4 */
static void parse_cpus(struct bench *b, const char *list)
{
	const char *s = list;

	do {
		char *end;
		unsigned long first = strtoul(s, &end, 10), last = first;

		if (end == s)
			usage_error("--cpus", list);
		if (*end == '-') {
			s = end + 1;
			last = strtoul(s, &end, 10);
		}
		if (end == s || last < first || last >= CPU_SETSIZE ||
		    (*end && *end != ','))
			usage_error("--cpus", list);
		for (; first <= last; first++) {
			b->cpus = reallocarray(b->cpus, b->nr_cpus + 1,
					       sizeof(*b->cpus));
			if (!b->cpus)
				usage_error("--cpus", "out of memory");
			b->cpus[b->nr_cpus++] = (int)first;
		}
		s = *end ? end + 1 : end;
	} while (*s);
}

static void add_path(struct bench *b, char *path)
{
	b->paths = reallocarray(b->paths, b->nr_paths + 1, sizeof(*b->paths));
	if (!b->paths)
		usage_error("--socket", "out of memory");
	b->paths[b->nr_paths++] = path;
}

static void parse_option(struct bench *b, int c, char *arg)
{
	struct load_params *p = &b->params;

	switch (c) {
	case 's':
		add_path(b, arg);
		break;
	case 'w':
		parse_rw(b, arg);
		break;
	case 'b':
		p->bs = (uint32_t)parse_size("--bs", arg, VERIFY_BLOCK, BS_MAX);
		break;
	case 'd':
		p->iodepth =
			(unsigned)parse_size("--iodepth", arg, 1, DEPTH_MAX);
		break;
	case 'q':
		p->queues =
			(unsigned)parse_size("--queues", arg, 1, QUEUES_MAX);
		break;
	case 't':
		p->time_ms = parse_seconds(arg);
		break;
	case 'S':
		p->size = parse_size("--size", arg, VERIFY_BLOCK, INT64_MAX);
		break;
	case 'r':
		p->rate = parse_size("--rate", arg, 1, 100000000);
		break;
	case 'i':
		p->idle = true;
		break;
	case 'v':
		p->verify = true;
		break;
	case 'R':
		p->reconnect = true;
		break;
	case 'p':
		p->eventfd = false;
		break;
	case 'e':
		p->eventfd = true;
		break;
	case 'c':
		parse_cpus(b, arg);
		break;
	case 'n':
		p->seed = parse_size("--seed", arg, 0, UINT64_MAX);
		break;
	case 'P':
		p->packed = true;
		break;
	case 'I':
		p->no_indirect = true;
		break;
	case 'E':
		p->no_event_idx = true;
		break;
	case 'N':
		p->no_inflight = true;
		break;
	case 'K':
		p->keep_rings = true;
		break;
	case 'j':
		b->json = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	case 'V':
		puts(PACKAGE_STRING);
		exit(0);
	default:
		exit(2);
	}
}

static void parse(struct bench *b, int argc, char **argv)
{
	struct load_params *p = &b->params;
	int c;

	p->bs = 4096;
	p->iodepth = 32;
	p->queues = 1;
	p->time_ms = 10000;
	p->seed = tick_monotonic_ns();
	parse_rw(b, "randread");
	while ((c = getopt_long(argc, argv, short_options, options, NULL)) >= 0)
		parse_option(b, c, optarg);
	if (optind < argc)
		usage_error("unexpected argument", argv[optind]);
	if (!b->nr_paths)
		usage_error("--socket", "needed");
	if (p->bs % VERIFY_BLOCK)
		usage_error("--bs", "not a multiple of 512");
	if (p->size && p->size < p->bs)
		usage_error("--size", "less than --bs");
	if (p->idle && p->verify)
		usage_error("--verify", "not with --idle");
}

/* -- threads -------------------------------------------------------------- */

/* Targets of one process are one entry of the meter. */
static void sample_meter(struct bench *b, bool at_start)
{
	for (unsigned i = 0; i < b->nr_paths; i++)
		if (b->loads[i].pid)
			meter_add(&b->meter, b->loads[i].pid, !at_start);
	meter_sample(&b->meter);
}

static void sleep_until_called(struct bench_thread *t, uint64_t now)
{
	const struct load_params *p = &t->bench->params;
	uint64_t until = now + tick_from_ms(&p->tick, CHECK_MS);
	struct epoll_event events[16];
	struct timespec ts;
	bool work = false;

	for (unsigned i = 0; i < t->nr_loads; i++) {
		work |= load_arm(t->loads[i]);
		if (p->rate && t->loads[i]->next_due < until)
			until = MAX(t->loads[i]->next_due, now);
	}
	ts.tv_sec = 0;
	ts.tv_nsec = (long)(tick_to_s(&p->tick, until - now) * 1e9);
	/* Edge-triggered: nothing has to be read, one call is enough. */
	if (!work)
		epoll_pwait2(t->epfd, events, ARRAY_SIZE(events), &ts, NULL);
	for (unsigned i = 0; i < t->nr_loads; i++)
		load_disarm(t->loads[i]);
}

static bool check_loads(struct bench_thread *t, uint64_t now)
{
	bool alive = false;

	for (unsigned i = 0; i < t->nr_loads; i++)
		alive |= load_check(t->loads[i], now,
				    (enum load_stop)t->bench->stop);
	return alive;
}

static void *run_thread(void *arg)
{
	struct bench_thread *t = arg;
	const struct load_params *p = &t->bench->params;
	bool sleeps = p->eventfd || p->idle;
	uint64_t now = tick_now(&p->tick);
	uint64_t next_check = 0;

	for (unsigned i = 0; i < t->nr_loads; i++)
		load_start(t->loads[i], now);
	for (;;) {
		unsigned n = 0;

		/* With many targets a turn is long: each has its own time. */
		for (unsigned i = 0; i < t->nr_loads; i++) {
			now = tick_now(&p->tick);
			n += load_turn(t->loads[i], now);
		}
		if (unlikely(now >= next_check)) {
			next_check = now + tick_from_ms(&p->tick, CHECK_MS);
			if (!check_loads(t, now))
				break;
		}
		if (!n && sleeps)
			sleep_until_called(t, now);
	}
	t->bench->running--;
	return NULL;
}

static int start_thread(struct bench_thread *t)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int ret;

	pthread_attr_init(&attr);
	if (t->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((unsigned)t->cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	ret = pthread_create(&t->id, &attr, run_thread, t);
	pthread_attr_destroy(&attr);
	return -ret;
}

/* Targets go to the threads in turn. */
static int make_threads(struct bench *b)
{
	unsigned wanted = b->nr_cpus ? b->nr_cpus : 1;

	b->nr_threads = MIN(wanted, b->nr_paths);
	b->threads = calloc(b->nr_threads, sizeof(*b->threads));
	for (unsigned i = 0; b->threads && i < b->nr_threads; i++) {
		struct bench_thread *t = &b->threads[i];

		t->bench = b;
		t->cpu = b->nr_cpus ? b->cpus[i] : -1;
		t->epfd = epoll_create1(EPOLL_CLOEXEC);
		t->loads = calloc(b->nr_paths, sizeof(struct load *));
		if (!t->loads || t->epfd < 0)
			return -ENOMEM;
	}
	for (unsigned i = 0; b->threads && i < b->nr_paths; i++) {
		struct bench_thread *t = &b->threads[i % b->nr_threads];
		int ret = 0;

		t->loads[t->nr_loads++] = &b->loads[i];
		if (b->params.eventfd || b->params.idle)
			ret = load_watch(&b->loads[i], t->epfd);
		if (ret)
			return ret;
	}
	return b->threads ? 0 : -ENOMEM;
}

static void free_threads(struct bench *b)
{
	for (unsigned i = 0; b->threads && i < b->nr_threads; i++) {
		close(b->threads[i].epfd);
		free(b->threads[i].loads);
	}
	free(b->threads);
}

/* The main thread: signals, CPU times, and waiting for the others. */
static void wait_for_threads(struct bench *b, const sigset_t *signals)
{
	struct timespec ts = {.tv_nsec = SAMPLE_MS * 1000000};

	while (b->running) {
		/* The first cuts the load short, the second also the check. */
		if (sigtimedwait(signals, NULL, &ts) > 0 &&
		    b->stop < LOAD_STOP_NOW)
			b->stop++;
		sample_meter(b, false);
	}
}

static int run(struct bench *b)
{
	sigset_t signals;
	int ret = make_threads(b);

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	sample_meter(b, true);
	for (unsigned i = 0; i < b->nr_threads && !ret; i++) {
		b->running++;
		ret = start_thread(&b->threads[i]);
		if (ret) {
			b->running--;
			b->stop = LOAD_STOP_NOW;
		}
	}
	wait_for_threads(b, &signals);
	sample_meter(b, false);
	for (unsigned i = 0; i < b->nr_threads; i++)
		if (b->threads && b->threads[i].id)
			pthread_join(b->threads[i].id, NULL);
	if (ret)
		fprintf(stderr, "vringbench: %s\n", strerror(-ret));
	return ret;
}

/* -- the report ------------------------------------------------------------ */

struct report {
	struct histogram lat;
	double iops;
	double bytes_per_s;
	double time_s;
	uint64_t errors;
	uint64_t verified;
	uint64_t reconnects;
	bool inflight; /* all targets record it */
	double cpu_s;
};

static void sum_up(struct bench *b, struct report *r)
{
	const struct tick *tick = &b->params.tick;

	r->inflight = true;
	for (unsigned i = 0; i < b->nr_paths; i++) {
		const struct load *l = &b->loads[i];
		double s = tick_to_s(tick, l->stats.run_ticks);

		histogram_merge(&r->lat, &l->stats.lat);
		if (s > 0) {
			r->iops += (double)l->stats.lat.count / s;
			r->bytes_per_s += (double)l->stats.bytes / s;
		}
		r->time_s = MAX(r->time_s, s);
		r->errors += l->stats.errors;
		r->verified += l->verify.nr_checked;
		r->reconnects += l->stats.reconnects;
		r->inflight &= l->is_recorded;
	}
	r->cpu_s = meter_sum(&b->meter);
}

static double to_us(const struct bench *b, double ticks)
{
	return ticks / (double)b->params.tick.hz * 1e6;
}

static double percentile_us(const struct bench *b, const struct report *r,
			    double p)
{
	return to_us(b, (double)histogram_percentile(&r->lat, p));
}

static const char *mode_of(const struct bench *b)
{
	if (b->params.idle)
		return "idle";
	return b->params.eventfd ? "eventfd" : "poll";
}

static void add_number(struct json_object *o, const char *key, double value)
{
	char text[32];

	/* Enough digits for anything here, and no noise behind them. */
	snprintf(text, sizeof(text), "%.3f", value);
	json_object_object_add(o, key, json_object_new_double_s(value, text));
}

static void add_count(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static struct json_object *latencies(const struct bench *b,
				     const struct report *r)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "mean", to_us(b, histogram_mean(&r->lat)));
	add_number(o, "p50", percentile_us(b, r, 0.5));
	add_number(o, "p99", percentile_us(b, r, 0.99));
	add_number(o, "p999", percentile_us(b, r, 0.999));
	add_number(o, "max", to_us(b, (double)r->lat.max));
	return o;
}

static void print_json(const struct bench *b, const struct report *r)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "mode", mode_of(b));
	add_text(o, "clock", b->params.tick.tsc ? "tsc" : "monotonic");
	add_text(o, "rw", b->rw);
	add_count(o, "bs", b->params.bs);
	add_count(o, "iodepth", b->params.iodepth);
	add_count(o, "queues", b->params.queues);
	add_text(o, "ring", b->params.packed ? "packed" : "split");
	json_object_object_add(o, "inflight",
			       json_object_new_boolean(r->inflight));
	add_count(o, "sockets", b->nr_paths);
	add_count(o, "threads", b->nr_threads);
	add_count(o, "seed", b->params.seed);
	add_number(o, "time_s", r->time_s);
	add_count(o, "requests", r->lat.count);
	add_number(o, "iops", r->iops);
	add_number(o, "bytes_per_s", r->bytes_per_s);
	json_object_object_add(o, "lat_us", latencies(b, r));
	add_count(o, "errors", r->errors);
	add_count(o, "verified", r->verified);
	add_count(o, "reconnects", r->reconnects);
	if (r->cpu_s < 0)
		json_object_object_add(o, "target_cpu_s", NULL);
	else
		add_number(o, "target_cpu_s", r->cpu_s);
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void print_text(const struct bench *b, const struct report *r)
{
	const struct load_params *p = &b->params;

	printf("%s: bs %u, depth %u, %u queues, %u sockets, %u threads\n",
	       b->rw, p->bs, p->iodepth, p->queues, b->nr_paths, b->nr_threads);
	printf("  mode      %s, %s rings, clock %s, seed %" PRIu64 "\n",
	       mode_of(b), p->packed ? "packed" : "split",
	       p->tick.tsc ? "tsc" : "monotonic", p->seed);
	printf("  requests  %" PRIu64 " in %.2f s: %.0f IOPS, %.1f MiB/s\n",
	       r->lat.count, r->time_s, r->iops, r->bytes_per_s / 1048576);
	printf("  latency   mean %.1f, p50 %.1f, p99 %.1f, p99.9 %.1f,"
	       " max %.1f us\n",
	       to_us(b, histogram_mean(&r->lat)), percentile_us(b, r, 0.5),
	       percentile_us(b, r, 0.99), percentile_us(b, r, 0.999),
	       to_us(b, (double)r->lat.max));
	if (p->verify)
		printf("  verified  %" PRIu64 " blocks\n", r->verified);
	if (p->reconnect)
		printf("  reconnect %" PRIu64 " times, on %s rings\n",
		       r->reconnects,
		       r->inflight || p->keep_rings ? "the same" : "new");
	if (r->cpu_s >= 0)
		printf("  target    %.3f s of CPU time\n", r->cpu_s);
	printf("  errors    %" PRIu64 "\n", r->errors);
}

static struct bench bench;
static struct report report;

static int open_loads(struct bench *b)
{
	b->loads = calloc(b->nr_paths, sizeof(*b->loads));
	if (!b->loads)
		return -ENOMEM;
	for (unsigned i = 0; i < b->nr_paths; i++) {
		int ret = load_open(&b->loads[i], b->paths[i], &b->params);

		if (ret)
			return ret;
	}
	return 0;
}

/* A target takes two descriptors, and each of its queues three. */
static void raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int main(int argc, char **argv)
{
	struct bench *b = &bench;
	int ret;

	parse(b, argc, argv);
	raise_fd_limit();
	tick_init(&b->params.tick);
	ret = open_loads(b);
	if (!ret)
		ret = run(b);
	for (unsigned i = 0; b->loads && i < b->nr_paths; i++)
		if (b->loads[i].p)
			load_close(&b->loads[i]);
	if (!ret) {
		sum_up(b, &report);
		if (b->json)
			print_json(b, &report);
		else
			print_text(b, &report);
	}
	free_threads(b);
	free(b->loads);
	meter_fini(&b->meter);
	free(b->paths);
	free(b->cpus);
	return ret || report.errors ? 1 : 0;
}
