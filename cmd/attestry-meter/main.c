/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include "base/secret.h"
#include "base/str.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_ONCE_S    60
#define INTERVAL_S     10
#define POLL_S	       2
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 5000
#define STEP_MS	       50

static volatile sig_atomic_t stopped;

bool meter_stopped(void)
{
	return stopped != 0;
}

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

static const char HELP[] =
	"usage: attestry-meter [--card NAME] [--slot N] [--once] [--wait SECONDS] [--state DIR]\n"
	"                      [--interval SECONDS] [--poll SECONDS] [--json]\n"
	"\n"
	"A parking meter. Waits for the Registry Payload on its card, verifies it, verifies its "
	"own\n"
	"record and its provider's in the DNS, and publishes a reading to the provider's MQTT "
	"broker\n"
	"over mutual TLS with the key on the card. Follows the payload when it changes.\n"
	"\n"
	"  --card NAME       tty:PATH or socket:PATH (default: the environment's IOTSAFE_CARD)\n"
	"  --slot N          1..9 (default 1)\n"
	"  --once            publish one reading and exit: 0, or 1 with the reason\n"
	"  --wait SECONDS    give up when nothing was published by then (default: 60 with --once,\n"
	"                    otherwise never)\n"
	"  --state DIR       keep what was accepted there, so that an old payload stays refused\n"
	"                    after a restart (default: only while it runs)\n"
	"  --interval SECONDS  between readings (default 10)\n"
	"  --poll SECONDS    between looks at the payload on the card (default 2)\n"
	"  --json            one JSON object per step\n"
	"\n"
	"examples:\n"
	"  attestry-meter --card tty:/dev/ttyUSB2 --once\n"
	"  IOTSAFE_CARD=tty:lab/sims/modem1 attestry-meter --json --state /var/lib/meter\n";

static bool number(const char *text, uint64_t min, uint64_t max, unsigned *out)
{
	uint64_t v;

	if (u64_read(text, min, max, &v) != RC_OK)
		return false;
	*out = (unsigned)v;
	return true;
}

/* -1: go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	enum { CARD, SLOT, ONCE, WAIT, STATE, INTERVAL, POLL, JSON, USAGE };
	static const struct option longs[] = { { "card", required_argument, NULL, CARD },
		{ "slot", required_argument, NULL, SLOT }, { "once", no_argument, NULL, ONCE },
		{ "wait", required_argument, NULL, WAIT },
		{ "state", required_argument, NULL, STATE },
		{ "interval", required_argument, NULL, INTERVAL },
		{ "poll", required_argument, NULL, POLL }, { "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, USAGE }, { NULL, 0, NULL, 0 } };
	bool ok = true, wait_set = false;
	int c;

	while (ok && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case CARD: o->card = optarg; break;
		case SLOT: ok = number(optarg, 1, 9, &o->slot); break;
		case ONCE: o->once = true; break;
		case WAIT:
			ok = number(optarg, 0, 86400, &o->wait_s);
			wait_set = true;
			break;
		case STATE: o->state = optarg; break;
		case INTERVAL: ok = number(optarg, 1, 86400, &o->interval_s); break;
		case POLL: ok = number(optarg, 1, 86400, &o->poll_s); break;
		case JSON: o->json = true; break;
		case 'h':
		case USAGE: (void)fputs(HELP, stdout); return 0;
		default: ok = false;
		}
	}
	if (!ok || optind != argc) {
		(void)fputs("attestry-meter: wrong arguments; see --help\n", stderr);
		return 2;
	}
	if (o->once && !wait_set)
		o->wait_s = WAIT_ONCE_S;
	return -1;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void pause_ms(unsigned ms)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };

	for (unsigned i = 0; i < ms && !stopped; i += STEP_MS)
		(void)nanosleep(&step, NULL);
}

static bool is_change(const struct refusal *r)
{
	return strcmp(r->reason, "changed") == 0;
}

/* Tries until it is told to stop. Exit code: 0, or 1 with the last reason printed. */
static int run(struct meter *m)
{
	uint64_t end = now_ms() + UINT64_C(1000) * m->opt.wait_s;
	unsigned backoff = BACKOFF_MIN_MS;

	while (!stopped) {
		struct refusal r = { 0 };
		unsigned long before = m->readings;
		bool ok = meter_identity(m, &r) && meter_broker(m, &r);
		if (ok)
			return 0;
		if (stopped)
			break;
		bool late = m->opt.wait_s > 0 && !m->published && now_ms() >= end;
		if ((m->opt.once && !r.again) || late)
			r.again = false;
		report_refusal(m, &r);
		if (late || (m->opt.once && !r.again))
			return 1;
		/* A lost card: its handle heals itself, or is opened anew. */
		if (strcmp(r.step, "card") == 0 && m->card) {
			iotsafe_close(m->card);
			m->card = NULL;
		}
		if (m->readings != before)
			backoff = BACKOFF_MIN_MS;
		if (!is_change(&r))
			pause_ms(backoff);
		backoff = backoff * 2 < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
	}
	return m->opt.once ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct sigaction stop = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	struct meter *m = calloc(1, sizeof(*m));
	int code;

	if (!m)
		return 2;
	m->opt = (struct options){ .slot = 1, .interval_s = INTERVAL_S, .poll_s = POLL_S };
	code = parse_options(argc, argv, &m->opt);
	if (code >= 0) {
		free(m);
		return code;
	}
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	if (secret_harden_process() != RC_OK)
		(void)fputs("attestry-meter: cannot forbid core dumps\n", stderr);
	(void)mosquitto_lib_init();
	code = run(m);
	if (m->opt.once == false && code == 0)
		report(m, "stopped", NULL);
	report_forget(m);
	iotsafe_close(m->card);
	(void)mosquitto_lib_cleanup();
	free(m);
	return code;
}
